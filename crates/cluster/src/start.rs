//! Starting a server, in the mode that is wanted.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, complaint};
use crate::durable;
use crate::mode::Mode;
use crate::postmaster::{self, Phase, Postmaster, Undying};

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It ended at once; the end of its log.
    #[error("PostgreSQL did not start: {0}")]
    Ended(String),
    /// WAL ends before the time to which it was to recover. The data can be recovered to the end of
    /// WAL, or to this again when there is more WAL.
    #[error("WAL ends before the moment that was to be recovered")]
    NotReached,
    /// What it was to recover to is before the base backup's end: an older base backup is needed.
    /// PostgreSQL only notices when something was committed while the base backup was taken, so
    /// whoever knows when it ended has to look before.
    #[error("the moment that was to be recovered is before the end of the base backup")]
    BeforeConsistency,
    /// It is not ready yet; it may still recover.
    #[error("PostgreSQL is not ready after {0:?}; it may still be recovering")]
    TooSlow(Duration),
    /// The configuration is missing or another cluster's, as of a base backup: with that it would
    /// listen in the other's place.
    #[error("the data directory has no configuration of this cluster: configure it first")]
    NotConfigured,
    /// Processes of an earlier server are still there.
    #[error("an earlier server has not ended: {0}")]
    Leftovers(Undying),
    /// It could not even be tried.
    #[error("prepare PostgreSQL's start")]
    Program(#[source] io::Error),
}

/// How often a server that starts is looked at, and for how long that often: one that recovers
/// takes longer.
const POLL: Duration = Duration::from_millis(2);
const SHORTLY: Duration = Duration::from_millis(200);

/// What PostgreSQL says when it cannot recover to a target, in all its versions.
const NOT_REACHED: &str = "recovery ended before configured recovery target was reached";
const BEFORE_CONSISTENCY: &str =
    "requested recovery stop point is before consistent recovery point";

impl Cluster {
    /// Starts the server as a primary and waits until it is ready: see [`Self::start_as`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, patience: Duration) -> Result<Postmaster, StartError> {
        self.start_as(&Mode::Primary, patience).await
    }

    /// Starts the server and waits until it accepts sessions: a standby when it is consistent, one
    /// that recovers when it has come to its target and writes. A running one is waited for and
    /// stays what it is. It is nobody's child, in a session of its own, and holds none of our files.
    ///
    /// # Errors
    /// See [`StartError`]. After [`StartError::TooSlow`] it goes on, and can be waited for again.
    pub async fn start_as(
        &self,
        mode: &Mode,
        patience: Duration,
    ) -> Result<Postmaster, StartError> {
        let begin = std::fs::metadata(&self.log).map_or(0, |meta| meta.len());
        let starter = match self.postmaster() {
            Some(_) => None,
            None => Some(self.spawn_starter(mode).await?),
        };
        self.ready(starter, begin, patience).await
    }

    /// Waits until a server that runs accepts sessions, and never starts one.
    ///
    /// # Errors
    /// See [`StartError`]; [`StartError::Ended`] as well when there is none.
    pub async fn await_ready(&self, patience: Duration) -> Result<Postmaster, StartError> {
        let begin = std::fs::metadata(&self.log).map_or(0, |meta| meta.len());
        self.ready(None, begin, patience).await
    }

    async fn ready(
        &self,
        mut starter: Option<Child>,
        begin: u64,
        patience: Duration,
    ) -> Result<Postmaster, StartError> {
        let deadline = Instant::now() + patience;
        let begun = Instant::now();
        let mut pause = POLL;
        loop {
            match self.postmaster() {
                Some(found) if found.phase == Phase::Ready => return Ok(found),
                Some(_) => {}
                None if ended(&mut starter) => return Err(self.why_ended(begin)),
                None => {}
            }
            if Instant::now() > deadline {
                return Err(StartError::TooSlow(patience));
            }
            sleep(pause).await;
            pause = if begun.elapsed() < SHORTLY { POLL } else { POLL * 8 };
        }
    }

    /// `pg_ctl` detaches the server from us. It stays only to tell when the server ends at once,
    /// and ends by itself soon after the server is ready.
    async fn spawn_starter(&self, mode: &Mode) -> Result<Child, StartError> {
        if !self.is_configured() {
            return Err(StartError::NotConfigured);
        }
        self.prepare_places().map_err(StartError::Program)?;
        postmaster::clear(&self.data).await.map_err(StartError::Leftovers)?;
        // PostgreSQL leaves these when it is killed, and would take any process of the number in
        // them for itself: another program's, or its own that nobody has buried yet.
        let sockets = [".s.PGSQL.5432", ".s.PGSQL.5432.lock"].map(|n| self.socket_dir.join(n));
        // And nobody but the platform decides what a server does at its start: settings are in
        // postgresql.conf alone, and one that is to stand by or to recover is told so each time.
        let strays = ["postmaster.pid", "postgresql.auto.conf"].map(|name| self.data.join(name));
        for left in sockets.into_iter().chain(strays) {
            durable::remove_file(&left).map_err(StartError::Program)?;
        }
        self.prepare_mode(mode).await.map_err(StartError::Program)?;
        let mut command = self.run_as.command(self.installed.bindir.join("pg_ctl"));
        command
            .args(["start", "--wait", "--timeout=60", "--silent", "--pgdata"])
            .arg(&self.data)
            .arg("--log")
            .arg(&self.log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(StartError::Program)
    }

    fn why_ended(&self, begin: u64) -> StartError {
        use io::{Read, Seek, SeekFrom};
        let mut said = Vec::new();
        let read = std::fs::File::open(&self.log).and_then(|mut log| {
            // Why it ended is at the end; a recovery may have said much before.
            let end = log.seek(SeekFrom::End(0))?;
            log.seek(SeekFrom::Start(begin.max(end.saturating_sub(1 << 16))))?;
            log.take(1 << 16).read_to_end(&mut said)
        });
        if let Err(error) = read {
            return StartError::Ended(format!("its log cannot be read: {error}"));
        }
        let text = String::from_utf8_lossy(&said);
        if text.contains(NOT_REACHED) {
            StartError::NotReached
        } else if text.contains(BEFORE_CONSISTENCY) {
            StartError::BeforeConsistency
        } else {
            StartError::Ended(complaint(&said))
        }
    }
}

fn ended(starter: &mut Option<Child>) -> bool {
    // Without a starter there was a server, and it has ended meanwhile.
    starter.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
}
