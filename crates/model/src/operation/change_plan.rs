//! Changing a database's plan: a follower with the new plan catches up, sessions are held for a
//! moment, the old server is stopped, and the follower takes its place with the sessions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mark, Wish};
use crate::agent::Wanted;
use crate::ids::ParticipantId;
use crate::machine::{Kind, Machine, Row, SOON, STALLED, Step, Undo};

/// What is asked for: `operations.arguments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// The name of the new plan.
    pub plan: String,
    /// The participant that the database is to move to. Chosen when it is asked for, so that an
    /// attempt that is made again makes no second one.
    pub next: ParticipantId,
}

/// Where the change is.
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
    /// A follower with the new plan is made and catches up.
    Following,
    /// Gateways open sessions at the follower in advance.
    Preparing,
    /// No transaction begins; what runs may end.
    Holding,
    /// The old server is being stopped, and the follower gets the rest of its WAL.
    Fencing,
    /// The follower has taken its place and is being promoted.
    Promoting,
    /// The app gets its release; the old participant goes.
    Removing,
    /// The database has its new plan.
    Done,
    /// The old server goes on; the follower is being removed.
    Undoing,
    /// It could not be done; the database is as it was.
    Undone,
    /// It stands still; a person must look.
    NeedsOperator,
}

/// How the participant that the database is to move to fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Next {
    /// It has not been asked for.
    Missing,
    /// It is being made, or how it fares is not known now.
    Making,
    /// It has made no progress for too long.
    Stalled,
    /// It follows, and has a lot to replay.
    Behind,
    /// It streams and is nearly there.
    Near,
    /// It has replayed all that the old server wrote, up to the end of that.
    Complete,
    /// It leads, with the database in it, as its agent says.
    Leads,
    /// It is not wanted any more.
    Leaving,
    /// It is gone.
    Gone,
}

/// How the participant fares that the database is on when the change is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Old {
    /// Its server shall run.
    Runs,
    /// Its server shall not run, and may do so still.
    Stopping,
    /// Its agent says that the server has ended in order, and where its WAL ends.
    Stopped,
    /// It is not wanted any more, or gone.
    Leaving,
}

/// What gateways are told of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Stage {
    /// To let sessions be.
    Open,
    /// To open sessions at the next server.
    Prepared,
    /// To let no transaction begin.
    Held,
}

/// How sessions stand to the hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Sessions {
    /// The gateway does not say.
    Unknown,
    /// Some have something at the old server still.
    Busy,
    /// None has.
    Quiet,
}

/// What a feel of the operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it is still wanted.
    pub wish: Wish,
    /// Whether the database is.
    pub wanted: Wanted,
    /// The participant to come.
    pub next: Next,
    /// The participant of before.
    pub old: Old,
    /// What gateways are told.
    pub stage: Stage,
    /// What they say.
    pub sessions: Sessions,
    /// Whether the database is on the next participant.
    pub moved: Mark,
}

/// What the operation can do. Each is one write to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Ask for a follower with the new plan.
    Add,
    /// Let gateways open sessions at it.
    Prepare,
    /// Let no transaction begin.
    Hold,
    /// Stop the old server.
    Stop,
    /// Have the follower say anew how far it is.
    Ask,
    /// Let the follower lead, with the database.
    Promote,
    /// Let sessions go on, where the database is.
    Open,
    /// Write the release, and remove the old participant.
    Retire,
    /// Let the old server go on, and remove the follower.
    Undo,
}

/// For how long sessions are prepared before they are held.
pub const PREPARED_FOR: Duration = Duration::from_secs(2);
/// How long what runs may go on while nothing new begins.
pub const GRACE: Duration = Duration::from_secs(10);
/// How soon after the order to hold the gateway's word is taken for one that knows of it.
pub const HEARD: Duration = Duration::from_millis(300);
/// After the grace, for gateways to end what is left.
const ENDED: Duration = Duration::from_secs(1);
/// How soon to look again while clients wait.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The machine: see the module's text.
#[derive(Debug)]
pub struct ChangePlan;

impl Seen {
    /// Whether it is given up before the point of no return.
    fn is_off(&self) -> bool {
        self.wish == Wish::Cancelled || self.wanted == Wanted::Absent
    }

    fn is_near(&self) -> bool {
        matches!(self.next, Next::Near | Next::Complete)
    }

    /// Whether the undo has written all that it has to.
    fn is_taken_back(&self) -> bool {
        self.stage == Stage::Open
            && matches!(self.old, Old::Runs | Old::Leaving)
            && matches!(self.next, Next::Missing | Next::Leaving | Next::Gone)
    }
}

