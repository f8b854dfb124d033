//! Logical copies on this server: captures, restores, copies and imports, a few at a time.
//!
//! Each has a task. What it makes counts only once it is complete, in the archive or in PostgreSQL,
//! and is found there when the same transfer is told again; so the agent keeps nothing of transfers
//! on its disk, and one that was broken off begins anew.

pub(crate) mod address;
mod board;
mod capture;
mod downloads;
mod job;
mod restore;
mod source;
mod spool;
mod tidying;
mod uploads;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_archive::Archive;
use howdah_cluster::RunAs;
use howdah_model::agent::{Installed, Wanted};
use howdah_model::ids::{ParticipantId, TransferId};
use howdah_model::transfer::{Into, TransferObservation, TransferSpec, TransferState};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::layout::Layout;

pub(crate) use downloads::Downloads;
pub(crate) use uploads::NotTaken as UploadNotTaken;

/// How many work at one time; the others wait.
const AT_ONCE: usize = 2;
/// How long a transfer that has ended stays on the board.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What all transfers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) board: Arc<Board>,
    pub(crate) installed: Vec<Installed>,
    pub(crate) run_as: RunAs,
    pub(crate) archive: Option<Archive>,
    pub(crate) allowed: address::Networks,
    turns: Semaphore,
    /// Names of the roles of transfers that are under way.
    living: Mutex<BTreeSet<String>>,
    /// Servers in which something is left that could not be taken away.
    left: Mutex<BTreeSet<ParticipantId>>,
}

/// A transfer that was told.
#[derive(Debug)]
struct Told {
    stop: CancellationToken,
    /// When it was told last, for forgetting.
    at: Instant,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Transfers {
    shared: Arc<Shared>,
    told: Mutex<BTreeMap<TransferId, Told>>,
    tasks: Mutex<JoinSet<()>>,
}

/// A transfer that no agent can do; says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Impossible(String);

impl Transfers {
    pub(crate) fn new(layout: &Layout, board: &Arc<Board>, config: &crate::Config) -> Self {
        let shared = Shared {
            layout: layout.clone(),
            board: Arc::clone(board),
            installed: config.installed.clone(),
            run_as: config.run_as.clone(),
            archive: config.archive.as_ref().map(|archive| archive.archive.clone()),
            allowed: config.transfer_allow.clone(),
            turns: Semaphore::new(AT_ONCE),
            living: Mutex::default(),
            left: Mutex::default(),
        };
        if let Err(error) = shared.remove_spools() {
            tracing::warn!("{error:#}");
        }
        Self { shared: Arc::new(shared), told: Mutex::default(), tasks: Mutex::default() }
    }

    /// Takes a transfer in; the same one may come any number of times. One that has failed begins
    /// anew, one that was broken off stays so.
    pub(crate) fn take(&self, spec: TransferSpec) -> Result<TransferObservation, Impossible> {
        self.check(&spec)?;
        self.forget_old();
        let id = spec.id;
        let mut told = lock(&self.told);
        let state = self.shared.board.transfer(id).map(|one| one.state);
        let stop = CancellationToken::new();
        match (spec.wanted, state) {
            (Wanted::Present, None | Some(TransferState::Failed)) => {
                told.insert(id, Told { stop: stop.clone(), at: Instant::now() });
                self.shared.board.put_transfer(blank(id, TransferState::Waiting, "waiting"));
                self.spawn(job::run(Arc::clone(&self.shared), spec, stop));
            }
            (Wanted::Present, Some(_)) | (Wanted::Absent, Some(TransferState::Absent)) => {}
            (Wanted::Absent, Some(TransferState::Waiting | TransferState::Running)) => {
                if let Some(told) = told.get(&id) {
                    told.stop.cancel();
                }
            }
            // A dump that is complete stays until it is deleted by its name.
            (Wanted::Absent, Some(TransferState::Done)) if spec.into == Into::Archive => {}
            (Wanted::Absent, None | Some(TransferState::Done | TransferState::Failed)) => {
                told.insert(id, Told { stop, at: Instant::now() });
                self.shared.board.put_transfer(blank(id, TransferState::Running, "taking back"));
                self.spawn(job::take_back(Arc::clone(&self.shared), spec));
            }
        }
        drop(told);
        let now = self.shared.board.transfer(id);
        Ok(now.unwrap_or_else(|| blank(id, TransferState::Waiting, "waiting")))
    }

    /// Whether a transfer waits or runs.
    pub(crate) fn is_under_way(&self, id: TransferId) -> bool {
        let state = self.shared.board.transfer(id).map(|one| one.state);
        matches!(state, Some(TransferState::Waiting | TransferState::Running))
    }

    fn check(&self, spec: &TransferSpec) -> Result<(), Impossible> {
        use howdah_model::transfer::From;
        let needs_archive = spec.into == Into::Archive || matches!(spec.from, From::Dump { .. });
        if needs_archive && self.shared.archive.is_none() {
            return Err(Impossible("this agent has no archive".to_owned()));
        }
        match (&spec.from, &spec.into) {
            (From::Database { .. }, Into::Archive) | (_, Into::Database { .. }) => Ok(()),
            (From::Dump { .. } | From::Web { .. } | From::Foreign { .. }, Into::Archive) => {
                Err(Impossible("only a database of this server is dumped to the archive".into()))
            }
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    fn forget_old(&self) {
        let mut told = lock(&self.told);
        let old: Vec<_> = told
            .iter()
            .filter(|(_, told)| told.at.elapsed() > REMEMBERED)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            if self.shared.board.forget_transfer(id, REMEMBERED) {
                told.remove(&id);
            }
        }
    }

    /// Goes on until it is told to stop; then ends what is under way, which begins anew when it is
    /// told again.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        tidying::keep(&self.shared, stop).await;
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
    }
}

/// A transfer of which nothing is known yet.
fn blank(id: TransferId, state: TransferState, step: &str) -> TransferObservation {
    TransferObservation {
        id,
        state,
        step: step.to_owned(),
        processed: 0,
        total: None,
        error: None,
        made: None,
        log: Vec::new(),
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
