//! Copying a data directory: by reference where the file system can (reflink), else as fast as can
//! be, and on the disk when it returns.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use crate::RunAs;

/// WAL segments from this size on may be mostly zeros (a fresh one is), and those are not copied.
const SPARSE_FROM: u64 = 1 << 20;
const CHUNK: usize = 1 << 16;
/// How much of a file is copied before the next look at whether to break off.
const STRETCH: u64 = 8 << 20;
/// One waits for the disk or for the file system's locks while the other copies.
const THREADS: usize = 2;
/// How often is asked whether to break off.
const ASK: Duration = Duration::from_millis(20);

/// How a copy was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum By {
    /// The file system made the copy share the source's blocks.
    Reflink,
    /// Byte by byte.
    Copy,
}

/// How far a copy is, to be looked at while it is made, and the way to break it off. For several
/// copies it is their sum.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// Of the one copy that has this: the bytes that are copied, and whether it is not wanted any
    /// more or has failed.
    own: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Progress {
    /// Bytes that are copied.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes in all, as far as is known; 0 before that.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Breaks the copy off at the next occasion.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.over.load(Ordering::Relaxed)
    }

    /// The same, which is broken off when what is returned beside it is dropped.
    pub(crate) fn until_dropped(&self) -> (Self, StopOnDrop) {
        let over = Arc::new(AtomicBool::new(false));
        let own = Arc::new(AtomicU64::new(0));
        (Self { own, over: Arc::clone(&over), ..self.clone() }, StopOnDrop(over))
    }

    /// The bytes of the one copy that has this.
    pub(crate) fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    fn give_up(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.own.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Breaks a copy off when it is dropped.
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Copies a directory with all in it to a new place that belongs to `owner`. Regular files and
/// directories only, which is what a data directory without tablespaces holds. Nothing in it may
/// change meanwhile. The caller gives the copy its final name afterwards
/// ([`crate::durable::rename`]). Every now and then `stop` is asked whether to break off.
///
/// # Errors
/// Those of the file system, and `Interrupted` when it was broken off; a half-made copy is left
/// for the caller to remove.
pub fn tree(from: &Path, to: &Path, owner: &RunAs, stop: &dyn Fn() -> bool) -> io::Result<By> {
    let found = Found::look(from, Source::Still, &|_| Keep::All)?;
    let progress = Progress::default();
    let done = AtomicBool::new(false);
    let asker = thread::current();
    let copied = thread::scope(|scope| {
        let copier = scope.spawn(|| {
            let copied = found.copy(from, to, owner, Source::Still, &progress);
            done.store(true, Ordering::Release);
            asker.unpark();
            copied
        });
        while !done.load(Ordering::Acquire) && !copier.is_finished() {
            if stop() {
                progress.stop();
            }
            thread::park_timeout(ASK);
        }
        joined(copier)
    })?;
    sync(to)?;
    Ok(copied)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a copying thread broke off")))
}

/// One flush of the whole file system: a thousand files one by one take twenty times as long.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

/// Whether somebody writes in what is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody.
    Still,
    /// A server does: files may change, grow and vanish.
    Running,
}

/// What of an entry is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It, with all in it.
    All,
    /// The directory without what is in it.
    Empty,
    /// Nothing.
    Nothing,
}

/// The directories and files to copy, by their paths below the source's root.
#[derive(Debug, Default)]
pub(crate) struct Found {
    dirs: Vec<PathBuf>,
    files: Vec<(PathBuf, u64)>,
}

impl Found {
    /// Lists what is there and to be kept.
    pub(crate) fn look(
        root: &Path,
        source: Source,
        keep: &dyn Fn(&Path) -> Keep,
    ) -> io::Result<Self> {
        let mut found = Self::default();
        found.enter(root, Path::new(""), source, keep)?;
        // The large ones first, so that the threads end together.
        found.files.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        Ok(found)
    }

    /// The size of all files, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }

