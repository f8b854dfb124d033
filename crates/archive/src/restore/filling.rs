//! Restoring one base backup that needs no other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::claim::{Claim, What};
use super::writing::{self, MANIFEST, Pouring, Writer, Written};
use super::{Error, Restoring};
use crate::Timeline;
use crate::backup::index::{Index, Piece};
use crate::backup::manifest::{Manifest, Sum};
use crate::backup::{Backup, Progress, objects};

/// How much is written before it is flushed to the disk.
const FLUSHED_AT_ONCE: u64 = 128 << 20;
/// How long writing may go on after a failure.
const LAST_WRITES: Duration = Duration::from_secs(10);
/// Between two looks at whether it has ended.
const TICK: Duration = Duration::from_millis(2);

/// Restores a backup into `how.to`.
pub(super) async fn fill(
    timeline: &Timeline,
    backup: &Backup,
    how: &Restoring,
    progress: &Progress,
) -> Result<(), Error> {
    let plan = Arc::new(Plan::fetch(timeline, backup).await?);
    let (dir, same) = (how.to.clone(), Arc::clone(&plan));
    if blocking(move || writing::is_done(&dir, &same.manifest, &same.text)).await? {
        progress.add(backup.bytes);
        return Ok(());
    }
    let writer = claim(timeline, backup, how).await?;
    let given_up = GivenUp(Arc::clone(&writer));
    let filled = fill_with(timeline, backup, plan, writer, how, progress).await;
    if filled.is_err() {
        given_up.wait().await;
    }
    filled
}

/// Has all writing end soon, also when the restore is dropped.
struct GivenUp(Arc<Writer>);

impl GivenUp {
    /// Waits until nobody writes any more, so that the next attempt is not refused as a second one.
    async fn wait(self) {
        self.0.give_up();
        let deadline = Instant::now() + LAST_WRITES;
        while Arc::strong_count(&self.0) > 1 && Instant::now() < deadline {
            sleep(TICK).await;
        }
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

async fn fill_with(
    timeline: &Timeline,
    backup: &Backup,
    plan: Arc<Plan>,
    writer: Arc<Writer>,
    how: &Restoring,
    progress: &Progress,
) -> Result<(), Error> {
    let sums = if writer.claim.resumes {
        let (plan, writer) = (Arc::clone(&plan), Arc::clone(&writer));
        blocking(move || writer.complete(&plan.index, &plan.manifest)).await?
    } else {
        vec![false; plan.index.files.len()]
    };
    for (file, _) in plan.index.files.iter().zip(&sums).filter(|(_, complete)| **complete) {
        progress.add(file.size);
    }
    require_room(&plan.index, &sums, how).await?;
    {
        let (plan, writer) = (Arc::clone(&plan), Arc::clone(&writer));
        blocking(move || writer.prepare(&plan.index)).await?;
    }
    let written = parts(timeline, &plan, &writer, &sums, how.parallel, progress).await?;
    plan.check(backup, written, &sums)?;
    blocking(move || {
        writer.whole(MANIFEST, &plan.text)?;
        writer.conclude()
    })
    .await
}

/// What the backup has.
struct Plan {
    index: Index,
    manifest: Manifest,
    text: Vec<u8>,
}

impl Plan {
    async fn fetch(timeline: &Timeline, backup: &Backup) -> Result<Self, Error> {
        let damaged = |object: &str, why: String| Error::Damaged {
            backup: backup.id.clone(),
            object: objects::place(timeline, &backup.id, object).to_string(),
            why,
        };
        let text = objects::get(timeline, &backup.id, objects::MANIFEST).await?;
        let manifest =
            Manifest::read(&text).map_err(|why| damaged(objects::MANIFEST, why.to_string()))?;
        let index = objects::get(timeline, &backup.id, objects::INDEX).await?;
        let index: Index = serde_json::from_slice(&index)
            .map_err(|why| damaged(objects::INDEX, why.to_string()))?;
        index.check(&manifest).map_err(|why| damaged(objects::INDEX, why))?;
        if index.parts.len() != backup.parts as usize {
            let why = format!("it has {} parts instead of {}", index.parts.len(), backup.parts);
            return Err(damaged(objects::INDEX, why));
        }
        Ok(Self { index, manifest, text: text.to_vec() })
    }

    /// Whether every file is what the manifest says.
    fn check(
        &self,
        backup: &Backup,
        mut written: Vec<Written>,
        complete: &[bool],
    ) -> Result<(), Error> {
        written.sort_unstable_by_key(|written| (written.piece.file, written.piece.at));
        let mut sums = vec![Sum { size: 0, crc: 0 }; self.index.files.len()];
        for Written { piece, crc, .. } in written {
            let sum = usize::try_from(piece.file).ok().and_then(|file| sums.get_mut(file));
            let Some(sum) = sum.filter(|sum| sum.size == piece.at) else {
                return Err(Error::Broke("pieces were written that do not fit".to_owned()));
            };
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
            sum.crc = crc32c::crc32c_combine(sum.crc, crc, length);
            sum.size += piece.length;
        }
        let mut came = HashMap::with_capacity(sums.len());
        for ((file, sum), complete) in self.index.files.iter().zip(sums).zip(complete) {
            let known = if *complete { self.manifest.files.get(&file.path).copied() } else { None };
            came.insert(file.path.clone(), known.unwrap_or(sum));
        }
        let disagrees = |why| Error::Disagrees { backup: backup.id.clone(), why };
        self.manifest.compare(&came).map_err(disagrees)
    }
}

async fn claim(
    timeline: &Timeline,
    backup: &Backup,
    how: &Restoring,
) -> Result<Arc<Writer>, Error> {
    let what = What { timeline: timeline.id(), backup: backup.id.clone() };
    let (dir, owner) = (how.to.clone(), how.owner);
    blocking(move || {
        let claim = Claim::take(&dir, &what, owner)?;
        Ok(Arc::new(Writer::new(dir, owner, claim)))
    })
    .await
}

/// Refuses to begin what will not fit.
async fn require_room(index: &Index, complete: &[bool], how: &Restoring) -> Result<(), Error> {
    let missing = index.files.iter().zip(complete).filter(|(_, complete)| !**complete);
    let needed = missing.map(|(file, _)| file.size).sum::<u64>();
    let dir = how.to.clone();
    blocking(move || {
        let free = room(&dir)?;
        if needed > free { Err(Error::NoRoom { dir, needed, free }) } else { Ok(()) }
    })
    .await
}

fn room(dir: &Path) -> Result<u64, Error> {
    let of = rustix::fs::statvfs(dir).map_err(|errno| Error::file(dir)(errno.into()))?;
    Ok(of.f_bavail.saturating_mul(of.f_frsize))
}

/// Fetches and writes all parts that have something of a file that is not complete.
async fn parts(
    timeline: &Timeline,
    plan: &Arc<Plan>,
    writer: &Arc<Writer>,
    complete: &[bool],
    parallel: usize,
    progress: &Progress,
) -> Result<Vec<Written>, Error> {
    let is_wanted = |piece: &Piece| {
        usize::try_from(piece.file).is_ok_and(|file| complete.get(file) == Some(&false))
    };
    let mut tasks = JoinSet::new();
    let (mut written, mut flushing) = (Vec::new(), Flushing::new(writer));
    for (number, part) in plan.index.parts.iter().enumerate() {
        let pieces: Vec<Piece> =
            part.pieces.iter().filter(|piece| is_wanted(piece)).copied().collect();
        if pieces.is_empty() {
            continue;
        }
        while tasks.len() >= parallel.max(1) {
            flushing.wrote(gather(tasks.join_next().await, &mut written, progress)?)?;
        }
        let (timeline, plan, writer) = (timeline.clone(), Arc::clone(plan), Arc::clone(writer));
        tasks.spawn(async move { one(&timeline, plan, writer, number, pieces).await });
    }
    while !tasks.is_empty() {
        gather(tasks.join_next().await, &mut written, progress)?;
    }
    Ok(written)
}

/// Brings what is written to the disk while more is being written, so that little is left to flush
/// at the end.
struct Flushing<'a> {
    writer: &'a Arc<Writer>,
    waiting: u64,
    under_way: JoinSet<Result<(), Error>>,
}

impl<'a> Flushing<'a> {
    fn new(writer: &'a Arc<Writer>) -> Self {
        Self { writer, waiting: 0, under_way: JoinSet::new() }
    }

