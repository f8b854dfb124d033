//! Apps: the owners of attachments, config vars and releases.

use howdah_model::ids::{AccountId, AppId, OperationId};
use howdah_model::name::{AppName, invent_app_name};
use howdah_model::operation::Operation;
use howdah_store::apps::{self, App};
use howdah_store::databases::Database;
use howdah_store::operations::{self, New, NotAdmitted};
use howdah_store::{Connection, Tx, attachments, config_vars, databases, lineage, servers};

use super::error::{Error, Noun, Result, taken};
use super::random;
use super::releases::{self, Change};
use crate::Control;

/// Where an app is when no region is named and no server is there yet.
const REGION: &str = "us";

/// How often a name is invented before the platform gives up.
const INVENTIONS: usize = 8;

/// The app with a name or id.
///
/// # Errors
/// [`Error::NotFound`] when there is none, or the account is neither its owner nor a collaborator.
pub async fn find(conn: &mut Connection, account: AccountId, name_or_id: &str) -> Result<App> {
    apps::find_visible(conn, account, name_or_id).await?.ok_or(Error::NotFound(Noun::App))
}

/// Makes an app with its first release. Without a name one is invented (B2).
///
/// # Errors
/// [`Error::Invalid`] when the name breaks the rule or is taken (B3), or there is no such region.
pub async fn create(
    control: &Control,
    account: AccountId,
    name: Option<&str>,
    region: Option<&str>,
) -> Result<App> {
    let region = choose_region(control, region).await?;
    if let Some(name) = name {
        return create_named(control, account, &name.parse()?, &region).await;
    }
    for _ in 0..INVENTIONS {
        let name = AppName::try_from(invent_app_name(random()))?;
        match create_named(control, account, &name, &region).await {
            Err(Error::Invalid(_)) => {}
            made => return made,
        }
    }
    Err(Error::Unavailable("No free name was found for the app. Name it yourself.".into()))
}

/// The region of a new app: one that has servers (B4); that of the first when none is named.
async fn choose_region(control: &Control, wanted: Option<&str>) -> Result<String> {
    let servers = servers::list(&mut *control.reader().get().await?).await?;
    let mut regions: Vec<_> = servers.into_iter().map(|server| server.region).collect();
    if regions.is_empty() {
        regions.push(REGION.to_owned());
    }
    let Some(wanted) = wanted else {
        return Ok(regions.swap_remove(0));
    };
    if regions.iter().any(|region| region == wanted) {
        return Ok(wanted.to_owned());
    }
    regions.dedup();
    Err(Error::invalid(format!(
        "There is no server in the region `{wanted}`. There are servers in {}.",
        regions.join(", ")
    )))
}

async fn create_named(
    control: &Control,
    account: AccountId,
    name: &AppName,
    region: &str,
) -> Result<App> {
    let (id, now) = (AppId::new(), control.now());
    let mut tx = control.store().begin().await?;
    let made = apps::insert(&mut tx, id, name, account, region, now).await;
    taken(made, "apps_name_key", name.as_str())?;
    let change =
        Change { app: id, description: "Initial release", account: Some(account), operation: None };
    releases::publish(control.keyring(), &mut tx, change, now).await?;
    let app = find(&mut tx, account, name.as_str()).await?;
    tx.commit().await?;
    Ok(app)
}

/// What may be changed of an app.
#[derive(Clone, Copy, Debug, Default)]
pub struct Update<'a> {
    /// Another name.
    pub name: Option<&'a str>,
    /// Maintenance mode on or off.
    pub maintenance: Option<bool>,
}

/// Changes an app's name or maintenance mode.
///
/// # Errors
/// [`Error::Invalid`] when the name breaks the rule or is taken.
pub async fn update(
    control: &Control,
    account: AccountId,
    app: &App,
    update: Update<'_>,
) -> Result<App> {
    let now = control.now();
    let mut tx = control.store().begin().await?;
    lock(&mut tx, app).await?;
    if let Some(name) = update.name {
        let name: AppName = name.parse()?;
        let renamed = apps::rename(&mut tx, app.id, &name, now).await;
        taken(renamed, "apps_name_key", name.as_str())?;
    }
    if let Some(on) = update.maintenance {
        apps::set_maintenance(&mut tx, app.id, on, now).await?;
    }
    let app = find(&mut tx, account, &app.id.to_string()).await?;
    tx.commit().await?;
    Ok(app)
}

pub(crate) async fn lock(tx: &mut Tx, app: &App) -> Result<()> {
    if apps::lock(tx, app.id).await? { Ok(()) } else { Err(Error::NotFound(Noun::App)) }
}

/// Refuses to take a database from the apps whose databases follow it.
async fn refuse_followed_elsewhere(tx: &mut Tx, app: &App, database: &Database) -> Result<()> {
    let followers = lineage::followers(tx, database.id).await?;
    let foreign: Vec<_> = followers
        .iter()
        .filter(|one| one.database.app_id != app.id)
        .map(|one| one.database.addon_name.as_str())
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "{} of {} is followed by {} of other apps. Make each a database of its own with \
         `pg:unfollow`, or destroy it, before.",
        database.addon_name,
        app.name,
        foreign.join(", ")
    )))
}

/// Destroys an app: its name is free at once, its attachments to others' databases go with it,
/// and its own databases are removed by operations that this begins.
///
/// # Errors
/// [`Error::Forbidden`] when the account is not its owner; [`Error::Conflict`] when databases of other
/// apps follow one of its own.
pub async fn destroy(control: &Control, account: AccountId, app: &App) -> Result<()> {
    if app.owner_id != account {
        return Err(Error::Forbidden(format!(
            "Only its owner {} can destroy {}.",
            app.owner_email, app.name
        )));
    }
    let now = control.now();
    let mut tx = control.store().begin().await?;
    lock(&mut tx, app).await?;
    for database in databases::list_of_app(&mut tx, app.id).await? {
        let new = New {
            id: OperationId::new(),
            kind: Operation::Destroy,
            database_id: database.id,
            app_id: app.id,
            account_id: Some(account),
            arguments: serde_json::json!({}),
        };
        match operations::insert(&mut tx, &new, now).await {
            // It is being destroyed already.
            Ok(()) | Err(NotAdmitted::Refused { .. }) => {}
            Err(NotAdmitted::Store(error)) => return Err(error.into()),
        }
        // It is locked now, so that no other comes to follow it.
        refuse_followed_elsewhere(&mut tx, app, &database).await?;
    }
    attachments::delete_foreign(&mut tx, app.id).await?;
    config_vars::clear(&mut tx, app.id).await?;
    apps::destroy(&mut tx, app.id, now).await?;
    tx.commit().await?;
    control.processes().forget(app.id);
    control.logs().forget(app.id);
    Ok(())
}
