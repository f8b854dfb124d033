//! One transfer, from its turn to its end.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use howdah_cluster::logical::Notes;
use howdah_cluster::logical::role::Role;
use howdah_model::ids::TransferId;
use howdah_model::transfer::{From, Into, LogLine, Made, TransferSpec, TransferState};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::capture;
use crate::clock;

/// A transfer that is under way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) spec: TransferSpec,
    /// The role by which it reads a database of this server.
    pub(crate) reader: Role,
    /// The role by which it fills one.
    pub(crate) writer: Role,
}

/// How it ended.
enum Ended {
    Done(Made),
    Failed(anyhow::Error),
    BrokenOff,
}

/// Does a transfer and tells of it.
pub(super) async fn run(shared: Arc<Shared>, spec: TransferSpec, stop: CancellationToken) {
    let job = Job { shared, spec, reader: Role::new(), writer: Role::new() };
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => Ended::BrokenOff,
        done = job.work() => match done {
            Ok(made) => Ended::Done(made),
            Err(error) => Ended::Failed(error),
        },
    };
    // Whatever ran for it was killed when its future was dropped.
    if !matches!(ended, Ended::Done(_)) {
        job.clean_up().await;
    }
    job.tell(ended);
}

/// Takes back what a transfer has made of which the agent knows nothing any more.
pub(super) async fn take_back(shared: Arc<Shared>, spec: TransferSpec) {
    let job = Job { shared, spec, reader: Role::new(), writer: Role::new() };
    job.clean_up().await;
    job.tell(Ended::BrokenOff);
}

impl Job {
    pub(crate) fn id(&self) -> TransferId {
        self.spec.id
    }

    async fn work(&self) -> Result<Made> {
        // What is complete is found at once, and takes no turn.
        if let Some(made) = self.found().await? {
            return Ok(made);
        }
        let _turn = self.shared.turns.acquire().await.context("wait for a turn")?;
        self.shared.board.change_transfer(self.id(), |one| one.state = TransferState::Running);
        match (&self.spec.from, &self.spec.into) {
            (From::Database { .. }, Into::Archive) => capture::capture(self).await,
            (_, _) => anyhow::bail!("this version cannot do that yet"),
        }
    }

    /// What an earlier attempt has made, when that is complete.
    async fn found(&self) -> Result<Option<Made>> {
        match (&self.spec.into, &self.shared.archive) {
            (Into::Archive, Some(archive)) => {
                let known = archive.dump(self.id()).description().await;
                Ok(known.context("look into the archive")?.map(|known| known.made))
            }
            (_, _) => Ok(None),
        }
    }

    /// Takes away what is of no use to anybody. What cannot be reached now goes later.
    async fn clean_up(&self) {
        if let (Into::Archive, Some(archive)) = (&self.spec.into, &self.shared.archive)
            && let Err(error) = archive.dump(self.id()).delete_unfinished().await
        {
            tracing::warn!("what is left of dump {} stays for now: {error}", self.id());
        }
        self.remove_reader().await;
    }

    fn tell(&self, ended: Ended) {
        let notes = self.notes();
        match &ended {
            Ended::Done(_) => notes.info("done"),
            Ended::Failed(error) => notes.error(format!("{error:#}")),
            Ended::BrokenOff => notes.info("broken off"),
        }
        self.shared.board.change_transfer(self.id(), |one| match ended {
            Ended::Done(made) => {
                one.state = TransferState::Done;
                one.step = "done".to_owned();
                one.made = Some(made);
            }
            Ended::Failed(error) => {
                one.state = TransferState::Failed;
                one.error = Some(format!("{error:#}"));
            }
            Ended::BrokenOff => one.state = TransferState::Absent,
        });
    }

    /// Says what is done now.
    pub(crate) fn step(&self, step: &str, total: Option<u64>) {
        self.shared.board.change_transfer(self.id(), |one| {
            one.step = step.to_owned();
            (one.processed, one.total) = (0, total);
        });
    }

    /// Says how far that is.
    pub(crate) fn processed(&self, bytes: u64) {
        self.shared.board.count_transfer(self.id(), bytes);
    }

    /// Where lines of its log go.
    pub(crate) fn notes(&self) -> Notes {
        let (board, id) = (Arc::clone(&self.shared.board), self.id());
        Notes::new(move |level, message| {
            tracing::info!(transfer.id = %id, "{level}: {message}");
            board.log_transfer(id, LogLine { at: clock::now(), level, message });
        })
    }
}
