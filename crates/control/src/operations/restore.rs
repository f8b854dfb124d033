//! Putting a backup or a copy in the place of a database.

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::Wanted;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::restore::{Effect, Restore, Seen, State};
use howdah_store::{Tx, databases, operations, participants, wakes};
use jiff::Timestamp;
use uuid::Uuid;

use super::mark;
use super::transferring::{self, Facts};
use crate::Control;
use crate::engine::{Fence, Supervised};

impl Supervised for Restore {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        transferring::feel(control, ids).await
    }

    fn seen(facts: &Facts, _state: State, now: Timestamp) -> Seen {
        let asked = &facts.asked;
        Seen {
            wish: asked.wish(),
            database: asked.database.placed.database.state,
            presence: asked.database.presence(now),
            chosen: facts.chosen(),
            fares: facts.fares(now),
            incarnation: mark(asked.asked.incarnation.is_some()),
        }
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.hindrance()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::Choose => transferring::choose_restore(control, facts, fence).await,
            Effect::Tell => transferring::tell(control, facts, fence).await,
            Effect::WantFilled => want_filled(control, facts, fence).await,
            Effect::TakeBack => transferring::take_back(control, facts).await,
        }
    }

    async fn entered(
        tx: &mut Tx,
        facts: &Facts,
        _from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let outcome = match to {
            State::Requested | State::Exchanging | State::Undoing => Outcome::Running,
            State::Filling => {
                facts.started(tx, now).await?;
                Outcome::Running
            }
            State::Done => {
                facts.finish(tx, true, now).await?;
                Outcome::Done
            }
            State::Undone => {
                facts.finish(tx, false, now).await?;
                Outcome::Undone
            }
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, &facts.asked, outcome, Self::is_over(to), now).await
    }
}

/// Wants what was filled as the next incarnation: the point of no return.
async fn want_filled(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let asked = &facts.asked.asked;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let database = databases::lock(&mut tx, asked.database_id).await?;
    let now = operations::get(&mut tx, asked.id).await?.context("the operation is not there")?;
    if now.incarnation.is_some() || now.cancelled_at.is_some() {
        return Ok(());
    }
    let Some(participant) = database.participant_id.filter(|_| database.wanted == Wanted::Present)
    else {
        bail!("{} is not there to be restored", database.addon_name);
    };
    if facts.row.into_participant_id != Some(participant) {
        bail!("{} has moved to another server meanwhile", database.addon_name);
    }
    let revision = participants::raise(&mut tx, participant).await?;
    let content = databases::Content::Filled(facts.row.id);
    let incarnation = databases::want_incarnation(&mut tx, database.id, revision, content).await?;
    operations::asked_for(&mut tx, asked.id, incarnation).await?;
    wakes::insert(&mut tx, &[database.id.0]).await?;
    Ok(tx.commit().await?)
}
