//! Backups, restores and copies (`pg:backups`, `pg:copy`).

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use howdah_control::requests::backups::{self, Room, Shown};
use howdah_control::requests::downloads;
use howdah_control::requests::restores::{self, DUMP};
use howdah_model::backup::{Cause, Kind};
use howdah_model::transfer::LogLine;
use howdah_store::apps::App;
use howdah_store::transfers::SourceIs;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::Result;

/// A transfer as JSON. The log is there when it was asked for.
pub(crate) fn object(shown: &Shown, log: Option<&[LogLine]>) -> Value {
    let (one, live) = (&shown.transfer, shown.live.as_ref());
    let (from_type, to_type) = match (one.kind, one.source_is) {
        (Kind::Backup, _) => ("pg_dump", "gof3r"),
        (Kind::Copy, _) => ("pg_dump", "pg_restore"),
        (Kind::Restore, SourceIs::Web) => ("htcat", "pg_restore"),
        (Kind::Restore, _) => ("gof3r", "pg_restore"),
    };
    let from_url = one.dump_id.map(|dump| format!("{DUMP}{dump}"));
    let to_url = (one.kind == Kind::Backup).then(|| format!("{DUMP}{}", one.id));
    let schedule = (one.cause == Cause::Automatic).then(|| json!({ "uuid": one.schedule_id }));
    let processed = live.map_or(one.processed_bytes.unsigned_abs(), |live| live.processed);
    let mut object = json!({
        "uuid": one.id,
        "num": one.number,
        "name": one.label(),
        "from_name": one.from_name,
        "from_type": from_type,
        "from_url": from_url,
        "to_name": one.to_name,
        "to_type": to_type,
        "to_url": to_url,
        "created_at": one.created_at,
        "started_at": one.started_at,
        "finished_at": one.finished_at,
        "canceled_at": one.canceled_at,
        "updated_at": one.finished_at.or(one.started_at).unwrap_or(one.created_at),
        "deleted_at": one.deleted_at,
        "succeeded": one.succeeded,
        "processed_bytes": processed,
        "source_bytes": one.source_bytes,
        "warnings": one.warnings,
        "num_keep": null,
        "options": {},
        "schedule": schedule,
        "database_id": one.database_id,
        "step": live.map(|live| &live.step),
        "total_bytes": live.and_then(|live| live.total),
        "error": one.error,
    });
    if let Some(log) = log {
        let line = |line: &LogLine| json!({ "created_at": line.at, "level": line.level, "message": line.message });
        object["logs"] = log.iter().map(line).collect();
    }
    object
}

/// All transfers of an app that were not deleted.
pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let all = backups::list(web.control(), app.id).await?;
    Ok(Json(all.iter().map(|one| object(one, None)).collect()))
}

async fn find(web: &Web, caller: &Caller, app: &str, transfer: &str) -> Result<(App, Shown)> {
    let app = web.app(caller, app).await?;
    let shown = backups::find(web.control(), &app, transfer).await?;
    Ok((app, shown))
}

/// How much is wanted.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Verbose {
    #[serde(default)]
    verbose: Option<String>,
}

pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path((app, transfer)): Path<(String, String)>,
    Query(Verbose { verbose }): Query<Verbose>,
) -> Result<Json<Value>> {
    let (_, shown) = find(&web, &caller, &app, &transfer).await?;
    if verbose.as_deref() != Some("true") {
        return Ok(Json(object(&shown, None)));
    }
    let log = shown.log(&mut *web.read().await?).await?;
    Ok(Json(object(&shown, Some(&log))))
}

pub(crate) async fn delete(
    State(web): State<Web>,
    caller: Caller,
    Path((app, transfer)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let (_, shown) = find(&web, &caller, &app, &transfer).await?;
    Ok(Json(object(&backups::delete(web.control(), &shown).await?, None)))
}

pub(crate) async fn cancel(
    State(web): State<Web>,
    caller: Caller,
    Path((app, transfer)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let (_, shown) = find(&web, &caller, &app, &transfer).await?;
    Ok(Json(object(&backups::cancel(web.control(), &shown).await?, None)))
}

/// A signed URL that expires.
pub(crate) async fn public_url(
    State(web): State<Web>,
    caller: Caller,
    Path((app, transfer)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>)> {
    let (app, shown) = find(&web, &caller, &app, &transfer).await?;
    let url = downloads::url(web.control(), &app, &shown.transfer, &caller.origin)?;
    let expires_at = web.control().now().checked_add(downloads::GOOD_FOR).ok();
    Ok((StatusCode::CREATED, Json(json!({ "url": url, "expires_at": expires_at }))))
}

/// What a capture may do.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Capture {
    /// Delete the oldest manual backup to make room.
    #[serde(default)]
    expire: bool,
}

pub(crate) async fn capture(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(Capture { expire }): Body<Capture>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let room = if expire { Room::Expire } else { Room::Keep };
    let shown = backups::capture(web.control(), caller.id(), &addon, room).await?;
    Ok((StatusCode::CREATED, Json(object(&shown, None))))
}

/// What is to be restored.
#[derive(Debug, Deserialize)]
pub(crate) struct Restore {
    backup_url: String,
    #[serde(default)]
    extensions: Vec<String>,
}

pub(crate) async fn restore(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(Restore { backup_url, extensions }): Body<Restore>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let shown =
        restores::restore(web.control(), caller.id(), &addon, &backup_url, extensions).await?;
    Ok((StatusCode::CREATED, Json(object(&shown, None))))
}

/// What is to be copied.
#[derive(Debug, Deserialize)]
pub(crate) struct Copy {
    from_url: String,
    #[serde(default)]
    from_name: String,
    #[serde(default)]
    to_name: String,
}

pub(crate) async fn copy(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(Copy { from_url, from_name, to_name }): Body<Copy>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let wanted = restores::Copy { from_url, from_name, to_name };
    let shown = restores::copy(web.control(), caller.id(), &addon, &wanted).await?;
    Ok((StatusCode::CREATED, Json(object(&shown, None))))
}
