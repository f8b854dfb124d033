//! From a database to the archive.

use anyhow::{Context as _, Result};
use howdah_archive::dump::{Description, Writer};
use howdah_cluster::logical::dumping::{Dumping, Inventory, LARGE, LOCK_WAIT, tell_blockers};
use howdah_cluster::logical::process::Place;
use howdah_cluster::logical::{Failure, Notes};
use howdah_model::transfer::Made;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::job::Job;
use super::source::Source;
use crate::clock;

/// How much of a dump is read at once, in bytes.
const BIT: usize = 256 << 10;

/// Dumps a database of this server into the archive.
pub(super) async fn capture(job: &Job) -> Result<Made> {
    let archive = job.shared.archive.as_ref().context("this agent has no archive")?;
    let source = job.source().await?.context("only a database of this server is captured")?;
    let notes = job.notes();
    let looked = look(&source, &notes).await?;
    job.make_reader(&source).await?;
    job.step("dumping", None);
    let dump = archive.dump(job.id());
    let mut again = source.is_follower();
    let known = loop {
        let mut writer = dump.begin();
        match dump_into(job, &source, &mut writer, &notes).await {
            Ok(warnings) => {
                let made = Made { warnings: looked.warnings + warnings, ..looked.clone() };
                break complete(writer, made).await?;
            }
            Err(error) if again && is_conflict(&error) => {
                again = false;
                notes.warn("the follower had to end the dump to go on; once more");
                writer.give_up().await?;
            }
            Err(error) => return Err(error),
        }
    };
    job.remove_roles().await;
    Ok(known.made)
}

async fn complete(writer: Writer, made: Made) -> Result<Description> {
    let made = Made { dump_bytes: writer.bytes(), ..made };
    writer.finish(made, clock::now()).await.context("complete the dump")
}

/// A recovery that goes on ends who is in its way.
fn is_conflict(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("conflict with recovery")
}

/// Looks at a database before it is dumped, and tells people of it.
pub(super) async fn look(source: &Source, notes: &Notes) -> Result<Made> {
    let inventory = Inventory::look(&source.cluster, source.database.as_str()).await?;
    let major = source.cluster.installed.version.major;
    notes.info(format!(
        "dumping {} ({} bytes, {} tables) of PostgreSQL {}{}",
        source.database,
        inventory.bytes,
        inventory.tables,
        source.cluster.installed.version,
        if source.is_follower() { ", from a follower" } else { "" }
    ));
    let warnings = inventory.warn(notes, LARGE);
    Ok(Made {
        source_bytes: inventory.bytes,
        dump_bytes: 0,
        tables: inventory.tables,
        warnings,
        major: Some(major),
    })
}

async fn dump_into(job: &Job, source: &Source, writer: &mut Writer, notes: &Notes) -> Result<u32> {
    let mut dumping = start(job, source)?;
    let output = dumping.output().context("pg_dump has no output")?;
    let copying = async {
        let mut read = Bits::new(output);
        while let Some(bit) = read.next().await? {
            writer.write(bit).await.context("put the dump into the archive")?;
            job.processed(writer.bytes());
        }
        Ok(())
    };
    finish(job, source, &mut dumping, copying, notes).await
}

/// Starts `pg_dump` of a database of this server.
pub(super) fn start(job: &Job, source: &Source) -> Result<Dumping, Failure> {
    let cluster = &source.cluster;
    let (name, password) = (job.reader.name(), job.reader.password());
    let place = Place::local(&cluster.socket_dir, source.database.as_str(), name, password);
    let installed = &cluster.installed;
    Dumping::start(&cluster.run_as, &installed.bindir, installed.version.major, &place, LOCK_WAIT)
}

/// Waits until all that a dump writes is taken and it has ended well. Says what keeps it waiting.
pub(super) async fn finish(
    job: &Job,
    source: &Source,
    dumping: &mut Dumping,
    copying: impl Future<Output = Result<()>>,
    notes: &Notes,
) -> Result<u32> {
    let telling = tell_blockers(&source.cluster, &source.database, job.reader.name(), notes);
    let both = async { tokio::join!(copying, dumping.finish(notes)) };
    let (copied, ended) = tokio::select! {
        both = both => both,
        () = telling => unreachable!("it goes on until it is dropped"),
    };
    // Why the program ended tells more than that its output did.
    let warnings = ended?;
    copied?;
    Ok(warnings)
}

/// What a program writes, bit by bit.
pub(super) struct Bits<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Bits<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buffer: vec![0; BIT] }
    }

    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>> {
        let read = self.from.read(&mut self.buffer).await.context("read from pg_dump")?;
        Ok((read > 0).then(|| &self.buffer[..read]))
    }
}
