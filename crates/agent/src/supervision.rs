//! What an agent does next with a participant: a pure table over what it sees now. It remembers no
//! step, so it goes on wherever a crash of anything has left things.

use howdah_model::agent::{Role, Run, Wanted};

/// Whether the data directory is there, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Data {
    /// It is not.
    Missing,
    /// It is.
    Made,
}

/// How the server's process fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Process {
    /// There is none.
    Gone,
    /// It is there and not ready: it starts, recovers or stops.
    Busy,
    /// It accepts sessions.
    Ready,
}

/// Whether a server that is ready writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Stands {
    /// It has not been asked since it started.
    Unknown,
    /// It writes.
    Writes,
    /// It replays what another one writes.
    Replays,
}

/// Whether something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Due {
    /// Yes.
    Now,
    /// No.
    Not,
}

/// Whether something has failed so lately that it is not tried again yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Pace {
    /// It may be tried.
    Free,
    /// It waits for the end of its back-off. A new spec ends that.
    Held,
}

/// What is seen of a participant and its spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// Whether its server shall run.
    pub run: Run,
    /// Its data directory.
    pub data: Data,
    /// Its process.
    pub process: Process,
    /// What it shall be in its timeline.
    pub role: Role,
    /// Whether it writes.
    pub stands: Stands,
    /// A restart was asked for that was not done.
    pub restart: Due,
    /// The written settings are not the spec's, or were not looked at yet.
    pub settings: Due,
    /// The databases are not the spec's, or were not looked at yet.
    pub databases: Due,
    /// Whether the last attempt failed just now.
    pub pace: Pace,
}

/// What to do next. Each may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Copy the template, or another's data.
    Make,
    /// Start the server, after ending what is left of an earlier one.
    Start,
    /// Wait until the server is ready.
    AwaitReady,
    /// Stop the server; it is started next.
    Restart,
    /// Stop the server in order.
    Stop,
    /// It is stopped, as it shall be: wait for another spec.
    Rest,
    /// Write the settings and tell the server.
    Configure,
    /// Ask whether it writes.
    Ask,
    /// Make a follower a leader.
    Promote,
    /// Look how it follows.
    Follow,
    /// Bring roles and databases to the spec.
    Converge,
    /// Feel it now and then, until something changes.
    Watch,
    /// Stop the server and remove its files.
    Remove,
    /// Keep the tombstone; nothing is left to do.
    Finish,
    /// Wait for the end of the back-off, or another spec.
    Pause,
}

/// The table.
#[must_use]
pub fn next(seen: &Seen) -> Action {
    match (seen.wanted, seen.run) {
        (Wanted::Absent, _) => removal(seen),
        (Wanted::Present, Run::Up) => life(seen),
        (Wanted::Present, Run::Stopped) => standstill(seen),
    }
}

fn removal(seen: &Seen) -> Action {
    match (seen.pace, seen.data, seen.process) {
        (Pace::Held, _, _) => Action::Pause,
        (Pace::Free, Data::Missing, Process::Gone) => Action::Finish,
        (Pace::Free, Data::Made, _) | (Pace::Free, _, Process::Busy | Process::Ready) => {
            Action::Remove
        }
    }
}

fn standstill(seen: &Seen) -> Action {
    match (seen.pace, seen.process) {
        (_, Process::Gone) => Action::Rest,
        (Pace::Held, Process::Busy | Process::Ready) => Action::Pause,
        (Pace::Free, Process::Busy | Process::Ready) => Action::Stop,
    }
}

fn life(seen: &Seen) -> Action {
    match (seen.pace, seen.process, seen.data) {
        (Pace::Held, Process::Ready, _) => Action::Watch,
        (Pace::Held, Process::Gone | Process::Busy, _) => Action::Pause,
        (Pace::Free, Process::Busy | Process::Ready, _) if seen.restart == Due::Now => {
            Action::Restart
        }
        (Pace::Free, Process::Gone, Data::Missing) => Action::Make,
        (Pace::Free, Process::Gone, Data::Made) => Action::Start,
        (Pace::Free, Process::Busy, _) => Action::AwaitReady,
        (Pace::Free, Process::Ready, _) => match seen.settings {
            Due::Now => Action::Configure,
            Due::Not => ready(seen),
        },
    }
}

