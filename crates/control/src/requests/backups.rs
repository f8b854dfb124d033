//! Backups: capturing, listing, cancelling and deleting them.

use howdah_model::backup::{Cause, Kind, number};
use howdah_model::database::State;
use howdah_model::ids::{AccountId, AppId, DatabaseId, OperationId, TransferId};
use howdah_model::name::PRIMARY;
use howdah_model::operation::Operation;
use howdah_model::transfer::{LogLine, TransferObservation};
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::operations::{self, New};
use howdah_store::transfers::{self, New as NewTransfer, Source, Transfer};
use howdah_store::{Connection, Tx, apps as stored_apps, attachments, databases};
use serde_json::json;

use super::addons::check_owned;
use super::error::{Error, Noun, Result};
use super::{apps, begin};
use crate::Control;
use crate::transfers::{manual, plan_of};

/// A transfer with what its agent said of it the last time, while it is at work.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The transfer.
    pub transfer: Transfer,
    /// What its agent said.
    pub live: Option<TransferObservation>,
}

impl Shown {
    pub(crate) fn new(control: &Control, transfer: Transfer) -> Self {
        let server = transfer.server_id.filter(|_| transfer.finished_at.is_none());
        let last = server.and_then(|server| control.sightings().last(server));
        let live = last.and_then(|last| last.transfer(transfer.id).cloned());
        Self { transfer, live }
    }

    /// Its log: of its agent while it is at work, else as it was stored.
    ///
    /// # Errors
    /// When the platform's database does not answer.
    pub async fn log(&self, conn: &mut Connection) -> Result<Vec<LogLine>> {
        if let Some(live) = &self.live {
            return Ok(live.log.clone());
        }
        let stored = transfers::log(conn, self.transfer.id).await?;
        Ok(serde_json::from_value(stored).unwrap_or_default())
    }
}

/// What a capture may do for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Nothing: at the limit it is refused.
    Keep,
    /// Delete the oldest manual backup once the new one is complete.
    Expire,
}

/// A capture that is wanted. The transaction has locked the app.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) database: DatabaseId,
    /// The app that owns it, or whose schedule it is.
    pub(crate) app: AppId,
    pub(crate) account: Option<AccountId>,
    pub(crate) cause: Cause,
    pub(crate) schedule: Option<uuid::Uuid>,
    pub(crate) expires: bool,
}

/// Begins a backup of a database (E5). It goes on by itself.
///
/// # Errors
/// [`Error::Invalid`] at the limit of the app's backup plan; [`Error::Conflict`] when the database is
/// not available, or something else is under way.
pub async fn capture(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    room: Room,
) -> Result<Shown> {
    check_owned(addon)?;
    let mut tx = control.store().begin().await?;
    if !stored_apps::lock(&mut tx, addon.app_id).await? {
        return Err(Error::NotFound(Noun::App));
    }
    let expires = room == Room::Expire;
    check_limit(&mut tx, addon, room).await?;
    let asked = Asked {
        database: addon.id,
        app: addon.app_id,
        account: Some(account),
        cause: Cause::Manual,
        schedule: None,
        expires,
    };
    let id = begin_capture(control, &mut tx, &asked).await?.ok_or(Error::NotFound(Noun::Addon))?;
    tx.commit().await?;
    get(control, id).await
}

/// Refuses a manual backup beyond the plan's number (E10).
async fn check_limit(conn: &mut Connection, addon: &Addon, room: Room) -> Result<()> {
    let plan = plan_of(conn, addon.app_id).await?;
    let all = transfers::list_of_app(conn, addon.app_id).await?;
    let good = manual(&all);
    let running = all.iter().filter(|one| {
        one.kind == Kind::Backup && one.cause == Cause::Manual && one.finished_at.is_none()
    });
    if room == Room::Expire || good.len() + running.count() < plan.manual as usize {
        return Ok(());
    }
    let oldest = good.first().map_or_else(|| "ID".to_owned(), |one| one.label());
    Err(Error::invalid(format!(
        "{app} has {} manual backups, the most that {} keeps. Delete one with `pg:backups:delete \
         {oldest} -a {app}`, or let `howdah pgbackups:capture --expire -a {app}` delete the oldest.",
        plan.manual,
        plan.full_name(),
        app = addon.app_name,
    )))
}

/// Begins a capture; none when the database is not wanted any more.
pub(crate) async fn begin_capture(
    control: &Control,
    tx: &mut Tx,
    asked: &Asked,
) -> Result<Option<TransferId>> {
    let database = databases::get(tx, asked.database).await?;
    let Some(database) = database.filter(|one| one.withdrawn_at.is_none()) else {
        return Ok(None);
    };
    let addon = database.addon_name.as_str();
    check_available(addon, database.state, "captured")?;
    let id = OperationId::new();
    let new = New {
        id,
        kind: Operation::Capture,
        database_id: database.id,
        app_id: database.app_id,
        account_id: asked.account,
        arguments: json!({}),
    };
    begin(tx, &new, addon, control.now()).await?;
    let new = NewTransfer {
        id: TransferId(id.0),
        app_id: asked.app,
        database_id: database.id,
        kind: Kind::Backup,
        cause: asked.cause,
        from_name: name_of(tx, asked.app, database.id, addon).await?,
        to_name: "BACKUP".to_owned(),
        source: Source::Database(None),
        extensions: Vec::new(),
        schedule_id: asked.schedule,
        expires: asked.expires,
    };
    transfers::insert(tx, &new, control.now()).await?;
    Ok(Some(new.id))
}

