//! WAL out of the archive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use howdah_model::lsn::Tli;
use uuid::Uuid;

use super::index::{WalIndex, contiguous, newest, tail_name};
use super::{SEGMENT_SIZE, Segment, WalName, history};
use crate::error::Error;
use crate::layout::{Piece, Place};
use crate::store::{Listed, blocking};
use crate::timeline::Timeline;

/// How many parts of a segment are fetched at once.
const AT_ONCE: usize = 8;

/// What came of asking for a file of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file is there, as it was put.
    Whole,
    /// The segment was put together from its parts: bytes before `valid_to` are WAL, the others zero.
    FromTail {
        /// The first byte that is not known.
        valid_to: u32,
    },
    /// The archive has nothing of it, and no file was made.
    Missing,
}

impl Timeline {
    /// Fetches a file of WAL. It has its name when it is complete, replaces what has that name, and
    /// belongs to whom the directory belongs. It need not be on the disk yet: after a crash of the
    /// machine it is fetched again.
    ///
    /// # Errors
    /// When what is there is damaged or cannot be read; then no file was made.
    pub async fn fetch_wal(&self, name: &WalName, to: &Path) -> Result<Fetched, Error> {
        let place = Place::wal(self.id, name);
        let found = match (self.whole(&place).await?, name) {
            (None, WalName::Segment(segment)) => self.in_parts(*segment, &place).await?,
            (whole, _) => whole,
        };
        let Some((content, fetched)) = found else { return Ok(Fetched::Missing) };
        let to = to.to_owned();
        blocking(&place, move || write(&to, &content)).await?;
        Ok(fetched)
    }

    /// What there is of WAL.
    ///
    /// # Errors
    /// When the store does not answer, or a history file is damaged.
    pub async fn wal(&self) -> Result<WalIndex, Error> {
        // Parts first: a segment that becomes whole meanwhile is then seen twice, not never.
        let mut objects = self.store.list(&Place::all_tails(self.id)).await?;
        objects.extend(self.store.list(&Place::all_wal(self.id)).await?);
        self.index(&objects).await
    }

    /// The index of what was listed, with the histories read.
    pub(crate) async fn index(&self, objects: &[Listed]) -> Result<WalIndex, Error> {
        let mut index = WalIndex::of(self.id, objects);
        for tli in WalIndex::listed_histories(self.id, objects) {
            index.add_history(tli, self.history(tli).await?);
        }
        Ok(index)
    }

    async fn history(&self, tli: Tli) -> Result<Vec<history::Switch>, Error> {
        let place = Place::wal(self.id, &WalName::History(tli));
        let text = self.store.get(&place).await?;
        history::parse(&text).ok_or_else(|| Error::corrupt(&place, "it is not a history file"))
    }

    async fn whole(&self, place: &Place) -> Result<Option<(Bytes, Fetched)>, Error> {
        match self.store.get(place).await {
            Ok(content) => Ok(Some((content, Fetched::Whole))),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A segment that is not there as a whole, or was not a moment ago.
    pub(crate) async fn in_parts(
        &self,
        segment: Segment,
        whole: &Place,
    ) -> Result<Option<(Bytes, Fetched)>, Error> {
        let parts = self.store.list(&Place::tails(self.id, segment)).await?;
        // Parts go only when the whole is there. So these are all, if it is not there even now.
        let assembled = match self.store.exists(whole).await? {
            true => None,
            false => self.assemble(segment, &parts).await?,
        };
        match assembled {
            Some((content, valid_to)) => Ok(Some((content, Fetched::FromTail { valid_to }))),
            None => self.whole(whole).await,
        }
    }

    /// Puts a segment together from its parts, as far as they go without a hole. None when there is
    /// nothing, or when they are going away.
    async fn assemble(
        &self,
        segment: Segment,
        listed: &[Listed],
    ) -> Result<Option<(Bytes, u32)>, Error> {
        let all = Place::all_tails(self.id);
        let pieces: Vec<Piece> = listed
            .iter()
            .filter_map(|object| object.place.below(&all).and_then(tail_name))
            .map(|(_, piece)| piece)
            .collect();
        let valid_to = contiguous(&pieces);
        if valid_to == 0 {
            return Ok(None);
        }
        let wanted = newest(&pieces).into_iter().filter(|piece| piece.to <= valid_to);
        let wanted: Vec<Piece> = wanted.collect();
        let parts = stream::iter(wanted).map(|piece| self.part(segment, piece)).buffered(AT_ONCE);
        let parts: Vec<_> = match parts.try_collect().await {
            // They go when the whole has come.
            Err(Error::Missing { .. }) => return Ok(None),
            parts => parts?,
        };
        let size = usize::try_from(SEGMENT_SIZE).unwrap_or(usize::MAX);
        let mut content = vec![0; size];
        let mut filled = 0;
        for (piece, part) in &parts {
            overlay(segment, &mut content, &mut filled, *piece, part)?;
        }
        Ok(Some((Bytes::from(content), valid_to)))
    }

    async fn part(&self, segment: Segment, piece: Piece) -> Result<(Piece, Bytes), Error> {
        let place = Place::tail(self.id, segment, piece);
        let content = self.store.get(&place).await?;
        if content.len() as u64 != u64::from(piece.to - piece.from) {
            return Err(Error::corrupt(place, "its length is not what its name says"));
        }
        Ok((piece, content))
    }
}

/// Lays a part over what is there up to `filled`: where both say something, it must be the same.
fn overlay(
    segment: Segment,
    content: &mut [u8],
    filled: &mut usize,
    piece: Piece,
    part: &[u8],
) -> Result<(), Error> {
    let (from, to) = (piece.from as usize, piece.to as usize);
    let known = (*filled).clamp(from, to) - from;
    let mut both = content[from..from + known].iter().zip(part);
    if let Some(at) = both.position(|(there, now)| there != now) {
        let at = piece.from + u32::try_from(at).unwrap_or_default();
        return Err(Error::Diverged { segment: segment.to_string(), at });
    }
    content[from + known..to].copy_from_slice(&part[known..]);
    *filled = to.max(*filled);
    Ok(())
}

/// Writes a file beside its place and moves it there.
fn write(to: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { path: to.to_owned(), source };
    let mut beside = to.as_os_str().to_owned();
    beside.push(format!(".{}.part", Uuid::new_v4().simple()));
    let beside = PathBuf::from(beside);
    let written = create(&beside)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&beside, to));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.map_err(failed)
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let directory = fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
    let ours = file.metadata()?;
    if (directory.uid(), directory.gid()) != (ours.uid(), ours.gid()) {
        fchown(&file, Some(directory.uid()), Some(directory.gid()))?;
    }
    Ok(file)
}
