//! Copying the data of a running server, without an archive and without its standing still.
//!
//! It is PostgreSQL's low-level base backup: between `pg_backup_start` and `pg_backup_stop` the
//! files are copied as they are, torn and of different moments, and the WAL of that time makes them
//! right when the copy starts. A temporary slot of the same session keeps that WAL: it needs no
//! archive, and it goes with the session, however that ends.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use howdah_model::lsn::{Lsn, Tli};
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, Limits};
use crate::copy::{self, By, Found, Keep, Progress, Source};
use crate::{Cluster, RunAs, durable};

/// What a copy of a running server begins its recovery from.
pub(crate) const BACKUP_LABEL: &str = "backup_label";
/// Copied after all others.
const CONTROL: &str = "global/pg_control";

/// The session's bounds: the checkpoint at the beginning may have much to write.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), statement: Duration::from_secs(900) };

/// A copy of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// From here on WAL was needed to make it whole.
    pub start: Lsn,
    /// Up to here: all that was committed before this is in it. It has the WAL up to here, and a
    /// little more.
    pub stop: Lsn,
    /// PostgreSQL's timeline of both.
    pub tli: Tli,
    /// By which means.
    pub by: By,
    /// Its size.
    pub bytes: u64,
}

/// Copies the data of a running primary to `to`, which is there completely and on the disk, or not
/// at all. All that was committed before the call is in it. It starts in any [`crate::Mode`]: it
/// has the WAL that it needs. It has no configuration: [`Cluster::configure`] writes that. One
/// process may do this for a place at a time. When the future is dropped the copy is broken off;
/// what is left of it then is removed by the next attempt, or by [`Cluster::remove`].
///
/// # Errors
/// When the server is no primary or cannot be asked, when the file system says no (a full disk),
/// and when it was broken off. Nothing is left then.
pub async fn copy_running(
    from: &Cluster,
    to: &Path,
    owner: &RunAs,
    progress: &Progress,
) -> Result<Copied> {
    // However this ends, the thread that copies does not go on by itself.
    let (progress, _stop) = progress.until_dropped();
    let place = Place::take(durable::beside(to)).await?;
    let connection = from.connect("postgres", LIMITS).await.context("open a session for a copy")?;
    let begun = Begun::begin(&connection).await?;
    let job =
        Job { from: from.data.clone(), place, owner: owner.clone(), progress: progress.clone() };
    let (job, by) = blocking(job, Job::data).await.context("copy the data")?;
    let ended = begun.end(&connection).await;
    let (stop, label) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            blocking(job, |job| durable::remove_dir(&job.place.0)).await.context("clean up")?;
            return Err(error);
        }
    };
    let (start, tli) = (begun.start, begun.tli);
    let wal = begun.segments(stop);
    let target = to.to_owned();
    let finish = move |job: &Job| job.finish(&label, &wal, &target);
    let (_, ()) = blocking(job, finish).await.context("complete the copy")?;
    // The slot goes with the session; not before the WAL is copied.
    connection.close().await;
    Ok(Copied { start, stop, tli, by, bytes: progress.own() })
}

async fn blocking<T: Send + 'static>(
    job: Job,
    work: impl FnOnce(&Job) -> io::Result<T> + Send + 'static,
) -> Result<(Job, T)> {
    let run = move || {
        let done = work(&job).inspect_err(|_| {
            // The first error is the one to tell; the next attempt cleans again.
            let _ = durable::remove_dir(&job.place.0);
        });
        done.map(|done| (job, done))
    };
    Ok(tokio::task::spawn_blocking(run).await.context("wait for the copy")??)
}

/// A base backup that has begun in a session.
struct Begun {
    start: Lsn,
    tli: Tli,
    segment_size: u64,
}

