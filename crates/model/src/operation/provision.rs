//! Making a database: find a participant, wait for the database in it, publish it to the app. The
//! data is new and empty, or a copy of another's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::database;
use crate::ids::{DatabaseId, TimelineId};
use crate::machine::{Kind, Machine, Row, SOON, STALLED, Step, Undo};
use crate::protection::Until;

/// What is asked for beside the database: `operations.arguments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Whose data it shall have; none for an empty database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<Copied>,
}

/// Whose data a new database shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// As what it is asked for.
    pub how: How,
    /// The database that has or had the data.
    pub source: DatabaseId,
    /// The history that the data is in.
    pub timeline: TimelineId,
    /// Up to where.
    #[serde(flatten)]
    pub until: Until,
}

/// As what a copy is asked for.
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
pub enum How {
    /// A database of its own with the data of now, or of the last base backup.
    Fork,
    /// A database of its own with the data of a moment.
    Rollback,
    /// A read-only one that keeps up with the source.
    Follow,
    /// One that was destroyed, brought back.
    Undelete,
}

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
    /// The participant's agent copies another's data.
    Copying,
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
    /// Where its data comes from, and whether that goes on.
    pub data: Data,
    /// Whether the leader of a follower has the follower's role; all others need none.
    pub role: Mark,
    /// Whether the app has its release.
    pub release: Mark,
    /// How the database fares.
    pub database: database::State,
    /// Whether the undo has withdrawn the wish for the database.
    pub withdrawn: Mark,
}

/// Where the data of a new database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Data {
    /// It has none yet.
    Empty,
    /// From another; the copy goes on, or nothing is known of it now.
    Copy,
    /// From another, and the copy has stood still for too long.
    StalledCopy,
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
                goes_to: &[Making, Copying, Undoing],
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
                state: Copying,
                means: "the agent copies another's data and follows its history",
                looks_at: "whether the database is available; whether the copy makes progress",
                goes_to: &[Publishing, Undoing],
                deadline: Some((Duration::from_secs(86_400), Undoing)),
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
            Placing | Making | Copying | Publishing if seen.wish == Wish::Cancelled => {
                Goto(Undoing, "it was cancelled")
            }
            Placing if seen.place == Mark::Made => match seen.data {
                Data::Empty => Goto(Making, "a participant was found"),
                Data::Copy | Data::StalledCopy => Goto(Copying, "there is a place for the copy"),
            },
            Placing => Do(Effect::Place, "the database has no participant yet"),
            Making | Copying
                if seen.database == database::State::Available && seen.role == Mark::Made =>
            {
                Goto(Publishing, "the database is available")
            }
            Copying if seen.data == Data::StalledCopy => Goto(Undoing, STALLED),
            Copying => Wait(SOON, "the data is being copied"),
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
                for (data, role) in
                    Data::iter().flat_map(|data| Mark::iter().map(move |r| (data, r)))
                {
                    for release in Mark::iter() {
                        for withdrawn in Mark::iter() {
                            for database in database::State::iter() {
                                all.push(Seen {
                                    wish,
                                    place,
                                    data,
                                    role,
                                    release,
                                    database,
                                    withdrawn,
                                });
                            }
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
                        assert_eq!(seen.role, Mark::Made);
                    }
                    Step::Do(Effect::Publish, _) => assert_eq!(state, State::Publishing),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn g11_a_copy_that_stands_still_is_undone_and_one_that_goes_on_has_a_day() {
        let hour = Duration::from_secs(3600);
        for seen in worlds().into_iter().filter(|seen| seen.wish == Wish::Stands) {
            let step = Provision::turn(State::Copying, &seen, hour);
            let there = seen.database == database::State::Available && seen.role == Mark::Made;
            match seen.data {
                _ if there => assert!(matches!(step, Step::Goto(State::Publishing, _))),
                Data::StalledCopy => assert_eq!(step, Step::Goto(State::Undoing, STALLED)),
                Data::Copy | Data::Empty => assert!(matches!(step, Step::Wait(..))),
            }
            let day = Provision::turn(State::Copying, &seen, hour * 24);
            assert!(matches!(day, Step::Goto(..)), "{day:?}");
        }
    }

    #[test]
    fn arguments_of_older_operations_are_those_of_an_empty_database() {
        assert_eq!(serde_json::from_str::<Arguments>("{}").ok(), Some(Arguments::default()));
        let copy = Copied {
            how: How::Fork,
            source: DatabaseId::new(),
            timeline: TimelineId::new(),
            until: Until::Backup,
        };
        let asked = Arguments { copy: Some(copy) };
        let text = serde_json::to_string(&asked).expect("JSON");
        assert_eq!(serde_json::from_str::<Arguments>(&text).ok(), Some(asked), "{text}");
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
