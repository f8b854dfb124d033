//! Writing files so that a crash leaves the old or the new content, never half of it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::RunAs;

/// Replaces a file's content: written beside it, flushed to the disk, and renamed. The file gets
/// mode 0600 and belongs to `owner`, or to the user of this process. The name that it is written
/// under first is always the same, so what a crash leaves is overwritten by the next attempt; two
/// writers of one file must be kept apart by the caller.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, content: &[u8], owner: Option<&RunAs>) -> io::Result<()> {
    let beside = beside(path);
    write_beside(&beside, content, owner)?.sync_all()?;
    rename(&beside, path)
}

fn write_beside(beside: &Path, content: &[u8], owner: Option<&RunAs>) -> io::Result<File> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    file.write_all(content)?;
    if let Some(owner) = owner {
        owner.give(beside)?;
    }
    Ok(file)
}

/// As [`write`], when the content differs from what is there. Says whether it wrote.
///
/// # Errors
/// Those of the file system.
pub fn write_changed(path: &Path, content: &[u8], owner: Option<&RunAs>) -> io::Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    write(path, content, owner)?;
    Ok(true)
}

/// As [`write_changed`], and leaves it to the operating system when it is flushed: what a crash of
/// ours leaves is the old or the new content, but a loss of power may leave nothing of it. For
/// files that are compared with what they should be before every use.
///
/// # Errors
/// Those of the file system.
pub fn refresh(path: &Path, content: &[u8], owner: Option<&RunAs>) -> io::Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let beside = beside(path);
    write_beside(&beside, content, owner)?;
    std::fs::rename(&beside, path)?;
    Ok(true)
}

/// Renames a file or directory within its file system, and makes that last.
///
/// # Errors
/// Those of the file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_dir(to.parent().unwrap_or(Path::new("/")))
}

/// Makes what happened to the names in a directory last.
///
/// # Errors
/// Those of the file system.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes a directory with all in it; fine when it is not there.
///
/// # Errors
/// Those of the file system.
pub fn remove_dir(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Ok(()) => sync_dir(dir.parent().unwrap_or(Path::new("/"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file; fine when it is not there.
///
/// # Errors
/// Those of the file system.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The name that something is made under before it gets its own: `.NAME.new` in the same directory.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}
