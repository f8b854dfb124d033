//! Config vars.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use howdah_control::requests::config;

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::Result;

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<BTreeMap<String, String>>> {
    let app = web.app(&caller, &app).await?;
    let mut conn = web.read().await?;
    Ok(Json(config::all(web.control(), &mut conn, app.id).await?))
}

pub(crate) async fn change(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(changes): Body<BTreeMap<String, Option<String>>>,
) -> Result<Json<BTreeMap<String, String>>> {
    let app = web.app(&caller, &app).await?;
    Ok(Json(config::change(web.control(), caller.id(), &app, &changes).await?))
}
