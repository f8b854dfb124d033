//! Feeling a participant that runs: does it answer, what is in its databases.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use howdah_cluster::connection::{Connection, Limits, SqlError};
use howdah_cluster::databases::Look;
use howdah_cluster::{brake, look};
use howdah_model::agent::{DatabaseObservation, InstanceState, Role};
use howdah_model::name::DatabaseName;
use howdah_model::protection::DiskStage;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Participant;
use crate::board::Board;
use crate::clock;
use crate::looks::Turn;
use crate::supervision::Due;

/// How often it is felt.
const BEAT: Duration = Duration::from_secs(3);
/// How often at most, when somebody wants to know of a database.
const SHORT_BEAT: Duration = Duration::from_millis(500);
/// Every how many beats a new session is opened: a session that is open says nothing about whether
/// others can be.
const NEW_SESSION: u32 = 10;
/// How often everything in it is compared with the spec, as tenants can change things (D27).
const FULL_LOOK: Duration = Duration::from_secs(60);
/// How long nothing else must have been asked for before a spare database is made: whoever waits
/// for the last one has its first sessions now.
const REST: Duration = Duration::from_millis(50);

impl Participant {
    /// Returns when there may be something to do: another spec, the end of the server, the end of
    /// a back-off.
    pub(super) async fn watch(&mut self) -> Result<()> {
        let Some(server) = self.cluster.postmaster() else { return Ok(()) };
        let data = self.cluster.data.clone();
        let mut wanted = self.wanted.clone();
        let retry = self.retry_at;
        let is_follower = wanted.borrow().role == Role::Follower;
        tokio::select! {
            ended = server.ended(&data) => Ok(ended?),
            _ = wanted.changed() => { self.retry_at = None; Ok(()) }
            () = disk_changed(Arc::clone(&self.board)) => Ok(()),
            felt = self.beat(retry), if !is_follower => felt,
            () = sleep(BEAT), if is_follower => {
                // Looked at anew next.
                self.converged = None;
                if self.retry_at.is_some_and(|at| at <= Instant::now()) {
                    self.retry_at = None;
                }
                Ok(())
            }
        }
    }

