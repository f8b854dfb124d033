//! One transfer, from its turn to its end.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use howdah_cluster::logical::role::Role;
use howdah_cluster::logical::{Notes, fill};
use howdah_model::agent::Role as Part;
use howdah_model::ids::{ParticipantId, TransferId};
use howdah_model::name::DatabaseName;
use howdah_model::transfer::{From, Into, LogLine, Made, TransferSpec, TransferState};
use tokio_util::sync::CancellationToken;

use super::{Shared, capture, lock, restore};
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
    let job = Job::new(shared, spec);
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => Ended::BrokenOff,
        done = job.work() => match done {
            Ok(made) => Ended::Done(made),
            Err(error) => Ended::Failed(error),
        },
    };
    // Whatever ran for it was killed when its future was dropped.
    let ended = match ended {
        Ended::Done(made) => Ended::Done(made),
        Ended::Failed(error) => {
            job.clean_up().await;
            Ended::Failed(error)
        }
        Ended::BrokenOff => job.broken_off().await,
    };
    job.tell(ended);
}

/// Takes back what a transfer has made of which the agent knows nothing any more.
pub(super) async fn take_back(shared: Arc<Shared>, spec: TransferSpec) {
    let job = Job::new(shared, spec);
    let ended = job.broken_off().await;
    job.tell(ended);
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut living = lock(&self.shared.living);
        for role in [&self.reader, &self.writer] {
            living.remove(role.name());
        }
    }
}

impl Job {
    fn new(shared: Arc<Shared>, spec: TransferSpec) -> Self {
        let (reader, writer) = (Role::new(), Role::new());
        lock(&shared.living).extend([&reader, &writer].map(|role| role.name().to_owned()));
        Self { shared, spec, reader, writer }
    }

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
            (_, _) => restore::restore(self).await,
        }
    }

    /// What an earlier attempt has made, when that is complete.
    async fn found(&self) -> Result<Option<Made>> {
        match (&self.spec.into, &self.shared.archive) {
            (Into::Archive, Some(archive)) => {
                let known = archive.dump(self.id()).description().await;
                Ok(known.context("look into the archive")?.map(|known| known.made))
            }
            (Into::Archive, None) => Ok(None),
            (Into::Database { .. }, _) => {
                let Some(target) = self.target().await? else { return Ok(None) };
                let known = fill::find(&target.cluster, self.id()).await;
                let known = known.context("look for what was restored before")?;
                // What cannot be read was written by another version, and is made anew.
                Ok(known.and_then(|made| serde_json::from_str(&made).ok()))
            }
        }
    }

    /// A dump that was complete before it was broken off is done: it stays until it is deleted.
    async fn broken_off(&self) -> Ended {
        self.clean_up().await;
        match (&self.spec.into, self.found().await) {
            (Into::Archive, Ok(Some(made))) => Ended::Done(made),
            (_, _) => Ended::BrokenOff,
        }
    }

    /// Takes away what is of no use to anybody. What cannot be reached now goes later.
    async fn clean_up(&self) {
        if let (Into::Archive, Some(archive)) = (&self.spec.into, &self.shared.archive)
            && let Err(error) = archive.dump(self.id()).delete_unfinished().await
        {
            tracing::warn!("what is left of dump {} stays for now: {error}", self.id());
        }
        if let Into::Database { participant, database, .. } = &self.spec.into {
            match self.remove_fill(*participant, database).await {
                Ok(()) => {}
                Err(error) => self.leave(*participant, &error),
            }
        }
        self.remove_roles().await;
        self.shared.remove_spool(self.id()).await;
    }

    /// One that a spec wants is somebody's already.
    async fn remove_fill(&self, id: ParticipantId, database: &DatabaseName) -> Result<()> {
        let (spec, cluster) = self.shared.participant(id)?;
        let wants = spec.databases.get(database).and_then(|known| known.filled);
        if wants != Some(self.id()) {
            fill::remove(&cluster, self.id()).await?;
        }
        Ok(())
    }

    /// Removes the roles that it had.
    pub(crate) async fn remove_roles(&self) {
        if let From::Database { participant, .. } = &self.spec.from {
            let leader = match self.shared.layout.read_spec(*participant) {
                Ok(spec) if spec.role == Part::Follower => spec.leader,
                Ok(_) | Err(_) => Some(*participant),
            };
            if let Some(leader) = leader {
                self.remove_role(leader, &self.reader).await;
            }
        }
        if let Into::Database { participant, .. } = &self.spec.into {
            self.remove_role(*participant, &self.writer).await;
        }
    }

    async fn remove_role(&self, id: ParticipantId, role: &Role) {
        let removed = async {
            let (_, cluster) = self.shared.participant(id)?;
            Ok::<_, anyhow::Error>(role.remove(&cluster).await?)
        };
        if let Err(error) = removed.await {
            self.leave(id, &error);
        }
    }

    /// Something stays in a server for now.
    fn leave(&self, id: ParticipantId, error: &anyhow::Error) {
        tracing::warn!(participant.id = %id, "transfer {} leaves something: {error:#}", self.id());
        lock(&self.shared.left).insert(id);
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

    /// Says what is done now, and goes on counting.
    pub(crate) fn step_on(&self, step: &str, total: Option<u64>) {
        self.shared.board.change_transfer(self.id(), |one| {
            one.step = step.to_owned();
            one.total = total;
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