    fn enter(
        &mut self,
        root: &Path,
        dir: &Path,
        source: Source,
        keep: &dyn Fn(&Path) -> Keep,
    ) -> io::Result<()> {
        self.dirs.push(dir.to_owned());
        let Some(entries) = unless_gone(std::fs::read_dir(root.join(dir)), source)? else {
            return Ok(());
        };
        for entry in entries {
            let Some(entry) = unless_gone(entry, source)? else { continue };
            let path = dir.join(entry.file_name());
            let keep_it = keep(&path);
            if keep_it == Keep::Nothing {
                continue;
            }
            let Some(kind) = unless_gone(entry.file_type(), source)? else { continue };
            if kind.is_dir() && keep_it == Keep::Empty {
                self.dirs.push(path);
            } else if kind.is_dir() {
                self.enter(root, &path, source, keep)?;
            } else if kind.is_file() {
                let Some(meta) = unless_gone(entry.metadata(), source)? else { continue };
                self.files.push((path, meta.size()));
            } else {
                let what = format!("{} is neither a file nor a directory", entry.path().display());
                return Err(io::Error::other(what));
            }
        }
        Ok(())
    }

    /// Copies what was found. It is not flushed yet.
    pub(crate) fn copy(
        &self,
        from: &Path,
        to: &Path,
        owner: &RunAs,
        source: Source,
        progress: &Progress,
    ) -> io::Result<By> {
        for dir in &self.dirs {
            owner.make_dir(&to.join(dir))?;
        }
        let copy = Copy { owner, source, progress, reflink: AtomicBool::new(true) };
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((path, _)) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                // What one thread cannot do, the others need not go on with.
                copy.file(&from.join(path), &to.join(path)).inspect_err(|_| progress.give_up())?;
            }
            Ok(())
        };
        let results: Vec<io::Result<()>> = thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
            let mut results = vec![work()];
            results.extend(others.into_iter().map(joined));
            results
        });
        // The first cause, not that others were told to stop by it.
        let mut errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        errors.sort_by_key(|error| error.kind() == io::ErrorKind::Interrupted);
        match errors.into_iter().next() {
            Some(error) => Err(error),
            None if copy.reflink.into_inner() => Ok(By::Reflink),
            None => Ok(By::Copy),
        }
    }
}

/// What a running server removed in this moment was not needed.
fn unless_gone<T>(result: io::Result<T>, source: Source) -> io::Result<Option<T>> {
    match result {
        Err(error) if source == Source::Running && error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Copies one file. Its content is the owner's.
pub(crate) fn one_file(
    from: &Path,
    to: &Path,
    owner: &RunAs,
    progress: &Progress,
) -> io::Result<()> {
    let reflink = AtomicBool::new(true);
    Copy { owner, source: Source::Still, progress, reflink }.file(from, to)
}

struct Copy<'a> {
    owner: &'a RunAs,
    source: Source,
    progress: &'a Progress,
    /// Whether the file system is still believed to copy by reference.
    reflink: AtomicBool,
}

impl Copy<'_> {
    fn file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.go_on()?;
        let Some(mut source) = unless_gone(File::open(from), self.source)? else { return Ok(()) };
        let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        self.owner.give(to)?;
        let size = source.metadata()?.size();
        if size == 0 {
            return Ok(());
        }
        if self.reflink.load(Ordering::Relaxed) {
            if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
                self.progress.add(size);
                return Ok(());
            }
            self.reflink.store(false, Ordering::Relaxed);
        }
        let is_wal = from.parent().is_some_and(|dir| dir.ends_with("pg_wal"));
        if is_wal && size >= SPARSE_FROM {
            copy_without_zeros(&mut source, &mut target, size)?;
            self.progress.add(size);
            return Ok(());
        }
        loop {
            let copied = io::copy(&mut (&source).take(STRETCH), &mut target)?;
            if copied == 0 {
                return Ok(());
            }
            self.progress.add(copied);
            self.go_on()?;
        }
    }

    fn go_on(&self) -> io::Result<()> {
        if self.progress.is_stopped() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

/// The whole size is allocated, so that writing into it later cannot find the disk full.
fn copy_without_zeros(source: &mut File, target: &mut File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(target.as_fd(), FallocateFlags::empty(), 0, size) {
        Ok(()) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => {
            io::copy(source, target)?;
            return Ok(());
        }
        Err(errno) => return Err(errno.into()),
    }
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        if chunk[..read].iter().all(|byte| *byte == 0) {
            target.seek(SeekFrom::Current(i64::try_from(read).unwrap_or_default()))?;
        } else {
            target.write_all(&chunk[..read])?;
        }
    }
}
