//! What a change of plan does: each is one write, and nothing when it has been made already.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::{Run, Wanted};
use howdah_model::ids::ParticipantId;
use howdah_model::operation::change_plan::{Effect, GRACE, State};
use howdah_model::protection::{Origin, Until};
use howdah_store::databases::Database;
use howdah_store::participants::New;
use howdah_store::stages::Stage;
use howdah_store::{
    Tx, apps, databases, operations, participants, releases, routes, stages, succession, wakes,
};

use super::Facts;
use crate::Control;
use crate::engine::Fence;
use crate::requests::releases::{Change, publish};

/// How long sessions may be prepared before it is given up.
const PREPARED: Duration = Duration::from_secs(120);
/// How long transactions may be held: the deadlines of holding, fencing and promoting lie within,
/// with the hold set anew when the follower takes the place.
const HELD: Duration = Duration::from_secs(60);
/// How long servers may be away for it.
const AWAY: Duration = Duration::from_secs(120);

pub(super) async fn perform(
    control: &Control,
    facts: &Facts,
    fence: Fence<State>,
    effect: Effect,
) -> Result<()> {
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    // An app is locked before its databases.
    let lives = match effect {
        Effect::Retire => apps::lock(&mut tx, facts.asked.asked.app_id).await?,
        _ => true,
    };
    let database = databases::lock(&mut tx, facts.asked.asked.database_id).await?;
    match effect {
        Effect::Add => add(control, facts, &mut tx, &database).await?,
        Effect::Prepare => {
            let stage = Stage::Prepare { next: facts.next_id };
            enter(control, &mut tx, &database, stage, PREPARED).await?;
        }
        Effect::Hold => {
            enter(control, &mut tx, &database, Stage::Hold { grace: GRACE }, HELD).await?;
        }
        Effect::Stop => stop(control, facts, &mut tx).await?,
        Effect::Ask => drop(participants::raise(&mut tx, facts.next_id).await?),
        Effect::Promote => promote(control, facts, &mut tx, &database).await?,
        Effect::Open => {
            stages::clear(&mut tx, database.id).await?;
            routes::changed(&mut tx).await?;
        }
        Effect::Retire => retire(control, facts, &mut tx, &database, lives).await?,
        Effect::Undo => undo(control, facts, &mut tx, &database).await?,
    }
    Ok(tx.commit().await?)
}

/// Asks for the follower, on the server that has the data.
async fn add(control: &Control, facts: &Facts, tx: &mut Tx, database: &Database) -> Result<()> {
    if participants::get(tx, facts.next_id).await?.is_some() || is_off(facts, tx, database).await? {
        return Ok(());
    }
    let old = database.participant_id.context("the database has not been placed yet")?;
    let old = participants::get(tx, old).await?.context("its participant is not there")?;
    let new = New {
        id: facts.next_id,
        server_id: old.server_id,
        major: old.major,
        plan: facts.plan,
        shared: false,
        pooled: false,
    };
    let now = control.now();
    let until = Until::Now { asked_at: now };
    let origin = Origin { timeline: old.timeline_id, beside: Some(old.id), until };
    let why = format!("{} is to have the plan {}", database.addon_name, facts.plan);
    participants::insert_follower(tx, &new, &origin, old.id, &why, now).await?;
    Ok(())
}

/// Whether somebody changed their mind since it was looked at.
async fn is_off(facts: &Facts, tx: &mut Tx, database: &Database) -> Result<bool> {
    let now = operations::get(tx, facts.asked.asked.id).await?;
    let now = now.context("the operation is not there")?;
    Ok(now.cancelled_at.is_some() || database.wanted == Wanted::Absent)
}

async fn enter(
    control: &Control,
    tx: &mut Tx,
    database: &Database,
    stage: Stage,
    bound: Duration,
) -> Result<()> {
    stages::set(tx, database.id, stage, control.now().checked_add(bound)?).await?;
    routes::changed(tx).await?;
    Ok(())
}

async fn stop(control: &Control, facts: &Facts, tx: &mut Tx) -> Result<()> {
    let old = old(facts)?;
    succession::run(tx, old, Run::Stopped, control.now().checked_add(AWAY)?).await?;
    Ok(())
}

fn old(facts: &Facts) -> Result<ParticipantId> {
    Ok(facts.old.as_ref().context("the old participant is not there")?.id)
}

/// The point of no return. Sessions go on waiting until the follower is seen to lead.
async fn promote(control: &Control, facts: &Facts, tx: &mut Tx, database: &Database) -> Result<()> {
    if database.participant_id == Some(facts.next_id) || is_off(facts, tx, database).await? {
        return Ok(());
    }
    let old = old(facts)?;
    if database.participant_id != Some(old) {
        bail!("{} is on another participant by now", database.addon_name);
    }
    let felt = facts.old.as_ref().map(|row| row.revision);
    let now = participants::get(tx, old).await?.context("the old participant is not there")?;
    if Some(now.revision) != felt || now.run != Run::Stopped {
        bail!("what is wanted of the old server has changed");
    }
    let away = control.now().checked_add(AWAY)?;
    let revision = succession::succeed(tx, old, facts.next_id, away).await?;
    succession::move_database(tx, database.id, facts.next_id, facts.plan, revision).await?;
    enter(control, tx, database, Stage::Hold { grace: GRACE }, HELD).await?;
    wakes::insert(tx, &[old.0]).await?;
    Ok(())
}

async fn retire(
    control: &Control,
    facts: &Facts,
    tx: &mut Tx,
    database: &Database,
    lives: bool,
) -> Result<()> {
    let asked = &facts.asked.asked;
    if let Some(old) = &facts.old {
        succession::retire(tx, old.id).await?;
    }
    stages::clear(tx, database.id).await?;
    routes::changed(tx).await?;
    let is_gone = !lives || database.wanted == Wanted::Absent;
    if is_gone || releases::made_by(tx, asked.app_id, asked.id).await? {
        return Ok(());
    }
    let description = format!("Update {} to {}", database.addon_name, facts.plan.full_name());
    let change = Change {
        app: asked.app_id,
        description: &description,
        account: asked.account_id,
        operation: Some(asked.id),
    };
    publish(control.keyring(), tx, change, control.now()).await?;
    Ok(())
}

/// All is as it was, but for the follower that goes.
async fn undo(control: &Control, facts: &Facts, tx: &mut Tx, database: &Database) -> Result<()> {
    if database.participant_id == Some(facts.next_id) {
        bail!("{} has moved already", database.addon_name);
    }
    let now = control.now();
    stages::clear(tx, database.id).await?;
    routes::changed(tx).await?;
    if let Some(old) = &facts.old {
        succession::run(tx, old.id, Run::Up, now.checked_add(AWAY)?).await?;
    }
    if facts.next.is_some() {
        succession::retire(tx, facts.next_id).await?;
    }
    Ok(())
}
