//! Copying a data directory: by reference where the file system can (reflink), else as fast as can
//! be, and on the disk when it returns.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::RunAs;

/// Files from this size on may be mostly zeros (a fresh WAL segment is), and those are not copied.
const SPARSE_FROM: u64 = 1 << 20;
const CHUNK: usize = 1 << 16;

/// Copies a directory with all in it to a new place that belongs to `owner`. Regular files and
/// directories only, which is what a data directory without tablespaces holds. The caller gives
/// the copy its final name afterwards ([`crate::durable::rename`]). Before every file `stop` is
/// asked whether to break off.
///
/// # Errors
/// Those of the file system, and `Interrupted` when it was broken off; a half-made copy is left
/// for the caller to remove.
pub fn tree(from: &Path, to: &Path, owner: &RunAs, stop: &dyn Fn() -> bool) -> io::Result<()> {
    let mut copy = Copy { owner, reflink: true, stop };
    copy.dir(from, to)?;
    // One flush of the whole file system: a thousand files one by one take twenty times as long.
    Ok(rustix::fs::syncfs(File::open(to)?)?)
}

struct Copy<'a> {
    owner: &'a RunAs,
    /// Whether the file system is still believed to copy by reference.
    reflink: bool,
    stop: &'a dyn Fn() -> bool,
}

impl Copy<'_> {
    fn dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.owner.make_dir(to)?;
        for entry in std::fs::read_dir(from)? {
            if (self.stop)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let entry = entry?;
            let target = to.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.dir(&entry.path(), &target)?;
            } else if kind.is_file() {
                self.file(&entry.path(), &target)?;
            } else {
                let what = format!("{} is neither a file nor a directory", entry.path().display());
                return Err(io::Error::other(what));
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut source = File::open(from)?;
        let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        self.owner.give(to)?;
        let size = source.metadata()?.size();
        if size == 0 {
            return Ok(());
        }
        if self.reflink && rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
            return Ok(());
        }
        self.reflink = false;
        if size >= SPARSE_FROM {
            return copy_without_zeros(&mut source, &mut target, size);
        }
        io::copy(&mut source, &mut target).map(|_| ())
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
