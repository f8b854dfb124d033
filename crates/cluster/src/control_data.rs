//! What PostgreSQL's control file says of a data directory, as `pg_controldata` prints it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use howdah_model::lsn::{Lsn, Tli};
use tokio::time::timeout;

use crate::Cluster;
use crate::template::last_lines;

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server last wrote of its own state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was stopped in order.
    ShutDown,
    /// A standby was stopped in order.
    ShutDownInRecovery,
    /// It was being stopped.
    ShuttingDown,
    /// It recovers, or was killed while it recovered from its own WAL.
    InCrashRecovery,
    /// It recovers, or was killed while it recovered, from an archive or as a standby.
    InArchiveRecovery,
    /// It runs, or was killed.
    InProduction,
    /// It has just been made.
    StartingUp,
}

impl State {
    /// Whether the data is what a recovery or a standby has left.
    #[must_use]
    pub fn recovers(self) -> bool {
        matches!(self, Self::InArchiveRecovery | Self::ShutDownInRecovery)
    }

    /// Whether it was stopped in order.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        matches!(self, Self::ShutDown | Self::ShutDownInRecovery)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "shut down" => Self::ShutDown,
            "shut down in recovery" => Self::ShutDownInRecovery,
            "shutting down" => Self::ShuttingDown,
            "in crash recovery" => Self::InCrashRecovery,
            "in archive recovery" => Self::InArchiveRecovery,
            "in production" => Self::InProduction,
            "starting up" => Self::StartingUp,
            _ => return None,
        })
    }
}

/// The control file of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlData {
    /// How the server fared.
    pub state: State,
    /// PostgreSQL's identifier, which copies of a template have in common.
    pub system_identifier: u64,
    /// Where the last checkpoint is in WAL.
    pub checkpoint: Lsn,
    /// Where a recovery from the last checkpoint begins.
    pub redo: Lsn,
    /// PostgreSQL's timeline of the last checkpoint.
    pub tli: Tli,
    /// Of a standby: to where it must replay before it is consistent. Zero of others.
    pub min_recovery_end: Lsn,
    /// The timeline of that place; 0 where there is none.
    pub min_recovery_tli: Tli,
    lines: BTreeMap<String, String>,
}

/// The control file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoControlData {
    /// `pg_controldata` did not succeed; what it said.
    #[error("pg_controldata: {0}")]
    Failed(String),
    /// It succeeded, and a line is missing or not as it should be.
    #[error("pg_controldata printed no good `{0}`")]
    Line(&'static str),
}

impl ControlData {
    /// A line that is a number, by what is before its colon.
    #[must_use]
    pub fn number(&self, label: &str) -> Option<u64> {
        self.lines.get(label)?.parse().ok()
    }

    fn parse(printed: &str) -> Result<Self, NoControlData> {
        let pair = |line: &str| {
            let (label, value) = line.split_once(':')?;
            Some((label.trim().to_owned(), value.trim().to_owned()))
        };
        let lines: BTreeMap<String, String> = printed.lines().filter_map(pair).collect();
        Ok(Self {
            state: one(&lines, "Database cluster state", State::parse)?,
            system_identifier: one(&lines, "Database system identifier", |t| t.parse().ok())?,
            checkpoint: one(&lines, "Latest checkpoint location", |t| t.parse().ok())?,
            redo: one(&lines, "Latest checkpoint's REDO location", |t| t.parse().ok())?,
            tli: one(&lines, "Latest checkpoint's TimeLineID", |t| t.parse().ok().map(Tli))?,
            min_recovery_end: one(&lines, "Minimum recovery ending location", |t| t.parse().ok())?,
            min_recovery_tli: one(&lines, "Min recovery ending loc's timeline", |t| {
                t.parse().ok().map(Tli)
            })?,
            lines,
        })
    }
}

fn one<T>(
    lines: &BTreeMap<String, String>,
    label: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, NoControlData> {
    lines.get(label).and_then(|text| parse(text)).ok_or(NoControlData::Line(label))
}

impl Cluster {
    /// Reads the control file of the data directory, whether a server runs in it or not.
    ///
    /// # Errors
    /// See [`NoControlData`]; a file with a wrong checksum is one.
    pub async fn control_data(&self) -> Result<ControlData, NoControlData> {
        let mut command = self.run_as.command(self.installed.bindir.join("pg_controldata"));
        command.arg("-D").arg(&self.data).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output())
            .await
            .map_err(|_| NoControlData::Failed("it took too long".to_owned()))?
            .map_err(|error| NoControlData::Failed(error.to_string()))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(NoControlData::Failed(last_lines(&output.stderr)));
        }
        // It goes on after a wrong checksum, and prints what it has.
        if printed.contains("WARNING") || !output.stderr.is_empty() {
            let said = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
            let said = String::from_utf8_lossy(&said);
            let said = said.lines().find(|line| line.contains("arning")).unwrap_or("a warning");
            return Err(NoControlData::Failed(said.to_owned()));
        }
        ControlData::parse(&printed)
    }
}
