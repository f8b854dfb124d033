//! Data whose history has left that of its leader: kept aside, and brought back to where it left
//! with `pg_rewind`, which is less work than a new copy.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use howdah_model::lsn::Lsn;
use tokio::process::Command;
use tokio::time::timeout;

use crate::connection::{Connection, Limits, SqlError};
use crate::control_data::{ControlData, NoControlData};
use crate::mode::{Mode, Standby, clear_signals};
use crate::postmaster::{self, Undying};
use crate::replication::{REPLICATION_ROLE, conninfo};
use crate::template::last_lines;
use crate::{Cluster, RunAs, copy, durable};

/// What of a data directory is its own and not the source's: `pg_rewind` would exchange it.
const OWN: &[&str] = &["postgresql.conf", "postgresql.conf.proven", "pg_hba.conf", "pg_ident.conf"];

/// What a rewind came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewound {
    /// Its history has not left the source's, or cannot be seen to have: nothing was changed.
    NotNeeded,
    /// It is back at where it left the source's history. It starts as a standby only.
    Rewound {
        /// What it was.
        divergence: Divergence,
        /// Where it is kept as it was.
        aside: PathBuf,
    },
}

/// How two histories differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Up to here they are one.
    pub fork: Lsn,
    /// The last place that the data which was rewound is known to have come to.
    pub last: Lsn,
}

impl Divergence {
    /// How much of its own history is given up, in bytes of WAL.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.last.ahead_of(self.fork)
    }
}

/// A rewind did not succeed. The data may be unusable then; it is kept as it was where this says.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// There is no primary to rewind by.
    #[error("there is no leader on this machine to rewind by")]
    NoSource,
    /// The primary does not answer.
    #[error("the leader to rewind by")]
    Source(#[from] SqlError),
    /// The server still runs.
    #[error(transparent)]
    Leftovers(#[from] Undying),
    /// It took longer than it may.
    #[error("pg_rewind took longer than {0:?}")]
    TooLong(Duration),
    /// `pg_rewind` said no; what it said.
    #[error("pg_rewind: {0}")]
    Refused(String),
    /// The control file.
    #[error(transparent)]
    Control(#[from] NoControlData),
    /// The file system.
    #[error("keep the data and configuration aside")]
    Files(#[from] io::Error),
}

/// How data is kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// By its name alone: the data directory is gone then.
    Move,
    /// As a copy.
    Copy,
}

/// Keeps a data directory aside, beside it as `data.diverged-N`, and says where. Nothing in it may
/// run. The copy is complete or not there.
///
/// # Errors
/// Those of the file system.
pub fn set_aside(data: &Path, how: Aside, owner: &RunAs) -> io::Result<PathBuf> {
    let name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1_u32..)
        .map(|n| data.with_file_name(format!("{name}.diverged-{n}")))
        .find(|path| !path.exists())
        .ok_or_else(|| io::Error::other("no name is free"))?;
    match how {
        Aside::Move => durable::rename(data, &free)?,
        Aside::Copy => {
            let beside = durable::beside(&free);
            durable::remove_dir(&beside)?;
            let copied = copy::tree(data, &beside, owner, &|| false)
                .and_then(|_| durable::rename(&beside, &free));
            if let Err(error) = copied {
                // The first error is the one to tell; the next attempt cleans again.
                let _ = durable::remove_dir(&beside);
                return Err(error);
            }
        }
    }
    Ok(free)
}

impl Cluster {
    /// Brings the data of a stopped server back to where its history left that of the primary of
    /// `standby`, after a copy of it was set aside. It can be started as that standby then, and
    /// needs the primary's WAL from the fork on. Two servers of one of PostgreSQL's timelines are
    /// not seen to differ: that is what a new copy is for.
    ///
    /// # Errors
    /// See [`RewindError`].
    pub async fn rewind(
        &self,
        standby: &Standby,
        patience: Duration,
    ) -> Result<Rewound, RewindError> {
        let source = standby.primary.as_deref().ok_or(RewindError::NoSource)?;
        // A primary that was promoted just now says so in its control file by its next checkpoint.
        let session = Connection::open(source, "postgres", Limits::WORK).await?;
        session.run("checkpoint").await?;
        session.close().await;
        postmaster::clear(&self.data).await?;
        for stray in ["postmaster.pid", "postgresql.auto.conf"] {
            durable::remove_file(&self.data.join(stray))?;
        }
        clear_signals(&self.data)?;
        self.write_mode(&Mode::Standby(standby.clone())).await?;
        if !self.control_data().await?.state.is_stopped() {
            self.recover_alone(patience).await?;
        }
        let before = self.control_data().await?;
        let said = self.run_rewind(standby, source, Try::Look, patience).await?;
        let Some(divergence) = divergence(&said, &before) else { return Ok(Rewound::NotNeeded) };
        let this = self.clone();
        let aside = move || set_aside(&this.data, Aside::Copy, &this.run_as);
        let aside = tokio::task::spawn_blocking(aside).await.map_err(io::Error::other)??;
        let own: Vec<_> = OWN
            .iter()
            .filter_map(|name| Some((name, std::fs::read(self.data.join(name)).ok()?)))
            .collect();
        self.run_rewind(standby, source, Try::Do, patience).await?;
        for (name, content) in own {
            durable::write_changed(&self.data.join(name), &content, Some(&self.run_as))?;
        }
        Ok(Rewound::Rewound { divergence, aside })
    }

    /// Recovers from a crash without a server that anybody, a standby or an archive could take for
    /// the leader.
    async fn recover_alone(&self, patience: Duration) -> Result<(), RewindError> {
        let mut command = self.run_as.command(self.installed.bindir.join("postgres"));
        command.args(["--single", "-D"]).arg(&self.data).arg("template1");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = bounded(patience, &mut command).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(RewindError::Refused(format!("it does not recover: {}", last_lines(&output.stderr))))
    }

    async fn run_rewind(
        &self,
        standby: &Standby,
        source: &Path,
        what: Try,
        patience: Duration,
    ) -> Result<String, RewindError> {
        let mut command = self.run_as.command(self.installed.bindir.join("pg_rewind"));
        command
            .arg("--target-pgdata")
            .arg(&self.data)
            .arg("--source-server")
            .arg(conninfo(source, REPLICATION_ROLE, &standby.application_name))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if standby.restore_command.is_some() {
            command.arg("--restore-target-wal");
        }
        if what == Try::Look {
            command.arg("--dry-run");
        }
        let output = bounded(patience, &mut command).await?;
        if !output.status.success() {
            return Err(RewindError::Refused(last_lines(&output.stderr)));
        }
        let said = [output.stderr, output.stdout].concat();
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

async fn bounded(patience: Duration, command: &mut Command) -> Result<Output, RewindError> {
    timeout(patience, command.output())
        .await
        .map_err(|_| RewindError::TooLong(patience))?
        .map_err(|error| RewindError::Refused(error.to_string()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    Look,
    Do,
}

/// What `pg_rewind` said of where the histories part, unless there is nothing to do about it.
fn divergence(said: &str, before: &ControlData) -> Option<Divergence> {
    let place = said.split_once("servers diverged at WAL location ")?.1;
    let fork = place.split_whitespace().next()?.parse().ok()?;
    let last = before.checkpoint.max(before.min_recovery_end);
    (!said.contains("no rewind required")).then_some(Divergence { fork, last })
}
