//! What every state machine of the platform has in common.
//!
//! A machine is an enum of states, a [`Row`] for each of them (the table that people read) and one
//! pure function `next`. The control plane's worker feeds it with what it has just seen and carries
//! out the [`Step`]; it is the only place where a state changes. See `control::engine`.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kinds of machine. One value for each implementation of [`Machine`].
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
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
pub enum Kind {
    /// The supervisor of a participant.
    Participant,
    /// The supervisor of a database.
    Database,
    /// The operation that makes a database.
    Provision,
    /// The operation that empties a database.
    Reset,
    /// The operation that makes a database an app's primary.
    Promote,
    /// The operation that makes a follower a database of its own.
    Unfollow,
    /// The operation that changes a database's plan.
    ChangePlan,
    /// The operation that makes a backup of a database.
    Capture,
    /// The operation that puts a backup or a copy in the place of a database.
    Restore,
    /// The operation that gives credentials new names and passwords.
    Rotate,
    /// The operation that removes a database.
    Destroy,
}

/// What to do next with a machine, and why. The reason is stored and shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<S, E> {
    /// Move to another state.
    Goto(S, &'static str),
    /// Carry out one idempotent effect, then look again.
    Do(E, &'static str),
    /// Nothing to do until something changes or this long has passed.
    Wait(Duration, &'static str),
}

/// Can what was done in a state be undone?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo<S> {
    /// Nothing has been done yet, or nothing is left of it.
    Nothing,
    /// By going to this state.
    Through(S),
    /// No: the point of no return has been passed. What it means for people is in the text.
    Impossible(&'static str),
}

/// One line of a machine's table: all that a newcomer needs to know about a state.
#[derive(Clone, Copy, Debug)]
pub struct Row<S: 'static> {
    /// The state that this row is about.
    pub state: S,
    /// What it means for the thing to be in this state.
    pub means: &'static str,
    /// What is looked at to decide.
    pub looks_at: &'static str,
    /// Where it can go.
    pub goes_to: &'static [S],
    /// How long it may last, and the state it goes to then. `None` only for states that may last.
    pub deadline: Option<(Duration, S)>,
    /// How it is undone.
    pub undo: Undo<S>,
}

/// A state machine: see the module's text.
pub trait Machine {
    /// The states. Stored by name.
    type State: Copy
        + Debug
        + Display
        + Eq
        + FromStr
        + strum::IntoEnumIterator
        + Send
        + Sync
        + 'static;
    /// What was seen of the world, mapped to a few small enums.
    type Seen: Debug + Send + Sync;
    /// The effects that this machine can ask for. Each is idempotent.
    type Effect: Copy + Debug + Eq + Send + Sync;

    /// Which machine this is.
    const KIND: Kind;
    /// The state that a new one starts in.
    const START: Self::State;

    /// The table, one row for each state, in the order of a normal life.
    const TABLE: &'static [Row<Self::State>];

    /// The decision. `lasted` is how long the machine has been in `state`.
    fn next(
        state: Self::State,
        seen: &Self::Seen,
        lasted: Duration,
    ) -> Step<Self::State, Self::Effect>;

    /// The row of a state.
    ///
    /// # Panics
    /// When the table lacks the state, which the test of every machine rules out.
    fn row(state: Self::State) -> &'static Row<Self::State> {
        Self::TABLE.iter().find(|row| row.state == state).expect("every state has a row")
    }

    /// Whether the machine is at its end: nowhere to go and nothing to wait for.
    fn is_over(state: Self::State) -> bool {
        Self::row(state).goes_to.is_empty()
    }

    /// One turn: the decision of [`Machine::next`], and the deadline of the state when it has
    /// passed without the decision leading out of it.
    fn turn(
        state: Self::State,
        seen: &Self::Seen,
        lasted: Duration,
    ) -> Step<Self::State, Self::Effect> {
        let step = Self::next(state, seen, lasted);
        match (&step, Self::row(state).deadline) {
            (Step::Do(..) | Step::Wait(..), Some((after, then))) if lasted >= after => {
                Step::Goto(then, OVERDUE)
            }
            (Step::Wait(pause, why), Some((after, _))) => {
                Step::Wait((*pause).min(after.saturating_sub(lasted)), why)
            }
            _ => step,
        }
    }
}

