//! One database: how it fares, and what is done to it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::databases::{self, Reset};
use howdah_control::requests::following::{self, Unfollowed};
use howdah_control::requests::{attachments, lineage, progress, protection};
use howdah_model::database;
use howdah_store::addons::Addon;
use howdah_store::{attachments as stored, incidents};
use serde::Deserialize;
use serde_json::{Value, json};

use super::info::{self, Facts, Pooling};
use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};

/// What is known of a database now: a live look if the agent answers in time, else the newest.
pub(crate) async fn facts(web: &Web, addon: &Addon) -> Result<Facts> {
    let seen = databases::look(web.control(), addon.id).await?;
    let mut conn = web.read().await?;
    let attached = stored::list_by_database(&mut conn, addon.id).await?;
    let protection = protection::state(web.control(), &mut conn, addon.id).await?;
    let lineage = lineage::of(web.control(), &mut conn, addon).await?;
    let incidents = incidents::list_open_of(&mut conn, addon.id).await?;
    let is_attached = attached.iter().any(attachments::is_pooling);
    let pooling = if is_attached { Pooling::Attached } else { Pooling::Available };
    Ok(Facts {
        plan: addon.plan,
        state: addon.state,
        major: addon.major,
        version: seen.version,
        created_at: addon.created_at,
        look: seen.look,
        pooling,
        memory: seen.memory,
        warning: seen.warning,
        compliance: seen.compliance,
        now: web.control().now(),
        protection,
        lineage,
        incidents,
    })
}

/// All of a database (`pg:info`). A 404 without a message while there is nothing of it yet.
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    if !addon.published {
        return Err(Error::not_yet());
    }
    let facts = facts(&web, &addon).await?;
    let mut conn = web.read().await?;
    let credential =
        databases::credential(web.control(), &mut conn, &addon, databases::DEFAULT).await?;
    let look = facts.look.as_ref();
    let leader = facts.lineage.following.as_ref();
    Ok(Json(json!({
        "addon_id": addon.id,
        "name": addon.name,
        "heroku_resource_id": addon.name,
        "plan": addon.plan.name,
        "created_at": addon.created_at,
        "resource_url": credential.url(),
        "database_name": credential.database,
        "database_user": credential.role,
        "port": credential.port,
        "postgres_version": facts.version.map_or_else(|| addon.major.to_string(), |v| v.to_string()),
        "num_bytes": look.map(|look| look.size_bytes),
        "num_tables": look.map(|look| look.table_count),
        "num_connections": look.map(|look| look.connections),
        "num_connections_waiting": null,
        "status": addon.state,
        "status_updated_at": addon.since,
        "following": leader.map(|leader| &leader.url),
        "leader": leader.map(|leader| &leader.addon),
        "forked_from": facts.lineage.forked_from.as_ref().map(|source| &source.url),
        "waiting?": is_waiting(&addon),
        "hot_standby?": leader.is_some(),
        "standalone?": leader.is_none(),
        "is_in_recovery?": leader.is_some(),
        "behind_by_commits": facts.lineage.behind,
        "available_for_ingress": true,
        "info": info::json(&info::rows(&facts)),
    })))
}

fn is_waiting(addon: &Addon) -> bool {
    !addon.published || addon.state != database::State::Available
}

/// Whether there is something to wait for (`pg:wait`).
pub(crate) async fn wait_status(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = match web.addon(&caller, &database).await {
        Ok(addon) => addon,
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            return not_made(&web, &caller, &database, error).await;
        }
        Err(error) => return Err(error),
    };
    let making = progress::making(web.control(), &mut *web.read().await?, addon.id).await?;
    let making = making.filter(|_| is_waiting(&addon));
    let message = match addon.state {
        database::State::Available if addon.published => "available".to_owned(),
        database::State::Preparing | database::State::Available => match &making {
            Some(making) => format!("preparing ({}% completed)", progress::per_cent(making)),
            None => "preparing".to_owned(),
        },
        database::State::Uncertain => "not answering, asked again".to_owned(),
        database::State::Unavailable => "unavailable, it is being repaired".to_owned(),
        database::State::Removing | database::State::Removed => "being removed".to_owned(),
    };
    let gone = matches!(addon.state, database::State::Removing | database::State::Removed);
    Ok(Json(json!({
        "waiting?": is_waiting(&addon) && !gone,
        "error?": gone,
        "message": message,
        "percent": making.as_ref().map(progress::per_cent),
        "making": making,
    })))
}

/// The answer for what is not there because it could not be made (G11).
async fn not_made(
    web: &Web,
    caller: &Caller,
    database: &str,
    not_found: Error,
) -> Result<Json<Value>> {
    let mut conn = web.read().await?;
    let why = progress::why_not_made(web.control(), &mut conn, caller.id(), database).await?;
    let message = why.ok_or(not_found)?;
    Ok(Json(json!({ "waiting?": false, "error?": true, "message": message })))
}

/// Makes a follower a database of its own, and waits for it as long as clients do.
pub(crate) async fn unfollow(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let (status, message) = match following::unfollow(web.control(), caller.id(), &addon).await? {
        Unfollowed::Done => (StatusCode::OK, "It is a database of its own."),
        Unfollowed::Running => (StatusCode::ACCEPTED, "It is being made one of its own."),
    };
    Ok((status, Json(json!({ "message": message }))))
}

/// What an emptied database shall have.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct NewContent {
    #[serde(default)]
    extensions: Vec<String>,
}

/// Empties a database, and waits for it as long as clients do.
pub(crate) async fn reset(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(NewContent { extensions }): Body<NewContent>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let (status, message) =
        match databases::reset(web.control(), caller.id(), &addon, extensions).await? {
            Reset::Done => (StatusCode::OK, "It is empty."),
            Reset::Running => (StatusCode::ACCEPTED, "It is being emptied."),
        };
    Ok((status, Json(json!({ "message": message }))))
}

/// Ends all sessions of a database (`pg:killall`), and says how many.
pub(crate) async fn end_sessions(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let ended = databases::end_sessions(web.control(), &addon).await?;
    Ok(Json(json!({ "message": "Connections terminated", "terminated": ended })))
}

/// Sets PostgreSQL's statistics of a database back to zero.
pub(crate) async fn reset_statistics(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    databases::reset_statistics(web.control(), &addon).await?;
    Ok(Json(json!({ "message": "The statistics have been reset." })))
}
