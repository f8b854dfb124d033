//! Emptying a database.

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::Wanted;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::reset::{Arguments, Effect, Reset, Seen, State};
use howdah_store::{Tx, databases, operations, participants};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts, mark};
use crate::Control;
use crate::engine::{Fence, Supervised};

impl Supervised for Reset {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        super::feel(control, ids).await
    }

    fn seen(facts: &Facts, _state: State, now: Timestamp) -> Seen {
        Seen {
            wish: facts.wish(),
            incarnation: mark(facts.asked.incarnation.is_some()),
            database: facts.database.placed.database.state,
            presence: facts.database.presence(now),
        }
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.database.hindrance()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::WantNewIncarnation => want_new_incarnation(control, facts, fence).await,
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
            State::Requested | State::Emptying => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, facts, outcome, Self::is_over(to), now).await
    }
}

async fn want_new_incarnation(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let asked = &facts.asked;
    let arguments: Arguments =
        serde_json::from_value(asked.arguments.clone()).context("read the reset's arguments")?;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let database = databases::lock(&mut tx, asked.database_id).await?;
    let now = operations::get(&mut tx, asked.id).await?.context("the operation is not there")?;
    if now.incarnation.is_some() || now.cancelled_at.is_some() {
        return Ok(());
    }
    let Some(participant) = database.participant_id.filter(|_| database.wanted == Wanted::Present)
    else {
        bail!("{} is not there to be emptied", database.addon_name);
    };
    let revision = participants::raise(&mut tx, participant).await?;
    let content = databases::Content::Extensions(&arguments.extensions);
    let incarnation = databases::want_incarnation(&mut tx, database.id, revision, content).await?;
    operations::asked_for(&mut tx, asked.id, incarnation).await?;
    howdah_store::wakes::insert(&mut tx, &[database.id.0]).await?;
    Ok(tx.commit().await?)
}
