//! Putting a backup or a copy in the place of a database: an agent fills a new database beside it,
//! then the two are exchanged in one transaction, as a reset does it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::capture::Fares;
use super::capture::UNTOLD;
use super::{Mark, Wish};
use crate::database;
use crate::machine::{Kind, Machine, Row, SOON, STALLED, Step, Undo};

/// Where a restore is.
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
    /// An agent fills a new database beside the one that is there.
    Filling,
    /// The new one takes the place of the one that is there.
    Exchanging,
    /// The database has what was to be put into it.
    Done,
    /// It was given up; the agent removes the new database.
    Undoing,
    /// The database is as it was.
    Undone,
    /// The agent did not exchange the two in time; a person must look.
    NeedsOperator,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it is still wanted.
    pub wish: Wish,
    /// How the database fares.
    pub database: database::State,
    /// What its participant says of it.
    pub presence: database::Presence,
    /// Whether it has been chosen what is read, and by which agent.
    pub chosen: Mark,
    /// How the transfer fares.
    pub fares: Fares,
    /// Whether the new incarnation is wanted.
    pub incarnation: Mark,
}

/// What the operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Choose what is read: one write to the store.
    Choose,
    /// Tell the agent: one PUT.
    Tell,
    /// Want the database that was filled as the next incarnation: one write to the store.
    WantFilled,
    /// Tell the agent that it is not wanted any more: one PUT.
    TakeBack,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Restore;

impl Seen {
    fn is_going(&self) -> bool {
        matches!(self.database, database::State::Removing | database::State::Removed)
    }

    fn is_off(&self) -> bool {
        self.wish == Wish::Cancelled || self.is_going()
    }
}

impl Machine for Restore {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Restore;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY: Duration = Duration::from_secs(86_400);
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been done",
                looks_at: "whether what is copied can be read and the database is there",
                goes_to: &[Filling, Undone],
                deadline: Some((MINUTE.saturating_mul(10), Undone)),
                undo: Undo::Through(Undone),
            },
            Row {
                state: Filling,
                means: "an agent fills a new database beside the one that is there",
                looks_at: "what the agent says of it; whether it makes progress",
                goes_to: &[Exchanging, Undoing, Undone],
                deadline: Some((DAY, Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Exchanging,
                means: "the new database takes the place of the one that is there",
                looks_at: "whether the new incarnation is wanted; whether it is there",
                goes_to: &[Done, Undoing, NeedsOperator],
                deadline: Some((MINUTE.saturating_mul(10), NeedsOperator)),
                undo: Undo::Impossible("the former data may be gone already"),
            },
            Row {
                state: Done,
                means: "the database has what was to be put into it",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("the former data is gone"),
            },
            Row {
                state: Undoing,
                means: "it was given up; the agent removes the new database",
                looks_at: "whether the agent has done so",
                goes_to: &[Undone],
                deadline: Some((MINUTE.saturating_mul(2), Undone)),
                undo: Undo::Nothing,
            },
            Row {
                state: Undone,
                means: "the database is as it was",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
            Row {
                state: NeedsOperator,
                means: "the agent did not exchange the two in time; a person must look (it still may)",
                looks_at: "whether the new incarnation is wanted; whether it is there",
                goes_to: &[Done, Undoing],
                deadline: None,
                undo: Undo::Impossible("the former data may be gone already"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Requested if seen.is_off() => Goto(Undone, "it was cancelled"),
            Requested if seen.chosen == Mark::Made => Goto(Filling, "it is known what to read"),
            Requested => Do(Effect::Choose, "it is not known what to read"),
            Filling => filling(seen, lasted),
            Exchanging | NeedsOperator => exchanging(seen),
            Undoing => match seen.fares {
                Fares::Absent | Fares::Failed => Goto(Undone, "nothing of it is left"),
                Fares::Untold | Fares::Forgotten | Fares::Lost => {
                    Goto(Undone, "the agent does not know of it")
                }
                Fares::Unknown | Fares::Working | Fares::Stalled | Fares::Done => {
                    Do(Effect::TakeBack, "the agent may still have some of it")
                }
            },
        }
    }
}

fn filling(seen: &Seen, lasted: Duration) -> Step<State, Effect> {
    use State::{Exchanging, Undoing, Undone};
    use Step::{Do, Goto, Wait};
    match seen.fares {
        Fares::Failed => Goto(Undone, "the agent could not do it"),
        Fares::Absent => Goto(Undone, "it was broken off"),
        _ if seen.is_off() => Goto(Undoing, "it was cancelled"),
        Fares::Done => Goto(Exchanging, "the new database is complete"),
        Fares::Lost => Goto(Undoing, "the agent has forgotten it too often"),
        Fares::Stalled => Goto(Undoing, STALLED),
        Fares::Untold if lasted >= UNTOLD => Goto(Undoing, "the agent could not be told"),
        Fares::Untold => Do(Effect::Tell, "the agent was not told"),
        Fares::Forgotten => Do(Effect::Tell, "the agent has forgotten it"),
        Fares::Working => Wait(SOON, "the agent is at work"),
        Fares::Unknown => Wait(SOON, "the agent does not say how it fares"),
    }
}

/// The point of no return is the write that wants the new incarnation.
fn exchanging(seen: &Seen) -> Step<State, Effect> {
    use State::{Done, Undoing};
    use Step::{Do, Goto, Wait};
    match seen.incarnation {
        Mark::Missing if seen.is_off() => Goto(Undoing, "it was cancelled"),
        Mark::Missing => Do(Effect::WantFilled, "the new incarnation is not wanted yet"),
        Mark::Made if seen.is_going() => Goto(Done, "the database is being removed"),
        Mark::Made if seen.presence == database::Presence::Ready => {
            Goto(Done, "the new incarnation is there")
        }
        Mark::Made => Wait(SOON, "the agent exchanges the two"),
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
            for database in database::State::iter() {
                for presence in database::Presence::iter() {
                    for chosen in Mark::iter() {
                        for incarnation in Mark::iter() {
                            all.extend(Fares::iter().map(|fares| Seen {
                                wish,
                                database,
                                presence,
                                chosen,
                                fares,
                                incarnation,
                            }));
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Restore>(&worlds());
        proof::comes_to_rest::<Restore>(&worlds(), 5);
    }

    #[test]
    fn e21_nothing_is_exchanged_before_all_is_copied_and_nothing_is_undone_after() {
        for seen in worlds() {
            for state in State::iter() {
                let step = Restore::turn(state, &seen, Duration::from_secs(7 * 86_400));
                if seen.fares != Fares::Done {
                    assert!(!matches!(step, Step::Goto(State::Exchanging, _)), "{state} {seen:?}");
                }
                let late = matches!(state, State::Exchanging | State::NeedsOperator);
                if late && seen.incarnation == Mark::Made {
                    let undone = matches!(step, Step::Goto(State::Undoing | State::Undone, _));
                    assert!(!undone && !matches!(step, Step::Do(..)), "{state} {seen:?}");
                }
            }
        }
    }
}
