//! Making a follower a database of its own: it leaves its leader's history and begins one that it
//! leads itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::database;
use crate::machine::{Kind, Machine, Row, SOON, Step, Undo};

/// Where the unfollowing is.
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
    /// It shall lead a history of its own; its agent promotes it.
    Promoting,
    /// It leads; its leader of before is told to forget its role.
    Parting,
    /// It is a database of its own.
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
    /// Whether the store says that it shall lead.
    pub leader: Mark,
    /// Whether its agent says that it leads, with its own owner and password.
    pub leads: Mark,
    /// Whether the two know nothing of each other any more.
    pub parted: Mark,
    /// How the database fares.
    pub database: database::State,
}

/// What the operation can do. Each is one write to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Let it lead a new timeline that begins where it is now.
    Lead,
    /// Take its role from the leader of before.
    Part,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Unfollow;

impl Machine for Unfollow {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Unfollow;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        const MINUTE: Duration = Duration::from_secs(60);
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been changed",
                looks_at: "whether it shall lead a history of its own",
                goes_to: &[Promoting, Undone],
                deadline: Some((MINUTE, Undone)),
                undo: Undo::Through(Undone),
            },
            Row {
                state: Promoting,
                means: "the agent replays what has come, promotes it and gives it its own owner",
                looks_at: "whether it leads and has applied its new spec",
                goes_to: &[Parting, Done, NeedsOperator],
                deadline: Some((Duration::from_secs(600), NeedsOperator)),
                undo: Undo::Impossible("it may have been written to; destroy it and follow anew"),
            },
            Row {
                state: Parting,
                means: "it leads; the leader of before forgets its role",
                looks_at: "whether the two know nothing of each other",
                goes_to: &[Done, NeedsOperator],
                deadline: Some((MINUTE, NeedsOperator)),
                undo: Undo::Impossible("it may have been written to; destroy it and follow anew"),
            },
            Row {
                state: Done,
                means: "it is a database of its own",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("destroy it and follow anew"),
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
                means: "it was not promoted in time; a person must look (destroy; it still may)",
                looks_at: "whether it leads and has applied its new spec",
                goes_to: &[Parting, Done],
                deadline: None,
                undo: Undo::Impossible("it may have been written to; destroy it and follow anew"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, _lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        let going = matches!(seen.database, database::State::Removing | database::State::Removed);
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Requested if seen.leader == Mark::Made => {
                Goto(Promoting, "it shall lead a history of its own")
            }
            Requested if seen.wish == Wish::Cancelled || going => Goto(Undone, "it was cancelled"),
            Requested => Do(Effect::Lead, "it is still to follow"),
            Promoting | Parting | NeedsOperator if going => {
                Goto(Done, "the database is being removed")
            }
            Promoting if seen.leads == Mark::Made => Goto(Parting, "it leads"),
            NeedsOperator if seen.leads == Mark::Made && seen.parted == Mark::Missing => {
                Goto(Parting, "it leads")
            }
            Parting | NeedsOperator if seen.parted == Mark::Made => {
                Goto(Done, "its leader of before has forgotten it")
            }
            Parting => Do(Effect::Part, "its leader of before still has its role"),
            Promoting | NeedsOperator => Wait(SOON, "the agent is promoting it"),
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
            for leader in Mark::iter() {
                for leads in Mark::iter() {
                    for parted in Mark::iter() {
                        for database in database::State::iter() {
                            all.push(Seen { wish, leader, leads, parted, database });
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Unfollow>(&worlds());
        proof::comes_to_rest::<Unfollow>(&worlds(), 4);
    }

    #[test]
    fn g20_a_leader_keeps_the_role_until_its_follower_was_seen_to_lead() {
        for state in State::iter() {
            for seen in worlds() {
                match Unfollow::turn(state, &seen, SOON) {
                    Step::Do(Effect::Part, _) => assert_eq!(state, State::Parting),
                    Step::Goto(State::Parting, _) => assert_eq!(seen.leads, Mark::Made),
                    Step::Goto(State::Undone, _) => assert_eq!(seen.leader, Mark::Missing),
                    _ => {}
                }
            }
        }
    }
}
