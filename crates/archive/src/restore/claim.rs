//! The marker of a directory that is being restored into.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use howdah_model::ids::TimelineId;
use serde::{Deserialize, Serialize};

use super::{Error, Owner};
use crate::backup::BackupId;

/// Its name. It is in the directory from before the first file until everything is on the disk.
const MARKER: &str = "howdah-restoring";

/// What is restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct What {
    pub(super) timeline: TimelineId,
    pub(super) backup: BackupId,
}

/// The right to write into a directory; held by a lock on the marker.
#[derive(Debug)]
pub(super) struct Claim {
    dir: PathBuf,
    /// What is restored.
    pub(super) what: What,
    /// Locked until it is closed.
    _marker: File,
    /// Open from before the first write on: only so every failure to write to the disk is told.
    root: File,
    /// Whether an earlier attempt at the same left something.
    pub(super) resumes: bool,
}

impl Claim {
    /// Makes the directory where it is not there, and takes it. What is left of another restore is
    /// removed.
    pub(super) fn take(dir: &Path, what: &What, owner: Option<Owner>) -> Result<Self, Error> {
        let path = dir.join(MARKER);
        // What is somebody else's is not touched.
        let is_empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        if dir.exists() && !is_empty && !path.exists() {
            return Err(Error::Occupied(dir.to_owned()));
        }
        make_dir(dir, owner).map_err(Error::file(dir))?;
        let root = File::open(dir).map_err(Error::file(dir))?;
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut marker = options.open(&path).map_err(Error::file(&path))?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::file(&path)(error)),
        }
        let was = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<What>(&text).ok());
        let resumes = was.as_ref() == Some(what);
        if !resumes {
            clear(dir, MARKER).map_err(Error::file(dir))?;
            let text = serde_json::to_vec(what).map_err(|error| Error::Broke(error.to_string()))?;
            let write = |marker: &mut File| {
                marker.set_len(0)?;
                marker.write_all(&text)?;
                marker.sync_all()?;
                File::open(dir)?.sync_all()
            };
            write(&mut marker).map_err(Error::file(&path))?;
        }
        Ok(Self { dir: dir.to_owned(), what: what.clone(), _marker: marker, root, resumes })
    }

    /// Whether a directory is being restored into, or was left in the middle of that.
    pub(super) fn is_on(dir: &Path) -> bool {
        dir.join(MARKER).exists()
    }

    /// Removes what an earlier attempt left.
    pub(super) fn begin_anew(&self) -> Result<(), Error> {
        clear(&self.dir, MARKER).map_err(Error::file(&self.dir))
    }

    /// Waits until everything that was written is on the disk. One flush of the whole file system: a
    /// thousand files one by one take twenty times as long.
    pub(super) fn flush(&self) -> Result<(), Error> {
        rustix::fs::syncfs(&self.root).map_err(|errno| Error::file(&self.dir)(errno.into()))
    }

    /// Gives up the marker: the directory is what it should be.
    pub(super) fn complete(&self) -> Result<(), Error> {
        let path = self.dir.join(MARKER);
        fs::remove_file(&path).map_err(Error::file(&path))?;
        sync_dir(&self.dir)?;
        self.dir.parent().map_or(Ok(()), sync_dir)
    }
}

/// Removes everything in a directory but one name.
fn clear(dir: &Path, except: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == except {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a directory that only its owner can enter; one that is there is given to the owner.
pub(super) fn make_dir(dir: &Path, owner: Option<Owner>) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        }
        made => made?,
    }
    if let Some(Owner { uid, gid }) = owner {
        std::os::unix::fs::chown(dir, Some(uid), Some(gid))?;
    }
    Ok(())
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::file(dir))
}