fn ready(seen: &Seen) -> Action {
    match (seen.role, seen.stands, seen.databases) {
        (_, Stands::Unknown, _) => Action::Ask,
        (Role::Leader, Stands::Replays, _) => Action::Promote,
        (Role::Leader, Stands::Writes, Due::Now) => Action::Converge,
        // One that writes follows nobody: it is started anew as what it shall be.
        (Role::Follower, Stands::Writes, _) => Action::Restart,
        (Role::Follower, Stands::Replays, Due::Now) => Action::Follow,
        (_, _, Due::Not) => Action::Watch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator;

    fn all() -> Vec<Seen> {
        let mut all = Vec::new();
        for wanted in [Wanted::Present, Wanted::Absent] {
            for data in Data::iter() {
                for process in Process::iter() {
                    for restart in Due::iter() {
                        for settings in Due::iter() {
                            for databases in Due::iter() {
                                for pace in Pace::iter() {
                                    all.extend(standing().into_iter().map(
                                        |(role, run, stands)| Seen {
                                            wanted,
                                            run,
                                            data,
                                            process,
                                            role,
                                            stands,
                                            restart,
                                            settings,
                                            databases,
                                            pace,
                                        },
                                    ));
                                }
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn standing() -> Vec<(Role, Run, Stands)> {
        let mut all = Vec::new();
        for role in [Role::Leader, Role::Follower] {
            for run in [Run::Up, Run::Stopped] {
                all.extend(Stands::iter().map(|stands| (role, run, stands)));
            }
        }
        all
    }

    /// What the world is like when an action has succeeded.
    fn after(action: Action, seen: Seen) -> Option<Seen> {
        let seen = Seen { pace: Pace::Free, ..seen };
        Some(match action {
            Action::Make => Seen { data: Data::Made, ..seen },
            Action::Start | Action::AwaitReady => Seen { process: Process::Ready, ..seen },
            Action::Restart => {
                let stands = Stands::Unknown;
                Seen { process: Process::Gone, restart: Due::Not, stands, ..seen }
            }
            Action::Configure => Seen { settings: Due::Not, ..seen },
            Action::Ask => Seen { stands: as_started(seen.role), ..seen },
            Action::Promote => Seen { stands: Stands::Writes, ..seen },
            Action::Converge | Action::Follow => Seen { databases: Due::Not, ..seen },
            Action::Stop => Seen { process: Process::Gone, stands: Stands::Unknown, ..seen },
            Action::Remove => Seen { data: Data::Missing, process: Process::Gone, ..seen },
            Action::Pause => seen,
            Action::Watch if seen.settings == Due::Now || seen.databases == Due::Now => seen,
            Action::Watch | Action::Rest | Action::Finish => return None,
        })
    }

    fn as_started(role: Role) -> Stands {
        match role {
            Role::Leader => Stands::Writes,
            Role::Follower => Stands::Replays,
        }
    }

    #[test]
    fn only_a_leader_is_promoted_and_nobody_else_is_written_to() {
        for seen in all() {
            match next(&seen) {
                Action::Promote => {
                    assert_eq!((seen.role, seen.stands), (Role::Leader, Stands::Replays));
                }
                Action::Converge => {
                    assert_eq!((seen.role, seen.stands), (Role::Leader, Stands::Writes));
                }
                Action::Follow => {
                    assert_eq!((seen.role, seen.stands), (Role::Follower, Stands::Replays));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn from_everywhere_it_comes_to_rest_where_it_should() {
        for start in all() {
            let mut seen = start;
            let mut last = next(&seen);
            for _ in 0..12 {
                let Some(then) = after(last, seen) else { break };
                seen = then;
                last = next(&seen);
            }
            let rest = match (start.wanted, start.run) {
                (Wanted::Present, Run::Up) => Action::Watch,
                (Wanted::Present, Run::Stopped) => Action::Rest,
                (Wanted::Absent, _) => Action::Finish,
            };
            assert_eq!((last, after(last, seen)), (rest, None), "from {start:?}");
        }
    }

    #[test]
    fn nothing_is_done_that_the_world_does_not_allow() {
        for seen in all() {
            match next(&seen) {
                Action::Make => {
                    assert_eq!((seen.data, seen.process), (Data::Missing, Process::Gone));
                }
                Action::Start => assert_eq!((seen.data, seen.process), (Data::Made, Process::Gone)),
                Action::AwaitReady => assert_eq!(seen.process, Process::Busy),
                Action::Configure
                | Action::Ask
                | Action::Promote
                | Action::Follow
                | Action::Converge
                | Action::Watch => assert_eq!(seen.process, Process::Ready),
                Action::Restart | Action::Stop => assert_ne!(seen.process, Process::Gone),
                Action::Rest => {
                    assert_eq!((seen.run, seen.process), (Run::Stopped, Process::Gone));
                }
                Action::Remove | Action::Finish => assert_eq!(seen.wanted, Wanted::Absent),
                Action::Pause => assert_eq!(seen.pace, Pace::Held),
            }
            if seen.pace == Pace::Held {
                let waits = [Action::Pause, Action::Watch, Action::Rest];
                assert!(waits.contains(&next(&seen)), "no tight loop after a failure: {seen:?}");
            }
        }
    }
}
