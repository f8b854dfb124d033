//! What a server is when it starts: one that writes, one that recovers to a point and then writes,
//! or one that stands by.
//!
//! A mode is a file of settings in the socket directory, which `postgresql.conf` includes, and a
//! signal file in the data directory. Both are written at every start, so neither a tenant nor a
//! copied directory decides what a server is.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use howdah_model::lsn::Tli;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cluster::{Cluster, Written};
use crate::control_data::ControlData;
use crate::durable;
use crate::replication::{REPLICATION_ROLE, conninfo};
use crate::settings::quoted;

/// The file of a mode's settings, in the socket directory.
pub(crate) const MODE_CONF: &str = "mode.conf";
/// Makes a server recover from an archive at its start.
const RECOVERY_SIGNAL: &str = "recovery.signal";
/// Makes a server stand by at its start.
const STANDBY_SIGNAL: &str = "standby.signal";

/// What a server is from its start on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It writes. After a crash it recovers from its own WAL.
    Primary,
    /// It recovers with WAL of an archive up to a point, and writes from there on, on a timeline of
    /// PostgreSQL's that is new. Nobody gets in before that. Once it has come there, a start in
    /// this mode is one as [`Mode::Primary`].
    Recover(Recovery),
    /// It replays what another one writes, and can be read.
    Standby(Standby),
}

/// How a server recovers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Fetches a file of WAL: see [`crate::commands::restore`].
    pub restore_command: String,
    /// Up to where.
    pub target: RecoveryTarget,
    /// Along which of PostgreSQL's timelines; the newest that can be found where there is none.
    pub timeline: Option<Tli>,
}

/// Where a recovery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// Before the first commit that is later than this, to the microsecond. There must be one:
    /// else it is [`crate::StartError::NotReached`].
    Time(Timestamp),
    /// As soon as the data is consistent: at the end of the base backup.
    Immediate,
    /// Where WAL ends.
    End,
}

/// How a server stands by. WAL comes from the primary when that is there, else from the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// The directory of the primary's socket, when that is on this machine.
    pub primary: Option<PathBuf>,
    /// Fetches a file of WAL: see [`crate::commands::restore`].
    pub restore_command: Option<String>,
    /// What the primary calls it (`pg_stat_replication.application_name`).
    pub application_name: String,
}

impl Mode {
    fn signal(&self) -> Option<&'static str> {
        match self {
            Self::Primary => None,
            Self::Recover(_) => Some(RECOVERY_SIGNAL),
            Self::Standby(_) => Some(STANDBY_SIGNAL),
        }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Primary => Vec::new(),
            Self::Recover(recovery) => recovery.settings(),
            Self::Standby(standby) => standby.settings(),
        }
    }
}

impl Recovery {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let timeline = self.timeline.map_or("latest".to_owned(), |tli| tli.to_string());
        let mut all = vec![
            ("restore_command", self.restore_command.clone()),
            ("recovery_target_timeline", timeline),
            // What is recovered still has the passwords of what it is a copy of. And where the
            // primary had more sessions than this one, a hot standby would pause for ever.
            ("hot_standby", "off".to_owned()),
        ];
        match self.target {
            RecoveryTarget::Time(at) => all.extend([
                ("recovery_target_time", microseconds(at)),
                ("recovery_target_inclusive", "on".to_owned()),
                ("recovery_target_action", "promote".to_owned()),
            ]),
            RecoveryTarget::Immediate => all.extend([
                ("recovery_target", "immediate".to_owned()),
                ("recovery_target_action", "promote".to_owned()),
            ]),
            RecoveryTarget::End => {}
        }
        all
    }
}

impl Standby {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("recovery_target_timeline", "latest".to_owned()),
            ("hot_standby", "on".to_owned()),
            // Short, as both ends are on this machine or close to it.
            ("wal_receiver_timeout", "10s".to_owned()),
            ("wal_receiver_status_interval", "1s".to_owned()),
            ("wal_retrieve_retry_interval", "1s".to_owned()),
        ];
        all.extend(self.restore_command.clone().map(|command| ("restore_command", command)));
        let primary = self.primary.as_deref();
        all.extend(primary.map(|dir| {
            ("primary_conninfo", conninfo(dir, REPLICATION_ROLE, &self.application_name))
        }));
        all
    }
}

/// A server that starts now is a primary.
pub(crate) fn clear_signals(data: &Path) -> io::Result<()> {
    [RECOVERY_SIGNAL, STANDBY_SIGNAL]
        .into_iter()
        .try_for_each(|signal| durable::remove_file(&data.join(signal)))
}

