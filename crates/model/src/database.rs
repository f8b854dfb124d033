//! The supervisor of a database: what the customer bought and sees.
//!
//! It has no effects. Operations change what is wanted, the participant's supervisor and the agent
//! bring it about; this machine only tells how the database fares, so that there is one answer to
//! "is it available", for `pg:info`, the routes and the operations that wait for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Wanted;
use crate::machine::{Kind, Machine, Row, SOON, STEADY, Step, Undo};
use crate::participant::CONFIRM;

/// Where a database is in its life.
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
    /// Being made or copied, or being emptied by a reset.
    Preparing,
    /// Sessions can be opened.
    Available,
    /// It did not answer the last time; asked again and again.
    Uncertain,
    /// It has not answered for a while.
    Unavailable,
    /// Being removed.
    Removing,
    /// Gone. The row stays for the history.
    Removed,
}

impl State {
    /// What the customer reads in `pg:info`.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Preparing => "Preparing",
            Self::Available => "Available",
            Self::Uncertain => "Uncertain",
            Self::Unavailable => "Unavailable",
            Self::Removing | Self::Removed => "Deprovisioning",
        }
    }
}

/// What its participant says of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Presence {
    /// It is not there.
    Absent,
    /// It is there in an older incarnation: a reset is on its way.
    Outdated,
    /// It is there as it is wanted, and the participant answers.
    Ready,
    /// The participant does not answer, so nothing is known.
    Unknown,
}

/// What a feel of a database saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// What its participant says of it.
    pub presence: Presence,
}

/// This machine only observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Database;

impl Machine for Database {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Database;
    const START: State = State::Preparing;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        &[
            Row {
                state: Preparing,
                means: "being made or copied, or being emptied by a reset",
                looks_at: "whether the participant has it as it is wanted",
                goes_to: &[Available, Unavailable, Removing],
                deadline: Some((Duration::from_secs(86_400), Unavailable)),
                undo: Undo::Through(Removing),
            },
            Row {
                state: Available,
                means: "sessions can be opened",
                looks_at: "whether its participant still answers",
                goes_to: &[Preparing, Uncertain, Removing],
                deadline: None,
                undo: Undo::Through(Removing),
            },
            Row {
                state: Uncertain,
                means: "it did not answer; asked again and again",
                looks_at: "whether it answers again within 30 s",
                goes_to: &[Available, Preparing, Unavailable, Removing],
                deadline: Some((Duration::from_secs(60), Unavailable)),
                undo: Undo::Through(Available),
            },
            Row {
                state: Unavailable,
                means: "it has not answered for a while",
                looks_at: "whether it answers again",
                goes_to: &[Available, Preparing, Removing],
                deadline: None,
                undo: Undo::Through(Available),
            },
            Row {
                state: Removing,
                means: "being removed",
                looks_at: "whether its participant still has it",
                goes_to: &[Removed],
                deadline: None,
                undo: Undo::Impossible("its data may be gone already"),
            },
            Row {
                state: Removed,
                means: "gone",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
        ]
    };

    fn next(state: State, seen: &Seen, lasted: Duration) -> Step<State, Effect> {
        use Presence::*;
        use State::*;
        use Step::{Goto, Wait};
        match state {
            Removed => Wait(Duration::MAX, "it is gone"),
            Removing if seen.presence == Absent => Goto(Removed, "its participant has it no more"),
            Removing => Wait(SOON, "its participant still has it"),
            Preparing | Available | Uncertain | Unavailable if seen.wanted == Wanted::Absent => {
                Goto(Removing, "it is not wanted any more")
            }
            Preparing | Uncertain | Unavailable if seen.presence == Ready => {
                Goto(Available, "it answers")
            }
            Preparing => Wait(SOON, "it is being made"),
            Available if seen.presence == Ready => Wait(STEADY, "all is well"),
            Available | Uncertain | Unavailable if seen.presence == Outdated => {
                Goto(Preparing, "it is being reset")
            }
            Available => Goto(Uncertain, missing(seen.presence)),
            Uncertain if lasted >= CONFIRM => Goto(Unavailable, missing(seen.presence)),
            Uncertain | Unavailable => Wait(SOON, missing(seen.presence)),
        }
    }
}

fn missing(presence: Presence) -> &'static str {
    match presence {
        Presence::Absent => "its participant does not have it",
        Presence::Outdated => "it is being reset",
        Presence::Ready => "it answers",
        Presence::Unknown => "its participant does not answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::proof;
    use strum::IntoEnumIterator;

    fn worlds() -> Vec<Seen> {
        [Wanted::Present, Wanted::Absent]
            .into_iter()
            .flat_map(|wanted| Presence::iter().map(move |presence| Seen { wanted, presence }))
            .collect()
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Database>(&worlds());
        proof::comes_to_rest::<Database>(&worlds(), 4);
    }

    #[test]
    fn k7_k8_available_uncertain_available_without_a_failure() {
        let down = Seen { wanted: Wanted::Present, presence: Presence::Unknown };
        let up = Seen { presence: Presence::Ready, ..down };
        let Step::Goto(uncertain, _) = Database::turn(State::Available, &down, SOON) else {
            panic!()
        };
        assert_eq!(uncertain, State::Uncertain);
        let twenty = Duration::from_secs(20);
        assert!(matches!(Database::turn(uncertain, &down, twenty), Step::Wait(..)));
        assert!(matches!(Database::turn(uncertain, &up, twenty), Step::Goto(State::Available, _)));
    }
}
