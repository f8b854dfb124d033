//! The credentials of a database (`pg:credentials`).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::credentials::{self, Rotation, Which};
use howdah_control::requests::databases::{self, Shown};
use howdah_model::operation::rotate::Former;
use howdah_model::permission::Permission;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::Result;

fn shown(credential: &Shown) -> Value {
    let active = json!({
        "user": credential.role,
        "password": credential.password,
        "state": "active",
        "connections": null,
    });
    let former = credential.former.iter().map(|login| {
        json!({
            "user": login.role,
            "password": null,
            "state": "revoking",
            "connections": login.clients,
        })
    });
    let is_rotating = credential.is_rotating || !credential.former.is_empty();
    json!({
        "uuid": credential.id,
        "name": credential.name,
        "state": if is_rotating { "rotating" } else { "active" },
        "database": credential.database,
        "host": credential.host,
        "port": credential.port,
        "permission": credential.permission.map(<&str>::from),
        "credentials": std::iter::once(active).chain(former).collect::<Vec<_>>(),
    })
}

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let all = databases::credentials(web.control(), &mut *web.read().await?, &addon).await?;
    Ok(Json(all.iter().map(shown).collect()))
}

pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path((database, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let mut conn = web.read().await?;
    let found = databases::credential(web.control(), &mut conn, &addon, &name).await?;
    Ok(Json(shown(&found)))
}

/// A credential that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct New {
    name: String,
    #[serde(default)]
    permission: Permission,
}

pub(crate) async fn create(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let made = credentials::create(web.control(), &addon, &new.name, new.permission).await?;
    Ok((StatusCode::CREATED, Json(shown(&made))))
}

/// What a credential shall be let do.
#[derive(Debug, Deserialize)]
pub(crate) struct Permit {
    permission: Permission,
}

pub(crate) async fn permit(
    State(web): State<Web>,
    caller: Caller,
    Path((database, name)): Path<(String, String)>,
    Body(to): Body<Permit>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let now = credentials::permit(web.control(), &addon, &name, to.permission).await?;
    Ok(Json(shown(&now)))
}

pub(crate) async fn destroy(
    State(web): State<Web>,
    caller: Caller,
    Path((database, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    credentials::destroy(web.control(), &addon, &name).await?;
    Ok(Json(json!({ "message": format!("Credential {name} was destroyed.") })))
}

/// How a rotation is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct Rotate {
    #[serde(default)]
    forced: bool,
}

pub(crate) async fn rotate(
    State(web): State<Web>,
    caller: Caller,
    Path((database, name)): Path<(String, String)>,
    Body(how): Body<Rotate>,
) -> Result<(StatusCode, Json<Value>)> {
    rotated(&web, &caller, &database, Which::Named(&name), &how).await
}

pub(crate) async fn rotate_all(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(how): Body<Rotate>,
) -> Result<(StatusCode, Json<Value>)> {
    rotated(&web, &caller, &database, Which::All, &how).await
}

async fn rotated(
    web: &Web,
    caller: &Caller,
    database: &str,
    which: Which<'_>,
    how: &Rotate,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(caller, database).await?;
    let former = if how.forced { Former::Revoked } else { Former::Kept };
    let (status, message) =
        match credentials::rotate(web.control(), caller.id(), &addon, which, former).await? {
            Rotation::Done => (StatusCode::OK, "The credentials were rotated."),
            Rotation::Running => (StatusCode::ACCEPTED, "The credentials are being rotated."),
        };
    Ok((status, Json(json!({ "message": message }))))
}

pub(crate) async fn repair_default(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    credentials::repair_default(web.control(), &addon).await?;
    Ok(Json(json!({ "message": "The default credential was repaired." })))
}
