use jiff::Timestamp;

use super::*;
use crate::layout::Generation;

fn index(names: &[&str]) -> WalIndex {
    let id = TimelineId::new();
    let objects: Vec<Listed> = names
        .iter()
        .map(|name| {
            let place = Place::listed(&format!("timelines/{id}/{name}"));
            Listed { place, bytes: 1, at: Timestamp::UNIX_EPOCH }
        })
        .collect();
    WalIndex::of(id, &objects)
}

fn whole(tli: u32, number: u64) -> String {
    let segment = Segment { tli: Tli(tli), number };
    format!("wal/{tli:08X}/{segment}")
}

fn of(tli: u32, numbers: &[u64], tails: &[(u64, u32, u32)]) -> WalIndex {
    let mut names: Vec<_> = numbers.iter().map(|number| whole(tli, *number)).collect();
    names.extend(tails.iter().map(|(number, from, to)| {
        let segment = Segment { tli: Tli(tli), number: *number };
        format!("tail/{segment}/{}", Piece { generation: Generation(7), from: *from, to: *to })
    }));
    index(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn at(number: u64, offset: u64) -> Lsn {
    Lsn(number * SEGMENT_SIZE + offset)
}

const END: u32 = SEGMENT_SIZE as u32;

#[test]
fn wal_reaches_as_far_as_it_is_unbroken() {
    for (numbers, tails, reaches) in [
        (&[1, 2, 3][..], &[][..], Some(at(4, 0))),
        (&[1, 2, 3], &[(4, 0, 100)], Some(at(4, 100))),
        (&[1, 2, 3], &[(4, 100, 200), (4, 0, 100)], Some(at(4, 200))),
        (&[1, 2, 3], &[(4, 0, 100), (4, 101, 200)], Some(at(4, 100))),
        (&[1, 2, 3], &[(4, 0, 100), (4, 50, 70), (4, 60, 300)], Some(at(4, 300))),
        (&[1, 2, 3], &[(4, 8, 100)], Some(at(4, 0))),
        (&[1, 2, 3], &[(5, 0, 100)], Some(at(4, 0))),
        (&[1, 2, 3], &[(4, 0, END), (5, 0, 7)], Some(at(5, 7))),
        (&[1, 2, 3], &[(3, 0, 100)], Some(at(4, 0))),
        (&[1, 3], &[], Some(at(4, 0))),
        (&[], &[(4, 0, 100)], Some(at(4, 100))),
        (&[], &[], None),
    ] {
        assert_eq!(of(1, numbers, tails).reaches(Tli(1)), reaches, "{numbers:?} {tails:?}");
    }
    assert_eq!(of(1, &[1, 3], &[]).reaches_from(at(1, 5), Tli(1)), at(2, 0));
    assert_eq!(of(1, &[1, 3], &[]).reaches_from(at(2, 5), Tli(1)), at(2, 5));
    assert_eq!(of(1, &[1], &[]).reaches_from(at(1, 5), Tli(2)), at(1, 5));
}

#[test]
fn gaps_are_named() {
    let gaps = |index: &WalIndex, from: u64| -> Vec<String> {
        index.gaps(Tli(1), at(from, 5)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(gaps(&of(1, &[1, 2, 3], &[(4, 0, 9)]), 1), [""; 0]);
    let missing = gaps(&of(1, &[1, 4, 6], &[(5, 0, 9)]), 1);
    let (two, three, five) =
        ("000000010000000000000002", "000000010000000000000003", "000000010000000000000005");
    assert_eq!(missing, [format!("segments {two} to {three}"), format!("segment {five}")]);
    // A part that does not begin at the beginning is of no use.
    assert_eq!(gaps(&of(1, &[1], &[(2, 7, 9)]), 1), [format!("segment {two}")]);
    assert_eq!(gaps(&of(1, &[], &[]), 2), [format!("segment {two}")]);
}

#[test]
fn a_replay_goes_over_from_one_timeline_to_the_next() {
    // Timeline 1 ends in segment 3, timeline 2 goes on from there.
    let mut index =
        index(&[whole(1, 1), whole(1, 2), whole(2, 3), whole(2, 4)].each_ref().map(String::as_str));
    assert_eq!(index.gaps(Tli(1), at(1, 0)), [Gap::History(Tli(2))]);
    index.add_history(Tli(2), vec![Switch { tli: Tli(1), at: at(3, 50) }]);
    assert_eq!(index.gaps(Tli(1), at(1, 0)), []);
    assert_eq!(index.gaps(Tli(2), at(3, 60)), []);
    index.add_history(Tli(2), vec![Switch { tli: Tli(1), at: at(4, 50) }]);
    let third = Segment { tli: Tli(1), number: 3 };
    assert_eq!(index.gaps(Tli(1), at(1, 0)), [Gap::Segments { first: third, last: third }]);
    index.add_history(Tli(3), vec![Switch { tli: Tli(2), at: at(4, 50) }]);
    let elsewhere = Gap::Elsewhere { from: Tli(1), newest: Tli(3) };
    // Only when there is something of it.
    assert_eq!(index.gaps(Tli(1), at(1, 0)), [Gap::Segments { first: third, last: third }]);
    index.lines.insert(Tli(3), Line { whole: vec![4..=4], ..Line::default() });
    assert_eq!(index.gaps(Tli(1), at(1, 0)), [elsewhere]);
}

#[test]
fn what_is_no_name_of_ours_is_not_seen() {
    let index = index(&[
        "wal/00000001/000000010000000000000001.part",
        "wal/00000001/README",
        "tail/000000010000000000000001/00000000-00000001",
        "tail/000000010000000000000001/00000000-00000007-00000000-00000000",
        "tail/000000010000000000000001/00000000-00000007-00000000-01000001",
        "tail/000000010000000000000001/00000000-00000007-00000000-00000001-00000002",
        "tail/000000010000000000000001/0-1",
        "tail/x/00000000-00000007-00000000-00000001",
        "other/000000010000000000000001",
    ]);
    assert_eq!(index, WalIndex::default());
}

/// What was written after a crash stands, also where less of it is there yet.
#[test]
fn parts_of_the_newest_run_count() {
    let piece = |generation, from, to| Piece { generation: Generation(generation), from, to };
    let old = [piece(1, 0, 100), piece(1, 100, 300)];
    assert_eq!(contiguous(&old), 300);
    let both = [old[0], piece(2, 0, 180), old[1], piece(2, 180, 190), piece(2, 200, 400)];
    assert_eq!(contiguous(&both), 190);
    assert_eq!(newest(&both).len(), 3);
    // A run whose beginning is not there says nothing.
    assert_eq!(contiguous(&[old[0], piece(2, 100, 180)]), 100);
}