    /// Takes note of bytes that were written.
    fn wrote(&mut self, bytes: u64) -> Result<(), Error> {
        self.waiting += bytes;
        if self.waiting < FLUSHED_AT_ONCE {
            return Ok(());
        }
        // One at a time: the next one takes what comes meanwhile.
        if let Some(done) = self.under_way.try_join_next() {
            done.map_err(|error| Error::Broke(error.to_string()))??;
        }
        if self.under_way.is_empty() {
            self.waiting = 0;
            let writer = Arc::clone(self.writer);
            self.under_way.spawn(blocking(move || writer.claim.flush()));
        }
        Ok(())
    }
}

type Joined = Result<Result<Vec<Written>, Error>, tokio::task::JoinError>;

fn gather(
    joined: Option<Joined>,
    written: &mut Vec<Written>,
    progress: &Progress,
) -> Result<u64, Error> {
    let Some(joined) = joined else { return Ok(0) };
    let of_part = joined.map_err(|error| Error::Broke(error.to_string()))??;
    let bytes = of_part.iter().map(|written| written.piece.length).sum();
    progress.add(bytes);
    written.extend(of_part);
    Ok(bytes)
}

async fn one(
    timeline: &Timeline,
    plan: Arc<Plan>,
    writer: Arc<Writer>,
    number: usize,
    pieces: Vec<Piece>,
) -> Result<Vec<Written>, Error> {
    let name = objects::part(number);
    let backup = &writer.claim.what.backup;
    let sealed = objects::sealed(timeline, backup, &name).await?;
    let place = objects::place(timeline, backup, &name);
    blocking(move || {
        let mut pouring = Pouring::new(&writer, &plan.index, &pieces);
        sealed.pour(|bit| pouring.take(bit))?;
        let (written, is) = pouring.finish();
        let should = plan.index.parts[number].bytes;
        if is == should {
            return Ok(written);
        }
        let backup = writer.claim.what.backup.clone();
        let why = format!("it has {is} bytes instead of {should}");
        Err(Error::Damaged { backup, object: place.to_string(), why })
    })
    .await
}

/// Runs what waits for the disk where that is no harm.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|error| Error::Broke(error.to_string()))?
}