/// As PostgreSQL reads it, to the microsecond and not rounded up: what is finer than its clock
/// must not reach into what is later.
fn microseconds(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// The settings of a standby that must not be less than the primary's, and how `pg_controldata`
/// calls what the primary last had.
const AT_LEAST: &[(&str, &str, u64)] = &[
    ("max_connections", "max_connections setting", 100),
    ("max_worker_processes", "max_worker_processes setting", 8),
    ("max_wal_senders", "max_wal_senders setting", 10),
    ("max_prepared_transactions", "max_prepared_xacts setting", 0),
    ("max_locks_per_transaction", "max_locks_per_xact setting", 64),
];

impl Cluster {
    /// Writes the settings of a mode, without the signal file. A running standby that is told to
    /// read its configuration again ([`Cluster::reload`]) has a new primary or another command then.
    ///
    /// # Errors
    /// Those of the file system; `InvalidInput` when a path or command has a line break in it.
    pub async fn write_mode(&self, mode: &Mode) -> io::Result<Written> {
        let mut settings = mode.settings();
        if matches!(mode, Mode::Standby(_)) {
            let control = self.control_data().await.map_err(io::Error::other)?;
            settings.extend(self.at_least(&control));
        }
        if matches!(mode, Mode::Recover(_)) && self.installed.version.major.0 >= 17 {
            // What summarizes does not run while nobody is let in, and the end of the recovery would
            // wait for it for ever.
            settings.push(("summarize_wal", "off".to_owned()));
        }
        let mut text = "# Written by Howdah at every start.\n".to_owned();
        for (name, value) in settings {
            let invalid = |bad| io::Error::new(io::ErrorKind::InvalidInput, bad);
            let _ = writeln!(text, "{name} = {}", quoted(name, &value).map_err(invalid)?);
        }
        let path = self.socket_dir.join(MODE_CONF);
        let changed = durable::refresh(&path, text.as_bytes(), Some(&self.run_as))?;
        Ok(if changed { Written::Changed } else { Written::Same })
    }

    /// What the primary last had, where our own is less.
    fn at_least(&self, control: &ControlData) -> Vec<(&'static str, String)> {
        let conf = std::fs::read_to_string(self.data.join("postgresql.conf")).unwrap_or_default();
        let ours = |name: &str, otherwise| {
            let line = conf.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.and_then(|value| value.trim_matches('\'').parse().ok()).unwrap_or(otherwise)
        };
        let raised = |&(name, label, otherwise): &(&'static str, &str, u64)| {
            let theirs = control.number(label)?;
            (theirs > ours(name, otherwise)).then(|| (name, theirs.to_string()))
        };
        AT_LEAST.iter().filter_map(raised).collect()
    }

    /// Writes all that decides what the server will be; nothing runs yet.
    pub(crate) async fn prepare_mode(&self, mode: &Mode) -> io::Result<()> {
        let mode = if matches!(mode, Mode::Recover(_)) && self.has_recovered().await? {
            &Mode::Primary
        } else {
            mode
        };
        clear_signals(&self.data)?;
        self.write_mode(mode).await?;
        match mode.signal() {
            Some(signal) => durable::write(&self.data.join(signal), b"", Some(&self.run_as)),
            None => Ok(()),
        }
    }

    /// Whether a recovery of this data has ended: it is no base backup any more, and has written.
    ///
    /// PostgreSQL ends a recovery in steps. It names the new timeline, removes the signal, writes to
    /// WAL and to the control file that the new timeline has begun, and then that it is in
    /// production. What was killed before the third is brought back to before the first, as it
    /// would else find the timeline that it named itself, and follow it instead of the history that
    /// it recovers. What was killed after it goes on by itself, and cannot go back.
    async fn has_recovered(&self) -> io::Result<bool> {
        if self.data.join(crate::copy_running::BACKUP_LABEL).exists() {
            return Ok(false);
        }
        let control = self.control_data().await.map_err(io::Error::other)?;
        if !control.state.recovers() {
            return Ok(true);
        }
        let begun = self.begun_timelines()?;
        if begun.iter().any(|(tli, _)| *tli == control.min_recovery_tli) {
            return Ok(true);
        }
        for (_, history) in begun {
            durable::remove_file(&history)?;
        }
        Ok(false)
    }

    /// The timelines that this server has named itself, and the files that do: those that came from
    /// elsewhere are marked as done for the archive, whether there is one or not.
    fn begun_timelines(&self) -> io::Result<Vec<(Tli, PathBuf)>> {
        let wal = self.data.join("pg_wal");
        let mut begun = Vec::new();
        for entry in std::fs::read_dir(&wal)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let tli = name.strip_suffix(".history").and_then(|t| u32::from_str_radix(t, 16).ok());
            let is_done = || wal.join("archive_status").join(format!("{name}.done")).exists();
            begun.extend(tli.filter(|_| !is_done()).map(|tli| (Tli(tli), path)));
        }
        Ok(begun)
    }

    /// Which segment of WAL a server that recovers replays or waits for, by what its process says of
    /// itself; `None` when it does not recover. For progress, also while nobody can get in.
    #[must_use]
    pub fn recovering_segment(&self) -> Option<String> {
        crate::postmaster::processes(&self.data).into_iter().find_map(|pid| {
            let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            segment_of_title(&String::from_utf8_lossy(&std::fs::read(Path::new(&path)).ok()?))
        })
    }
}

fn segment_of_title(title: &str) -> Option<String> {
    let what = title.split_once("startup ")?.1;
    let name = ["recovering ", "waiting for "].iter().find_map(|verb| what.strip_prefix(verb))?;
    let name: String = name.chars().take_while(char::is_ascii_hexdigit).collect();
    (name.len() == 24).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_written_to_the_microsecond_and_never_later_than_it_is() {
        let at: Timestamp = "2026-03-29T01:59:59.123456789Z".parse().expect("a time");
        assert_eq!(microseconds(at), "2026-03-29 01:59:59.123456+00");
        let at: Timestamp = "2026-03-29T01:59:59Z".parse().expect("a time");
        assert_eq!(microseconds(at), "2026-03-29 01:59:59.000000+00");
    }

    #[test]
    fn the_segment_is_read_from_the_title_of_the_process() {
        let title = "postgres: startup recovering 00000001000000000000002A\0\0";
        assert_eq!(segment_of_title(title).as_deref(), Some("00000001000000000000002A"));
        let title = "postgres: startup waiting for 0000000A0000000100000000";
        assert_eq!(segment_of_title(title).as_deref(), Some("0000000A0000000100000000"));
        for other in ["postgres: startup ", "postgres: startup recovering 0001", "postgres: writer"]
        {
            assert_eq!(segment_of_title(other), None, "{other}");
        }
    }
}
