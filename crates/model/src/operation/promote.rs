//! Making a database an app's primary: one exchange of attachments, with its release.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::machine::{Kind, Machine, Row, Step, Undo};
use crate::name::AttachmentName;

/// What is asked for beside the database and the app: `operations.arguments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// The app's attachment that shall point to the database; it points to another now.
    pub attachment: AttachmentName,
    /// With which credential and by which port: none for the default credential by the usual one,
    /// else a [`Namespace`](crate::attachment::Namespace).
    pub namespace: Option<String>,
}

/// Where the promotion is.
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
    /// The app's attachment points to the database.
    Done,
    /// Given up; nothing was changed.
    Undone,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it is still wanted.
    pub wish: Wish,
    /// Whether the attachment has been exchanged.
    pub attachment: Mark,
}

/// What the operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Exchange the attachment and write the releases: one transaction.
    Attach,
}

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Promote;

impl Machine for Promote {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Promote;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been changed",
                looks_at: "whether the attachment has been exchanged",
                goes_to: &[Done, Undone],
                deadline: Some((Duration::from_secs(60), Undone)),
                undo: Undo::Through(Undone),
            },
            Row {
                state: Done,
                means: "the app's attachment points to the database",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("promote the other database instead"),
            },
            Row {
                state: Undone,
                means: "given up; nothing was changed",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
        ]
    };

    fn next(state: State, seen: &Seen, _lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Requested if seen.attachment == Mark::Made => Goto(Done, "the attachment points to it"),
            Requested if seen.wish == Wish::Cancelled => Goto(Undone, "it was cancelled"),
            Requested => Do(Effect::Attach, "the attachment points elsewhere"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::proof;
    use strum::IntoEnumIterator;

    #[test]
    fn the_table_tells_the_truth() {
        let mut worlds = Vec::new();
        for wish in Wish::iter() {
            for attachment in Mark::iter() {
                worlds.push(Seen { wish, attachment });
            }
        }
        proof::table_tells_the_truth::<Promote>(&worlds);
        proof::comes_to_rest::<Promote>(&worlds, 2);
    }
}
