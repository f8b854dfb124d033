//! The effect that gives an app the release of its new database.

use anyhow::Result;
use howdah_model::operation::provision::State;
use howdah_store::{apps, attachments, databases, releases};

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
    Ok(tx.commit().await?)
}
