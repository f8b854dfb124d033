//! Segments of WAL to the archive and back, one after the other as PostgreSQL asks for them.
//!
//! Both sides may work ahead: ours with two at a time, as the agent does, pgBackRest with its
//! asynchronous queue and two processes. For each segment PostgreSQL runs a program: pgBackRest's
//! own, or, for ours, one that does nothing, as the agent's client does next to nothing.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use howdah_archive::{Timeline, WalName};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::Effort;
use crate::backups::PARALLEL;
use crate::bed::{Bed, run, size};
use crate::report::{Account, Rounds, order, turn};
use crate::rivals::PgBackRest;

const SEGMENT: u64 = 16 << 20;

/// A data directory that has nothing but WAL that waits for being archived.
struct Waiting {
    dir: PathBuf,
    names: Vec<String>,
}

impl Waiting {
    async fn new(bed: &Bed, wanted: usize) -> anyhow::Result<Self> {
        let session = bed.cluster.connect("postgres", howdah_cluster::connection::Limits::WORK);
        session.await?.run("select pg_switch_wal(); checkpoint").await?;
        let from = &bed.cluster.data;
        let dir = bed.fresh("waiting")?;
        for name in ["global", "pg_wal", "pg_wal/archive_status"] {
            bed.home.run_as.make_dir(&dir.join(name))?;
        }
        let mut names: Vec<String> = fs::read_dir(from.join("pg_wal"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.len() == 24)
            .collect();
        names.sort();
        // The last ones are being written, or are made for later.
        let current = current(bed).await?;
        names.retain(|name| *name < current);
        names.drain(..names.len().saturating_sub(wanted));
        ensure!(!names.is_empty(), "there is no complete segment");
        for name in &names {
            fs::hard_link(from.join("pg_wal").join(name), dir.join("pg_wal").join(name))?;
        }
        for name in ["PG_VERSION", "global/pg_control"] {
            fs::copy(from.join(name), dir.join(name))?;
            bed.home.run_as.give(&dir.join(name))?;
        }
        Ok(Self { dir, names })
    }

    /// Makes all of them wait again.
    fn again(&self, bed: &Bed) -> anyhow::Result<()> {
        for name in &self.names {
            let _ = fs::remove_file(self.status(name, "done"));
            fs::write(self.status(name, "ready"), "")?;
            bed.home.run_as.give(&self.status(name, "ready"))?;
        }
        Ok(())
    }

    fn status(&self, name: &str, what: &str) -> PathBuf {
        self.dir.join("pg_wal/archive_status").join(format!("{name}.{what}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join("pg_wal").join(name)
    }

    /// What PostgreSQL does with a segment that is archived.
    fn done(&self, name: &str) -> anyhow::Result<()> {
        Ok(fs::rename(self.status(name, "ready"), self.status(name, "done"))?)
    }
}

async fn current(bed: &Bed) -> anyhow::Result<String> {
    let limits = howdah_cluster::connection::Limits::WORK;
    let connection = bed.cluster.connect("postgres", limits).await?;
    let rows = connection.rows("select pg_walfile_name(pg_current_wal_lsn())", &[]).await?;
    Ok(rows.first().context("no row")?.get(0))
}

pub(crate) async fn measure(bed: &Bed, effort: &Effort) -> anyhow::Result<()> {
    let waiting = Waiting::new(bed, effort.segments).await?;
    let names = || vec!["ours".to_owned(), "pgBackRest, asynchronous".to_owned()];
    let mut pushes = Rounds::new("WAL push", names());
    let mut fetches = Rounds::new("WAL fetch", names());
    for round in 0..effort.rounds {
        for who in order(2, round) {
            waiting.again(bed)?;
            if who == 0 {
                let timeline = bed.timeline("wal")?;
                bed.settle().await;
                let (pushed, ()) = turn(Account::Machine, push(&waiting, &timeline)).await?;
                pushes.add(who, Some(pushed), size(&bed.home.path().join("wal"), &[])?);
                let to = bed.fresh("fetched")?;
                bed.settle().await;
                let (fetched, ()) = turn(Account::Machine, fetch(&waiting, &timeline, &to)).await?;
                fetches.add(who, Some(fetched), 0);
            } else if let Some(rival) = PgBackRest::new(bed, "pgbackrest-wal", &waiting.dir).await?
            {
                bed.settle().await;
                let (pushed, ()) = turn(Account::Machine, push_with(&waiting, &rival)).await?;
                pushes.add(who, Some(pushed), size(&rival.repository().join("archive"), &[])?);
                bed.settle().await;
                let (fetched, ()) = turn(Account::Machine, fetch_with(&waiting, &rival)).await?;
                fetches.add(who, Some(fetched), 0);
            }
        }
    }
    let bytes = waiting.names.len() as u64 * SEGMENT;
    println!("\n{} segments of 16 MiB", waiting.names.len());
    pushes.print(bytes);
    fetches.print(bytes);
    Ok(())
}

/// The program that PostgreSQL runs for a segment.
async fn client() -> anyhow::Result<()> {
    run(&mut Command::new("/bin/true")).await
}

/// Work on several segments at the same time, ahead of whoever asks for them one by one.
struct Ahead {
    tasks: JoinSet<anyhow::Result<usize>>,
    done: HashSet<usize>,
}

impl Ahead {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), done: HashSet::new() }
    }

