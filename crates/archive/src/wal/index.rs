//! What there is of WAL in one history.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use howdah_model::ids::TimelineId;
use howdah_model::lsn::{Lsn, Tli};

use super::history::Switch;
use super::{SEGMENT_SIZE, Segment, WalName};
use crate::layout::{Piece, Place};
use crate::store::Listed;

/// What there is of WAL in one history, by PostgreSQL's timelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalIndex {
    lines: BTreeMap<Tli, Line>,
    histories: BTreeMap<Tli, Vec<Switch>>,
}

/// What there is of one of PostgreSQL's timelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Whole segments, by their numbers: ranges in order that neither touch nor overlap.
    pub whole: Vec<RangeInclusive<u64>>,
    /// Parts of segments, by the segments' numbers.
    pub tails: BTreeMap<u64, Vec<Piece>>,
}

/// Something that a restore needs and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Segments, from the first to the last of them.
    Segments {
        /// The first.
        first: Segment,
        /// The last.
        last: Segment,
    },
    /// The file that says where the newest timeline came from.
    History(Tli),
    /// The newest timeline did not come from where the restore would begin.
    Elsewhere {
        /// Where the restore would begin.
        from: Tli,
        /// The newest timeline.
        newest: Tli,
    },
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Segments { first, last } if first == last => write!(f, "segment {first}"),
            Self::Segments { first, last } => write!(f, "segments {first} to {last}"),
            Self::History(tli) => WalName::History(*tli).fmt(f),
            Self::Elsewhere { from, newest } => {
                write!(f, "a way from timeline {from} to timeline {newest}")
            }
        }
    }
}

impl WalIndex {
    /// Of what was listed. Histories are added by [`WalIndex::add_history`].
    pub(crate) fn of(id: TimelineId, objects: &[Listed]) -> Self {
        let (wal, tails) = (Place::all_wal(id), Place::all_tails(id));
        let mut whole: BTreeMap<Tli, BTreeSet<u64>> = BTreeMap::new();
        let mut index = Self::default();
        for Listed { place, .. } in objects {
            if place.below(&wal).is_some() {
                if let Ok(WalName::Segment(segment)) = place.name().parse() {
                    whole.entry(segment.tli).or_default().insert(segment.number);
                }
            } else if let Some((segment, piece)) = place.below(&tails).and_then(tail_name) {
                let line = index.lines.entry(segment.tli).or_default();
                line.tails.entry(segment.number).or_default().push(piece);
            }
        }
        for (tli, numbers) in whole {
            index.lines.entry(tli).or_default().whole = ranges(numbers);
        }
        index
    }

    pub(crate) fn add_history(&mut self, of: Tli, switches: Vec<Switch>) {
        self.histories.insert(of, switches);
    }

    /// The histories that are listed.
    pub(crate) fn listed_histories(id: TimelineId, objects: &[Listed]) -> Vec<Tli> {
        let wal = Place::all_wal(id);
        let name = |object: &Listed| object.place.below(&wal)?.parse().ok();
        let history = |name| if let WalName::History(tli) = name { Some(tli) } else { None };
        objects.iter().filter_map(name).filter_map(history).collect()
    }

    /// PostgreSQL's timelines that anything is there of.
    pub fn timelines(&self) -> impl Iterator<Item = (Tli, &Line)> {
        self.lines.iter().map(|(tli, line)| (*tli, line))
    }

    /// Whether a segment is there as a whole.
    #[must_use]
    pub fn has(&self, segment: Segment) -> bool {
        self.lines.get(&segment.tli).is_some_and(|line| line.has(segment.number))
    }

    /// The newest of PostgreSQL's timelines that anything is there of.
    #[must_use]
    pub fn newest(&self) -> Option<Tli> {
        let line = self.lines.keys().next_back();
        line.max(self.histories.keys().next_back()).copied()
    }

    /// The number of the last segment that anything is there of, of whatever timeline.
    pub(crate) fn last(&self) -> Option<u64> {
        self.lines.values().filter_map(Line::last).max()
    }

    /// Where a timeline came from, from the first one on; empty when that is not known, or when it
    /// came from nowhere.
    #[must_use]
    pub fn history(&self, of: Tli) -> &[Switch] {
        self.histories.get(&of).map_or(&[], Vec::as_slice)
    }

    /// The end of what is there of a timeline: of its newest unbroken stretch.
    #[must_use]
    pub fn reaches(&self, tli: Tli) -> Option<Lsn> {
        let line = self.lines.get(&tli)?;
        let whole = line.whole.last().map(|range| *range.start());
        let first = whole.or_else(|| line.tails.keys().next().copied())?;
        Some(self.reaches_from(Segment { tli, number: first }.start(), tli))
    }

