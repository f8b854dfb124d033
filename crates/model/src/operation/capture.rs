//! Making a backup: an agent dumps the database, or a follower of it, into the archive.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::agent::Wanted;
use crate::machine::{Kind, Machine, Row, SOON, STALLED, Step, Undo};

/// How often an agent that has forgotten a transfer is told of it, before it is given up.
pub const ATTEMPTS: u32 = 3;

/// How long is tried to tell an agent of a transfer that it cannot be told of.
pub(super) const UNTOLD: Duration = Duration::from_secs(600);

/// Where the making of a backup is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Asked for; nothing has been done.
    Requested,
    /// An agent writes the dump.
    Dumping,
    /// The dump is complete.
    Done,
    /// It was given up; the agent takes back what it has written.
    Undoing,
    /// There is no backup.
    Undone,
}

/// How the agent says that a transfer fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Fares {
    /// No agent was told of it.
    Untold,
    /// The agent does not say, now.
    Unknown,
    /// The agent was told of it, and does not know of it any more.
    Forgotten,
    /// The agent has forgotten it too often.
    Lost,
    /// It waits for its turn, or is at work.
    Working,
    /// It has made no progress for too long.
    Stalled,
    /// All is copied.
    Done,
    /// It could not be copied.
    Failed,
    /// It was broken off; nothing of it is left.
    Absent,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it is still wanted.
    pub wish: Wish,
    /// Whether the database is.
    pub wanted: Wanted,
    /// Whether it has been chosen what is read, and by which agent.
    pub chosen: Mark,
    /// How the transfer fares.
    pub fares: Fares,
}

/// What the operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Choose what is read: one write to the store.
    Choose,
    /// Tell the agent: one PUT.
    Tell,
    /// Tell the agent that it is not wanted any more: one PUT.
    TakeBack,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Capture;

impl Seen {
    fn is_off(&self) -> bool {
        self.wish == Wish::Cancelled || self.wanted == Wanted::Absent
    }
}

impl Machine for Capture {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Capture;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY: Duration = Duration::from_secs(86_400);
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been done",
                looks_at: "whether the database or a follower of it can be read",
                goes_to: &[Dumping, Undone],
                deadline: Some((MINUTE.saturating_mul(10), Undone)),
                undo: Undo::Through(Undone),
            },
            Row {
                state: Dumping,
                means: "an agent writes the dump into the archive",
                looks_at: "what the agent says of it; whether it makes progress",
                goes_to: &[Done, Undoing, Undone],
                deadline: Some((DAY, Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Done,
                means: "the dump is complete",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("delete the backup instead"),
            },
            Row {
                state: Undoing,
                means: "it was given up; the agent takes back what it has written",
                looks_at: "whether the agent has done so",
                goes_to: &[Undone],
                deadline: Some((MINUTE.saturating_mul(2), Undone)),
                undo: Undo::Nothing,
            },
            Row {
                state: Undone,
                means: "there is no backup; what may be left of it is erased later",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
        ]
    };

    fn next(state: State, seen: &Seen, lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        match (state, seen.fares) {
            (Done | Undone, _) => Wait(Duration::MAX, "it is over"),
            (Requested, _) if seen.is_off() => Goto(Undone, "it was cancelled"),
            (Requested, _) if seen.chosen == Mark::Made => {
                Goto(Dumping, "it is known what to read")
            }
            (Requested, _) => Do(Effect::Choose, "it is not known what to read"),
            (Dumping, Fares::Done) => Goto(Done, "the dump is complete"),
            (Dumping, Fares::Failed) => Goto(Undone, "the agent could not do it"),
            (Dumping, Fares::Absent) => Goto(Undone, "it was broken off"),
            (Dumping, _) if seen.is_off() => Goto(Undoing, "it was cancelled"),
            (Dumping, Fares::Lost) => Goto(Undoing, "the agent has forgotten it too often"),
            (Dumping, Fares::Stalled) => Goto(Undoing, STALLED),
            (Dumping, Fares::Untold) if lasted >= UNTOLD => {
                Goto(Undoing, "the agent could not be told")
            }
            (Dumping, Fares::Untold) => Do(Effect::Tell, "the agent was not told"),
            (Dumping, Fares::Forgotten) => Do(Effect::Tell, "the agent has forgotten it"),
            (Dumping, Fares::Working) => Wait(SOON, "the agent is at work"),
            (Dumping, Fares::Unknown) => Wait(SOON, "the agent does not say how it fares"),
            (Undoing, Fares::Absent | Fares::Failed) => Goto(Undone, "nothing of it is left"),
            (Undoing, Fares::Untold | Fares::Forgotten | Fares::Lost) => {
                Goto(Undone, "the agent does not know of it")
            }
            (Undoing, Fares::Done) => Goto(Undone, "it was complete already: it is erased"),
            (Undoing, Fares::Unknown | Fares::Working | Fares::Stalled) => {
                Do(Effect::TakeBack, "the agent may still have some of it")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::proof;
    use strum::IntoEnumIterator;

    fn worlds() -> Vec<Seen> {
        let mut all = Vec::new();
        for wish in Wish::iter() {
            for wanted in [Wanted::Present, Wanted::Absent] {
                for chosen in Mark::iter() {
                    all.extend(Fares::iter().map(|fares| Seen { wish, wanted, chosen, fares }));
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Capture>(&worlds());
        proof::comes_to_rest::<Capture>(&worlds(), 4);
    }

    #[test]
    fn e9_only_a_complete_dump_is_a_backup() {
        for seen in worlds().into_iter().filter(|seen| seen.fares != Fares::Done) {
            for state in State::iter() {
                let step = Capture::turn(state, &seen, Duration::from_secs(7 * 86_400));
                assert!(!matches!(step, Step::Goto(State::Done, _)), "{state} {seen:?}");
            }
        }
    }
}
