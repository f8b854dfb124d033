//! Stopping all servers of a home, when no agent runs. What they write last is archived all the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use howdah_cluster::{RunAs, StopMode, postmaster};
use howdah_model::agent::{Installed, ParticipantSpec};
use howdah_model::ids::ServerId;
use howdah_model::version::Version;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ArchiveConfig;
use crate::archiving::{Archives, Archiving};
use crate::board::Board;
use crate::layout::Layout;

/// How long a participant may take to stop before it is stopped harder.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops the PostgreSQL servers of all participants of a home, side by side: `fast`, after 20
/// seconds `immediate`, then by force. Returns how many there were. No agent may run meanwhile. With
/// an archive, their last WAL goes there; one that is away holds nobody up for long.
///
/// # Errors
/// When a process cannot be killed; the others are stopped all the same.
pub async fn stop_all(
    home: &Path,
    run_as: &RunAs,
    archive: Option<ArchiveConfig>,
) -> Result<usize> {
    let layout = Layout::new(home, run_as).context("read HOWDAH_HOME")?;
    // Open until all have stopped.
    let _doors = match archive {
        Some(archive) => doors(&layout, home, run_as, archive),
        None => Vec::new(),
    };
    let mut stopping = JoinSet::new();
    for data in layout.data_dirs() {
        if postmaster::processes(&data).is_empty() {
            continue;
        }
        stopping.spawn(async move { postmaster::stop(&data, StopMode::Fast, PATIENCE).await });
    }
    let count = stopping.len();
    let mut first_error = None;
    while let Some(stopped) = stopping.join_next().await {
        if let Err(error) = stopped.context("wait for a server to stop")? {
            first_error.get_or_insert(error);
        }
    }
    first_error.map_or(Ok(count), |error| Err(error.into()))
}

/// Where servers hand in their last WAL.
fn doors(layout: &Layout, home: &Path, run_as: &RunAs, archive: ArchiveConfig) -> Vec<Archiving> {
    let archives = Archives::new(archive.archive, archive.program, layout.drills());
    let (archives, board) =
        (Arc::new(archives), Arc::new(Board::new(ServerId::new(), Vec::new(), home)));
    let specs = match layout.read_specs() {
        Ok(specs) => specs.wanted,
        Err(error) => {
            tracing::warn!("the last WAL is not archived now: {error:#}");
            return Vec::new();
        }
    };
    let open = |spec: ParticipantSpec| {
        // Nothing of it is started.
        let version = Version { major: spec.major, minor: 0 };
        let installed = Installed { version, bindir: "/nowhere".into() };
        let cluster = layout.cluster(spec.id, &installed, run_as);
        cluster.postmaster()?;
        let (_tell, wanted) = watch::channel(Arc::new(spec));
        Archiving::open(&archives, &board, &cluster, &wanted).ok()
    };
    specs.into_values().filter_map(open).collect()
}