    /// How far WAL goes unbroken on a timeline from a place on; that place when there is none.
    #[must_use]
    pub fn reaches_from(&self, from: Lsn, tli: Tli) -> Lsn {
        let Some(line) = self.lines.get(&tli) else { return from };
        let mut segment = Segment::of(tli, from);
        loop {
            if let Some(range) = line.range(segment.number) {
                segment.number = *range.end() + 1;
                continue;
            }
            let valid = line.valid_to(segment.number);
            if u64::from(valid) < SEGMENT_SIZE {
                return from.max(Lsn(segment.start().0 + u64::from(valid)));
            }
            segment = segment.next();
        }
    }

    /// What is missing for a replay from a place on to the newest there is.
    #[must_use]
    pub fn gaps(&self, from: Tli, start: Lsn) -> Vec<Gap> {
        // One that has only said where it came from adds nothing yet.
        let newest = self.lines.keys().next_back().map_or(from, |tli| from.max(*tli));
        let mut gaps = Vec::new();
        let mut steps: Vec<Switch> = Vec::new();
        if newest != from {
            let Some(switches) = self.histories.get(&newest) else {
                return vec![Gap::History(newest)];
            };
            let Some(begin) = switches.iter().position(|switch| switch.tli == from) else {
                return vec![Gap::Elsewhere { from, newest }];
            };
            steps.extend(&switches[begin..]);
        }
        let mut segment = Segment::of(from, start);
        for (at, step) in steps.iter().enumerate() {
            // The segment in which the next timeline begins is whole there.
            let end = step.at.0 / SEGMENT_SIZE;
            self.missing(segment, end, &mut gaps);
            let tli = steps.get(at + 1).map_or(newest, |next| next.tli);
            segment = Segment { tli, number: end.max(segment.number) };
        }
        // In the end the last segment may be there in parts.
        let end = self.lines.get(&newest).and_then(Line::last).unwrap_or(segment.number);
        self.missing(segment, end, &mut gaps);
        let last = Segment { tli: newest, number: end.max(segment.number) };
        if self.reaches_from(last.start(), newest) == last.start() {
            add(&mut gaps, last);
        }
        gaps
    }

    /// Adds what is not there as a whole from a segment up to a number, without that.
    fn missing(&self, from: Segment, end: u64, gaps: &mut Vec<Gap>) {
        let mut segment = from;
        while segment.number < end {
            let range = self.lines.get(&segment.tli).and_then(|line| line.range(segment.number));
            let valid =
                self.lines.get(&segment.tli).map_or(0, |line| line.valid_to(segment.number));
            if let Some(range) = range {
                segment.number = *range.end() + 1;
                continue;
            }
            if u64::from(valid) < SEGMENT_SIZE {
                add(gaps, segment);
            }
            segment = segment.next();
        }
    }
}

impl Line {
    fn range(&self, number: u64) -> Option<&RangeInclusive<u64>> {
        let at = self.whole.partition_point(|range| *range.end() < number);
        self.whole.get(at).filter(|range| range.contains(&number))
    }

    /// Whether a segment is there as a whole.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        self.range(number).is_some()
    }

    /// How much of a segment its parts hold from its beginning on, without a hole.
    #[must_use]
    pub fn valid_to(&self, number: u64) -> u32 {
        self.tails.get(&number).map_or(0, |pieces| contiguous(pieces))
    }

    /// The last segment that anything is there of.
    fn last(&self) -> Option<u64> {
        let whole = self.whole.last().map(|range| *range.end());
        whole.max(self.tails.keys().next_back().copied())
    }
}

/// The parts of the newest run that has the beginning, in order.
pub(crate) fn newest(pieces: &[Piece]) -> Vec<Piece> {
    let begins = pieces.iter().filter(|piece| piece.from == 0);
    let newest = begins.map(|piece| piece.generation).max();
    let of_it = |piece: &&Piece| Some(piece.generation) == newest;
    let mut pieces: Vec<_> = pieces.iter().filter(of_it).copied().collect();
    pieces.sort_unstable();
    pieces
}

/// How far the parts of the newest run reach from the beginning without a hole.
pub(crate) fn contiguous(pieces: &[Piece]) -> u32 {
    newest(pieces)
        .iter()
        .fold(0, |end, piece| if piece.from <= end { end.max(piece.to) } else { end })
}

/// The name below `tail`: the segment and the part.
pub(crate) fn tail_name(name: &str) -> Option<(Segment, Piece)> {
    let (segment, piece) = name.split_once('/')?;
    Some((segment.parse().ok()?, Piece::parse(piece)?))
}

fn ranges(numbers: BTreeSet<u64>) -> Vec<RangeInclusive<u64>> {
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(range) if *range.end() + 1 == number => *range = *range.start()..=number,
            _ => ranges.push(number..=number),
        }
    }
    ranges
}

/// Adds a segment to the gaps; neighbours are one gap.
fn add(gaps: &mut Vec<Gap>, segment: Segment) {
    match gaps.last_mut() {
        Some(Gap::Segments { last, .. }) if last.next() == segment => *last = segment,
        _ => gaps.push(Gap::Segments { first: segment, last: segment }),
    }
}

#[cfg(test)]
mod tests;
