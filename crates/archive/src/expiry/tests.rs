use howdah_model::lsn::{Lsn, Tli};
use howdah_model::version::Major;
use proptest::prelude::*;

use super::*;
use crate::layout::{Generation, Piece};
use crate::wal::SEGMENT_SIZE;
use crate::wal::history::Switch;

/// What happens to a history, one after the other.
#[derive(Clone, Copy, Debug)]
enum Event {
    Segments(u8),
    Full,
    Incremental,
    BrokenOff,
    Promotion,
    Pause(u16),
    Tail { whole: bool },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1u8..5).prop_map(Event::Segments),
        2 => Just(Event::Full),
        2 => Just(Event::Incremental),
        1 => Just(Event::BrokenOff),
        1 => Just(Event::Promotion),
        4 => (1u16..3000).prop_map(Event::Pause),
        1 => any::<bool>().prop_map(|whole| Event::Tail { whole }),
    ];
    prop::collection::vec(event, 1..60)
}

/// A history as it lies in an archive.
struct History {
    id: TimelineId,
    now: Timestamp,
    tli: Tli,
    number: u64,
    objects: Vec<Listed>,
    backups: Vec<Backup>,
    switches: Vec<Switch>,
}

impl History {
    fn new() -> Self {
        let now = "2026-01-01T00:00:00Z".parse().expect("a moment");
        let (objects, backups, switches) = (Vec::new(), Vec::new(), Vec::new());
        Self { id: TimelineId::new(), now, tli: Tli(1), number: 1, objects, backups, switches }
    }

    fn of(events: &[Event]) -> Self {
        let mut history = Self::new();
        for event in events {
            history.happen(*event);
        }
        history
    }

    fn segment(&self) -> Segment {
        Segment { tli: self.tli, number: self.number }
    }

    fn put(&mut self, place: Place) {
        self.objects.push(Listed { place, bytes: 1, at: self.now });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pause(minutes) => self.now += Duration::from_secs(60 * u64::from(minutes)),
            Event::Segments(count) => {
                for _ in 0..count {
                    self.put(Place::wal(self.id, &WalName::Segment(self.segment())));
                    self.number += 1;
                }
            }
            Event::Full => self.backup(None),
            Event::Incremental => {
                let base = self.backups.last().map(|backup| backup.id.clone());
                self.backup(base);
            }
            Event::BrokenOff => {
                let id = self.backup_id();
                self.put(Place::of_backup(self.id, &id, "part-000000"));
                self.now += Duration::from_secs(1);
            }
            Event::Promotion => {
                let at = Lsn(self.segment().start().0 + 100);
                self.put(Place::wal(self.id, &WalName::Partial(self.segment())));
                // An old leader that did not know at once.
                for ahead in 1..4 {
                    let stray = Segment { number: self.number + ahead, ..self.segment() };
                    self.put(Place::wal(self.id, &WalName::Segment(stray)));
                }
                self.switches.push(Switch { tli: self.tli, at });
                self.tli = Tli(self.tli.0 + 1);
                self.put(Place::wal(self.id, &WalName::History(self.tli)));
                self.happen(Event::Segments(1));
            }
            Event::Tail { whole } => {
                let piece = Piece { generation: Generation(1), from: 0, to: 8192 };
                self.put(Place::tail(self.id, self.segment(), piece));
                if whole {
                    self.happen(Event::Segments(1));
                }
            }
        }
    }

    fn backup_id(&self) -> BackupId {
        let text = format!("{}-00000000", self.now.strftime("%Y%m%dT%H%M%S.%3fZ"));
        text.parse().expect("the name of a backup")
    }

    fn backup(&mut self, base: Option<BackupId>) {
        let (id, began_at) = (self.backup_id(), self.now);
        let start = Lsn(self.segment().start().0 + 40);
        self.happen(Event::Segments(1));
        self.now += Duration::from_secs(60);
        for name in ["part-000000", "manifest", BACKUP] {
            self.put(Place::of_backup(self.id, &id, name));
        }
        self.backups.push(Backup {
            id,
            began_at,
            ended_at: self.now,
            tli: self.tli,
            start,
            stop: Lsn(start.0 + 100),
            bytes: 1,
            stored: 1,
            base,
            major: "18".parse::<Major>().expect("a version"),
            system_identifier: 1,
            parts: 1,
            label: String::new(),
        });
    }

    fn expiry(&self, keep: Duration) -> Expiry {
        plan(self.id, &self.objects, &self.backups, keep, self.now)
    }

    /// What it is after that was taken away.
    fn after(&self, expiry: &Expiry) -> Self {
        let gone: BTreeSet<&Place> = expiry.objects.iter().map(|object| &object.place).collect();
        let stays = |place: &Place| !gone.contains(place);
        let objects = self.objects.iter().filter(|of| stays(&of.place)).cloned().collect();
        let whole = |of: &&Backup| {
            ["part-000000", "manifest", BACKUP]
                .iter()
                .all(|name| stays(&Place::of_backup(self.id, &of.id, name)))
        };
        let backups = self.backups.iter().filter(whole).cloned().collect();
        Self { objects, backups, switches: self.switches.clone(), ..*self }
    }

    /// Whether a moment can be restored by what is there. Written as a restore would go, without
    /// the code under test.
    fn restores(&self, at: Timestamp) -> bool {
        let has = |place: Place| self.objects.iter().any(|object| object.place == place);
        let wal = |segment| has(Place::wal(self.id, &WalName::Segment(segment)));
        let replays = |backup: &Backup| {
            (Segment::of(backup.tli, backup.start).number..self.number).all(|number| {
                // The latest timeline that had begun in that segment.
                let ended = |switch: &&Switch| switch.at.0 / SEGMENT_SIZE <= number;
                let tli = self.switches.iter().filter(ended).count() as u32 + 1;
                wal(Segment { tli: Tli(tli.max(backup.tli.0)), number })
            })
        };
        let chain = |backup: &Backup| {
            let mut next = Some(backup.id.clone());
            while let Some(id) = next {
                match self.backups.iter().find(|backup| backup.id == id) {
                    Some(backup) => next = backup.base.clone(),
                    None => return false,
                }
            }
            true
        };
        self.backups.iter().any(|of| of.ended_at <= at && chain(of) && replays(of))
    }
}

