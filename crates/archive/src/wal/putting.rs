//! WAL into the archive.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;

use super::{SEGMENT_SIZE, Segment, WalName};
use crate::envelope::How;
use crate::error::Error;
use crate::layout::{Generation, Piece, Place};
use crate::store::{Stored, blocking};
use crate::timeline::Timeline;

/// History files and marks of backups are some lines of text.
const LONGEST_TEXT: u64 = 1 << 20;

impl Timeline {
    /// Puts a file of WAL that PostgreSQL is done with. It is durable when this returns; one that is
    /// there with the same content is left as it is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is there with other content, [`Error::Unfit`] when the file is not
    /// what its name says.
    pub async fn put_wal(&self, name: &WalName, path: &Path) -> Result<Stored, Error> {
        let place = Place::wal(self.id, name);
        let (path, name, at) = (path.to_owned(), *name, place.clone());
        let content = blocking(&place, move || read(&path, &name, &at)).await?;
        self.store.put_new(&place, content, How::Fast).await
    }

    /// Puts a part of the segment that is being written: what is durable in it from a byte on. Parts
    /// of one generation may come in any order and overlap; what they say of one byte must be the same.
    /// The first part of a later generation replaces what earlier ones say of the segment, so it is
    /// one that begins at 0 and reaches at least as far as they do.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the same part is there with other content, [`Error::Unfit`] when it
    /// is empty or reaches beyond the segment.
    pub async fn put_tail(
        &self,
        segment: Segment,
        generation: Generation,
        from: u32,
        content: Bytes,
    ) -> Result<Stored, Error> {
        let unfit = |why: &str| Error::Unfit {
            place: Place::tails(self.id, segment).to_string(),
            why: why.to_owned(),
        };
        let to = u64::from(from) + content.len() as u64;
        if content.is_empty() || to > SEGMENT_SIZE {
            return Err(unfit("a part of a segment has bytes, and they are within it"));
        }
        if from == 0 && !begins(&content, segment) {
            return Err(unfit("it does not begin as that segment does"));
        }
        let to = u32::try_from(to).map_err(|_| unfit("it is too long"))?;
        let place = Place::tail(self.id, segment, Piece { generation, from, to });
        self.store.put_new(&place, content, How::Fast).await
    }

    /// Takes the parts of a segment away, which is there as a whole now.
    ///
    /// # Errors
    /// [`Error::Missing`] when the whole is not there: then nothing is taken away.
    pub async fn clear_tail(&self, segment: Segment) -> Result<(), Error> {
        let whole = Place::wal(self.id, &WalName::Segment(segment));
        let parts = self.store.list(&Place::tails(self.id, segment)).await?;
        if parts.is_empty() {
            return Ok(());
        }
        if !self.store.exists(&whole).await? {
            return Err(Error::Missing { place: whole.to_string() });
        }
        let parts: Vec<_> = parts.into_iter().map(|part| part.place).collect();
        self.store.delete(&parts).await
    }
}

/// The content of a file, when it can be what its name says.
fn read(path: &Path, name: &WalName, place: &Place) -> Result<Bytes, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let unfit = |why: &str| Error::Unfit { place: place.to_string(), why: why.to_owned() };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let segment = match name {
        WalName::Segment(segment) | WalName::Partial(segment) => Some(*segment),
        WalName::History(_) | WalName::Backup(..) => None,
    };
    match segment {
        Some(_) if length != SEGMENT_SIZE => {
            return Err(unfit(&format!("the file has {length} bytes, a segment {SEGMENT_SIZE}")));
        }
        None if length > LONGEST_TEXT => return Err(unfit("the file is too long for its kind")),
        _ => {}
    }
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    // Not more than that, should it grow meanwhile.
    file.take(length + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 != length {
        return Err(unfit("the file changed while it was read"));
    }
    if segment.is_some_and(|segment| !begins(&content, segment)) {
        return Err(unfit("the file does not begin as that segment does"));
    }
    Ok(Bytes::from(content))
}

/// Whether the header of the first page is that segment's. (The timeline in it may be an earlier
/// one: where timelines part, the later one begins with a copy.)
fn begins(content: &[u8], segment: Segment) -> bool {
    const ADDRESS: std::ops::Range<usize> = 8..16;
    let Some(address) = content.get(ADDRESS) else { return true };
    let of_page =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    of_page(address) == segment.start().0
}
