//! Room on a disk that is kept for the day when there is no other.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::durable;

/// Sees to it that a file takes at least so many bytes of the disk. Nothing is written where it
/// does already.
///
/// # Errors
/// Those of the file system; when there is no room (`StorageFull`) it takes what it did before.
pub fn ensure(path: &Path, bytes: u64) -> io::Result<()> {
    let before = size(path)?;
    if before >= bytes {
        return Ok(());
    }
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let taken = match rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => fill(&file, bytes),
        other => other.map_err(io::Error::from),
    };
    let Err(error) = taken.and_then(|()| file.sync_all()) else { return Ok(()) };
    if before == 0 {
        release(path)?;
    } else {
        file.set_len(before)?;
    }
    Err(error)
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(now).unwrap_or_default()])?;
        left -= now;
    }
    Ok(())
}

/// How much of the disk a reserve takes, in bytes; 0 when there is none.
///
/// # Errors
/// Those of the file system.
pub fn size(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(meta) => Ok(meta.blocks() * 512),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Gives the room back; fine when there is none.
///
/// # Errors
/// Those of the file system.
pub fn release(path: &Path) -> io::Result<()> {
    durable::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_takes_room_and_gives_it_back_and_takes_nothing_where_there_is_none() {
        let dir = tempfile::tempdir().expect("make a directory");
        let path = dir.path().join("reserve");
        assert_eq!(size(&path).expect("look"), 0);
        for _ in 0..2 {
            ensure(&path, 3 << 20).expect("there is room for three megabytes");
            assert!(size(&path).expect("look") >= 3 << 20);
        }
        ensure(&path, 4 << 20).expect("there is room for one more");
        assert!(size(&path).expect("look") >= 4 << 20);
        ensure(&path, 1 << 52).expect_err("no disk has that");
        assert!(size(&path).expect("look") >= 4 << 20, "what it had stays");
        for _ in 0..2 {
            release(&path).expect("give it back");
            assert!(!path.exists());
        }
        ensure(&path, 1 << 52).expect_err("no disk has that");
        assert!(!path.exists());
    }
}
