//! The add-on `pgbackups`: which backup plan an app has (E1–E4, E27).

use howdah_model::backup::{Kind, Plan};
use howdah_model::ids::{AccountId, OperationId};
use howdah_model::name::{AddonName, invent_addon_name};
use howdah_store::apps::App;
use howdah_store::backup_plans::{self, BackupPlan};
use howdah_store::{Connection, Tx, operations, transfers};

use super::error::{Error, Noun, Result, taken};
use super::releases::{Change, publish};
use super::{apps, random};
use crate::Control;
use crate::transfers::DAY;

/// What is said when the add-on was added.
pub const WELCOME: &str =
    "You can now use \"pgbackups\" to backup your databases or import an external backup.";

/// The plan with a name.
///
/// # Errors
/// [`Error::Invalid`] when there is none.
pub fn plan(name: &str) -> Result<&'static Plan> {
    Plan::find(name).ok_or_else(|| {
        let name: String = name.chars().take(60).collect();
        Error::invalid(format!(
            "Couldn't find either the add-on service or the add-on plan of \"{name}\"."
        ))
    })
}

/// The add-on of an app, by any name that people have for it.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn find(conn: &mut Connection, app: &App, wanted: &str) -> Result<Option<BackupPlan>> {
    let found = backup_plans::of_app(conn, app.id).await?;
    Ok(found.filter(|one| means(one, wanted)))
}

/// Whether a text means the add-on: its name, its id, the service or its plan.
#[must_use]
pub fn means(one: &BackupPlan, wanted: &str) -> bool {
    one.name.as_str().eq_ignore_ascii_case(wanted)
        || one.id.to_string().eq_ignore_ascii_case(wanted)
        || wanted == howdah_model::backup::SERVICE
        || wanted == one.plan.full_name()
}

/// Adds the add-on to an app. Where it is already, its plan is set.
///
/// # Errors
/// [`Error::Invalid`] when the name is taken.
pub async fn add(
    control: &Control,
    account: AccountId,
    app: &App,
    plan: &'static Plan,
    name: Option<&str>,
) -> Result<BackupPlan> {
    let invented = || invent_addon_name(random()).replacen("postgresql", "pgbackups", 1);
    let name: AddonName = name.map_or_else(invented, str::to_owned).parse()?;
    let description = format!("Add {} add-on", plan.full_name());
    set(control, account, app, plan, &name, &description).await
}

/// Gives an app another backup plan. What is beyond its numbers goes by and by (E4).
///
/// # Errors
/// When the platform's database does not answer.
pub async fn change(
    control: &Control,
    account: AccountId,
    app: &App,
    there: &BackupPlan,
    plan: &'static Plan,
) -> Result<BackupPlan> {
    let description = format!("Update {} to {}", there.name, plan.full_name());
    set(control, account, app, plan, &there.name, &description).await
}

async fn set(
    control: &Control,
    account: AccountId,
    app: &App,
    plan: &'static Plan,
    name: &AddonName,
    description: &str,
) -> Result<BackupPlan> {
    let now = control.now();
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    let there = backup_plans::of_app(&mut tx, app.id).await?;
    let next = there.as_ref().filter(|one| one.plan.is_automatic()).and_then(|one| one.next_at);
    let next = match (plan.is_automatic(), next) {
        (true, None) => Some(now.checked_add(DAY).map_err(anyhow::Error::from)?),
        (true, next) => next,
        (false, _) => None,
    };
    let stored = backup_plans::set(&mut tx, app.id, name, plan, next, now).await;
    taken(stored, "backup_plans_name_key", name.as_str())?;
    if there.as_ref().map(|one| one.plan) != Some(plan) {
        let change = Change { app: app.id, description, account: Some(account), operation: None };
        publish(control.keyring(), &mut tx, change, now).await?;
    }
    let set = backup_plans::of_app(&mut tx, app.id).await?;
    tx.commit().await?;
    set.ok_or(Error::NotFound(Noun::Addon))
}

/// Takes the add-on from an app, with all its backups (E27): their URLs die at once, and what is
/// being captured is broken off. Schedules stay, with the built-in plan.
///
/// # Errors
/// [`Error::NotFound`] when it is not there any more.
pub async fn remove(
    control: &Control,
    account: AccountId,
    app: &App,
    there: &BackupPlan,
) -> Result<()> {
    let now = control.now();
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    if !backup_plans::delete(&mut tx, app.id).await? {
        return Err(Error::NotFound(Noun::Addon));
    }
    delete_all(&mut tx, app, now).await?;
    let description = format!("Remove {} add-on", there.plan.full_name());
    let change =
        Change { app: app.id, description: &description, account: Some(account), operation: None };
    publish(control.keyring(), &mut tx, change, now).await?;
    tx.commit().await?;
    control.news().dumps.notify_one();
    Ok(())
}

async fn delete_all(tx: &mut Tx, app: &App, now: jiff::Timestamp) -> Result<()> {
    let all = transfers::list_of_app(tx, app.id).await?;
    let backups: Vec<_> = all.iter().filter(|one| one.kind == Kind::Backup).collect();
    for running in backups.iter().filter(|one| one.finished_at.is_none()) {
        operations::cancel(tx, OperationId(running.id.0), now).await?;
    }
    let ids: Vec<_> = backups.iter().map(|one| one.id).collect();
    transfers::delete(tx, &ids, now).await?;
    Ok(())
}