proptest! {
    #[test]
    fn m12_the_window_stays_restorable_and_nothing_else_stays(
        events in events(), hours in 0u64..200, asked in prop::collection::vec(0.0f64..1.0, 8),
    ) {
        let history = History::of(&events);
        let keep = Duration::from_secs(hours * 3600);
        let expiry = history.expiry(keep);
        let after = history.after(&expiry);
        for part in asked.into_iter().chain([0.0, 1.0]) {
            let at = history.now - keep.mul_f64(part);
            prop_assert_eq!(history.restores(at), after.restores(at), "{}", at);
        }

        // No base backup could go as well.
        let begin = history.now - keep;
        let before = after.backups.iter().filter(|backup| backup.ended_at <= begin).max_by_key(|of| of.ended_at);
        let is_base = |of: &Backup| after.backups.iter().any(|other| other.base.as_ref() == Some(&of.id));
        for backup in &after.backups {
            let in_window = backup.ended_at > begin;
            prop_assert!(in_window || Some(backup) == before || is_base(backup), "{:?}", backup.id);
        }
        // Nor could WAL: without the oldest that stays something would be lost.
        let oldest = before.into_iter().chain(after.backups.iter().filter(|of| of.ended_at > begin)).min_by_key(|of| of.ended_at);
        if let Some(oldest) = oldest {
            for object in &after.objects {
                if let Ok(WalName::Segment(of)) = object.place.name().parse() {
                    prop_assert!(of >= Segment::of(oldest.tli, oldest.start), "{}", of);
                }
            }
        } else {
            prop_assert!(expiry.objects.iter().all(|object| object.why != Why::Wal));
        }
        let histories = |of: &History| of.objects.iter().filter(|of| of.place.name().ends_with("history")).count();
        prop_assert_eq!(histories(&history), histories(&after));
        prop_assert_eq!(after.expiry(keep).objects, vec![]);
        prop_assert_eq!(expiry.kept.len(), after.backups.len());
    }

    #[test]
    fn gaps_are_exactly_what_is_missing(events in events(), lost in any::<prop::sample::Index>()) {
        let history = History::of(&events);
        let index = |objects: &[Listed]| {
            let mut index = WalIndex::of(history.id, objects);
            for tli in 2..=history.tli.0 {
                let before = history.switches[..tli as usize - 1].to_vec();
                index.add_history(Tli(tli), before);
            }
            index
        };
        let Some(oldest) = history.backups.first() else { return Ok(()) };
        let gaps = |objects: &[Listed]| index(objects).gaps(oldest.tli, oldest.start);
        prop_assert_eq!(gaps(&history.objects), vec![]);
        let mut objects = history.objects.clone();
        let lost = objects.remove(lost.index(objects.len()));
        let Ok(WalName::Segment(segment)) = lost.place.name().parse() else { return Ok(()) };
        let still = History { objects, backups: history.backups.clone(), switches: history.switches.clone(), ..history };
        let is_last = segment.number + 1 == history.number;
        let found = gaps(&still.objects);
        // What is lost at the very end cannot be known.
        if is_last {
            return Ok(());
        }
        if still.restores(oldest.ended_at) {
            prop_assert_eq!(found, []);
        } else {
            prop_assert_eq!(found, [Gap::Segments { first: segment, last: segment }]);
        }
    }
}

