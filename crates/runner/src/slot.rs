//! The place of one process of the formation: what it is in, and what is to be done next. Pure.

use std::time::Duration;

use howdah_model::process::DynoState;
use jiff::Timestamp;
use tokio::time::Instant;

/// A process that ran for so long has not crashed right after its start.
const WELL: Duration = Duration::from_secs(60);

/// The first pause before a process that crashed again is started again; it doubles each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a place shall run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) command: String,
    pub(crate) release: i32,
}

/// What is to be done with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Start its process.
    Start,
    /// Tell its process to end.
    Stop,
    /// Nothing runs and nothing shall: the place is not needed any more.
    Remove,
}

/// A place.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) state: DynoState,
    /// Since when it is in it, for people.
    pub(crate) since: Timestamp,
    /// What runs, or ran last.
    pub(crate) runs: Wanted,
    /// Since when, by a clock that only goes on.
    changed: Instant,
    /// When it is started, of one that starts or has crashed.
    due: Instant,
    /// How often it crashed right after its start.
    crashes: u32,
    /// Whether it was asked to begin anew.
    anew: bool,
}

impl Slot {
    /// A place whose process is to be started now.
    pub(crate) fn new(wanted: Wanted, now: Instant, at: Timestamp) -> Self {
        Self {
            state: DynoState::Starting,
            since: at,
            runs: wanted,
            changed: now,
            due: now,
            crashes: 0,
            anew: false,
        }
    }

    /// It shall end and begin anew.
    pub(crate) fn restart(&mut self, now: Instant) {
        match self.state {
            DynoState::Up => self.anew = true,
            DynoState::Crashed => self.due = now,
            DynoState::Starting | DynoState::Stopping | DynoState::Down => {}
        }
    }

    /// What is to be done, when this is wanted of it.
    pub(crate) fn next(&self, wanted: Option<&Wanted>, now: Instant) -> Option<Act> {
        match (self.state, wanted) {
            (DynoState::Up, Some(wanted)) if *wanted == self.runs && !self.anew => None,
            (DynoState::Up, _) => Some(Act::Stop),
            (DynoState::Stopping, _) => None,
            (_, None) => Some(Act::Remove),
            // What makes it crash may be another release's.
            (DynoState::Crashed, Some(wanted)) if *wanted != self.runs => Some(Act::Start),
            (DynoState::Starting | DynoState::Crashed | DynoState::Down, Some(_)) => {
                (now >= self.due).then_some(Act::Start)
            }
        }
    }

    /// When it must be looked at again.
    pub(crate) fn due(&self) -> Option<Instant> {
        matches!(self.state, DynoState::Starting | DynoState::Crashed).then_some(self.due)
    }

    /// For how long it has been in its state.
    pub(crate) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed)
    }

    /// Its process was started.
    pub(crate) fn started(&mut self, wanted: Wanted, now: Instant, at: Timestamp) {
        self.runs = wanted;
        self.anew = false;
        self.becomes(DynoState::Up, now, at);
    }

    /// Its process was told to end.
    pub(crate) fn stopped(&mut self, now: Instant, at: Timestamp) {
        self.becomes(DynoState::Stopping, now, at);
    }

    /// Its process has ended, or could not be started.
    pub(crate) fn ended(&mut self, now: Instant, at: Timestamp) {
        if self.state == DynoState::Stopping {
            self.due = now;
            self.becomes(DynoState::Down, now, at);
            return;
        }
        let well = self.state == DynoState::Up && self.lasted(now) >= WELL;
        self.crashes = if well { 0 } else { self.crashes + 1 };
        let doublings = self.crashes.saturating_sub(2).min(16);
        // The first time it is started again at once.
        let pause = if self.crashes < 2 { Duration::ZERO } else { PAUSE * (1 << doublings) };
        self.due = now + pause.min(LONGEST_PAUSE);
        self.becomes(DynoState::Crashed, now, at);
    }

    fn becomes(&mut self, state: DynoState, now: Instant, at: Timestamp) {
        (self.state, self.changed, self.since) = (state, now, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn wanted(release: i32) -> Wanted {
        Wanted { command: "x".into(), release }
    }

    fn up(now: Instant) -> Slot {
        let mut slot = Slot::new(wanted(1), now, AT);
        assert_eq!(slot.next(Some(&wanted(1)), now), Some(Act::Start));
        slot.started(wanted(1), now, AT);
        slot
    }

    #[test]
    fn b13_another_release_another_command_and_a_request_start_it_anew() {
        let now = Instant::now();
        let mut slot = up(now);
        assert_eq!(slot.next(Some(&wanted(1)), now), None);
        assert_eq!(slot.next(Some(&wanted(2)), now), Some(Act::Stop));
        let other = Wanted { command: "y".into(), release: 1 };
        assert_eq!(slot.next(Some(&other), now), Some(Act::Stop));
        slot.restart(now);
        assert_eq!(slot.next(Some(&wanted(1)), now), Some(Act::Stop));
        slot.stopped(now, AT);
        assert_eq!(slot.next(Some(&wanted(3)), now), None, "until it has ended");
        slot.ended(now, AT);
        assert_eq!(
            (slot.state, slot.next(Some(&wanted(3)), now)),
            (DynoState::Down, Some(Act::Start))
        );
        slot.started(wanted(3), now, AT);
        assert_eq!(slot.next(Some(&wanted(3)), now), None);
    }

    #[test]
    fn b17_b18_what_is_not_wanted_ends_and_its_place_goes() {
        let now = Instant::now();
        let mut slot = up(now);
        assert_eq!(slot.next(None, now), Some(Act::Stop));
        slot.stopped(now, AT);
        assert_eq!(slot.next(None, now), None);
        slot.ended(now, AT);
        assert_eq!(slot.next(None, now), Some(Act::Remove));
        let mut crashed = up(now);
        crashed.ended(now, AT);
        assert_eq!(crashed.next(None, now), Some(Act::Remove));
        assert_eq!(Slot::new(wanted(1), now, AT).next(None, now), Some(Act::Remove));
    }

    #[test]
    fn b21_a_crashed_process_is_started_again_with_growing_pauses_up_to_a_minute() {
        let mut now = Instant::now();
        let mut slot = up(now);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            slot.ended(now, AT);
            assert_eq!(slot.state, DynoState::Crashed);
            let due = slot.due().expect("it is started again");
            pauses.push((due - now).as_secs());
            if due > now {
                assert_eq!(slot.next(Some(&wanted(1)), now), None);
            }
            now = due;
            assert_eq!(slot.next(Some(&wanted(1)), now), Some(Act::Start));
            slot.started(wanted(1), now, AT);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        now += WELL;
        slot.ended(now, AT);
        assert_eq!(slot.due(), Some(now), "one that did well begins again");
        slot.started(wanted(1), now, AT);
        slot.ended(now, AT);
        slot.ended(now, AT);
        assert_eq!(slot.next(Some(&wanted(1)), now), None);
        assert_eq!(slot.next(Some(&wanted(2)), now), Some(Act::Start), "a release may mend it");
        slot.restart(now);
        assert_eq!(slot.next(Some(&wanted(1)), now), Some(Act::Start), "as does who asks");
    }
}
