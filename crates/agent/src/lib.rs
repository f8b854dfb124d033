//! The agent: one on every server. It takes specs of participants, keeps them on its disk, brings
//! the clusters to them by itself and tells what it sees. It works without the control plane, and
//! PostgreSQL works without it.

mod api;
mod archiving;
mod board;
mod clock;
mod disk;
mod layout;
mod looks;
mod manager;
mod memory;
mod participant;
mod ready_copies;
mod row_limits;
mod specs;
mod stopping;
pub mod supervision;
mod transfers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use howdah_archive::Archive;
use howdah_cluster::RunAs;
use howdah_model::agent::Installed;
use howdah_model::ids::ServerId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::archiving::Archives;
use crate::archiving::erasing::Erasing;
use crate::board::Board;
use crate::disk::Disk;
use crate::layout::Layout;
use crate::manager::Manager;
use crate::ready_copies::ReadyCopies;
use crate::transfers::{Downloads, Transfers};

pub use crate::stopping::stop_all;
pub use crate::transfers::address::{Networks, NotANetwork};

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which server it is on.
    pub server: ServerId,
    /// HOWDAH_HOME.
    pub home: PathBuf,
    /// The unix socket that it listens on.
    pub socket: PathBuf,
    /// The PostgreSQL versions that it can use.
    pub installed: Vec<Installed>,
    /// Whom PostgreSQL runs as.
    pub run_as: RunAs,
    /// Where WAL and base backups go. Without one nothing is protected, and nothing can be made from
    /// another's data.
    pub archive: Option<ArchiveConfig>,
    /// Networks beside the public ones that transfers may read from, as a tenant says.
    pub transfer_allow: Networks,
    /// How long a database may have more rows than its limit before new ones are refused.
    pub row_grace: Duration,
}

/// Where an agent keeps WAL and base backups, and how PostgreSQL gets at it.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// The archive.
    pub archive: Archive,
    /// What PostgreSQL runs to archive and restore a file of WAL: an executable whose first arguments
    /// it hands to [`wal_client`], and that PostgreSQL's user can run.
    pub program: PathBuf,
}

/// The client that PostgreSQL runs, if the arguments (without the program's name) are for it.
#[must_use]
pub fn wal_client(arguments: &[std::ffi::OsString]) -> Option<std::process::ExitCode> {
    archiving::client::run(arguments)
}

/// Requests that may wait for the manager. More are refused for a moment, which no control plane
/// that works reaches.
const QUEUE: usize = 256;

/// Runs the agent until it is told to stop. Takes over the participants that run already, and
/// leaves all running at its end.
///
/// # Errors
/// When its directory or socket cannot be used. What goes wrong with one participant is told in
/// its observation.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let layout = Layout::new(&config.home, &config.run_as).context("prepare HOWDAH_HOME")?;
    let board = Arc::new(Board::new(config.server, config.installed.clone(), &config.home));
    let (requests, received) = mpsc::channel(QUEUE);
    let copies = Arc::new(ReadyCopies::new(&layout, &config));
    let disk = Disk::new(&config.home, &board);
    let archives = config.archive.as_ref().map(|config| {
        let (archive, program) = (config.archive.clone(), config.program.clone());
        Arc::new(Archives::new(archive, program, layout.drills()))
    });
    let erasing = archives.clone().map(|archives| Arc::new(Erasing::new(archives, &board)));
    let transfers = Arc::new(Transfers::new(&layout, &board, &config));
    let downloads = config.archive.as_ref().map(|config| Downloads::new(config.archive.clone()));
    let mut manager = Manager::new(
        layout,
        &config,
        Arc::clone(&board),
        Arc::clone(&copies),
        archives,
        stop.clone(),
    );
    // Before anybody can ask: an observation without a participant says that it is gone.
    manager.read()?;
    let listener = api::listen(&config.socket).context("listen on the agent's socket")?;
    let mut parts = JoinSet::new();
    parts.spawn(manager.run(received));
    let state =
        api::State { requests, board, erasing, transfers: Arc::clone(&transfers), downloads };
    parts.spawn(api::serve(listener, state, stop.clone()));
    let transferring = stop.clone();
    parts.spawn(async move {
        transfers.keep(&transferring).await;
        Ok(())
    });
    let guarding = stop.clone();
    parts.spawn(async move {
        disk.keep(&guarding).await;
        Ok(())
    });
    let copying = stop.clone();
    parts.spawn(async move {
        copies.keep(&copying).await;
        Ok(())
    });
    let first = parts.join_next().await;
    // The first to end ends the other: without the manager nothing is done, without the API
    // nothing is known.
    stop.cancel();
    while parts.join_next().await.is_some() {}
    first.context("the agent has parts")?.context("a part of the agent broke off")?
}
