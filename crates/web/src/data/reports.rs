//! Reports of how databases fare (`pg:diagnose`), and the figures that Heroku's CLI sends with its
//! question.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::{Noun, databases, diagnose, resolve};
use howdah_store::{addons, attachments};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};

/// Which database shall be looked at. The URL that Heroku's CLI sends is not needed and not used.
#[derive(Debug, Deserialize)]
pub(crate) struct Question {
    app: String,
    database: Option<String>,
}

/// Makes a report.
pub(crate) async fn make(
    State(web): State<Web>,
    caller: Caller,
    Body(Question { app, database }): Body<Question>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, &app).await?;
    let var = database.unwrap_or_else(|| "DATABASE_URL".to_owned());
    let mut conn = web.read().await?;
    let attached = attachments::list_by_app(&mut conn, app.id).await?;
    let prefix = &web.control().config().var_prefix;
    let found = resolve::attachments(&attached, &var, prefix);
    let meant = found.first().ok_or_else(|| Error::not_found(Noun::Attachment))?;
    let all = addons::list_by_app(&mut conn, caller.id(), app.id).await?;
    let addon = all.into_iter().find(|one| one.id == meant.database_id);
    let addon = addon.ok_or_else(|| Error::not_found(Noun::Addon))?;
    drop(conn);
    let report = diagnose::make(web.control(), &app, &addon, &var).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

/// A report that was made before.
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(report): Path<String>,
) -> Result<Json<Value>> {
    Ok(Json(diagnose::find(&mut *web.read().await?, caller.id(), &report).await?))
}

/// The newest figures of a database.
pub(crate) async fn metrics(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let look = databases::look(web.control(), addon.id).await?.look;
    let all: Vec<_> = look
        .into_iter()
        .flat_map(|look| {
            [
                ("active-connections", look.connections),
                ("db_size", look.size_bytes),
                ("tables", look.table_count),
                ("rows", look.row_count),
            ]
            .map(|(name, value)| json!({ "name": name, "value": value, "at": look.at }))
        })
        .collect();
    Ok(Json(all.into()))
}

/// There are no burst credits here, which is what an empty object says.
pub(crate) async fn burst_status(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    web.addon(&caller, &database).await?;
    Ok(Json(json!({})))
}