impl Begun {
    async fn begin(connection: &Connection) -> Result<Self> {
        let rows = connection.rows("select pg_is_in_recovery()", &[]).await?;
        ensure!(
            rows.first().is_some_and(|row| !row.get::<_, bool>(0)),
            "only a primary can be copied"
        );
        let slot = "select pg_create_physical_replication_slot(\
                    'howdah_copy_' || pg_backend_pid(), true, true)";
        connection.run(slot).await.context("keep the WAL of a copy")?;
        let begin = "select b.start::text, substr(pg_walfile_name(b.start), 1, 8), s.setting \
             from pg_backup_start('howdah', true) as b (start), pg_settings s \
             where s.name = 'wal_segment_size'";
        let rows = connection.rows(begin, &[]).await.context("begin a copy")?;
        let row = rows.first().context("PostgreSQL did not say where the copy begins")?;
        Ok(Self {
            start: row.get::<_, &str>(0).parse()?,
            // Where the start is on the edge of two segments, both are of this timeline.
            tli: Tli(u32::from_str_radix(row.get(1), 16)?),
            segment_size: row.get::<_, &str>(2).parse()?,
        })
    }

    async fn end(&self, connection: &Connection) -> Result<(Lsn, String)> {
        let end = "select lsn::text, labelfile, spcmapfile from pg_backup_stop(false)";
        let rows = connection.rows(end, &[]).await.context("end a copy")?;
        let row = rows.first().context("PostgreSQL did not say where the copy ends")?;
        let tablespaces: &str = row.get(2);
        ensure!(tablespaces.trim().is_empty(), "a cluster with tablespaces cannot be copied");
        Ok((row.get::<_, &str>(0).parse()?, row.get(1)))
    }

    /// The names of the segments of WAL that the copy needs.
    fn segments(&self, stop: Lsn) -> Vec<String> {
        let last = stop.0.saturating_sub(1) / self.segment_size;
        (self.start.0 / self.segment_size..=last)
            .map(|number| segment_name(self.tli, number, self.segment_size))
            .collect()
    }
}

fn segment_name(tli: Tli, number: u64, size: u64) -> String {
    let per_log = 0x1_0000_0000 / size;
    format!("{:08X}{:08X}{:08X}", tli.0, number / per_log, number % per_log)
}

/// Where a copy is made, for as long as a thread may still work there: that of a copy which was
/// broken off must not meddle with the next one.
pub(crate) struct Place(PathBuf);

/// How long a copy that was broken off may take to end.
const ENDING: Duration = Duration::from_secs(60);

fn places() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    static PLACES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    pub(crate) async fn take(path: PathBuf) -> Result<Self> {
        let deadline = Instant::now() + ENDING;
        while !places().insert(path.clone()) {
            ensure!(Instant::now() < deadline, "another copy is being made to the same place");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        places().remove(&self.0);
    }
}

/// What is done with files, by a thread that may block.
struct Job {
    from: PathBuf,
    place: Place,
    owner: RunAs,
    progress: Progress,
}

impl Job {
    fn data(&self) -> io::Result<By> {
        if let Some(parent) = self.place.0.parent() {
            std::fs::create_dir_all(parent)?;
            self.owner.open_way(parent).map_err(io::Error::other)?;
        }
        durable::remove_dir(&self.place.0)?;
        let found = Found::look(&self.from, Source::Running, &keep)?;
        self.progress.expect(found.bytes());
        let by =
            found.copy(&self.from, &self.place.0, &self.owner, Source::Running, &self.progress)?;
        let control = whole_control(&self.from.join(CONTROL))?;
        durable::write(&self.place.0.join(CONTROL), &control, Some(&self.owner))?;
        Ok(by)
    }

    fn finish(&self, label: &str, wal: &[String], to: &Path) -> io::Result<()> {
        let label_file = self.place.0.join(BACKUP_LABEL);
        durable::write(&label_file, label.as_bytes(), Some(&self.owner))?;
        let (theirs, ours) = (self.from.join("pg_wal"), self.place.0.join("pg_wal"));
        let mut names = wal.to_vec();
        for entry in std::fs::read_dir(&theirs)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.ends_with(".history").then_some(name));
        }
        for name in names {
            let file = theirs.join(&name);
            self.progress.expect(file.metadata()?.len());
            copy::one_file(&file, &ours.join(&name), &self.owner, &self.progress)?;
            // It is the source's history, and in its archive if there is one.
            let done = ours.join("archive_status").join(format!("{name}.done"));
            std::fs::write(&done, b"")?;
            self.owner.give(&done)?;
        }
        copy::sync(&self.place.0)?;
        if self.progress.is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        durable::rename(&self.place.0, to)
    }
}

