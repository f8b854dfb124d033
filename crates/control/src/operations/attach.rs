//! The effect that points an app's attachment to another database.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::Wanted;
use howdah_model::ids::AppId;
use howdah_model::name::AttachmentName;
use howdah_model::operation::promote::{Arguments, State};
use howdah_store::attachments::{self, Attachment, Pointing};
use howdah_store::{Connection, Tx, apps, config_vars, databases, operations, releases};

use super::Facts;
use crate::Control;
use crate::engine::Fence;
use crate::requests::attachments::is_pooling;
use crate::requests::naming;
use crate::requests::releases::{Change, attached, publish};

pub(super) async fn perform(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let asked = &facts.asked;
    let arguments: Arguments = serde_json::from_value(asked.arguments.clone())
        .context("read the promotion's arguments")?;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    if !apps::lock(&mut tx, asked.app_id).await? {
        bail!("its app is being destroyed");
    }
    let database = databases::lock(&mut tx, asked.database_id).await?;
    if database.wanted == Wanted::Absent {
        bail!("{} is being destroyed", database.addon_name);
    }
    let now = operations::get(&mut tx, asked.id).await?.context("the operation is not there")?;
    let done = releases::made_by(&mut tx, asked.app_id, asked.id).await?;
    if done || now.cancelled_at.is_some() {
        return Ok(());
    }
    let all = attachments::list_by_app(&mut tx, asked.app_id).await?;
    let name = &arguments.attachment;
    if let Some(old) = all.iter().find(|one| one.name == *name) {
        keep_reachable(control, &mut tx, facts, old, &all).await?;
    }
    let to = Pointing { database: database.id, namespace: arguments.namespace.as_deref() };
    let time = control.now();
    if !attachments::point(&mut tx, asked.app_id, name, to, time).await? {
        attachments::insert(&mut tx, asked.app_id, name, to, time).await?;
    }
    let description = attached(name.as_str(), database.addon_name.as_str());
    release(control, &mut tx, facts, &description).await?;
    Ok(tx.commit().await?)
}

/// Sees that the database that has the name now stays within reach: one that has no other name on
/// the app gets a colour (C11). Its pools are not another name, and need none themselves: whoever
/// moves them elsewhere still reaches it directly.
async fn keep_reachable(
    control: &Control,
    tx: &mut Tx,
    facts: &Facts,
    old: &Attachment,
    all: &[Attachment],
) -> Result<()> {
    let mut direct = all.iter().filter(|one| !is_pooling(one));
    let other = direct.any(|one| one.database_id == old.database_id && one.id != old.id);
    if !other && !is_pooling(old) && old.database_id != facts.asked.database_id {
        let name = color(control, tx, old.app_id, all).await?;
        let to = Pointing { database: old.database_id, namespace: old.namespace.as_deref() };
        attachments::insert(tx, old.app_id, &name, to, control.now()).await?;
    }
    Ok(())
}

async fn color(
    control: &Control,
    conn: &mut Connection,
    app: AppId,
    attached: &[Attachment],
) -> Result<AttachmentName> {
    let vars = config_vars::list(conn, app).await?;
    let by_hand = vars.iter().filter_map(|var| var.name.as_str().strip_suffix("_URL"));
    let names = attached.iter().map(|one| one.name.as_str());
    let taken: HashSet<String> = by_hand.chain(names).map(str::to_owned).collect();
    Ok(naming::colored(&control.config().var_prefix, &taken, control.random()))
}

async fn release(control: &Control, tx: &mut Tx, facts: &Facts, description: &str) -> Result<()> {
    let change = Change {
        app: facts.asked.app_id,
        description,
        account: facts.asked.account_id,
        operation: Some(facts.asked.id),
    };
    publish(control.keyring(), tx, change, control.now()).await?;
    Ok(())
}
