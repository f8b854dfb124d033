//! The names of objects. docs/archive.md describes them; a change of them is a new format.

use std::fmt;

use howdah_model::ids::{TimelineId, TransferId};

use crate::backup::BackupId;
use crate::wal::{self, Segment, WalName};

/// The version of layout and envelope.
pub(crate) const FORMAT: u32 = 1;

/// The name of an object, or of a directory of them, below the archive's prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(String);

impl Place {
    /// Says what all else is like.
    pub(crate) fn format() -> Self {
        Self("format.json".to_owned())
    }

    /// What a check puts and takes away again.
    pub(crate) fn probe(name: &str) -> Self {
        Self(format!("probe/{name}"))
    }

    /// All that checks have put and not taken away yet.
    pub(crate) fn probes() -> Self {
        Self("probe".to_owned())
    }

    /// All timelines.
    pub(crate) fn timelines() -> Self {
        Self("timelines".to_owned())
    }

    /// All of one timeline.
    pub(crate) fn timeline(id: TimelineId) -> Self {
        Self(format!("timelines/{id}"))
    }

    /// Says whose history it is.
    pub(crate) fn about(id: TimelineId) -> Self {
        Self(format!("timelines/{id}/timeline.json"))
    }

    /// All WAL.
    pub(crate) fn all_wal(id: TimelineId) -> Self {
        Self(format!("timelines/{id}/wal"))
    }

    /// A file of WAL.
    pub(crate) fn wal(id: TimelineId, name: &WalName) -> Self {
        match name {
            WalName::History(_) => Self(format!("timelines/{id}/wal/{name}")),
            _ => Self(format!("timelines/{id}/wal/{:08X}/{name}", name.tli().0)),
        }
    }

    /// All parts of segments.
    pub(crate) fn all_tails(id: TimelineId) -> Self {
        Self(format!("timelines/{id}/tail"))
    }

    /// All parts of one segment.
    pub(crate) fn tails(id: TimelineId, segment: Segment) -> Self {
        Self(format!("timelines/{id}/tail/{segment}"))
    }

    /// A part of a segment.
    pub(crate) fn tail(id: TimelineId, segment: Segment, piece: Piece) -> Self {
        Self(format!("timelines/{id}/tail/{segment}/{piece}"))
    }

    /// All base backups.
    pub(crate) fn backups(id: TimelineId) -> Self {
        Self(format!("timelines/{id}/backups"))
    }

    /// An object of a base backup: `part-000000`, `manifest`.
    pub(crate) fn of_backup(id: TimelineId, backup: &BackupId, name: &str) -> Self {
        Self(format!("timelines/{id}/backups/{backup}/{name}"))
    }

    /// What makes a base backup complete.
    pub(crate) fn backup(id: TimelineId, backup: &BackupId) -> Self {
        Self::of_backup(id, backup, BACKUP)
    }

    /// All dumps.
    pub(crate) fn dumps() -> Self {
        Self("dumps".to_owned())
    }

    /// All of one dump.
    pub(crate) fn dump(id: TransferId) -> Self {
        Self(format!("dumps/{id}"))
    }

    /// What makes a dump complete.
    pub(crate) fn dump_description(id: TransferId) -> Self {
        Self(format!("dumps/{id}/{DUMP}"))
    }

    /// A part of what one attempt at a dump has put.
    pub(crate) fn of_dump(id: TransferId, attempt: &str, number: u32) -> Self {
        Self(format!("dumps/{id}/{attempt}/part-{number:06}"))
    }

    /// The last part of the name.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The parts of the name behind a directory's; none when it is not in there.
    pub(crate) fn below<'a>(&'a self, directory: &Place) -> Option<&'a str> {
        self.0.strip_prefix(&directory.0)?.strip_prefix('/')
    }

    /// A name that the store listed.
    pub(crate) fn listed(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of the object that makes a base backup complete.
pub(crate) const BACKUP: &str = "backup.json";

/// The name of the object that makes a dump complete.
pub(crate) const DUMP: &str = "dump.json";

/// Which run of PostgreSQL a part of a segment is of. A crash can leave a record half written, whose
/// place is written anew afterwards: parts of two runs may differ, and the later run is right. A
/// later one has a higher number, and begins with byte 0 of its segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A part of a segment: bytes `from` up to and without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// The run that it is of.
    pub generation: Generation,
    /// Its first byte.
    pub from: u32,
    /// The first byte behind it.
    pub to: u32,
}

impl Piece {
    /// Reads the name of an object; nothing else than what is written here is one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut numbers = name.split('-').map(wal::hex);
        let mut number = || numbers.next().flatten();
        let (high, low, from, to) = (number()?, number()?, number()?, number()?);
        let generation = Generation(u64::from(high) << 32 | u64::from(low));
        let is_all = numbers.next().is_none();
        (is_all && from < to && u64::from(to) <= wal::SEGMENT_SIZE).then_some(Self {
            generation,
            from,
            to,
        })
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.generation.0 >> 32, self.generation.0 & 0xffff_ffff);
        write!(f, "{high:08X}-{low:08X}-{:08X}-{:08X}", self.from, self.to)
    }
}
