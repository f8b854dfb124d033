//! WAL by its names: segments of 16 MB, history files, and what else PostgreSQL archives.

mod fetching;
pub(crate) mod history;
pub mod index;
mod putting;

use std::fmt;
use std::str::FromStr;

use howdah_model::lsn::{Lsn, Tli};

pub use fetching::Fetched;
pub use history::Switch;

/// Bytes of a segment. Every cluster of the platform has this size.
pub const SEGMENT_SIZE: u64 = 16 << 20;

/// Segments to one of the numbers in the middle of a file's name.
const TO_A_LOG: u64 = (1 << 32) / SEGMENT_SIZE;

/// A segment of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// PostgreSQL's timeline.
    pub tli: Tli,
    /// Counted from the beginning of WAL: 0 begins at 0/0.
    pub number: u64,
}

impl Segment {
    /// The segment that holds the byte at a place.
    #[must_use]
    pub fn of(tli: Tli, lsn: Lsn) -> Self {
        Self { tli, number: lsn.0 / SEGMENT_SIZE }
    }

    /// Where it begins.
    #[must_use]
    pub fn start(self) -> Lsn {
        Lsn(self.number * SEGMENT_SIZE)
    }

    /// The first place behind it.
    #[must_use]
    pub fn end(self) -> Lsn {
        Lsn((self.number + 1) * SEGMENT_SIZE)
    }

    /// The one behind it, of the same timeline.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

/// As PostgreSQL names the file: `0000000100000002000000A3`.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (log, in_log) = (self.number / TO_A_LOG, self.number % TO_A_LOG);
        write!(f, "{:08X}{log:08X}{in_log:08X}", self.tli.0)
    }
}

/// What PostgreSQL archives, by the names it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalName {
    /// A segment.
    Segment(Segment),
    /// The last segment of a timeline that another one took over from: `….partial`.
    Partial(Segment),
    /// Where a timeline came from: `00000002.history`.
    History(Tli),
    /// The mark of a base backup: `….00000028.backup`. The number is the place in the segment.
    Backup(Segment, u32),
}

impl WalName {
    /// PostgreSQL's timeline that it belongs to.
    #[must_use]
    pub fn tli(&self) -> Tli {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::Backup(segment, _) => {
                segment.tli
            }
            Self::History(tli) => *tli,
        }
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::History(tli) => write!(f, "{:08X}.history", tli.0),
            Self::Backup(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

/// The text is not the name of a file that PostgreSQL archives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a WAL file, such as 000000010000000000000001")]
pub struct NotAWalName(String);

impl FromStr for Segment {
    type Err = NotAWalName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        segment(text).ok_or_else(|| NotAWalName(text.to_owned()))
    }
}

impl FromStr for WalName {
    type Err = NotAWalName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        wal_name(text).ok_or_else(|| NotAWalName(text.to_owned()))
    }
}

fn wal_name(text: &str) -> Option<WalName> {
    if let Some(tli) = text.strip_suffix(".history") {
        return Some(WalName::History(timeline(tli)?));
    }
    if let Some(of) = text.strip_suffix(".partial") {
        return Some(WalName::Partial(segment(of)?));
    }
    if let Some(of) = text.strip_suffix(".backup") {
        let (of, offset) = of.split_once('.')?;
        let offset = hex(offset).filter(|offset| u64::from(*offset) < SEGMENT_SIZE)?;
        return Some(WalName::Backup(segment(of)?, offset));
    }
    segment(text).map(WalName::Segment)
}

fn segment(text: &str) -> Option<Segment> {
    if text.len() != 24 || !text.is_ascii() {
        return None;
    }
    let (log, in_log) = (u64::from(hex(&text[8..16])?), u64::from(hex(&text[16..])?));
    let number = log * TO_A_LOG + in_log;
    (in_log < TO_A_LOG).then_some(Segment { tli: timeline(&text[..8])?, number })
}

fn timeline(text: &str) -> Option<Tli> {
    hex(text).filter(|tli| *tli != 0).map(Tli)
}

/// Exactly eight digits, as PostgreSQL writes them: in capitals.
pub(crate) fn hex(text: &str) -> Option<u32> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    (text.len() == 8 && text.bytes().all(digit)).then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_postgresqls() {
        let segment = Segment::of(Tli(1), Lsn(0x16_B374_D848));
        assert_eq!(segment.to_string(), "0000000100000016000000B3");
        assert_eq!(segment.start(), Lsn(0x16_B300_0000));
        assert_eq!(segment.end(), segment.next().start());
        let last = Segment { tli: Tli(0xA), number: 255 };
        assert_eq!(last.to_string(), "0000000A00000000000000FF");
        assert_eq!(last.next().to_string(), "0000000A0000000100000000");
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for bad in [
            "",
            "1",
            "00000001000000000000000",
            "0000000100000000000000011",
            "000000010000000000000100",
            "000000000000000000000001",
            "00000001000000000000000a",
            "+00000010000000000000001",
            "0000000100000000000000ä",
            "00000000.history",
            "1.history",
            "0000000a.history",
            ".history",
            "000000010000000000000001.Partial",
            "000000010000000000000001.backup",
            "000000010000000000000001.01000000.backup",
            "000000010000000000000001.00000028.backup.backup",
            "../000000010000000000000001",
            "000000010000000000000001/",
        ] {
            assert!(bad.parse::<WalName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn names_read_back(tli in 1u32.., number in 0u64..(1 << 40), offset in 0u32..(1 << 24)) {
            let segment = Segment { tli: Tli(tli), number };
            for name in [
                WalName::Segment(segment),
                WalName::Partial(segment),
                WalName::History(Tli(tli)),
                WalName::Backup(segment, offset),
            ] {
                prop_assert_eq!(name.to_string().parse::<WalName>(), Ok(name));
            }
            prop_assert_eq!(segment.to_string().parse::<Segment>(), Ok(segment));
            prop_assert_eq!(Segment::of(Tli(tli), Lsn(segment.start().0 + u64::from(offset))), segment);
        }

        #[test]
        fn nothing_else_is_a_name(text in "[0-9A-F.a-z]{0,40}") {
            if let Ok(name) = text.parse::<WalName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
