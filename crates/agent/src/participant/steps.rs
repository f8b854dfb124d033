//! What is done with a participant, step by step. Each may be repeated and be broken off anywhere.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_cluster::connection::SqlError;
use howdah_cluster::databases::{Databases, Look};
use howdah_cluster::postmaster::Phase;
use howdah_cluster::settings::BadSetting;
use howdah_cluster::{StartError, StopMode, Template};
use howdah_model::agent::{InstanceState, ParticipantSpec};
use howdah_model::protection::Position;
use tokio::time::{Instant, sleep, timeout};

use super::Participant;
use crate::clock;
use crate::supervision::Due;

/// How long one wait for a server that starts lasts. When it recovers longer, it is waited again.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to stop for a restart before it is stopped harder.
const STOP: Duration = Duration::from_secs(15);
/// How long the last WAL of a participant that goes is tried to be sent.
const LAST_WAL: Duration = Duration::from_secs(24 * 3600);
/// How long the first base backup of such a one is waited for at a time.
const FIRST_BACKUP: Duration = Duration::from_secs(60);
/// How long the last WAL is waited for of one that only stands still.
const LAST_WAL_OF_STOPPED: Duration = Duration::from_secs(10);
/// The same for one that does not answer.
const STOP_SILENT: Duration = Duration::from_secs(2);

impl Participant {
    pub(super) async fn make(&mut self) -> Result<()> {
        self.show(InstanceState::Making);
        let template = {
            let _held = self.templates.lock().await;
            Template::ensure(
                &self.layout.templates(),
                &self.cluster.installed,
                &self.cluster.run_as,
            )
            .await?
        };
        self.layout.write_progress(self.id, self.progress)?;
        let copies = self.copies.of(self.cluster.installed.version.major);
        let made = self.cluster.make_of(&template, copies).await;
        self.copies.taken();
        made.context("make the data directory")
    }

    pub(super) async fn start(&mut self, spec: &ParticipantSpec) -> Result<()> {
        self.show(InstanceState::Starting);
        self.configure(spec).await?;
        let mode = self.mode(spec)?;
        self.standing = None;
        let started = match self.cluster.start_as(&mode, START).await {
            Err(StartError::Ended(why)) if self.cluster.fall_back()? => {
                let complaint = format!("PostgreSQL does not start with these settings: {why}");
                self.settings = Some((self.wanted_settings(spec), Some(complaint)));
                self.cluster.start_as(&mode, START).await
            }
            Err(StartError::NotReached) => return self.not_reached(spec),
            started => started,
        };
        self.ready(started)?;
        self.restart_done(spec)
    }

    pub(super) async fn await_ready(&mut self) -> Result<()> {
        self.show(InstanceState::Starting);
        let started = self.cluster.await_ready(START).await;
        self.ready(started)
    }

    fn ready(&mut self, started: Result<howdah_cluster::Postmaster, StartError>) -> Result<()> {
        match started {
            Ok(_) => {
                self.ready_since = Some(Instant::now());
                self.cluster.keep_settings().context("keep the settings that work")
            }
            // It recovers: there is nothing to do but to wait on.
            Err(StartError::TooSlow(_)) => Ok(()),
            Err(error) => {
                self.show(InstanceState::Down);
                Err(error.into())
            }
        }
    }

    fn restart_done(&mut self, spec: &ParticipantSpec) -> Result<()> {
        if spec.restarts > self.progress.restarts {
            self.progress.restarts = spec.restarts;
            self.layout.write_progress(self.id, self.progress)?;
        }
        Ok(())
    }

    pub(super) async fn restart(&mut self, spec: &ParticipantSpec) -> Result<()> {
        let silent =
            self.board.one(self.id).is_some_and(|one| one.instance == InstanceState::Silent);
        let (mode, patience) =
            if silent { (StopMode::Immediate, STOP_SILENT) } else { (StopMode::Fast, STOP) };
        self.forget();
        // It does not die, it is stopped.
        self.ready_since = None;
        self.cluster.stop(mode, patience).await?;
        self.show(InstanceState::Down);
        self.restart_done(spec)
    }

    /// Stops the server in order, so that its followers have all that it wrote.
    pub(super) async fn stand_still(&mut self) -> Result<()> {
        self.forget();
        // It does not die, it is stopped.
        self.ready_since = None;
        self.standing = None;
        self.cluster.stop(StopMode::Fast, STOP).await?;
        self.show(InstanceState::Down);
        Ok(())
    }

    /// Sends what a server that stands still has left, before anybody takes its place.
    async fn send_rest(&mut self) {
        if let Some(archiving) = &mut self.archiving {
            // It is sent when the server runs again, or goes, too.
            match timeout(LAST_WAL_OF_STOPPED, archiving.finish()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(participant.id = %self.id, "{error:#}"),
                Err(_) => tracing::warn!(participant.id = %self.id, "its last WAL is not sent yet"),
            }
        }
    }

