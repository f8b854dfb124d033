//! When the server of a database may be restarted, and what is due for it (`data:maintenances`).

use std::time::Duration;

use howdah_model::ids::{AccountId, MaintenanceId};
use howdah_model::maintenance::{NOTICE, PATIENCE, Status, Window};
use howdah_model::plan::Tier;
use howdah_model::version::Version;
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::databases::Placed;
use howdah_store::maintenances::{self, Maintenance};
use howdah_store::{Connection, addons, databases, operations};
use jiff::{SignedDuration, Timestamp};

use super::addons::check_owned;
use super::error::{Error, Result};
use crate::Control;

/// How long a server may be away for a restart before somebody is told that it does not answer.
pub(crate) const AWAY: Duration = Duration::from_secs(120);
/// The most that the history shows.
const MOST: u32 = 20;

/// The window of a database, and what was or is to be done in it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// When its server may be restarted.
    pub window: Window,
    /// What is due, or was done last; none when there never was anything.
    pub newest: Option<Maintenance>,
}

/// What is due for a database, or was done last.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn show(conn: &mut Connection, addon: &Addon) -> Result<Shown> {
    let window = maintenances::window(conn, addon.id).await?;
    Ok(Shown { window, newest: maintenances::list(conn, addon.id, 1).await?.pop() })
}

/// The same for every database of an app.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn of_app(
    conn: &mut Connection,
    account: AccountId,
    app: &App,
) -> Result<Vec<(Addon, Shown)>> {
    let mut newest = maintenances::list_of_app(conn, app.id).await?;
    let mut all = Vec::new();
    let owned = addons::list_by_app(conn, account, app.id).await?;
    for addon in owned.into_iter().filter(|one| one.app_id == app.id) {
        let window = maintenances::window(conn, addon.id).await?;
        let place = newest.iter().position(|one| one.database_id == addon.id);
        all.push((addon, Shown { window, newest: place.map(|place| newest.swap_remove(place)) }));
    }
    Ok(all)
}

/// What was done for a database, newest first, with what is due.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn history(
    conn: &mut Connection,
    addon: &Addon,
    limit: Option<u32>,
) -> Result<Vec<Maintenance>> {
    Ok(maintenances::list(conn, addon.id, limit.unwrap_or(5).clamp(1, MOST)).await?)
}

/// Windows before and after a change, and when what is due was and is to begin.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The window.
    pub window: Window,
    /// The one before.
    pub previous: Window,
    /// When what is due is to begin, if anything is.
    pub scheduled: Option<Timestamp>,
    /// When it was to.
    pub previously: Option<Timestamp>,
}

/// Chooses another window. What is due is moved to its next one.
///
/// # Errors
/// [`Error::Invalid`] when it is no time of a week; [`Error::Forbidden`] for those who may only use
/// the database.
pub async fn choose(control: &Control, addon: &Addon, day: &str, time: &str) -> Result<Changed> {
    check_owned(addon)?;
    let window = Window::parse(day, time).map_err(|error| Error::invalid(format!("{error}.")))?;
    let mut tx = control.store().begin().await?;
    databases::lock(&mut tx, addon.id).await?;
    let previous = maintenances::window(&mut tx, addon.id).await?;
    maintenances::put_window(&mut tx, addon.id, window).await?;
    let due = pending(&mut tx, addon).await?;
    let scheduled = due.as_ref().map(|due| first(window, due.noticed_at).max(control.now()));
    if let (Some(due), Some(time)) = (&due, scheduled) {
        maintenances::schedule(&mut tx, due.id, window.next(time)).await?;
    }
    tx.commit().await?;
    let scheduled = scheduled.map(|time| window.next(time));
    Ok(Changed { window, previous, scheduled, previously: due.map(|due| due.scheduled_for) })
}