    /// Waits for one.
    async fn until(&mut self, wanted: usize) -> anyhow::Result<()> {
        while !self.done.remove(&wanted) {
            let joined = self.tasks.join_next().await.context("nothing is under way")?;
            self.done.insert(joined??);
        }
        Ok(())
    }

    /// Whether one more may be begun.
    fn has_room(&self) -> bool {
        self.tasks.len() < PARALLEL && self.done.len() < 2 * PARALLEL
    }
}

async fn push(waiting: &Waiting, timeline: &Timeline) -> anyhow::Result<()> {
    let (mut ahead, mut begun) = (Ahead::new(), 0);
    for (number, name) in waiting.names.iter().enumerate() {
        while ahead.has_room() && begun < waiting.names.len() {
            let (timeline, path) = (timeline.clone(), waiting.path(&waiting.names[begun]));
            let (of, number): (WalName, _) = (waiting.names[begun].parse()?, begun);
            ahead.tasks.spawn(async move {
                timeline.put_wal(&of, &path).await?;
                Ok(number)
            });
            begun += 1;
        }
        ahead.until(number).await?;
        client().await?;
        waiting.done(name)?;
    }
    Ok(())
}

async fn fetch(waiting: &Waiting, timeline: &Timeline, to: &Path) -> anyhow::Result<()> {
    let (mut ahead, mut begun) = (Ahead::new(), 0);
    let got = to.join("RECOVERYXLOG");
    for (number, name) in waiting.names.iter().enumerate() {
        while ahead.has_room() && begun < waiting.names.len() {
            let (timeline, path) = (timeline.clone(), to.join(&waiting.names[begun]));
            let (of, number): (WalName, _) = (waiting.names[begun].parse()?, begun);
            ahead.tasks.spawn(async move {
                timeline.fetch_wal(&of, &path).await?;
                Ok(number)
            });
            begun += 1;
        }
        ahead.until(number).await?;
        client().await?;
        fs::rename(to.join(name), &got)?;
        same(&got, &waiting.path(name))?;
    }
    Ok(())
}

async fn push_with(waiting: &Waiting, rival: &PgBackRest) -> anyhow::Result<()> {
    for name in &waiting.names {
        let segment = format!("pg_wal/{name}");
        run(rival.command(&["archive-push", &segment]).current_dir(&waiting.dir)).await?;
        waiting.done(name)?;
    }
    Ok(())
}

async fn fetch_with(waiting: &Waiting, rival: &PgBackRest) -> anyhow::Result<()> {
    let got = waiting.dir.join("pg_wal/RECOVERYXLOG");
    for name in &waiting.names {
        let mut command = rival.command(&["archive-get", name, "pg_wal/RECOVERYXLOG"]);
        run(command.current_dir(&waiting.dir)).await?;
        same(&got, &waiting.path(name))?;
    }
    Ok(())
}

/// Looks at the size only, so that the look costs both sides nothing.
fn same(one: &Path, other: &Path) -> anyhow::Result<()> {
    let (is, should) = (fs::metadata(one)?.len(), fs::metadata(other)?.len());
    ensure!(is == should, "{} has {is} bytes instead of {should}", one.display());
    Ok(())
}
