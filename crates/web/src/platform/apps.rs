//! Apps, and who may use them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::{apps, collaborators as access};
use howdah_store::apps as stored;
use howdah_store::collaborators;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::body::{Body, Ref};
use crate::error::{Error, Result};
use crate::{Web, object};

pub(crate) async fn list(State(web): State<Web>, caller: Caller) -> Result<Json<Value>> {
    let all = stored::list_visible(&mut *web.read().await?, caller.id()).await?;
    Ok(Json(all.iter().map(|app| object::app(app, &caller.origin)).collect()))
}

/// An app that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewApp {
    name: Option<String>,
    region: Option<Ref>,
}

pub(crate) async fn create(
    State(web): State<Web>,
    caller: Caller,
    Body(new): Body<NewApp>,
) -> Result<(StatusCode, Json<Value>)> {
    let region = new.region.as_ref().map(Ref::text);
    let app = apps::create(web.control(), caller.id(), new.name.as_deref(), region).await?;
    Ok((StatusCode::CREATED, Json(object::app(&app, &caller.origin))))
}

pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    Ok(Json(object::app(&app, &caller.origin)))
}

/// What is to be changed of an app.
#[derive(Debug, Deserialize)]
pub(crate) struct Update {
    name: Option<String>,
    maintenance: Option<bool>,
}

pub(crate) async fn update(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(update): Body<Update>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let update = apps::Update { name: update.name.as_deref(), maintenance: update.maintenance };
    let app = apps::update(web.control(), caller.id(), &app, update).await?;
    Ok(Json(object::app(&app, &caller.origin)))
}

pub(crate) async fn destroy(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    apps::destroy(web.control(), caller.id(), &app).await?;
    Ok(Json(object::app(&app, &caller.origin)))
}

pub(crate) async fn collaborators(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let all = collaborators::list(&mut *web.read().await?, app.id).await?;
    Ok(Json(all.iter().map(|one| object::collaborator(one, &app)).collect()))
}

/// Somebody who is to have access.
#[derive(Debug, Deserialize)]
pub(crate) struct NewCollaborator {
    user: CollaboratorRef,
}

/// A person: by e-mail address, or by an object with it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CollaboratorRef {
    Email(String),
    Object { email: String },
}

pub(crate) async fn add_collaborator(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(new): Body<NewCollaborator>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, &app).await?;
    let (CollaboratorRef::Email(email) | CollaboratorRef::Object { email }) = new.user;
    let added = access::add(web.control(), &app, &email).await?;
    Ok((StatusCode::CREATED, Json(object::collaborator(&added, &app))))
}

pub(crate) async fn remove_collaborator(
    State(web): State<Web>,
    caller: Caller,
    Path((app, who)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let removed = access::remove(web.control(), &app, &who).await?;
    Ok(Json(object::collaborator(&removed, &app)))
}

/// An app is in no pipeline; clients expect a 404.
pub(crate) async fn no_pipeline(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    web.app(&caller, &app).await?;
    Err(Error::new(StatusCode::NOT_FOUND, "not_found", "Couldn't find that pipeline coupling."))
}