/// Refuses what needs a database that works.
pub(crate) fn check_available(addon: &str, state: State, done: &str) -> Result<()> {
    if state == State::Available {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "{addon} cannot be {done} now: it is {state}. Wait with `pg:wait {addon}`, then try again."
    )))
}

/// The name of a database on an app, for people: its colour rather than that it is the primary.
pub(crate) async fn name_of(
    conn: &mut Connection,
    app: AppId,
    database: DatabaseId,
    addon: &str,
) -> Result<String> {
    let all = attachments::list_by_app(conn, app).await?;
    let own = all.iter().filter(|one| one.database_id == database && one.namespace.is_none());
    let best = own.min_by_key(|one| (one.name.as_str() == PRIMARY, one.created_at));
    Ok(best.map_or_else(|| addon.to_owned(), |one| one.name.to_string()))
}

/// One transfer as it stands.
pub(crate) async fn get(control: &Control, id: TransferId) -> Result<Shown> {
    let found = transfers::get(&mut *control.reader().get().await?, id).await?;
    Ok(Shown::new(control, found.ok_or(Error::NotFound(Noun::Transfer))?))
}

/// The transfers of an app, oldest first.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn list(control: &Control, app: AppId) -> Result<Vec<Shown>> {
    let all = transfers::list_of_app(&mut *control.reader().get().await?, app).await?;
    Ok(all.into_iter().map(|one| Shown::new(control, one)).collect())
}

/// A transfer of an app by its id, its number or what people call it (`b001`).
///
/// # Errors
/// [`Error::NotFound`] when there is none; [`Error::Invalid`] when it was deleted.
pub async fn find(control: &Control, app: &App, wanted: &str) -> Result<Shown> {
    let mut conn = control.reader().get().await?;
    let found = match (wanted.parse::<TransferId>(), number(wanted)) {
        (Ok(id), _) => transfers::get(&mut conn, id).await?,
        (Err(_), Some(number)) => transfers::numbered(&mut conn, app.id, number).await?,
        (Err(_), None) => None,
    };
    let named = |one: &Transfer| {
        let by_label = wanted.starts_with(|c: char| c.is_ascii_alphabetic()) && wanted.len() < 20;
        one.app_id == app.id && (!by_label || one.label().eq_ignore_ascii_case(wanted))
    };
    let found = found.filter(named).ok_or(Error::NotFound(Noun::Transfer))?;
    if found.deleted_at.is_some() {
        return Err(Error::invalid(format!("{} is already destroyed.", found.label())));
    }
    Ok(Shown::new(control, found))
}

/// Breaks a transfer off.
///
/// # Errors
/// [`Error::Invalid`] when it is over; [`Error::Conflict`] when it is too late.
pub async fn cancel(control: &Control, shown: &Shown) -> Result<Shown> {
    let (id, label) = (shown.transfer.id, shown.transfer.label());
    let over = || Error::invalid(format!("{label} cannot be cancelled: it is over already."));
    if shown.transfer.finished_at.is_some() {
        return Err(over());
    }
    let mut tx = control.store().begin().await?;
    let operation = operations::get(&mut tx, OperationId(id.0)).await?.ok_or_else(over)?;
    if operation.incarnation.is_some() {
        return Err(Error::Conflict(format!(
            "{label} cannot be cancelled any more: its data is taking the place of the former."
        )));
    }
    if !operations::cancel(&mut tx, operation.id, control.now()).await?
        && operation.finished_at.is_some()
    {
        return Err(over());
    }
    tx.commit().await?;
    get(control, id).await
}

/// Deletes a transfer; of a backup the dump goes too, and its URLs die at once (E18).
///
/// # Errors
/// [`Error::Conflict`] while it is at work; [`Error::Invalid`] when it was deleted already.
pub async fn delete(control: &Control, shown: &Shown) -> Result<Shown> {
    let (id, label) = (shown.transfer.id, shown.transfer.label());
    if shown.transfer.finished_at.is_none() {
        return Err(Error::Conflict(format!(
            "{label} is at work. Cancel it with `pg:backups:cancel {label}` before."
        )));
    }
    let mut tx = control.store().begin().await?;
    if transfers::delete(&mut tx, &[id], control.now()).await? == 0 {
        return Err(Error::invalid(format!("{label} is already destroyed.")));
    }
    tx.commit().await?;
    control.news().dumps.notify_one();
    get(control, id).await
}

/// The good backup of a transfer's id that an account may see.
pub(crate) async fn readable(
    control: &Control,
    account: AccountId,
    id: TransferId,
) -> Result<Transfer> {
    let mut conn = control.reader().get().await?;
    let found = transfers::get(&mut conn, id).await?.ok_or(Error::NotFound(Noun::Transfer))?;
    let visible = apps::find(&mut conn, account, &found.app_id.to_string()).await;
    visible.map_err(|_| Error::NotFound(Noun::Transfer))?;
    check_good(&found)?;
    Ok(found)
}

/// Refuses what is no complete backup.
pub(crate) fn check_good(transfer: &Transfer) -> Result<()> {
    let label = transfer.label();
    if transfer.is_good_backup() {
        return Ok(());
    }
    Err(Error::invalid(match (transfer.kind, transfer.finished_at, transfer.deleted_at) {
        (_, _, Some(_)) => format!("{label} is already destroyed."),
        (Kind::Backup, None, None) => format!("{label} is not finished yet."),
        (Kind::Backup, Some(_), None) => format!("{label} failed: there is nothing in it."),
        (Kind::Restore | Kind::Copy, _, None) => format!("{label} is no backup."),
    }))
}