    async fn beat(&mut self, retry: Option<Instant>) -> Result<()> {
        for count in 1_u32.. {
            self.renew_spare().await;
            let next = Instant::now() + BEAT;
            match retry {
                Some(at) if at <= next => {
                    sleep_until(at).await;
                    self.retry_at = None;
                    return Ok(());
                }
                Some(_) | None => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.look_is_wanted() => {}
                },
            }
            match self.feel(count % NEW_SESSION == 0).await {
                Ok(()) => self.show(InstanceState::Answering),
                Err(error) => {
                    self.silent(&error);
                    continue;
                }
            }
            if self.databases.is_none() {
                // It answers again: the next step opens the session anew.
                self.retry_at = None;
                return Ok(());
            }
            if retry.is_none() && self.converged.is_some_and(|(_, at)| at.elapsed() > FULL_LOOK) {
                let spec = Arc::clone(&self.wanted.borrow());
                self.converge(&spec, Look::Everything).await?;
                self.cluster.cut_log()?;
            }
            self.end_writers().await;
            self.look_into_those().await;
        }
        Ok(())
    }

    /// Returns when somebody wants to know of a database, but not at once again and again.
    async fn look_is_wanted(&self) {
        sleep(SHORT_BEAT).await;
        self.board.look_is_wanted(self.id).await;
    }

    /// Lets a spare database be made. Whatever is asked for meanwhile goes first.
    async fn renew_spare(&mut self) {
        if self.spare == Due::Not || self.retry_at.is_some() {
            return;
        }
        sleep(REST).await;
        let Some(databases) = &mut self.databases else { return };
        let within = Limits::LOOK.statement;
        let renewed = timeout(within, databases.renew_spare()).await;
        if let Err(error) = renewed.unwrap_or(Err(SqlError::Silent(within))) {
            tracing::warn!(participant.id = %self.id, "no spare database in {}: {error}", self.id);
        }
        self.spare = Due::Not;
    }

    fn silent(&mut self, error: &SqlError) {
        if self.databases.is_some() {
            tracing::warn!(participant.id = %self.id, "participant {} is silent: {error}", self.id);
        }
        self.board.update(self.id, |one| {
            one.instance = InstanceState::Silent;
            one.error = Some(format!("it does not answer: {error}"));
        });
        self.forget();
    }

    async fn feel(&self, with_new_session: bool) -> Result<(), SqlError> {
        let within = Limits::LOOK.statement;
        if self.cluster.postmaster().is_some_and(|server| server.is_frozen()) {
            return Err(SqlError::Lost("the postmaster is frozen (SIGSTOP)".to_owned()));
        }
        if let Some(databases) = &self.databases {
            databases.connection().ping(within).await?;
            if !with_new_session {
                return Ok(());
            }
        }
        let connection = self.cluster.connect("postgres", Limits::LOOK).await?;
        let answer = connection.ping(within).await;
        connection.close().await;
        answer
    }

    /// While the disk is nearly full, whoever writes all the same is ended.
    async fn end_writers(&self) {
        let (DiskStage::ReadOnly, Some(databases)) = (self.board.disk(), &self.databases) else {
            return;
        };
        match brake::end_writers(databases.connection()).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                participant.id = %self.id,
                "ended {count} sessions that wrote although the disk is nearly full"
            ),
            Err(error) => tracing::warn!(participant.id = %self.id, "writers go on: {error}"),
        }
    }

    async fn look_into_those(&mut self) {
        if let Some(databases) = self.databases.take() {
            self.look_into_some(databases.connection()).await;
            self.databases = Some(databases);
        }
    }

    pub(super) async fn look_into_some(&mut self, connection: &Connection) {
        for name in self.board.wanted_looks(self.id) {
            self.looks.hasten(&name);
        }
        let due = match self.looks.due(connection).await {
            Ok(due) => due,
            Err(error) => return tracing::debug!(participant.id = %self.id, "no looks: {error}"),
        };
        let seen = if due.is_empty() { None } else { self.board.one(self.id) };
        for (name, turn) in due {
            let seen = seen.as_ref().and_then(|seen| seen.databases.get(&name));
            self.note_rows(&name, &turn, seen);
            let seen = match turn {
                Turn::Same(look) => Ok(look),
                Turn::Look => look::look(&self.cluster.socket_dir, &name, clock::now()).await,
            };
            match seen {
                Ok(look) => {
                    self.looks.looked(&name, &look);
                    self.board.looked(self.id, &name, look);
                }
                Err(error) => {
                    tracing::debug!(participant.id = %self.id, "no look into `{name}`: {error}");
                }
            }
        }
        self.rows.begin(self.id, &self.cluster, &self.board);
    }

    /// The rows are looked at when there is a look, and when a grace is over.
    fn note_rows(&mut self, name: &DatabaseName, turn: &Turn, seen: Option<&DatabaseObservation>) {
        let spec = Arc::clone(&self.wanted.borrow());
        let Some(wanted) = spec.databases.get(name).filter(|_| spec.role == Role::Leader) else {
            return;
        };
        let stands = seen.and_then(|seen| seen.compliance);
        let due = stands.is_some_and(|stands| stands.is_due(clock::now()));
        if (due || matches!(turn, Turn::Look)) && self.rows.is_due(name, wanted.row_limit) {
            self.looks.enters(name);
        }
    }
}

/// Returns when the disk enters or leaves the stage in which tenants only read.
async fn disk_changed(board: Arc<Board>) {
    let mut disk = board.watch_disk();
    let before = *disk.borrow_and_update() == DiskStage::ReadOnly;
    if disk.wait_for(|now| (*now == DiskStage::ReadOnly) != before).await.is_err() {
        // The board is gone, so the agent ends.
        sleep(Duration::MAX).await;
    }
}
