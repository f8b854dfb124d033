//! Dumping one database with `pg_dump`, in its custom format, as a stream.

use std::path::Path;
use std::time::Duration;

use howdah_model::name::DatabaseName;
use howdah_model::version::Major;
use tokio::process::ChildStdout;

use super::process::{Output, Place, Process};
use super::{Failure, Notes, without_socket};
use crate::connection::{Connection, Limits};
use crate::{Cluster, RunAs};

/// How long a dump waits for a table that somebody has locked against reading.
pub const LOCK_WAIT: Duration = Duration::from_secs(120);
/// A database with more schemas than that is slow to dump (E25).
pub const MANY_SCHEMAS: i64 = 50;
/// For a larger one than that, in bytes, a logical copy is not the intended tool (E26).
pub const LARGE: u64 = 20 << 30;

/// How dumps are compressed: so that it takes less time than reading the rows does. Stronger is
/// slower and hardly smaller.
fn compression(major: Major) -> &'static str {
    if major.0 >= 16 { "--compress=zstd:1" } else { "--compress=1" }
}

/// What a database is, before it is dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its tables, partitioned ones included.
    pub tables: u64,
    /// Its schemas.
    pub schemas: i64,
}

const INVENTORY: &str = "\
select pg_database_size(current_database()), \
       (select count(*) from pg_class c where c.relkind in ('r', 'p') and \
        c.relnamespace in (select n.oid from pg_namespace n where n.nspname !~ '^pg_' \
        and n.nspname <> 'information_schema') \
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass \
                        and d.objid = c.oid and d.deptype = 'e')), \
       (select count(*) from pg_namespace n where n.nspname !~ '^pg_' \
        and n.nspname <> 'information_schema' \
        and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass \
                        and d.objid = n.oid and d.deptype = 'e'))";

impl Inventory {
    /// Looks at a database.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn look(cluster: &Cluster, database: &str) -> Result<Self, Failure> {
        let limits = Limits { statement: Duration::from_secs(60), ..Limits::WORK };
        let opened = cluster.connect(database, limits).await;
        let connection = opened.map_err(Failure::sql("open a session"))?;
        let rows = connection.rows(INVENTORY, &[]).await;
        let rows = rows.map_err(Failure::sql("look at the database"))?;
        connection.close().await;
        let row = rows.first().ok_or_else(|| {
            Failure::Cannot(format!("PostgreSQL says nothing of database `{database}`"))
        })?;
        let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
        Ok(Self { bytes: number(0), tables: number(1), schemas: row.get(2) })
    }

    /// What people are told before they wait (E25, E26). Returns how many lines that were.
    #[must_use]
    pub fn warn(&self, notes: &Notes, large: u64) -> u32 {
        let mut warnings = 0;
        if self.schemas > MANY_SCHEMAS {
            warnings += 1;
            notes.warn(format!(
                "the database has {} schemas; with more than {MANY_SCHEMAS} logical backups may be \
                 slow",
                self.schemas
            ));
        }
        if self.bytes > large {
            warnings += 1;
            notes.warn(format!(
                "the database has {:.1} GB; above {} GB logical backups are not the intended tool: \
                 use rollback, forks and followers, which continuous protection keeps ready",
                gigabytes(self.bytes),
                large >> 30
            ));
        }
        warnings
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown to people")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// A `pg_dump` that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Dumping {
    process: Process,
    /// What it writes, until it is taken.
    output: Option<ChildStdout>,
}

impl Dumping {
    /// Starts to dump what is at a place, with the programs in a directory.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(
        run_as: &RunAs,
        bindir: &Path,
        major: Major,
        place: &Place,
        lock_wait: Duration,
    ) -> Result<Self, Failure> {
        let mut arguments = vec![
            "--format=custom".to_owned(),
            compression(major).to_owned(),
            "--no-subscriptions".to_owned(),
            "--no-password".to_owned(),
            format!("--lock-wait-timeout={}", lock_wait.as_millis()),
        ];
        if place.is_elsewhere() {
            // What Heroku keeps for itself in a database; its owner may not read it.
            arguments.push("--exclude-schema=_heroku".to_owned());
        }
        let program = bindir.join("pg_dump");
        let mut process = Process::start(run_as, &program, Some(place), arguments, Output::Read)?;
        let output = process.output();
        Ok(Self { process, output })
    }

    /// What it writes, once. It must be read to its end beside [`Self::finish`].
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.output.take()
    }

    /// Hears what it says until it ends, and passes warnings on; returns how many there were. What
    /// it has written is a dump only when this succeeds.
    ///
    /// # Errors
    /// What it said.
    pub async fn finish(&mut self, notes: &Notes) -> Result<u32, Failure> {
        let mut errors = Vec::new();
        let mut warnings = 0;
        while let Some(line) = self.process.line().await {
            let line = line.strip_prefix("pg_dump: ").unwrap_or(&line);
            if let Some(warning) = line.strip_prefix("warning: ") {
                warnings += 1;
                notes.warn(warning);
            } else if !line.is_empty() && errors.len() < 20 {
                errors.push(without_socket(line.strip_prefix("error: ").unwrap_or(line)));
            }
        }
        let status = self.process.wait().await?;
        if status.success() {
            return Ok(warnings);
        }
        if errors.is_empty() {
            errors.push(format!("pg_dump ended by {status}"));
        }
        Err(Failure::Said { said: errors.join("; ") })
    }
}

/// Who holds what a role's sessions wait for, each once, for people.
const BLOCKERS: &str = "\
select distinct format('session %s of %s (%s, since %s) holds a lock on %s', b.pid, \
       coalesce(b.usename, 'the platform'), coalesce(b.state, 'unknown'), \
       to_char(b.xact_start at time zone 'UTC', 'HH24:MI:SS'), \
       coalesce((select string_agg(format('%I.%I', n.nspname, c.relname), ', ') from pg_locks l \
        join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace \
        where l.pid = a.pid and not l.granted), 'a table')) \
from pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) as blocker \
join pg_stat_activity b on b.pid = blocker where a.usename = $1";

/// Tells, each time once, who keeps a dump waiting. It ends when it is dropped.
pub async fn tell_blockers(cluster: &Cluster, database: &DatabaseName, role: &str, notes: &Notes) {
    let mut told = std::collections::BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK_FOR_BLOCKERS).await;
        let Ok(connection) = cluster.connect(database.as_str(), Limits::LOOK).await else {
            continue;
        };
        for line in blockers(&connection, role).await {
            if told.insert(line.clone()) {
                notes.warn(format!("waiting: {line}"));
            }
        }
        connection.close().await;
    }
}

const LOOK_FOR_BLOCKERS: Duration = Duration::from_secs(2);

async fn blockers(connection: &Connection, role: &str) -> Vec<String> {
    let rows = connection.rows(BLOCKERS, &[&role]).await.unwrap_or_default();
    rows.iter().map(|row| row.get(0)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn e25_e26_many_schemas_and_much_data_are_told_before_people_wait() {
        let said = |bytes, schemas| {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let taken = Arc::clone(&lines);
            let notes = Notes::new(move |_, line| taken.lock().expect("a lock").push(line));
            let warnings = Inventory { bytes, tables: 1, schemas }.warn(&notes, 2 << 30);
            let lines = lines.lock().expect("a lock").join("\n");
            assert_eq!(warnings as usize, lines.lines().count());
            lines
        };
        assert_eq!(said(2 << 30, 50), "");
        assert!(said(0, 51).contains("51 schemas"));
        let large = said(3 << 30, 60);
        assert!(large.contains("3.0 GB; above 2 GB") && large.contains("rollback"), "{large}");
    }
}