/// Puts what is due off by weeks, or brings it forward by as many below zero.
///
/// # Errors
/// [`Error::Invalid`] when nothing is due, or it would be too late; [`Error::Forbidden`] for those
/// who may only use the database.
pub async fn put_off(control: &Control, addon: &Addon, weeks: i64) -> Result<Changed> {
    check_owned(addon)?;
    let mut tx = control.store().begin().await?;
    databases::lock(&mut tx, addon.id).await?;
    let window = maintenances::window(&mut tx, addon.id).await?;
    let due = pending(&mut tx, addon).await?.ok_or_else(|| nothing(addon))?;
    let later = SignedDuration::from_hours(weeks.clamp(-520, 520) * 7 * 24);
    let moved = due.scheduled_for.saturating_add(later).unwrap_or(due.scheduled_for);
    let time = window.next(moved.max(control.now()));
    if time > due.required_by {
        return Err(Error::invalid(format!(
            "The maintenance of {} has to be done by {}; {} would be too late.",
            addon.name, due.required_by, time
        )));
    }
    maintenances::schedule(&mut tx, due.id, time).await?;
    tx.commit().await?;
    let (scheduled, previously) = (Some(time), Some(due.scheduled_for));
    Ok(Changed { window, previous: window, scheduled, previously })
}

/// Begins what is due now.
///
/// # Errors
/// [`Error::Invalid`] when nothing is due, or the server is shared with others;
/// [`Error::Conflict`] when it runs already, or something else is done to the database;
/// [`Error::Forbidden`] for those who may only use it.
pub async fn run(control: &Control, addon: &Addon) -> Result<()> {
    check_owned(addon)?;
    if addon.plan.tier == Tier::Hobby {
        return Err(Error::invalid(
            "You can't trigger maintenance on an Essential tier database: its server is shared \
             with others, and is maintained by the platform.",
        ));
    }
    // What has become due since the last look counts.
    control.notice_due(Some(addon.id)).await?;
    let mut tx = control.store().begin().await?;
    databases::lock(&mut tx, addon.id).await?;
    let newest = maintenances::list(&mut tx, addon.id, 1).await?.pop();
    let due = newest.filter(|one| one.completed_at.is_none()).ok_or_else(|| nothing(addon))?;
    if due.status == Status::Running {
        return Err(Error::Conflict(format!("The maintenance of {} runs already.", addon.name)));
    }
    if let Some(busy) = operations::unfinished(&mut tx, addon.id).await?.first() {
        return Err(Error::Conflict(format!(
            "{0} cannot be restarted now: its {1} is under way. Wait with `pg:wait {0}`, then try \
             again.",
            addon.name, busy.kind
        )));
    }
    begin(&mut tx, &due, control.now()).await?;
    Ok(tx.commit().await?)
}

/// Begins one: asks for a restart.
pub(crate) async fn begin(
    tx: &mut howdah_store::Tx,
    due: &Maintenance,
    now: Timestamp,
) -> howdah_store::Result<bool> {
    let away = now.saturating_add(AWAY).unwrap_or(now);
    maintenances::begin(tx, due, now, away).await
}

fn nothing(addon: &Addon) -> Error {
    Error::invalid(format!("No maintenance is due for {}.", addon.name))
}

async fn pending(conn: &mut Connection, addon: &Addon) -> Result<Option<Maintenance>> {
    let newest = maintenances::list(conn, addon.id, 1).await?.pop();
    Ok(newest.filter(|one| one.status == Status::Pending))
}

/// The first time at which what was noticed then may begin.
fn first(window: Window, noticed: Timestamp) -> Timestamp {
    window.next(noticed.saturating_add(NOTICE).unwrap_or(noticed))
}

/// What is due for the server of a database now: the version that runs, and a newer one of the
/// same major that is installed.
pub(crate) fn due(control: &Control, placed: &Placed) -> Option<(Version, Version)> {
    let (sighting, participant) = control.seen_of(placed)?;
    let running = participant.version?;
    let there = sighting.server.installed.iter().map(|one| one.version);
    let same = there.filter(|version| version.major == running.major);
    let newest = same.max_by_key(|version| version.minor)?;
    (newest.minor > running.minor).then_some((running, newest))
}

/// What is written down of something that is due.
pub(crate) fn noticed(
    placed: &Placed,
    window: Window,
    (running, newest): (Version, Version),
    now: Timestamp,
) -> Option<Maintenance> {
    Some(Maintenance {
        id: MaintenanceId::new(),
        database_id: placed.database.id,
        participant_id: placed.database.participant_id?,
        reason: format!("PostgreSQL {newest} is installed, {running} runs: a restart brings it"),
        status: Status::Pending,
        noticed_at: now,
        required_by: now.saturating_add(PATIENCE).unwrap_or(now),
        scheduled_for: first(window, now),
        previously_scheduled_for: None,
        restarts: None,
        started_at: None,
        completed_at: None,
    })
}
