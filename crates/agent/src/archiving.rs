//! Continuous protection on this server: what leaders write goes to the archive, and what recovers
//! gets it from there.
//!
//! Each participant has a door ([`door`]) that PostgreSQL's `archive_command` and `restore_command`
//! knock at, and a [`Keep`] that answers there. Of a leader, [`shipping`] sends WAL as it is
//! written, [`backups`] takes base backups and expires what is too old, [`drill`] proves them.

pub(crate) mod backups;
pub(crate) mod client;
pub(crate) mod door;
pub(crate) mod drill;
pub(crate) mod erasing;
pub(crate) mod fetching;
pub(crate) mod keep;
pub(crate) mod leaders;
pub(crate) mod shipping;
pub(crate) mod tail;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use howdah_archive::Archive;
use howdah_cluster::Cluster;
use howdah_model::agent::{ParticipantSpec, Role, Source};
use howdah_model::ids::TimelineId;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::keep::Keep;
use self::leaders::Leaders;
use self::shipping::Shipping;
use crate::board::Board;

/// Base backups, drills and the like that may go on at one time on a server.
const HEAVY_JOBS: usize = 1;

/// What all participants of an agent share.
#[derive(Debug)]
pub(crate) struct Archives {
    pub(crate) archive: Archive,
    /// What PostgreSQL runs as `archive_command` and `restore_command`.
    pub(crate) program: PathBuf,
    /// The leaders of this server, by timeline.
    pub(crate) leaders: Leaders,
    /// Held by whoever does something that takes much of the machine.
    pub(crate) heavy: Semaphore,
    /// Where drills are, below HOWDAH_HOME.
    pub(crate) drills: PathBuf,
}

impl Archives {
    pub(crate) fn new(archive: Archive, program: PathBuf, drills: PathBuf) -> Self {
        Self {
            archive,
            program,
            leaders: Leaders::default(),
            heavy: Semaphore::new(HEAVY_JOBS),
            drills,
        }
    }
}

/// Which histories a participant takes part in. It changes when a follower becomes a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Histories {
    /// What it writes goes there, if it leads.
    pub(crate) own: TimelineId,
    /// Where what it recovers comes from.
    pub(crate) source: TimelineId,
    pub(crate) role: Role,
}

impl Histories {
    pub(crate) fn of(spec: &ParticipantSpec) -> Self {
        let source = match (&spec.source, spec.role) {
            (Source::Timeline(origin), Role::Leader) => origin.timeline,
            (Source::Empty, _) | (_, Role::Follower) => spec.timeline,
        };
        Self { own: spec.timeline, source, role: spec.role }
    }
}

/// A participant's part in the archive. All of it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Archiving {
    keep: Arc<Keep>,
    histories: Histories,
    wanted: watch::Receiver<Arc<ParticipantSpec>>,
    door: JoinSet<()>,
    shipping: JoinSet<()>,
}

impl Archiving {
    /// Opens the door of a participant, so that it can recover. Nothing is sent yet.
    pub(crate) fn open(
        archives: &Arc<Archives>,
        board: &Arc<Board>,
        cluster: &Cluster,
        wanted: &watch::Receiver<Arc<ParticipantSpec>>,
    ) -> Result<Self> {
        let spec = Arc::clone(&wanted.borrow());
        let histories = Histories::of(&spec);
        let keep = Keep::new(archives, board, cluster, spec.id, histories)?;
        let keep = Arc::new(keep);
        let listener = door::listen(&cluster.socket_dir, &cluster.run_as)
            .context("listen for archive_command")?;
        let mut door = JoinSet::new();
        door.spawn(door::serve(listener, Arc::clone(&keep)));
        let wanted = wanted.clone();
        Ok(Self { keep, histories, wanted, door, shipping: JoinSet::new() })
    }

    /// Whether this is for what the spec says.
    pub(crate) fn fits(&self, spec: &ParticipantSpec) -> bool {
        self.histories == Histories::of(spec) && !self.door.is_empty()
    }

    /// The server accepts writes: from here on they are sent.
    pub(crate) fn ship(&mut self) {
        // One that has ended met a bug; it begins anew.
        while self.shipping.try_join_next().is_some() {}
        if self.shipping.is_empty() {
            let shipping = Shipping::new(Arc::clone(&self.keep), self.wanted.clone());
            self.shipping.spawn(shipping.run());
        }
    }

    /// Sends what a stopped server has left, and no more after that.
    ///
    /// # Errors
    /// When the archive does not take it.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.shipping.shutdown().await;
        self.keep.send_rest().await
    }
}
