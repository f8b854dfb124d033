//! What is due for the servers of databases, and when (`data:maintenances`, `pg:maintenance`).

use axum::Json;
use axum::extract::{Path, Query, State};
use howdah_control::requests::maintenance::{self, Changed, Shown};
use howdah_model::maintenance::Status;
use howdah_model::plan::SERVICE;
use howdah_store::addons::Addon;
use howdah_store::attachments::{self, Attachment};
use howdah_store::maintenances::Maintenance;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};

/// The databases of an app.
pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let mut conn = web.read().await?;
    let attached = attachments::list_by_app(&mut conn, app.id).await?;
    let all = maintenance::of_app(&mut conn, caller.id(), &app).await?;
    let all: Vec<_> = all
        .iter()
        .map(|(addon, shown)| {
            rendered(addon, &attached, &shown.window.to_string(), shown.newest.as_ref())
        })
        .collect();
    Ok(Json(json!({ "maintenances": all })))
}

/// One database.
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let mut conn = web.read().await?;
    let attached = attachments::list_by_database(&mut conn, addon.id).await?;
    let Shown { window, newest } = maintenance::show(&mut conn, &addon).await?;
    Ok(Json(rendered(&addon, &attached, &window.to_string(), newest.as_ref())))
}

/// How many of the history are wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct Limit {
    limit: Option<u32>,
}

/// What was done for a database.
pub(crate) async fn history(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let mut conn = web.read().await?;
    let attached = attachments::list_by_database(&mut conn, addon.id).await?;
    let window = maintenance::show(&mut conn, &addon).await?.window.to_string();
    let all = maintenance::history(&mut conn, &addon, limit).await?;
    let all: Vec<_> =
        all.iter().map(|one| rendered(&addon, &attached, &window, Some(one))).collect();
    Ok(Json(json!({ "maintenances": all })))
}

/// When the server of a database may be restarted.
pub(crate) async fn window(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let Shown { window, newest } = maintenance::show(&mut *web.read().await?, &addon).await?;
    let due = newest.filter(|one| one.status == Status::Pending);
    Ok(Json(json!({
        "window": window.to_string(),
        "previous_window": null,
        "scheduled_at": due.as_ref().map(|due| time(due.scheduled_for)),
        "previously_scheduled_at": due.and_then(|due| due.previously_scheduled_for).map(time),
    })))
}

/// A window as people write it.
#[derive(Debug, Deserialize)]
pub(crate) struct NewWindow {
    day_of_week: String,
    time_of_day: String,
}

/// Chooses another window.
pub(crate) async fn choose(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(NewWindow { day_of_week, time_of_day }): Body<NewWindow>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let Changed { window, previous, scheduled, previously } =
        maintenance::choose(web.control(), &addon, &day_of_week, &time_of_day).await?;
    Ok(Json(json!({
        "window": window.to_string(),
        "previous_window": previous.to_string(),
        "scheduled_at": scheduled.map(time),
        "previously_scheduled_at": previously.map(time),
    })))
}

/// Begins what is due now.
pub(crate) async fn run(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    maintenance::run(web.control(), &addon).await?;
    Ok(Json(json!({ "message": "The server is being restarted." })))
}

/// By how many weeks what is due is put off: a number, in quotes as Heroku's CLI sends it or not.
#[derive(Debug, Deserialize)]
pub(crate) struct Delay {
    delay_weeks: Value,
}

/// Puts what is due off.
pub(crate) async fn schedule(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(Delay { delay_weeks }): Body<Delay>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let weeks = match &delay_weeks {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    };
    let weeks = weeks.ok_or_else(|| {
        Error::invalid("`delay_weeks` is a whole number of weeks, such as 2 or -1.")
    })?;
    let Changed { scheduled, previously, .. } =
        maintenance::put_off(web.control(), &addon, weeks).await?;
    Ok(Json(json!({
        "scheduled_for": scheduled.map(time),
        "previously_scheduled_for": previously.map(time),
    })))
}

/// A time as Heroku prints these.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()
}

fn rendered(
    addon: &Addon,
    attached: &[Attachment],
    window: &str,
    one: Option<&Maintenance>,
) -> Value {
    let names: Vec<_> = attached
        .iter()
        .filter(|at| at.database_id == addon.id && at.app_id == addon.app_id)
        .map(|at| at.name.as_str())
        .collect();
    let duration =
        one.and_then(|one| Some(one.completed_at?.duration_since(one.started_at?).as_secs()));
    json!({
        "addon": {
            "attachments": names,
            "kind": SERVICE,
            "name": addon.name,
            "plan": addon.plan.name,
            "uuid": addon.id,
            "window": window,
        },
        "app": { "name": addon.app_name, "uuid": addon.app_id },
        "method": one.map(|_| "restart"),
        "reason": one.map(|one| &one.reason),
        "status": one.map_or(Status::None, |one| one.status),
        "window": window,
        "required_by": one.map(|one| time(one.required_by)),
        "scheduled_for": one.map(|one| time(one.scheduled_for)),
        "previously_scheduled_for": one.and_then(|one| one.previously_scheduled_for).map(time),
        "started_at": one.and_then(|one| one.started_at).map(time),
        "completed_at": one.and_then(|one| one.completed_at).map(time),
        "duration_seconds": duration,
        "server_created_at": time(addon.created_at),
    })
}