/// Read until it is the same twice: the server may write it in this moment.
fn whole_control(path: &Path) -> io::Result<Vec<u8>> {
    let mut last = std::fs::read(path)?;
    for _ in 0..1000 {
        let now = std::fs::read(path)?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    Err(io::Error::other("the control file changes all the time"))
}

/// Directories whose content is of the running server alone, or comes by another way.
const EMPTY: &[&str] = &[
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal/archive_status",
    "pg_wal/summaries",
];

/// Files of the data directory itself that a copy must not have.
const NOT_COPIED: &[&str] = &[
    "backup_label",
    "backup_label.old",
    "backup_manifest",
    "current_logfiles",
    "pg_hba.conf",
    "pg_ident.conf",
    "postgresql.auto.conf",
    "postmaster.opts",
    "postmaster.pid",
    "recovery.signal",
    "standby.signal",
    "tablespace_map",
    "tablespace_map.old",
];

/// What of the data directory is copied. What is left out is what `pg_basebackup` leaves out, and
/// the configuration, which is another's.
fn keep(path: &Path) -> Keep {
    let Some(whole) = path.to_str() else { return Keep::All };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if EMPTY.contains(&whole) {
        return Keep::Empty;
    }
    let is_top = !whole.contains('/');
    let is_ours = is_top && (name.starts_with("postgresql.conf") || name.starts_with('.'));
    let is_wal = whole.starts_with("pg_wal/");
    let is_temporary = name.starts_with("pgsql_tmp") || is_temporary_relation(whole, name);
    let is_cache = name.starts_with("pg_internal.init");
    let leave = (is_top && NOT_COPIED.contains(&name))
        || is_ours
        || is_wal
        || is_temporary
        || is_cache
        || whole == CONTROL;
    if leave { Keep::Nothing } else { Keep::All }
}

/// A relation of one session: `t3_16384`, which no start of a server keeps.
fn is_temporary_relation(whole: &str, name: &str) -> bool {
    let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let parts = name.strip_prefix('t').and_then(|rest| rest.split_once('_'));
    whole.starts_with("base/")
        && parts.is_some_and(|(session, file)| number(session) && number(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_running_server_or_its_configuration_is_left_out() {
        let kept = |path: &str| keep(Path::new(path));
        for all in ["base", "base/1/1259", "global/1260", "pg_xact/0000", "PG_VERSION", "pg_wal"] {
            assert_eq!(kept(all), Keep::All, "{all}");
        }
        for empty in ["pg_replslot", "pg_wal/archive_status", "pg_subtrans"] {
            assert_eq!(kept(empty), Keep::Empty, "{empty}");
        }
        for none in [
            "postmaster.pid",
            "postgresql.conf.proven",
            ".postgresql.conf.new",
            "standby.signal",
            "pg_wal/000000010000000000000001",
            "base/5/pgsql_tmp",
            "base/5/t3_16384_fsm",
            "base/5/pg_internal.init.12",
            "global/pg_control",
        ] {
            assert_eq!(kept(none), Keep::Nothing, "{none}");
        }
    }

    #[test]
    fn segments_are_named_as_postgresql_does_and_an_end_on_an_edge_needs_no_further_one() {
        let begun = Begun { start: Lsn(0xFF00_0028), tli: Tli(10), segment_size: 16 << 20 };
        let names = begun.segments(Lsn(0x1_0100_0000));
        assert_eq!(names, ["0000000A00000000000000FF", "0000000A0000000100000000"]);
        assert_eq!(begun.segments(Lsn(0x1_0100_0001)).len(), 3);
    }
}
