//! The effect that gives an app the release of its new database.

use anyhow::Result;
use howdah_model::agent::Role;
use howdah_model::operation::provision::State;
use howdah_store::{Tx, apps, attachments, databases, participants, releases, timelines};

use howdah_store::databases::Database;

use super::Facts;
use crate::Control;
use crate::engine::Fence;
use crate::requests::releases::{Change, attached, publish};

pub(super) async fn perform(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let asked = &facts.asked;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    if !apps::lock(&mut tx, asked.app_id).await? {
        anyhow::bail!("its app is being destroyed");
    }
    let database = databases::lock(&mut tx, asked.database_id).await?;
    if releases::made_by(&mut tx, asked.app_id, asked.id).await? {
        return Ok(());
    }
    let all = attachments::list_by_database(&mut tx, database.id).await?;
    let own = all.iter().find(|one| one.app_id == asked.app_id);
    // Somebody may have detached it already; the release still says that it came.
    let description = match own {
        Some(own) => attached(own.name.as_str(), database.addon_name.as_str()),
        None => format!("Create {}", database.addon_name),
    };
    let change = Change {
        app: asked.app_id,
        description: &description,
        account: asked.account_id,
        operation: Some(asked.id),
    };
    publish(control.keyring(), &mut tx, change, control.now()).await?;
    if facts.copy.is_some() {
        note_branch(control, &mut tx, &database).await?;
    }
    Ok(tx.commit().await?)
}

/// Records about where the history of a copy left the one that it was made from (K13).
async fn note_branch(
    control: &Control,
    tx: &mut Tx,
    database: &Database,
) -> howdah_store::Result<()> {
    let Some(id) = database.participant_id else {
        return Ok(());
    };
    let Some(row) = participants::get(tx, id).await? else {
        return Ok(());
    };
    let last = control.sightings().last(row.server_id);
    let seen = last.as_ref().and_then(|last| last.participants.get(&id)?.position);
    match seen.filter(|_| row.role == Role::Leader) {
        Some(position) => timelines::branched(tx, row.timeline_id, position.lsn).await,
        None => Ok(()),
    }
}
