//! Writing pieces of files to their places.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::claim::{Claim, make_dir, sync_dir};
use super::{Error, Owner};
use crate::backup::index::{Index, Piece};
use crate::backup::manifest::{Manifest, Sum};

/// What is read at once of a file that is there already.
const CHUNK: usize = 1 << 18;
/// Without this file no server starts. It comes last.
const CONTROL: &str = "global/pg_control";

/// What was written of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) piece: Piece,
    pub(super) crc: u32,
}

/// Where files go.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) owner: Option<Owner>,
    /// Held as long as anything writes, also when nobody waits for it any more.
    pub(super) claim: Claim,
}

impl Writer {
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

    /// Writes the pieces of a part.
    pub(super) fn part(
        &self,
        index: &Index,
        pieces: &[Piece],
        content: &[u8],
    ) -> Result<Vec<Written>, Error> {
        let mut written = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let known = usize::try_from(piece.file).ok().and_then(|file| index.files.get(file));
            let range = usize::try_from(piece.from).ok().zip(usize::try_from(piece.length).ok());
            let range = range.and_then(|(from, length)| content.get(from..from + length));
            let (Some(file), Some(bytes)) = (known, range) else {
                return Err(Error::Broke("a piece lies outside its part".to_owned()));
            };
            let path = self.place(&file.path);
            let target = self.open(&path)?;
            target.write_all_at(bytes, piece.at).map_err(Error::file(&path))?;
            written.push(Written { piece: *piece, crc: crc32c::crc32c(bytes) });
        }
        Ok(written)
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
            let is_complete = should.is_some() && self.sum(&file.path) == should;
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

    /// What is there of a file, if it can be read.
    fn sum(&self, path: &str) -> Option<Sum> {
        let file = File::open(self.place(path)).ok()?;
        let size = file.metadata().ok()?.len();
        let (mut at, mut crc, mut chunk) = (0, 0, vec![0; CHUNK]);
        while at < size {
            let read = file.read_at(&mut chunk, at).ok().filter(|read| *read > 0)?;
            crc = crc32c::crc32c_append(crc, &chunk[..read]);
            at += read as u64;
        }
        Some(Sum { size, crc })
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
