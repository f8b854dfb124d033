//! Operations: what people ask for and what takes time. Each is a small machine of its own with
//! deadlines and an undo; the supervisors (participant, database) bring the effects about.

pub mod capture;
pub mod change_plan;
pub mod destroy;
pub mod promote;
pub mod provision;
pub mod reset;
pub mod restore;
pub mod rotate;
pub mod unfollow;

use serde::{Deserialize, Serialize};

use crate::machine::Kind;

/// What was asked for.
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
pub enum Operation {
    /// Make a database.
    Provision,
    /// Empty a database.
    Reset,
    /// Make a database an app's primary.
    Promote,
    /// Make a follower a database of its own.
    Unfollow,
    /// Give a database another plan.
    ChangePlan,
    /// Make a backup of a database.
    Capture,
    /// Put a backup, or a copy of another database, in the place of a database.
    Restore,
    /// Give credentials of a database new names and passwords.
    Rotate,
    /// Remove a database.
    Destroy,
}

impl Operation {
    /// The machine that carries it out.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Provision => Kind::Provision,
            Self::Reset => Kind::Reset,
            Self::Promote => Kind::Promote,
            Self::Unfollow => Kind::Unfollow,
            Self::ChangePlan => Kind::ChangePlan,
            Self::Capture => Kind::Capture,
            Self::Restore => Kind::Restore,
            Self::Rotate => Kind::Rotate,
            Self::Destroy => Kind::Destroy,
        }
    }
}

/// How an operation ended, or that it has not.
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
pub enum Outcome {
    /// Still at work.
    Running,
    /// Done as asked.
    Done,
    /// It could not be done, and nothing of it is left.
    Undone,
    /// It stands still until a person acts.
    NeedsOperator,
}

/// Whether a step that is one write to the store has been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Mark {
    /// Not yet.
    Missing,
    /// Yes.
    Made,
}

/// Whether somebody changed their mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Wish {
    /// It is still wanted.
    Stands,
    /// It was cancelled, or superseded by another operation.
    Cancelled,
}

/// What happens when `new` is asked for while `running` is under way on the same database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Both go on.
    Together,
    /// `new` is refused.
    Refused(&'static str),
    /// `new` takes over: `running` is cancelled.
    Supersedes,
}

/// The conflict matrix of operations on one database.
#[must_use]
pub fn admit(running: Operation, new: Operation) -> Admission {
    use Admission::{Refused, Supersedes, Together};
    use Operation::{
        Capture, ChangePlan, Destroy, Promote, Provision, Reset, Restore, Rotate, Unfollow,
    };
    match (running, new) {
        (Destroy, _) => Refused("it is being destroyed"),
        (_, Destroy) => Supersedes,
        (_, Provision) => Refused("it exists already"),
        // A password that is out cannot wait for a backup.
        (Reset | Promote | ChangePlan | Capture | Restore, Rotate)
        | (Rotate, Reset | Promote | ChangePlan | Capture) => Together,
        (Rotate, Rotate | Unfollow | Restore) => Refused("its credentials are being rotated"),
        (Provision, Reset | Unfollow | ChangePlan | Capture | Restore | Rotate) => {
            Refused("it is still being made")
        }
        (Provision | Reset | ChangePlan | Capture | Restore, Promote) | (Promote, ChangePlan) => {
            Together
        }
        (Reset, Reset | Unfollow | ChangePlan | Capture | Restore) => {
            Refused("it is being reset already")
        }
        (Promote, Reset | Unfollow | Capture | Restore) => Together,
        (Unfollow, Reset | Promote | ChangePlan | Capture | Restore | Rotate) => {
            Refused("it is being made a database of its own")
        }
        (Unfollow, Unfollow) => Refused("it is being unfollowed already"),
        (ChangePlan, Reset | Unfollow | ChangePlan | Capture | Restore) => {
            Refused("its plan is being changed")
        }
        (Promote, Promote) => Refused("it is being promoted already"),
        // What is read for hours must stay where it is; who is in a hurry cancels it.
        (Capture, Reset | Unfollow | ChangePlan | Capture | Restore) => {
            Refused("a backup of it is being captured")
        }
        (Restore, Reset | Unfollow | ChangePlan | Capture | Restore) => {
            Refused("it is being restored")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator;

    #[test]
    fn nothing_starts_beside_a_destroy_and_a_destroy_is_never_blocked_by_anything_else() {
        for op in Operation::iter() {
            assert!(matches!(admit(Operation::Destroy, op), Admission::Refused(_)));
            if op != Operation::Destroy {
                assert_eq!(admit(op, Operation::Destroy), Admission::Supersedes);
            }
        }
    }
}
