//! The worker: claims machines that are due, looks, decides by the machine's pure `next`, and
//! takes one step. The only place where a state changes.
//!
//! A [`Engine::round`] claims a batch. Supervisors whose turn is only to wait are done with in the
//! round itself, all with one statement; what is left is a [`Turn`] each, which takes as many
//! ticks as lead on at once. Both are safe to be cut off anywhere: what was begun is done again
//! when the claim has run out, and every effect is one idempotent write that checks the claim.

mod machinery;
pub mod probe;
mod run;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_model::machine::{Kind, Step};
use howdah_model::{database::Database, participant::Participant};
use howdah_store::machines::{self, Rest, Stored};
use jiff::Timestamp;
use uuid::Uuid;

pub(crate) use machinery::{Fence, Supervised};
pub(crate) use run::run;

use crate::Control;
use crate::engine::machinery::state_of;
use crate::engine::probe::{Point, Probe};

/// How long a turn may take. One that takes longer is given up and begun again later.
pub const BOUND: Duration = Duration::from_secs(10);
/// How long a claim holds: longer than any turn, so that nobody else works on the machine.
pub const HOLD: Duration = Duration::from_secs(15);

/// Works on the machines of one control plane. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    control: Control,
    probe: Option<Arc<dyn Probe>>,
    /// How long a turn may take.
    bound: Duration,
}

/// A machine that was claimed and that has more to do than to wait.
#[derive(Clone, Debug)]
pub struct Turn {
    claimed: Stored,
    token: Uuid,
}

impl Turn {
    /// The machine.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.claimed.id
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.claimed.kind
    }
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// How many machines were due.
    pub claimed: usize,
    /// Those of them that have more to do than to wait.
    pub turns: Vec<Turn>,
}

impl Engine {
    /// The worker of a control plane.
    #[must_use]
    pub fn new(control: Control) -> Self {
        Self { control, probe: None, bound: BOUND }
    }

    /// A worker that tells a test where it is, and that the test may hold as long as it likes.
    #[must_use]
    pub fn probed(control: Control, probe: Arc<dyn Probe>) -> Self {
        Self { control, probe: Some(probe), bound: Duration::MAX }
    }

    /// Claims at most `limit` machines that are due, and lets go of those that only wait.
    ///
    /// # Errors
    /// When the store does not answer. Machines that were claimed are due again later.
    pub async fn round(&self, limit: u32) -> Result<Round> {
        let token = Uuid::new_v4();
        let mut tx = self.control.store().begin_relaxed().await?;
        let now = self.control.now();
        let claimed = machines::claim(&mut tx, token, now, HOLD, limit).await?;
        tx.commit().await.context("claim machines")?;
        self.reached(Point::Claimed, None).await;
        let count = claimed.len();
        let (mut turns, mut rests) = (Vec::new(), Vec::new());
        let (supervised, others): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .partition(|one| matches!(one.kind, Kind::Participant | Kind::Database));
        self.glance::<Participant>(&supervised, token, &mut turns, &mut rests).await?;
        self.glance::<Database>(&supervised, token, &mut turns, &mut rests).await?;
        turns.extend(others.into_iter().map(|claimed| Turn { claimed, token }));
        if !rests.is_empty() {
            self.rest(token, &rests).await?;
        }
        Ok(Round { claimed: count, turns })
    }

    /// Looks at all claimed machines of one kind, with one statement.
    async fn glance<M: Supervised>(
        &self,
        claimed: &[Stored],
        token: Uuid,
        turns: &mut Vec<Turn>,
        rests: &mut Vec<Rest>,
    ) -> Result<()> {
        let of_kind: Vec<_> = claimed.iter().filter(|one| one.kind == M::KIND).collect();
        if of_kind.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = of_kind.iter().map(|one| one.id).collect();
        // One that cannot be read must not hold up the others: then each is looked at by itself.
        let facts = M::feel(&self.control, &ids).await.unwrap_or_default();
        let now = self.control.now();
        for claimed in of_kind {
            let state = state_of::<M>(claimed);
            let felt = facts.iter().find(|(id, _)| *id == claimed.id);
            let step = match (&state, felt) {
                (Ok(state), Some((_, facts))) => {
                    let seen = M::seen(facts, *state, now);
                    Some(M::turn(*state, &seen, lasted(claimed.since, now)))
                }
                (Err(_), _) | (_, None) => None,
            };
            match step {
                Some(Step::Wait(pause, _)) => {
                    let hindrance = felt.and_then(|(_, facts)| M::hindrance(facts));
                    rests.push(waiting(claimed, pause, hindrance, now));
                }
                Some(Step::Goto(..) | Step::Do(..)) | None => {
                    turns.push(Turn { claimed: claimed.clone(), token });
                }
            }
        }
        Ok(())
    }

