//! The supervisor of a participant: one PostgreSQL instance on one server.
//!
//! It pushes the wanted state to the agent and watches what comes of it. It does not decide who
//! leads a timeline (crate `ha` does) and does not restart a postmaster that died (the agent does,
//! at once); it restarts one that hangs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Wanted;
use crate::machine::{Kind, Machine, Row, SOON, STEADY, Step, Undo};

/// Where a participant is in its life.
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
    /// Wanted; the agent of its server has not been told yet.
    Requested,
    /// The agent makes it: a copied template, a start, the databases in it.
    Creating,
    /// It answers queries.
    Available,
    /// It did not answer the last time. Not a failure yet: it is asked again and again.
    Uncertain,
    /// It has not answered for a while, and is being repaired.
    Unavailable,
    /// Repair did not help in time: a person must look. It still comes back by itself if it can.
    NeedsOperator,
    /// The agent stops it and removes its directory.
    Removing,
    /// Gone. The row stays for the history.
    Removed,
}

/// What the agent says of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Instance {
    /// The agent answers and has no such participant.
    Absent,
    /// Being made, started or recovered.
    Starting,
    /// Up and answering queries.
    Answering,
    /// There is a process, but it does not answer.
    Silent,
    /// There is no process.
    Down,
    /// The agent itself does not answer.
    Unknown,
}

/// Whether the agent has carried out the newest spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Spec {
    /// It has not been given the newest.
    Stale,
    /// It has been given it and is at work.
    Converging,
    /// The world is as the newest spec wants it.
    Applied,
}

/// Whether a disturbance was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Disruption {
    /// An operation said that the participant will be away for now, and the time is not over.
    Expected,
    /// None was announced.
    Unexpected,
}

/// What a feel of a participant saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// What the agent says of the instance.
    pub instance: Instance,
    /// Whether the agent has carried out the newest spec.
    pub spec: Spec,
    /// Whether an operation announced a disturbance.
    pub disruption: Disruption,
}

/// What the supervisor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Give the agent the newest spec.
    PushSpec,
    /// Ask for one restart of an instance that hangs: a new revision of the spec.
    Restart,
}

/// How long an instance that does not answer is given before it counts as unavailable.
pub const CONFIRM: Duration = Duration::from_secs(30);

/// The machine: see the module's text.
#[derive(Debug)]
pub struct Participant;

impl Machine for Participant {
    type State = State;
    type Seen = Seen;
    type Effect = Effect;
    const KIND: Kind = Kind::Participant;
    const START: State = State::Requested;

    const TABLE: &'static [Row<State>] = {
        use State::*;
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        // A copy of much data takes its time; the operation that wants it watches its progress.
        const DAY: Duration = Duration::from_secs(86_400);
        &[
            Row {
                state: Requested,
                means: "wanted; the agent has not been told yet",
                looks_at: "whether the agent has the newest spec",
                goes_to: &[Creating, Removing, NeedsOperator],
                deadline: Some((HOUR, NeedsOperator)),
                undo: Undo::Through(Removing),
            },
            Row {
                state: Creating,
                means: "the agent makes it",
                looks_at: "whether it answers with all that the spec wants in it",
                goes_to: &[Available, Removing, NeedsOperator],
                deadline: Some((DAY, NeedsOperator)),
                undo: Undo::Through(Removing),
            },
            Row {
                state: Available,
                means: "it answers",
                looks_at: "whether it still answers; whether the spec has changed",
                goes_to: &[Uncertain, Removing],
                deadline: None,
                undo: Undo::Through(Removing),
            },
            Row {
                state: Uncertain,
                means: "it did not answer; asked again and again",
                looks_at: "whether it answers again within 30 s",
                goes_to: &[Available, Unavailable, Removing],
                deadline: Some((MINUTE, Unavailable)),
                undo: Undo::Through(Available),
            },
            Row {
                state: Unavailable,
                means: "it has not answered for a while; a hanging instance is restarted",
                looks_at: "whether it answers again; whether it hangs",
                goes_to: &[Available, NeedsOperator, Removing],
                deadline: Some((HOUR, NeedsOperator)),
                undo: Undo::Through(Available),
            },
            Row {
                state: NeedsOperator,
                means: "repair did not help; a person must look (retry, remove)",
                looks_at: "whether it answers again",
                goes_to: &[Available, Removing],
                deadline: None,
                undo: Undo::Through(Removing),
            },
            Row {
                state: Removing,
                means: "the agent stops it and removes its directory",
                looks_at: "whether the agent still has it",
                goes_to: &[Removed],
                deadline: None,
                undo: Undo::Impossible("its directory may be gone already"),
            },
            Row {
                state: Removed,
                means: "gone",
                looks_at: "nothing",
                goes_to: &[],
                deadline: None,
                undo: Undo::Nothing,
            },
        ]
    };

    fn next(state: State, seen: &Seen, lasted: Duration) -> Step<State, Effect> {
        use State::*;
        use Step::{Do, Goto, Wait};
        let answers = seen.instance == Instance::Answering;
        match state {
            Removed => Wait(Duration::MAX, "it is gone"),
            Removing if seen.spec == Spec::Stale && seen.instance != Instance::Absent => {
                Do(Effect::PushSpec, "the agent has not been told to remove it")
            }
            Removing if seen.instance == Instance::Absent => {
                Goto(Removed, "the agent has it no more")
            }
            Removing => Wait(SOON, "the agent is removing it"),
            // A wish to remove it wins over everything, in every state that still has something.
            Requested | Creating | Available | Uncertain | Unavailable | NeedsOperator
                if seen.wanted == Wanted::Absent =>
            {
                Goto(Removing, "it is not wanted any more")
            }
            Requested if seen.spec == Spec::Stale => {
                Do(Effect::PushSpec, "the agent has not been told yet")
            }
            Requested => Goto(Creating, "the agent has been told"),

            Creating if seen.spec == Spec::Stale => Do(Effect::PushSpec, "the spec has changed"),
            Creating if answers && seen.spec == Spec::Applied => {
                Goto(Available, "it answers with all that is wanted")
            }
            Creating => Wait(SOON, "the agent is making it"),

            Available if seen.spec == Spec::Stale && seen.instance != Instance::Unknown => {
                Do(Effect::PushSpec, "the spec has changed")
            }
            Available if answers => Wait(STEADY, "all is well"),
            Available if seen.disruption == Disruption::Expected => {
                Wait(SOON, "it is away, as was announced")
            }
            Available => Goto(Uncertain, away(seen.instance)),

            Uncertain | Unavailable | NeedsOperator if answers => {
                Goto(Available, "it answers again")
            }
            Uncertain if lasted >= CONFIRM => Goto(Unavailable, away(seen.instance)),
            Uncertain | Unavailable | NeedsOperator if seen.spec == Spec::Stale => {
                Do(Effect::PushSpec, "the agent lacks the newest spec")
            }
            Unavailable if seen.instance == Instance::Silent && seen.spec == Spec::Applied => {
                Do(Effect::Restart, "it hangs")
            }
            Uncertain | Unavailable | NeedsOperator => Wait(SOON, away(seen.instance)),
        }
    }
}

