//! Giving credentials new names and passwords: make both the old and the new login open the
//! database, then hand the new ones out.
//!
//! The agent renames the role, so that it keeps what it owns and its sessions, and lets the old name
//! log in as the new one. Only then do the apps get the new URL. How long the old login opens the
//! database after that is no part of the operation: see `control::former_logins`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::database;
use crate::ids::CredentialId;
use crate::machine::{Kind, Machine, Row, SOON, Step, Undo};

/// What is asked for beside the database: `operations.arguments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Which credentials of the database.
    pub credentials: Vec<CredentialId>,
    /// What becomes of the logins that they have now.
    pub former: Former,
}

/// What becomes of the logins from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Former {
    /// They open the database until nobody uses them any more.
    Kept,
    /// They open nothing any more as soon as the new ones are handed out; their sessions end.
    Revoked,
}

/// Where the rotation is.
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
    /// The agent renames the roles; then the new logins are handed out.
    Exchanging,
    /// The apps have the new logins.
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
    /// Whether the next logins are wanted.
    pub next: Mark,
    /// Whether the agent has made them.
    pub applied: Mark,
    /// Whether they were handed out.
    pub published: Mark,
    /// How the database fares.
    pub database: database::State,
}

/// What the operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Want the next logins beside those that are there: one write to the store.
    WantNext,
    /// Put them in the place of those before, with a release for each app: one transaction.
    Publish,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Rotate;

impl Machine for Rotate {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Rotate;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been changed",
                looks_at: "whether the next logins are wanted",
                goes_to: &[Exchanging, Undone],
                deadline: Some((Duration::from_secs(60), Undone)),
                undo: Undo::Through(Undone),
            },
            Row {
                state: Exchanging,
                means: "the agent renames the roles; the logins of before go on working",
                looks_at: "whether the agent has made the next logins, and they were handed out",
                goes_to: &[Done, NeedsOperator],
                deadline: Some((Duration::from_secs(600), NeedsOperator)),
                undo: Undo::Impossible("the roles may have their new names already; rotate again"),
            },
            Row {
                state: Done,
                means: "the apps have the new logins",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("rotate again"),
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
                looks_at: "whether the agent has made the next logins, and they were handed out",
                goes_to: &[Done],
                deadline: None,
                undo: Undo::Impossible("the roles may have their new names already; rotate again"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, _lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        let going = matches!(seen.database, database::State::Removing | database::State::Removed);
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Requested if seen.next == Mark::Made => Goto(Exchanging, "the next logins are wanted"),
            Requested if seen.wish == Wish::Cancelled || going => Goto(Undone, "it was cancelled"),
            Requested => Do(Effect::WantNext, "the next logins are not wanted yet"),
            Exchanging | NeedsOperator if seen.published == Mark::Made => {
                Goto(Done, "the apps have the new logins")
            }
            Exchanging | NeedsOperator if going => Goto(Done, "the database is being removed"),
            Exchanging | NeedsOperator if seen.applied == Mark::Made => {
                Do(Effect::Publish, "both logins open the database")
            }
            Exchanging | NeedsOperator => Wait(SOON, "the agent is at work"),
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
            for next in Mark::iter() {
                for applied in Mark::iter() {
                    for published in Mark::iter() {
                        let of = |database| Seen { wish, next, applied, published, database };
                        all.extend(database::State::iter().map(of));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Rotate>(&worlds());
        proof::comes_to_rest::<Rotate>(&worlds(), 4);
    }

    #[test]
    fn nothing_is_handed_out_before_the_agent_has_made_it() {
        for state in State::iter() {
            for seen in worlds() {
                if Rotate::turn(state, &seen, Duration::ZERO)
                    == Step::Do(Effect::Publish, "both logins open the database")
                {
                    assert_eq!(seen.applied, Mark::Made);
                }
            }
        }
    }
}