/// The reason of a change of state that a deadline brought about.
pub const OVERDUE: &str = "the deadline of this state has passed";

/// The reason of a change of state when what is waited for stands still.
pub const STALLED: &str = "it makes no progress";

/// How soon to look again while something is on its way. What happens in between wakes the machine
/// earlier; this is only the bound for a message that was lost.
pub const SOON: Duration = Duration::from_secs(1);
/// How soon to look again when all is well.
pub const STEADY: Duration = Duration::from_secs(30);

/// How long to wait before the next attempt at an effect that failed or has not shown yet.
///
/// Doubles from 100 ms to a minute. `spread` (0 to 1) is a random number of the caller's that keeps
/// many machines from returning in step: the wait is between half and the whole.
#[must_use]
pub fn back_off(attempt: u32, spread: f64) -> Duration {
    let whole = Duration::from_millis(100 << attempt.min(10)).min(Duration::from_secs(60));
    whole.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
}

/// Checks of a machine's table against its `next`, for the tests of each machine.
#[cfg(test)]
pub(crate) mod proof {
    use super::{Duration, Machine, Step};
    use strum::IntoEnumIterator;

    /// Every state has exactly one row; every edge that `next` takes over all `worlds` is in the
    /// table and the other way round; every state can be reached; every state has an exit.
    pub(crate) fn table_tells_the_truth<M: Machine>(worlds: &[M::Seen])
    where
        M::State: std::hash::Hash,
    {
        use std::collections::{HashMap, HashSet};
        let mut edges: HashMap<M::State, HashSet<M::State>> = HashMap::new();
        for state in M::State::iter() {
            let rows = M::TABLE.iter().filter(|row| row.state == state).count();
            assert_eq!(rows, 1, "{:?} {state:?} has {rows} rows", M::KIND);
            let long = Duration::from_secs(365 * 86_400);
            for seen in worlds {
                for lasted in [Duration::ZERO, Duration::from_secs(45), long] {
                    if let Step::Goto(to, _) = M::turn(state, seen, lasted) {
                        assert_ne!(to, state, "{state:?} goes to itself on {seen:?}");
                        edges.entry(state).or_default().insert(to);
                    }
                }
            }
        }
        let mut reached = HashSet::from([M::START]);
        for row in M::TABLE {
            let taken = edges.remove(&row.state).unwrap_or_default();
            let said: HashSet<_> = row.goes_to.iter().copied().collect();
            assert_eq!(taken, said, "{:?}: the exits of {:?}", M::KIND, row.state);
            reached.extend(said);
        }
        for state in M::State::iter() {
            assert!(reached.contains(&state), "{:?}: {state:?} is never reached", M::KIND);
        }
    }

    /// From every state and with a world that stays as it is, the machine comes to rest or to a
    /// state that `is_fine` within `turns` turns: no two states send it back and forth for ever.
    pub(crate) fn comes_to_rest<M: Machine>(worlds: &[M::Seen], turns: usize) {
        for seen in worlds {
            for start in M::State::iter() {
                let mut state = start;
                let mut moves = 0;
                while let Step::Goto(to, _) = M::next(state, seen, Duration::ZERO) {
                    state = to;
                    moves += 1;
                    assert!(
                        moves <= turns,
                        "{:?} runs in circles from {start:?} on {seen:?}",
                        M::KIND
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_and_is_bounded() {
        assert_eq!(back_off(0, 1.0), Duration::from_millis(100));
        assert_eq!(back_off(3, 1.0), Duration::from_millis(800));
        assert_eq!(back_off(3, 0.0), Duration::from_millis(400));
        assert_eq!(back_off(u32::MAX, 1.0), Duration::from_secs(60));
    }
}
