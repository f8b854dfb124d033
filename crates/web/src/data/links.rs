//! The links of a database (`pg:links`).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::links::{self, Shown};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::{Body, Ref};
use crate::error::Result;

fn shown(link: &Shown) -> Value {
    json!({
        "id": link.id,
        "name": link.name,
        "created_at": link.created_at,
        "remote": { "name": link.remote, "attachment_name": link.remote_attachment },
        "remote_name": link.remote_attachment,
    })
}

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let all = links::list(&mut *web.read().await?, &addon).await?;
    Ok(Json(all.iter().map(shown).collect()))
}

/// A link that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct New {
    target: Ref,
    #[serde(rename = "as")]
    name: Option<String>,
}

pub(crate) async fn create(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let remote = web.addon(&caller, new.target.text()).await?;
    let made = links::create(web.control(), &addon, &remote, new.name.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(shown(&made))))
}

pub(crate) async fn destroy(
    State(web): State<Web>,
    caller: Caller,
    Path((database, link)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    links::destroy(web.control(), &addon, &link).await?;
    Ok(Json(json!({ "message": format!("The link {link} was removed.") })))
}
