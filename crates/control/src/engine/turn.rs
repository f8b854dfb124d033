//! One turn: tick after tick for as long as they lead on at once.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use howdah_model::machine::{OVERDUE, STALLED, Step, back_off};
use howdah_store::machines::{self, Lease, Rest, Stored};
use jiff::Timestamp;
use uuid::Uuid;

use super::machinery::{Fence, state_of};
use super::probe::Point;
use super::{Engine, Supervised, lasted, waiting};
use crate::Control;

/// More ticks than any machine takes in one go; a bound for a table that runs in circles.
const MOST_TICKS: usize = 32;

/// What a tick led to.
enum Ticked {
    /// Something was done: look again.
    On,
    /// Nothing to do for so long; what stands in the way, if something does.
    Wait(Duration, Option<String>),
    /// An effect does not show yet: look again after so long.
    BackOff(Duration),
    /// The machine is at its end, or somebody else has it.
    Over,
}

/// A machine during a turn.
struct Hands<M: Supervised> {
    stored: Stored,
    state: M::State,
    lease: Lease,
    /// The effect that the last tick carried out, if it did.
    done: Option<M::Effect>,
}

impl Engine {
    /// Takes a turn; answers how to leave the machine, if it is still ours.
    pub(super) async fn turn<M: Supervised>(&self, claimed: &Stored, token: Uuid) -> Option<Rest> {
        let lease = Lease { id: claimed.id, token };
        let state = match state_of::<M>(claimed) {
            Ok(state) => state,
            Err(error) => {
                return Some(failed(&self.control, claimed, said(&error)));
            }
        };
        let mut hands = Hands::<M> { stored: claimed.clone(), state, lease, done: None };
        for _ in 0..MOST_TICKS {
            match self.tick(&mut hands).await {
                Ok(Ticked::On) => {}
                Ok(Ticked::Wait(pause, hindrance)) => {
                    return Some(waiting(&hands.stored, pause, hindrance, self.control.now()));
                }
                Ok(Ticked::BackOff(pause)) => {
                    let now = self.control.now();
                    let rest = waiting(&hands.stored, pause, None, now);
                    let rest = Rest { attempt: hands.stored.attempt, ..rest };
                    return Some(hands.not_beyond_deadline(rest, now));
                }
                Ok(Ticked::Over) => return None,
                Err(error) if lost(&error) => return None,
                Err(error) => {
                    let rest = failed(&self.control, &hands.stored, said(&error));
                    return Some(hands.not_beyond_deadline(rest, self.control.now()));
                }
            }
        }
        Some(waiting(&hands.stored, Duration::ZERO, None, self.control.now()))
    }

    async fn tick<M: Supervised>(&self, hands: &mut Hands<M>) -> Result<Ticked> {
        let facts = M::feel(&self.control, &[hands.stored.id]).await.context("feel")?;
        let (_, facts) = facts
            .into_iter()
            .next()
            .ok_or_else(|| anyhow!("the machine has no {} of its id in the store", M::KIND))?;
        self.reached(Point::Felt, Some(&hands.stored)).await;
        let now = self.control.now();
        let seen = M::seen(&facts, hands.state, now);
        match M::turn(hands.state, &seen, lasted(hands.stored.since, now)) {
            Step::Wait(pause, _) => Ok(Ticked::Wait(pause, M::hindrance(&facts))),
            Step::Goto(to, why) => self.goto(hands, &facts, to, why, now).await,
            // It has been done and does not show yet: give it time.
            Step::Do(effect, _) if hands.done == Some(effect) => {
                Ok(Ticked::BackOff(back_off(hands.stored.attempt, spread(&self.control))))
            }
            Step::Do(effect, why) => {
                tracing::debug!(machine.id = %hands.stored.id, state = %hands.state, ?effect, why, "perform");
                self.reached(Point::BeforeEffect, Some(&hands.stored)).await;
                let fence = Fence { lease: hands.lease, state: hands.state };
                for _ in 0..self.probe.as_ref().map_or(1, |probe| probe.times()) {
                    M::perform(&self.control, &facts, fence, effect).await?;
                }
                self.reached(Point::AfterEffect, Some(&hands.stored)).await;
                hands.stored.attempt += 1;
                hands.done = Some(effect);
                Ok(Ticked::On)
            }
        }
    }

    async fn goto<M: Supervised>(
        &self,
        hands: &mut Hands<M>,
        facts: &M::Facts,
        to: M::State,
        why: &'static str,
        now: Timestamp,
    ) -> Result<Ticked> {
        self.reached(Point::BeforeGoto, Some(&hands.stored)).await;
        let from = hands.state;
        let reason = match &hands.stored.last_error {
            Some(error) if why == OVERDUE || why == STALLED => format!("{why}: {error}"),
            Some(_) | None => why.to_owned(),
        };
        // A step on the way that is lost in a crash of the store's machine is taken again. An end
        // is told to people, and must last.
        let store = self.control.store();
        let mut tx =
            if M::is_over(to) { store.begin().await? } else { store.begin_relaxed().await? };
        machines::goto::<M>(&mut tx, hands.lease, from, to, &reason, now).await?;
        M::entered(&mut tx, facts, from, to, now).await?;
        tx.commit().await.with_context(|| format!("go from {from} to {to}"))?;
        self.reached(Point::AfterGoto, Some(&hands.stored)).await;
        let (kind, id) = (M::KIND, hands.stored.id);
        tracing::info!(machine.id = %id, %from, %to, "{kind} {id}: {from} -> {to}, {reason}");
        hands.state = to;
        hands.stored.state = to.to_string();
        hands.stored.since = now;
        hands.stored.attempt = 0;
        hands.stored.last_error = None;
        hands.done = None;
        Ok(if M::is_over(to) { Ticked::Over } else { Ticked::On })
    }
}

/// Whether an error only says that somebody else works on the machine now.
fn lost(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(howdah_store::Error::Gone { what }) if *what == machines::CLAIM)
}

fn said(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

/// A number between 0 and 1.
fn spread(control: &Control) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "any number in between will do")]
    let share = control.random() as f64 / u64::MAX as f64;
    share
}

impl<M: Supervised> Hands<M> {
    /// A back-off must not make the state's deadline late.
    fn not_beyond_deadline(&self, mut rest: Rest, now: Timestamp) -> Rest {
        if let Some((after, _)) = M::row(self.state).deadline {
            let deadline = self.stored.since.checked_add(after).unwrap_or(Timestamp::MAX);
            if deadline > now {
                rest.wake_at = rest.wake_at.min(deadline);
            }
        }
        rest
    }
}

/// Leaves a machine whose attempt went wrong, to be tried again later and later. Says so in the
/// log once, not at each attempt.
pub(super) fn failed(control: &Control, stored: &Stored, error: String) -> Rest {
    if stored.last_error.as_ref() != Some(&error) {
        let (kind, id, state) = (stored.kind, stored.id, &stored.state);
        tracing::warn!(machine.id = %id, state, error, "{kind} {id} in {state}: {error}");
    }
    let attempt = stored.attempt;
    let pause = back_off(attempt, spread(control));
    let wake_at = control.now().checked_add(pause).unwrap_or(Timestamp::MAX);
    Rest { id: stored.id, wake_at, attempt: attempt.saturating_add(1), last_error: Some(error) }
}
