//! How databases are protected, what went wrong with that, and bringing destroyed ones back.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::protection::{self, Extra};
use howdah_control::requests::undelete as requests;
use howdah_store::{databases, incidents as stored, participants, timelines as lines};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::{Body, Ref};
use crate::error::{Error, Result};
use crate::platform::addons::created;

/// The most incidents that are listed.
const MOST: u32 = 200;

/// How a database shall be protected and how it is (`pg:protection`).
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let state = protection::state(web.control(), &mut *web.read().await?, addon.id).await?;
    Ok(Json(json!({ "wanted": state.wanted, "protected": state.protected })))
}

async fn ask(
    web: &Web,
    caller: &Caller,
    database: &str,
    extra: Extra,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(caller, database).await?;
    protection::ask(web.control(), &addon, extra).await?;
    let message = match extra {
        Extra::Backup => "A base backup was asked for.",
        Extra::Drill => "A restore drill was asked for.",
    };
    Ok((StatusCode::ACCEPTED, Json(json!({ "message": message }))))
}

/// Asks for a base backup now.
pub(crate) async fn backup(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<(StatusCode, Json<Value>)> {
    ask(&web, &caller, &database, Extra::Backup).await
}

/// Asks for a restore drill now.
pub(crate) async fn drill(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<(StatusCode, Json<Value>)> {
    ask(&web, &caller, &database, Extra::Drill).await
}

/// The history that a database is in, with all that it branched off, newest first (K13).
pub(crate) async fn timelines(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let mut conn = web.read().await?;
    let placed = databases::get(&mut conn, addon.id).await?.and_then(|one| one.participant_id);
    let Some(participant) = placed else {
        return Ok(Json(json!([])));
    };
    let row = participants::get(&mut conn, participant).await?;
    let row = row.ok_or_else(|| Error::not_found(howdah_control::requests::Noun::Addon))?;
    let history = lines::history(&mut conn, row.timeline_id).await?;
    let shown = |one: &lines::Timeline| {
        json!({
            "id": one.id,
            "parent": one.parent_id,
            "branch_lsn": one.branch_lsn,
            "created_at": one.created_at,
            "keep_until": one.keep_until,
            "erased_at": one.erased_at,
        })
    };
    Ok(Json(history.iter().map(shown).collect()))
}

/// A destroyed database that is to come back.
#[derive(Debug, Deserialize)]
pub(crate) struct Lost {
    name: String,
    app: Ref,
}

/// Brings back the database that was destroyed last under a name. Answers the add-on.
pub(crate) async fn undelete(
    State(web): State<Web>,
    caller: Caller,
    Body(lost): Body<Lost>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, lost.app.text()).await?;
    let made = requests::undelete(web.control(), caller.id(), &app, &lost.name).await?;
    Ok((StatusCode::CREATED, Json(created(&web, &caller, &made).await?)))
}

/// What went wrong with the protection of the caller's databases, newest first: one entry for each
/// database that it is about.
pub(crate) async fn incidents(State(web): State<Web>, caller: Caller) -> Result<Json<Value>> {
    let all = stored::list_visible(&mut *web.read().await?, caller.id(), MOST).await?;
    let entries = all.iter().flat_map(|(incident, addons)| {
        addons.iter().map(move |addon| {
            json!({
                "id": incident.id,
                "what": incident.kind,
                "text": incident.what,
                "addon": { "id": addon.id, "name": addon.name },
                "app": { "name": addon.app },
                "began_at": incident.began_at,
                "ended_at": incident.ended_at,
            })
        })
    });
    Ok(Json(entries.collect()))
}
