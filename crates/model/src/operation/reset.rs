//! Emptying a database: ask for a new incarnation, wait until it is there.
//!
//! The agent makes the new, empty incarnation beside the old and exchanges the two in one
//! transaction, so at every moment there is either the old database or the empty one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::database;
use crate::machine::{Kind, Machine, Row, SOON, Step, Undo};

/// What is asked for beside the database: `operations.arguments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Extensions to create in the empty database, by name.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// Where the emptying of a database is.
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
    /// Asked for; nothing has been changed.
    Requested,
    /// The new incarnation is wanted; the agent makes it and exchanges the two.
    Emptying,
    /// The database is empty and available.
    Done,
    /// Given up before anything was changed.
    Undone,
    /// The agent did not manage in time; a person must look.
    NeedsOperator,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it is still wanted.
    pub wish: Wish,
    /// Whether the new incarnation has been asked for.
    pub incarnation: Mark,
    /// How the database fares.
    pub database: database::State,
    /// What its participant says of it.
    pub presence: database::Presence,
}

/// What the operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Want the next incarnation of the database: one write to the store.
    WantNewIncarnation,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Reset;

impl Machine for Reset {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Reset;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been changed",
                looks_at: "whether the new incarnation is wanted",
                goes_to: &[Emptying, Undone],
                deadline: Some((Duration::from_secs(60), Undone)),
                undo: Undo::Through(Undone),
            },
            Row {
                state: Emptying,
                means: "the agent makes the empty incarnation and exchanges the two",
                looks_at: "whether the new incarnation is there",
                goes_to: &[Done, NeedsOperator],
                deadline: Some((Duration::from_secs(600), NeedsOperator)),
                undo: Undo::Impossible("the data may be gone already"),
            },
            Row {
                state: Done,
                means: "the database is empty and available",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("the data is gone"),
            },
            Row {
                state: Undone,
                means: "given up before anything was changed",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
            Row {
                state: NeedsOperator,
                means: "the agent did not manage in time; a person must look (it still may)",
                looks_at: "whether the new incarnation is there",
                goes_to: &[Done],
                deadline: None,
                undo: Undo::Impossible("the data may be gone already"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, _lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        let empty = seen.presence == database::Presence::Ready;
        // A database that goes away has nothing left to be emptied.
        let going = matches!(seen.database, database::State::Removing | database::State::Removed);
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Requested if seen.incarnation == Mark::Made => {
                Goto(Emptying, "the new incarnation is wanted")
            }
            Requested if seen.wish == Wish::Cancelled || going => Goto(Undone, "it was cancelled"),
            Requested => Do(Effect::WantNewIncarnation, "the new incarnation is not wanted yet"),
            Emptying | NeedsOperator if going => Goto(Done, "the database is being removed"),
            Emptying | NeedsOperator if empty => Goto(Done, "the new incarnation is there"),
            Emptying | NeedsOperator => Wait(SOON, "the agent is at work"),
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
            for incarnation in Mark::iter() {
                for database in database::State::iter() {
                    for presence in database::Presence::iter() {
                        all.push(Seen { wish, incarnation, database, presence });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Reset>(&worlds());
        proof::comes_to_rest::<Reset>(&worlds(), 4);
    }

    #[test]
    fn once_the_new_incarnation_is_wanted_it_cannot_be_called_undone() {
        for state in [State::Emptying, State::NeedsOperator] {
            for seen in worlds() {
                let step = Reset::turn(state, &seen, Duration::from_secs(86_400));
                assert!(!matches!(step, Step::Goto(State::Undone, _)));
            }
        }
    }
}