    /// Says where a stopped server came to, and waits for another spec.
    pub(super) async fn rest(&mut self, spec: &ParticipantSpec) -> Result<()> {
        if self.rests == Some(spec.revision) {
            // The sender lives as long as the agent.
            let _ = self.wanted.changed().await;
            return Ok(());
        }
        self.send_rest().await;
        let control = self.cluster.control_data().await.context("read the control file")?;
        self.board.update(self.id, |one| {
            one.instance = InstanceState::Down;
            // After a crash the last checkpoint is not the end of what it wrote.
            one.position = control.state.is_stopped().then(|| Position {
                at: clock::now(),
                tli: control.tli,
                lsn: control.checkpoint,
                next_xid: one.position.map_or(0, |last| last.next_xid),
            });
        });
        self.rests = Some(spec.revision);
        Ok(())
    }

    /// Settings that PostgreSQL refuses are told and left out; they must not keep a database down.
    pub(super) async fn configure(&mut self, spec: &ParticipantSpec) -> Result<()> {
        let wanted = self.wanted_settings(spec);
        if self.settings.as_ref().is_some_and(|(known, _)| *known == wanted) {
            return Ok(());
        }
        let complaint = match self.cluster.configure(&wanted).await {
            Ok(_) => None,
            Err(error) => match error.downcast::<BadSetting>() {
                Ok(bad) if self.cluster.is_configured() => Some(bad.to_string()),
                Ok(bad) => bail!(bad),
                Err(error) => return Err(error),
            },
        };
        self.settings = Some((wanted, complaint));
        if let Some(databases) = &self.databases {
            self.cluster.reload(databases.connection()).await?;
        }
        Ok(())
    }

    pub(super) async fn converge(&mut self, spec: &ParticipantSpec, look: Look) -> Result<()> {
        // One that was found running counts from here on.
        self.ready_since.get_or_insert_with(Instant::now);
        if self.databases.is_none() {
            let opened = Databases::open(&self.cluster).await;
            if let Err(SqlError::Silent(_) | SqlError::Lost(_)) = opened {
                self.show(InstanceState::Silent);
            }
            let databases = opened.context("open the platform's session")?;
            self.cluster.reload(databases.connection()).await?;
            self.databases = Some(databases);
        }
        let Some(databases) = &mut self.databases else { return Ok(()) };
        self.board.update(self.id, |one| {
            one.instance = InstanceState::Answering;
            one.version = databases.connection().version();
        });
        let report = match databases.converge(&spec.databases, look).await {
            Ok(report) => report,
            Err(error) => {
                self.forget();
                return Err(error).context("bring the databases to the spec");
            }
        };
        self.looks.follow(report.present.keys());
        self.board.update(self.id, |one| {
            super::observed(one, &report.present);
            // It leads.
            (one.making, one.following) = (None, None);
        });
        if !report.errors.is_empty() {
            self.converged = None;
            bail!("{}", report.errors.join("; "));
        }
        self.converged = Some((spec.revision, Instant::now()));
        if let Some(archiving) = &mut self.archiving {
            archiving.ship();
        }
        // In a cluster that has its one database none more will come.
        if spec.databases.len() != 1 && (report.tasks > 0 || look == Look::Everything) {
            self.spare = Due::Now;
        }
        self.failures = 0;
        Ok(())
    }

    /// Without a base backup nothing comes back: the first one is waited for.
    async fn await_backup(&self) -> Result<()> {
        let begin = Instant::now();
        while self.lacks_backup() {
            if begin.elapsed() > FIRST_BACKUP {
                bail!(
                    "its first base backup is not complete yet, without which nothing comes back"
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Whether it leads and runs, has a database, and its history has no base backup yet.
    fn lacks_backup(&self) -> bool {
        let is_ready = self.cluster.postmaster().is_some_and(|server| server.phase == Phase::Ready);
        let Some(seen) = self.board.one(self.id) else { return false };
        let has_none = seen.protected.is_some_and(|protected| protected.backup.is_none());
        is_ready && has_none && !seen.databases.is_empty()
    }

    /// What was written last goes to the archive before the data goes: the database may be wanted
    /// back. An archive that is away is waited for, but not for ever.
    pub(super) async fn remove(&mut self, spec: &ParticipantSpec) -> Result<()> {
        self.show(InstanceState::Removing);
        self.databases = None;
        self.ready_since = None;
        self.standing = None;
        let since = *self.removing.get_or_insert_with(Instant::now);
        if since.elapsed() < LAST_WAL {
            self.await_backup().await?;
        }
        if let Some(archiving) = &mut self.archiving {
            self.cluster.stop(StopMode::Fast, STOP).await?;
            match archiving.finish().await {
                Ok(()) => self.archiving = None,
                Err(error) if since.elapsed() < LAST_WAL => {
                    return Err(error).context("its last WAL is not in the archive yet");
                }
                Err(error) => tracing::error!(
                    participant.id = %self.id,
                    "participant {} of timeline {} goes without its last WAL: {error:#}",
                    self.id,
                    spec.timeline
                ),
            }
        }
        self.cluster.remove().await
    }
}