fn away(instance: Instance) -> &'static str {
    match instance {
        Instance::Absent => "the agent has no such participant",
        Instance::Starting => "it is starting",
        Instance::Answering => "it answers",
        Instance::Silent => "its process does not answer",
        Instance::Down => "its process is gone",
        Instance::Unknown => "the agent of its server does not answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::proof;
    use strum::IntoEnumIterator;

    fn worlds() -> Vec<Seen> {
        let mut all = Vec::new();
        for wanted in [Wanted::Present, Wanted::Absent] {
            for instance in Instance::iter() {
                for spec in Spec::iter() {
                    for disruption in Disruption::iter() {
                        all.push(Seen { wanted, instance, spec, disruption });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_tells_the_truth() {
        proof::table_tells_the_truth::<Participant>(&worlds());
        proof::comes_to_rest::<Participant>(&worlds(), 4);
    }

    const WELL: Seen = Seen {
        wanted: Wanted::Present,
        instance: Instance::Answering,
        spec: Spec::Applied,
        disruption: Disruption::Unexpected,
    };

    /// K7: the service is down, so `transition(available); feel; tick; state` gives `uncertain`.
    #[test]
    fn k7_a_service_that_is_down_makes_available_uncertain() {
        for instance in [Instance::Silent, Instance::Down, Instance::Unknown, Instance::Starting] {
            let step = Participant::turn(State::Available, &Seen { instance, ..WELL }, SOON);
            assert!(matches!(step, Step::Goto(State::Uncertain, _)), "{instance:?}: {step:?}");
        }
    }

    /// K8: uncertain is not failure: it goes back, and only a confirmed absence leads on.
    #[test]
    fn k8_uncertain_confirms_before_it_fails() {
        let down = Seen { instance: Instance::Down, ..WELL };
        let at = |seen: &Seen, secs| {
            Participant::turn(State::Uncertain, seen, Duration::from_secs(secs))
        };
        assert!(matches!(at(&down, 20), Step::Wait(..)));
        assert!(matches!(at(&WELL, 20), Step::Goto(State::Available, _)));
        assert!(matches!(at(&down, 31), Step::Goto(State::Unavailable, _)));
    }

    #[test]
    fn an_announced_disruption_is_honoured_only_while_it_was_announced() {
        let away = Seen { instance: Instance::Starting, disruption: Disruption::Expected, ..WELL };
        assert!(matches!(Participant::turn(State::Available, &away, SOON), Step::Wait(..)));
        let late = Seen { disruption: Disruption::Unexpected, ..away };
        assert!(matches!(
            Participant::turn(State::Available, &late, SOON),
            Step::Goto(State::Uncertain, _)
        ));
    }

    #[test]
    fn removal_wins_in_every_state_and_ends_once_the_agent_has_it_no_more() {
        for state in State::iter().filter(|s| !matches!(s, State::Removing | State::Removed)) {
            for seen in worlds().into_iter().filter(|seen| seen.wanted == Wanted::Absent) {
                assert!(matches!(
                    Participant::turn(state, &seen, SOON),
                    Step::Goto(State::Removing, _)
                ));
            }
        }
    }

    #[test]
    fn only_a_hanging_instance_is_restarted_and_only_after_confirmation() {
        for state in State::iter() {
            for seen in worlds() {
                if let Step::Do(Effect::Restart, _) = Participant::turn(state, &seen, SOON) {
                    assert_eq!((state, seen.instance), (State::Unavailable, Instance::Silent));
                }
            }
        }
    }
}