impl Machine for ChangePlan {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::ChangePlan;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        const DAY: Duration = Duration::from_secs(86_400);
        &[
            Row {
                state: Requested,
                means: "asked for; nothing has been changed",
                looks_at: "whether the follower has been asked for",
                goes_to: &[Following, Undoing],
                deadline: Some((MINUTE, Undoing)),
                undo: Undo::Nothing,
            },
            Row {
                state: Following,
                means: "a follower with the new plan is made and catches up",
                looks_at: "whether it streams and is nearly there; whether it makes progress",
                goes_to: &[Preparing, Undoing],
                deadline: Some((DAY, Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Preparing,
                means: "gateways open sessions at the follower in advance",
                looks_at: "whether two seconds have passed; whether it is still nearly there",
                goes_to: &[Holding, Following, Undoing],
                deadline: Some((MINUTE, Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Holding,
                means: "no transaction begins; what runs may end within ten seconds",
                looks_at: "whether sessions have something at the old server; the grace",
                goes_to: &[Fencing, Undoing],
                deadline: Some((Duration::from_secs(20), Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Fencing,
                means: "the old server is stopped; the follower gets the rest of its WAL",
                looks_at: "whether the old one has ended in order; whether the follower has all",
                goes_to: &[Promoting, Undoing],
                deadline: Some((Duration::from_secs(30), Undoing)),
                undo: Undo::Through(Undoing),
            },
            Row {
                state: Promoting,
                means: "the follower has taken its place and is being promoted; sessions wait",
                looks_at: "whether its agent says that it leads",
                goes_to: &[Removing, NeedsOperator],
                deadline: Some((MINUTE, NeedsOperator)),
                undo: Undo::Impossible("it may have begun a history of its own"),
            },
            Row {
                state: Removing,
                means: "the app gets its release; the old participant goes",
                looks_at: "whether the old participant is still wanted",
                goes_to: &[Done, NeedsOperator],
                deadline: Some((HOUR, NeedsOperator)),
                undo: Undo::Impossible("the database has moved; change the plan again"),
            },
            Row {
                state: Done,
                means: "the database has its new plan",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Impossible("change the plan again"),
            },
            Row {
                state: Undoing,
                means: "the old server goes on; the follower is being removed",
                looks_at: "whether the follower is gone",
                goes_to: &[Undone, NeedsOperator],
                deadline: Some((HOUR, NeedsOperator)),
                undo: Undo::Impossible("it is the undo"),
            },
            Row {
                state: Undone,
                means: "it could not be done; the database is as it was",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
            Row {
                state: NeedsOperator,
                means: "it stands still; a person must look (retry)",
                looks_at: "whether the new server leads; whether the follower is gone",
                goes_to: &[Promoting, Undone],
                deadline: None,
                undo: Undo::Impossible("it goes on by itself when what it waits for comes"),
            },
        ]
    };

    fn next(state: State, seen: &Seen, lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        match state {
            Done | Undone => Wait(Duration::MAX, "it is over"),
            Fencing if seen.moved == Mark::Made => Goto(Promoting, "the follower has its place"),
            Requested | Following | Preparing | Holding | Fencing if seen.is_off() => {
                Goto(Undoing, "it was cancelled")
            }
            Requested if seen.next == Next::Missing => Do(Effect::Add, "there is no follower yet"),
            Requested => Goto(Following, "the follower has been asked for"),
            Following if seen.is_near() => Goto(Preparing, "the follower is nearly there"),
            Following if seen.next == Next::Stalled => Goto(Undoing, STALLED),
            Following => Wait(SOON, "the follower catches up"),
            Preparing | Holding | Fencing => toward_the_move(state, seen, lasted),
            Promoting if seen.wanted == Wanted::Absent => {
                Goto(Removing, "the database is being removed")
            }
            Promoting if seen.next != Next::Leads => Wait(AT_ONCE, "the agent is promoting it"),
            Promoting if seen.stage == Stage::Open => Goto(Removing, "it leads, with the sessions"),
            Promoting => Do(Effect::Open, "sessions still wait"),
            Removing if seen.old == Old::Leaving => Goto(Done, "the old one goes"),
            Removing => Do(Effect::Retire, "the old one is still wanted"),
            NeedsOperator if seen.moved == Mark::Made => match (seen.next, seen.wanted) {
                (Next::Leads, _) | (_, Wanted::Absent) => Goto(Promoting, "it can go on"),
                (_, Wanted::Present) => Wait(SOON, "the new server does not lead yet"),
            },
            Undoing | NeedsOperator if !seen.is_taken_back() => {
                Do(Effect::Undo, "something of it is left")
            }
            Undoing | NeedsOperator if matches!(seen.next, Next::Missing | Next::Gone) => {
                Goto(Undone, "the database is as it was")
            }
            Undoing | NeedsOperator => Wait(SOON, "the follower is being removed"),
        }
    }
}

/// From the follower that is nearly there to the point of no return: clients wait, or soon will.
fn toward_the_move(state: State, seen: &Seen, lasted: Duration) -> Step<State, Effect> {
    use State::{Fencing, Following, Holding, Preparing};
    use Step::{Do, Goto, Wait};
    let may_go_on = match seen.sessions {
        Sessions::Quiet => lasted >= HEARD,
        Sessions::Busy | Sessions::Unknown => lasted >= GRACE + ENDED,
    };
    match state {
        Preparing if !seen.is_near() => Goto(Following, "the follower has fallen behind"),
        Preparing if seen.stage != Stage::Prepared => {
            Do(Effect::Prepare, "gateways do not know of the follower")
        }
        Preparing if lasted >= PREPARED_FOR => Goto(Holding, "sessions are prepared"),
        Holding if seen.stage != Stage::Held => Do(Effect::Hold, "transactions still begin"),
        Holding if may_go_on && seen.is_near() => Goto(Fencing, "nobody is at the old server"),
        Fencing => match (seen.old, seen.next) {
            (Old::Runs, _) => Do(Effect::Stop, "the old server runs"),
            (Old::Stopped, Next::Complete) => Do(Effect::Promote, "the follower has all"),
            (Old::Stopped, Next::Near | Next::Behind) => {
                Do(Effect::Ask, "whether the follower has all is not known")
            }
            (Old::Stopped, _) => Wait(AT_ONCE, "the follower has not said how far it is"),
            (Old::Stopping | Old::Leaving, _) => Wait(AT_ONCE, "the old server is being stopped"),
        },
        // Where the gateway says nothing there is nothing to ask for more often.
        Holding if seen.sessions == Sessions::Unknown => Wait(SOON, "the grace is not over"),
        _ => Wait(AT_ONCE, "sessions get ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::proof;
    use strum::IntoEnumIterator;

    fn worlds() -> Vec<Seen> {
        let mut all = Vec::new();
        for (wish, moved) in Wish::iter().flat_map(|wish| Mark::iter().map(move |m| (wish, m))) {
            for (next, old) in Next::iter().flat_map(|next| Old::iter().map(move |o| (next, o))) {
                for stage in Stage::iter() {
                    for sessions in Sessions::iter() {
                        all.extend([Wanted::Present, Wanted::Absent].map(|wanted| Seen {
                            wish,
                            wanted,
                            next,
                            old,
                            stage,
                            sessions,
                            moved,
                        }));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<ChangePlan>(&worlds());
        proof::comes_to_rest::<ChangePlan>(&worlds(), 4);
    }

    /// G25: no row is lost: the follower leads only when the old server has ended and it has all.
    #[test]
    fn g25_nobody_leads_before_the_old_server_has_ended_and_all_of_its_wal_is_there() {
        for state in State::iter() {
            for seen in worlds() {
                for lasted in [Duration::ZERO, SOON, Duration::from_secs(29)] {
                    match ChangePlan::turn(state, &seen, lasted) {
                        Step::Do(Effect::Promote, _) => {
                            assert_eq!(state, State::Fencing);
                            assert_eq!((seen.old, seen.next), (Old::Stopped, Next::Complete));
                            assert!(!seen.is_off());
                        }
                        Step::Goto(State::Promoting, _) => assert_eq!(seen.moved, Mark::Made),
                        Step::Do(Effect::Retire, _) => assert_eq!(state, State::Removing),
                        Step::Goto(State::Removing, _) => assert!(
                            seen.wanted == Wanted::Absent
                                || (seen.next, seen.stage) == (Next::Leads, Stage::Open)
                        ),
                        Step::Do(Effect::Undo, _) => {
                            assert!(matches!(state, State::Undoing | State::NeedsOperator));
                            assert!(state == State::Undoing || seen.moved == Mark::Missing);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// The old server is stopped only while nothing runs, or when the grace is over.
    #[test]
    fn g25_what_runs_has_its_grace() {
        for seen in worlds().into_iter().filter(|seen| !seen.is_off() && seen.is_near()) {
            let seen = Seen { stage: Stage::Held, ..seen };
            let at = |lasted| ChangePlan::turn(State::Holding, &seen, lasted);
            assert!(matches!(at(Duration::ZERO), Step::Wait(..)), "nobody has heard of it");
            let quiet = seen.sessions == Sessions::Quiet;
            assert_eq!(matches!(at(HEARD), Step::Goto(State::Fencing, _)), quiet);
            assert_eq!(matches!(at(GRACE), Step::Goto(State::Fencing, _)), quiet);
            assert!(matches!(at(GRACE + ENDED), Step::Goto(State::Fencing, _)));
        }
    }

    #[test]
    fn whatever_goes_wrong_before_the_move_ends_as_it_was() {
        use State::*;
        for state in [Requested, Following, Preparing, Holding, Fencing] {
            for seen in worlds().into_iter().filter(|seen| seen.moved == Mark::Missing) {
                let off = Seen { wish: Wish::Cancelled, ..seen };
                let step = ChangePlan::turn(state, &off, SOON);
                assert!(matches!(step, Step::Goto(Undoing, _)), "{state}: {step:?}");
                let late = ChangePlan::turn(state, &seen, Duration::from_secs(2 * 86_400));
                if let Step::Do(..) | Step::Wait(..) = late {
                    panic!("{state} has no deadline: {late:?}");
                }
            }
        }
        let left = Seen {
            wish: Wish::Cancelled,
            wanted: Wanted::Present,
            next: Next::Gone,
            old: Old::Stopped,
            stage: Stage::Open,
            sessions: Sessions::Unknown,
            moved: Mark::Missing,
        };
        assert!(matches!(ChangePlan::turn(Undoing, &left, SOON), Step::Do(Effect::Undo, _)));
    }
}