#[test]
fn g7_a_hole_moves_the_beginning_unless_it_is_where_wal_still_arrives() {
    let mut history = History::new();
    history.happen(Event::Full);
    history.happen(Event::Segments(3));
    let first = history.now;
    history.happen(Event::Full);
    history.happen(Event::Segments(2));
    let earliest =
        |objects: &[Listed]| earliest(&WalIndex::of(history.id, objects), &history.backups);
    assert_eq!(earliest(&history.objects), Some(first));
    let lost = Place::wal(history.id, &WalName::Segment(Segment { tli: Tli(1), number: 3 }));
    let mut objects = history.objects.clone();
    objects.retain(|object| object.place != lost);
    assert_eq!(earliest(&objects), Some(first));
    for number in 8..12 {
        assert_eq!(earliest(&objects), Some(first));
        let place = Place::wal(history.id, &WalName::Segment(Segment { tli: Tli(1), number }));
        objects.push(Listed { place, bytes: 1, at: history.now });
    }
    assert_eq!(earliest(&objects), Some(history.now));
    // Without its own WAL a backup is of no use, and without its base neither.
    objects.retain(|object| !object.place.as_str().contains("wal/"));
    assert_eq!(earliest(&objects), None);
}

#[test]
fn what_is_being_made_stays_and_what_was_given_up_goes() {
    let mut history = History::new();
    history.happen(Event::Full);
    history.happen(Event::BrokenOff);
    assert_eq!(history.expiry(Duration::ZERO).objects, vec![]);
    history.happen(Event::Pause(24 * 60 + 1));
    let gone = history.expiry(Duration::ZERO).objects;
    assert_eq!(gone.iter().map(|object| object.why).collect::<Vec<_>>(), [Why::Unfinished]);
    // A part that came a moment ago: it is still being taken.
    let late = Place::of_backup(
        history.id,
        &"20260101T000100.000Z-00000000".parse().expect("id"),
        "part-000001",
    );
    history.put(late);
    assert_eq!(history.expiry(Duration::ZERO).objects, vec![]);
}

#[test]
fn a_backup_whose_description_is_damaged_is_left_to_people() {
    let mut history = History::new();
    history.happen(Event::Full);
    history.happen(Event::Pause(3000));
    history.happen(Event::Full);
    // The store could not read it, so it is not among the complete ones.
    history.backups.remove(0);
    let gone = history.expiry(Duration::ZERO).objects;
    assert!(gone.iter().all(|object| !object.place().contains("backups/")), "{gone:?}");
}

#[test]
fn without_a_base_backup_all_wal_stays() {
    let mut history = History::new();
    history.happen(Event::Segments(9));
    history.happen(Event::Pause(9999));
    assert_eq!(history.expiry(Duration::ZERO).objects, vec![]);
}
