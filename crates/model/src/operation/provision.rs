//! Making a database: find a participant, wait for the database in it, publish it to the app.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::database;
use crate::machine::{Kind, Machine, Row, SOON, Step, Undo};

/// Where the making of a database is.
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
    /// Finding a participant for it: a shared one, one of the pool, or a new one.
    Placing,
    /// The participant's agent makes the database and its credential.
    Making,
    /// Giving the app its release and config var.
    Publishing,
    /// The database is there and published.
    Done,
    /// Taking back what was made.
    Undoing,
    /// It could not be made; nothing is left of it.
    Undone,
    /// The undo stands still; a person must look.
    NeedsOperator,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it is still wanted.
    pub wish: Wish,
    /// Whether the database has a participant.
    pub place: Mark,
    /// Whether the app has its release.
    pub release: Mark,
    /// How the database fares.
    pub database: database::State,
    /// Whether the undo has withdrawn the wish for the database.
    pub withdrawn: Mark,
}

/// What the operation can do. Each is one write to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Give the database a participant.
    Place,
    /// Write the release that attaches the database to the app.
    Publish,
    /// Remove the attachment and the wish for the database.
    Withdraw,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Provision;

impl Machine for Provision {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Provision;
    const START: State = State::Placing;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        &[
            Row {
                state: Placing,
                means: "finding a participant: a shared one, one of the pool, or a new one",
                looks_at: "whether the database has a participant",
                goes_to: &[Making, Undoing],
                deadline: Some((Duration::from_secs(60), Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Making,
                means: "the agent makes the database and its credential",
                looks_at: "whether the database is available",
                goes_to: &[Publishing, Undoing],
                deadline: Some((Duration::from_secs(600), Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Publishing,
                means: "giving the app its release and config var",
                looks_at: "whether the release is there",
                goes_to: &[Done, Undoing],
                deadline: Some((Duration::from_secs(60), Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Done,
                means: "the database is there and published",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("destroy the database instead"),
            },
            Row {
                state: Undoing,
                means: "taking back what was made",
                looks_at: "whether the database is gone",
                goes_to: &[Undone, NeedsOperator],
                deadline: Some((Duration::from_secs(3600), NeedsOperator)),
                undo: Undo::Impossible("it is the undo"),
            },
            Row {
                state: Undone,
                means: "it could not be made; nothing is left of it",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
            Row {
                state: NeedsOperator,
                means: "the undo stands still; a person must look (retry)",
                looks_at: "whether the database is gone",
                goes_to: &[Undone],
                deadline: None,
                undo: Undo::Impossible("it is the undo"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, _lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        let gone = seen.database == database::State::Removed;
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Placing | Making | Publishing if seen.wish == Wish::Cancelled => {
                Goto(Undoing, "it was cancelled")
            }
            Placing if seen.place == Mark::Made => Goto(Making, "a participant was found"),
            Placing => Do(Effect::Place, "the database has no participant yet"),
            Making if seen.database == database::State::Available => {
                Goto(Publishing, "the database is available")
            }
            Making => Wait(SOON, "the database is being made"),
            Publishing if seen.release == Mark::Made => Goto(Done, "the app has its release"),
            Publishing => Do(Effect::Publish, "the app has no release for it yet"),
            Undoing | NeedsOperator if gone => Goto(Undone, "nothing is left of it"),
            Undoing | NeedsOperator if seen.withdrawn == Mark::Missing => {
                Do(Effect::Withdraw, "the database is still wanted")
            }
            Undoing | NeedsOperator => Wait(SOON, "the database is being removed"),
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
            for place in Mark::iter() {
                for release in Mark::iter() {
                    for withdrawn in Mark::iter() {
                        for database in database::State::iter() {
                            all.push(Seen { wish, place, release, database, withdrawn });
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Provision>(&worlds());
        proof::comes_to_rest::<Provision>(&worlds(), 5);
    }

    #[test]
    fn nothing_is_published_before_the_database_was_seen_available() {
        for state in State::iter() {
            for seen in worlds() {
                match Provision::turn(state, &seen, SOON) {
                    Step::Goto(State::Publishing, _) => {
                        assert_eq!(seen.database, database::State::Available);
                    }
                    Step::Do(Effect::Publish, _) => assert_eq!(state, State::Publishing),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_undo_says_undone_only_when_nothing_is_left() {
        for state in State::iter() {
            for seen in worlds() {
                if let Step::Goto(State::Undone, _) = Provision::turn(state, &seen, SOON) {
                    assert_eq!(seen.database, database::State::Removed);
                }
            }
        }
    }
}
