//! Releases.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::{Noun, config, releases};
use howdah_store::apps::App;
use howdah_store::releases::{self as stored, Release};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};
use crate::range::Range;
use crate::{Web, object};

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    range: Range,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let mut conn = web.read().await?;
    let limit = i64::from(range.max);
    let all = if range.descending {
        stored::newest(&mut conn, app.id, limit).await?
    } else {
        stored::oldest(&mut conn, app.id, limit).await?
    };
    Ok(Json(all.iter().map(|release| object::release(release, &app)).collect()))
}

async fn find(web: &Web, app: &App, version_or_id: &str) -> Result<Release> {
    let wanted = version_or_id.strip_prefix('v').unwrap_or(version_or_id);
    let found = stored::find(&mut *web.read().await?, app.id, wanted).await?;
    found.ok_or_else(|| Error::not_found(Noun::Release))
}

pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path((app, release)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let release = find(&web, &app, &release).await?;
    Ok(Json(object::release(&release, &app)))
}

/// The config vars of a release: all of the current one; of earlier ones those that people had
/// set, as the URLs of then may open nothing any more.
pub(crate) async fn config_vars(
    State(web): State<Web>,
    caller: Caller,
    Path((app, release)): Path<(String, String)>,
) -> Result<Json<BTreeMap<String, String>>> {
    let app = web.app(&caller, &app).await?;
    let release = find(&web, &app, &release).await?;
    let mut conn = web.read().await?;
    if release.current {
        return Ok(Json(config::all(web.control(), &mut conn, app.id).await?));
    }
    Ok(Json(releases::config_of(web.control(), &mut conn, release.id).await?))
}

/// An earlier release to go back to. There are no others to make: nothing is deployed here.
#[derive(Debug, Deserialize)]
pub(crate) struct Rollback {
    release: String,
}

pub(crate) async fn roll_back(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(Rollback { release }): Body<Rollback>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, &app).await?;
    let wanted = release.strip_prefix('v').unwrap_or(&release);
    let release = releases::roll_back(web.control(), caller.id(), &app, wanted).await?;
    Ok((StatusCode::CREATED, Json(object::release(&release, &app))))
}
