//! Removing a database: take it from its apps, then from its participant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Mark;
use crate::database;
use crate::machine::{Kind, Machine, Row, SOON, Step, Undo};

/// Where the removal is.
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
    /// Taken from its apps and not wanted any more; the agent removes it.
    Removing,
    /// Nothing is left of it.
    Done,
    /// The agent did not manage in time; a person must look.
    NeedsOperator,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether the attachments are gone and the database is not wanted any more.
    pub withdrawn: Mark,
    /// How the database fares.
    pub database: database::State,
}

/// What the operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Remove the attachments and the wish for the database, and write the releases: one
    /// transaction.
    Withdraw,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Destroy;

impl Machine for Destroy {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Destroy;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        const HOUR: Duration = Duration::from_secs(3600);
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been changed",
                looks_at: "whether it has been taken from its apps",
                goes_to: &[Removing, NeedsOperator],
                deadline: Some((HOUR, NeedsOperator)),
                undo: Undo::Impossible("a destroy goes through"),
            },
            Row {
                state: Removing,
                means: "taken from its apps; the agent removes it",
                looks_at: "whether the database is gone",
                goes_to: &[Done, NeedsOperator],
                deadline: Some((HOUR, NeedsOperator)),
                undo: Undo::Impossible("the data may be gone already"),
            },
            Row {
                state: Done,
                means: "nothing is left of it",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("the data is gone"),
            },
            Row {
                state: NeedsOperator,
                means: "it did not go in time; a person must look (it is still tried)",
                looks_at: "whether the database is gone",
                goes_to: &[Done],
                deadline: None,
                undo: Undo::Impossible("the data may be gone already"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, _lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        let gone = seen.database == database::State::Removed;
        match state {
            Done => Wait(Duration::MAX, "it is over"),
            Requested | NeedsOperator if seen.withdrawn == Mark::Missing => {
                Do(Effect::Withdraw, "it is still wanted")
            }
            Requested => Goto(Removing, "it has been taken from its apps"),
            Removing | NeedsOperator if gone => Goto(Done, "nothing is left of it"),
            Removing | NeedsOperator => Wait(SOON, "the agent is removing it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::proof;
    use strum::IntoEnumIterator;

    fn worlds() -> Vec<Seen> {
        Mark::iter()
            .flat_map(|withdrawn| {
                database::State::iter().map(move |database| Seen { withdrawn, database })
            })
            .collect()
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Destroy>(&worlds());
        proof::comes_to_rest::<Destroy>(&worlds(), 3);
    }

    #[test]
    fn done_means_that_nothing_is_left() {
        for state in State::iter() {
            for seen in worlds() {
                if let Step::Goto(State::Done, _) = Destroy::turn(state, &seen, SOON) {
                    assert_eq!(seen.database, database::State::Removed);
                }
            }
        }
    }
}