    /// Takes a turn, and lets go of the machine unless it is at its end. What goes wrong is
    /// recorded with the machine and tried again later.
    pub async fn take(&self, turn: Turn) {
        let Turn { claimed, token } = &turn;
        let rest = match tokio::time::timeout(self.bound, self.turn_of_kind(claimed, *token)).await
        {
            Ok(rest) => rest,
            Err(_) => Some(turn::failed(
                &self.control,
                claimed,
                format!("a turn did not end within {} s", self.bound.as_secs()),
            )),
        };
        let Some(rest) = rest else {
            return;
        };
        self.reached(Point::BeforeRest, Some(claimed)).await;
        if let Err(error) = self.rest(*token, &[rest]).await {
            // The claim runs out by itself, and the machine is due again then.
            tracing::warn!(machine.id = %claimed.id, error = format!("{error:#}"), "let go of a machine");
        }
    }

    async fn turn_of_kind(&self, claimed: &Stored, token: Uuid) -> Option<Rest> {
        use howdah_model::operation::{
            capture::Capture, change_plan::ChangePlan, destroy::Destroy, promote::Promote,
            provision::Provision, reset::Reset, restore::Restore, rotate::Rotate,
            unfollow::Unfollow,
        };
        match claimed.kind {
            Kind::Participant => self.turn::<Participant>(claimed, token).await,
            Kind::Database => self.turn::<Database>(claimed, token).await,
            Kind::Provision => self.turn::<Provision>(claimed, token).await,
            Kind::Reset => self.turn::<Reset>(claimed, token).await,
            Kind::Promote => self.turn::<Promote>(claimed, token).await,
            Kind::Unfollow => self.turn::<Unfollow>(claimed, token).await,
            Kind::ChangePlan => self.turn::<ChangePlan>(claimed, token).await,
            Kind::Capture => self.turn::<Capture>(claimed, token).await,
            Kind::Restore => self.turn::<Restore>(claimed, token).await,
            Kind::Rotate => self.turn::<Rotate>(claimed, token).await,
            Kind::Destroy => self.turn::<Destroy>(claimed, token).await,
        }
    }

    async fn rest(&self, token: Uuid, rests: &[Rest]) -> Result<()> {
        let mut tx = self.control.store().begin_relaxed().await?;
        machines::rest(&mut tx, token, rests).await?;
        tx.commit().await.context("let go of machines")
    }

    async fn reached(&self, point: Point, machine: Option<&Stored>) {
        if let Some(probe) = &self.probe {
            probe.reached(point, machine.map(|one| (one.kind, one.id))).await;
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// How long a machine has been in its state. A clock that went back counts as no time.
fn lasted(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Pauses from here on are lengthened to a whole multiple of [`GRID`], so that machines at rest
/// are looked at together, with one statement.
const LONG: Duration = Duration::from_secs(10);
const GRID: Duration = Duration::from_secs(2);

/// Leaves a machine that has nothing to do: what it tried has succeeded.
fn waiting(claimed: &Stored, pause: Duration, hindrance: Option<String>, now: Timestamp) -> Rest {
    Rest { id: claimed.id, wake_at: wake_at(pause, now), attempt: 0, last_error: hindrance }
}

fn wake_at(pause: Duration, now: Timestamp) -> Timestamp {
    let at = now.checked_add(pause).unwrap_or(Timestamp::MAX);
    if pause < LONG {
        return at;
    }
    let grid = i64::try_from(GRID.as_micros()).unwrap_or(i64::MAX);
    let micros = at.as_microsecond();
    let up = micros.div_euclid(grid).saturating_add(1).saturating_mul(grid);
    Timestamp::from_microsecond(up).unwrap_or(at)
}
