//! Restoring a base backup into a data directory.
//!
//! Parts are fetched several at once and their pieces written to their places. Every file's
//! checksum is added up while it is written and compared with PostgreSQL's manifest. `pg_control`,
//! without which no server starts, is written last, when all else is on the disk. Until then a
//! marker in the directory says whose half-made restore it is, so that the next attempt goes on.

mod chain;
mod claim;
mod filling;
mod writing;

use std::io;
use std::path::{Path, PathBuf};

use crate::backup::{BackupId, Disagrees};
use crate::{Error as ArchiveError, Timeline};

pub use crate::backup::{Backup, Progress};

/// How a base backup is restored.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// The data directory. It must not exist, or be empty, or hold what an earlier attempt left.
    pub to: PathBuf,
    /// Whom everything shall belong to; the user of this process if nobody.
    pub owner: Option<Owner>,
    /// How many parts are fetched and written at the same time.
    pub parallel: usize,
    /// The directory of PostgreSQL's programs of the backup's version; incremental ones need it.
    pub bindir: PathBuf,
}

/// A user and a group of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A base backup was not restored. No server starts from what was written of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds something else.
    #[error("{} is not empty and is no restore that was broken off: choose another, or move it away", .0.display())]
    Occupied(PathBuf),
    /// Somebody else restores into it now.
    #[error("another restore into {} is under way", .0.display())]
    Busy(PathBuf),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An object of the backup contradicts another.
    #[error("the base backup {backup} is damaged: {object}: {why}")]
    Damaged {
        /// The backup.
        backup: BackupId,
        /// Which object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// What was restored differs from PostgreSQL's manifest.
    #[error("the base backup {backup} is damaged: {why}")]
    Disagrees {
        /// The backup.
        backup: BackupId,
        /// What differs.
        why: Disagrees,
    },
    /// A backup that an incremental one adds to is not there.
    #[error("the incremental base backup {backup} needs {base}, which is not in the archive")]
    NoBase {
        /// The backup.
        backup: BackupId,
        /// What it adds to.
        base: BackupId,
    },
    /// It would not fit.
    #[error("{} has room for {free} bytes, and {needed} are needed", dir.display())]
    NoRoom {
        /// The directory.
        dir: PathBuf,
        /// What is still to be written.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `pg_combinebackup` did not do it.
    #[error("pg_combinebackup could not put {backup} and what it adds to together: {why}")]
    NotCombined {
        /// The backup.
        backup: BackupId,
        /// What it said.
        why: String,
    },
    /// Something of ours went wrong.
    #[error("the restore broke off: {0}")]
    Broke(String),
}

impl Error {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}

/// Restores a base backup: a complete data directory with `backup_label`, without WAL, on the disk
/// when this returns. A server that is started in it needs the WAL from the backup's start on. When
/// the future is dropped, what was written stays for the next attempt. Where the same restore is
/// complete already and no server has been started in it, there is nothing to do (not so for an
/// incremental one, which is then [`Error::Occupied`]).
///
/// # Errors
/// See [`Error`].
pub async fn restore(
    timeline: &Timeline,
    backup: &Backup,
    how: &Restoring,
    progress: &Progress,
) -> Result<(), Error> {
    if backup.base.is_some() {
        chain::restore(timeline, backup, how, progress).await
    } else {
        progress.expect(backup.bytes);
        filling::fill(timeline, backup, how, progress).await
    }
}
