//! What to send of the segment that is being written. Pure.

use howdah_archive::wal::Segment;
use howdah_model::lsn::{Lsn, Tli};
use howdah_model::protection::Position;

/// So much of a new segment between two looks: it will be complete before a part of it is sent. If it
/// is not by the next look, the part is.
const MOST: u32 = 12 << 20;

/// How far the segment that is being written has been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    sent: Option<(Segment, u32)>,
    /// The segment that was expected to be complete soon.
    awaited: Option<Segment>,
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The segment.
    pub(crate) segment: Segment,
    /// Its first byte.
    pub(crate) from: u32,
    /// The byte after its last.
    pub(crate) to: u32,
}

impl Tail {
    /// The part that is to be sent now that everything before `flushed` is on the disk.
    pub(crate) fn next(&mut self, tli: Tli, flushed: Lsn) -> Option<Part> {
        let segment = Segment::of(tli, flushed);
        let to = u32::try_from(flushed.ahead_of(segment.start())).unwrap_or(0);
        let from = match self.sent {
            Some((sent, until)) if sent == segment => until,
            Some(_) if to > MOST && self.awaited != Some(segment) => {
                self.awaited = Some(segment);
                return None;
            }
            Some(_) | None => 0,
        };
        (from < to).then_some(Part { segment, from, to })
    }

    /// Whether all before a position is in complete segments or was sent as a part.
    pub(crate) fn covers(&self, position: Position) -> bool {
        let segment = Segment::of(position.tli, position.lsn);
        let within = position.lsn.ahead_of(segment.start());
        within == 0
            || self.sent.is_some_and(|(sent, to)| sent == segment && u64::from(to) >= within)
    }

    /// Takes note of a part that is in the archive.
    pub(crate) fn sent(&mut self, part: Part) {
        self.sent = Some((part.segment, part.to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLI: Tli = Tli(1);
    const SIZE: u64 = 16 << 20;

    #[test]
    fn each_byte_is_sent_once_and_segments_that_fill_at_once_are_left_out() {
        let mut tail = Tail::default();
        let first = tail.next(TLI, Lsn(3 * SIZE + 100)).expect("a part");
        assert_eq!((first.from, first.to), (0, 100));
        tail.sent(first);
        assert_eq!(tail.next(TLI, Lsn(3 * SIZE + 100)), None);
        let more = tail.next(TLI, Lsn(3 * SIZE + 250)).expect("a part");
        assert_eq!((more.segment, more.from, more.to), (first.segment, 100, 250));
        tail.sent(more);
        // The next segment has just begun, or is nearly full already.
        assert_eq!(tail.next(TLI, Lsn(4 * SIZE)), None);
        let next = tail.next(TLI, Lsn(4 * SIZE + 8)).expect("a part");
        assert_eq!((next.from, next.to), (0, 8));
        assert_eq!(tail.next(TLI, Lsn(5 * SIZE - 8)), None);
        // It was not completed: nothing more was written, and this must not wait.
        let late = tail.next(TLI, Lsn(5 * SIZE - 8)).expect("a part");
        assert_eq!((late.from, u64::from(late.to)), (0, SIZE - 8));
        // What another timeline begins is sent from its beginning.
        assert_eq!(tail.next(Tli(2), Lsn(3 * SIZE + 300)).map(|part| part.from), Some(0));
    }
}
