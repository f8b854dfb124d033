//! Writing pieces of files to their places.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::claim::{Claim, make_dir, sync_dir};
use super::{Error, Owner};
use crate::backup::index::{Index, Piece};
use crate::backup::manifest::{Manifest, Sum};

/// What is read at once of a file that is there already.
const CHUNK: usize = 1 << 18;
/// Without this file no server starts. It comes last.
const CONTROL: &str = "global/pg_control";
/// The first server that is started gives this file another name.
const LABEL: &str = "backup_label";
/// What the manifest is called in a data directory.
pub(super) const MANIFEST: &str = "backup_manifest";

/// What was written of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) piece: Piece,
    pub(super) crc: u32,
    /// How much of it.
    pub(super) length: u64,
}

/// Where files go.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) owner: Option<Owner>,
    /// Held as long as anything writes, also when nobody waits for it any more.
    pub(super) claim: Claim,
    given_up: AtomicBool,
}

impl Writer {
    pub(super) fn new(dir: PathBuf, owner: Option<Owner>, claim: Claim) -> Self {
        Self { dir, owner, claim, given_up: AtomicBool::new(false) }
    }

    /// Has all writing end at the next occasion.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Makes the directories and all files that have no content.
    pub(super) fn prepare(&self, index: &Index) -> Result<(), Error> {
        for path in &index.directories {
            let path = self.dir.join(path);
            make_dir(&path, self.owner).map_err(Error::file(&path))?;
        }
        for file in index.files.iter().filter(|file| file.size == 0) {
            self.open(&self.place(&file.path))?;
        }
        Ok(())
    }

    /// Writes a file as a whole and to the disk.
    pub(super) fn whole(&self, path: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.dir.join(path);
        let file = self.open(&path)?;
        let write = || {
            file.write_all_at(content, 0)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()
        };
        write().map_err(Error::file(&path))
    }

    /// Which files are there already, as they should be. What is there of others is removed.
    pub(super) fn complete(&self, index: &Index, manifest: &Manifest) -> Result<Vec<bool>, Error> {
        let mut complete = Vec::with_capacity(index.files.len());
        for file in &index.files {
            let should = manifest.files.get(&file.path).copied();
            let is_complete = should.is_some() && sum(&self.place(&file.path)) == should;
            let path = self.place(&file.path);
            if is_complete {
                // It may have been another owner's.
                self.open(&path)?;
            } else if path.exists() {
                fs::remove_file(&path).map_err(Error::file(&path))?;
            }
            complete.push(is_complete);
        }
        Ok(complete)
    }

    /// Flushes everything, gives `pg_control` its name, and takes the marker away.
    pub(super) fn conclude(&self) -> Result<(), Error> {
        self.claim.flush()?;
        let (from, to) = (self.place(CONTROL), self.dir.join(CONTROL));
        if from.exists() || !to.exists() {
            fs::rename(&from, &to).map_err(Error::file(&from))?;
        }
        sync_dir(&self.dir.join("global"))?;
        self.claim.complete()
    }

    /// Where a file is while it is written.
    fn place(&self, path: &str) -> PathBuf {
        let to = self.dir.join(path);
        if path == CONTROL { to.with_file_name("howdah-pg_control") } else { to }
    }

    fn open(&self, path: &Path) -> Result<File, Error> {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(Error::file(path))?;
        if let Some(Owner { uid, gid }) = self.owner {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(Error::file(path))?;
        }
        Ok(file)
    }
}

/// Whether a directory is this very restore, and complete: the last step of an attempt goes on also
/// when nobody waits for it any more. No server has been started in it since.
pub(super) fn is_done(dir: &Path, manifest: &Manifest, text: &[u8]) -> Result<bool, Error> {
    // Not by `pg_control`: it ends with its own checksum, so the manifest's is the same for all.
    let label = sum(&dir.join(LABEL));
    let is_done = label.is_some()
        && label.as_ref() == manifest.files.get(LABEL)
        && dir.join(CONTROL).exists()
        && !Claim::is_on(dir)
        && fs::read(dir.join(MANIFEST)).is_ok_and(|there| there == text);
    if is_done {
        sync_dir(dir)?;
    }
    Ok(is_done)
}

/// What is there of a file, if it can be read.
fn sum(path: &Path) -> Option<Sum> {
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let (mut at, mut crc, mut chunk) = (0, 0, vec![0; CHUNK]);
    while at < size {
        let read = file.read_at(&mut chunk, at).ok().filter(|read| *read > 0)?;
        crc = crc32c::crc32c_append(crc, &chunk[..read]);
        at += read as u64;
    }
    Some(Sum { size, crc })
}

/// Writes the pieces of a part while it comes.
pub(super) struct Pouring<'a> {
    writer: &'a Writer,
    index: &'a Index,
    /// Those that are still to come, in the order of their places.
    pieces: std::slice::Iter<'a, Piece>,
    /// The one that is being written, and what of it has come.
    open: Option<(File, PathBuf, Written)>,
    /// The place in the part.
    at: u64,
    written: Vec<Written>,
}

impl<'a> Pouring<'a> {
    pub(super) fn new(writer: &'a Writer, index: &'a Index, pieces: &'a [Piece]) -> Self {
        let written = Vec::with_capacity(pieces.len());
        Self { writer, index, pieces: pieces.iter(), open: None, at: 0, written }
    }

    /// Takes the next bytes of the part.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if self.writer.given_up.load(Ordering::Relaxed) {
            return Err(Error::Broke("it was given up".to_owned()));
        }
        while !bytes.is_empty() {
            if self.open.is_none() {
                let Some(next) = self.pieces.as_slice().first() else {
                    self.at += bytes.len() as u64;
                    return Ok(());
                };
                let Some(before) = next.from.checked_sub(self.at) else {
                    return Err(Error::Broke("pieces of a part overlap".to_owned()));
                };
                let skipped = usize::try_from(before).unwrap_or(usize::MAX).min(bytes.len());
                (self.at, bytes) = (self.at + skipped as u64, &bytes[skipped..]);
                if self.at < next.from {
                    continue;
                }
                self.open = Some(self.begin(*next)?);
                self.pieces.next();
            }
            let taken = self.write(bytes)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// What was written, and how many bytes came.
    pub(super) fn finish(self) -> (Vec<Written>, u64) {
        (self.written, self.at)
    }

    fn begin(&self, piece: Piece) -> Result<(File, PathBuf, Written), Error> {
        let file = usize::try_from(piece.file).ok().and_then(|file| self.index.files.get(file));
        let unknown = || Error::Broke("a piece is of no file".to_owned());
        let path = self.writer.place(&file.ok_or_else(unknown)?.path);
        Ok((self.writer.open(&path)?, path, Written { piece, crc: 0, length: 0 }))
    }

    /// Writes to the piece that is open, and says how much.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Some((file, path, written)) = &mut self.open else { return Ok(0) };
        let left = written.piece.length - written.length;
        let bytes = &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())];
        written.crc = crc32c::crc32c_append(written.crc, bytes);
        let at = written.piece.at + written.length;
        file.write_all_at(bytes, at).map_err(|error| Error::file(path)(error))?;
        written.length += bytes.len() as u64;
        self.at += bytes.len() as u64;
        if written.length == written.piece.length {
            self.written.push(*written);
            self.open = None;
        }
        Ok(bytes.len())
    }
}
