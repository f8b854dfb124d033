//! Attachments.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::{Noun, attachments};
use howdah_store::apps::App;
use howdah_store::attachments::{self as stored, Attachment};
use howdah_store::credentials;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::body::{Body, Ref};
use crate::error::{Error, Result};
use crate::platform::backup_plans;
use crate::{Web, object};

fn shown(caller: &Caller, all: &[Attachment]) -> Json<Value> {
    Json(all.iter().map(|one| object::attachment(one, &caller.origin)).collect())
}

pub(crate) async fn list(State(web): State<Web>, caller: Caller) -> Result<Json<Value>> {
    let all = stored::list_visible(&mut *web.read().await?, caller.id()).await?;
    Ok(shown(&caller, &all))
}

pub(crate) async fn list_of_app(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let all = stored::list_by_app(&mut *web.read().await?, app.id).await?;
    Ok(shown(&caller, &all))
}

/// The attachments of an add-on on the apps that the caller may see.
pub(crate) async fn list_of_addon(
    State(web): State<Web>,
    caller: Caller,
    Path(addon): Path<String>,
) -> Result<Json<Value>> {
    if backup_plans::meant(&web, &caller, None, &addon).await?.is_some() {
        return Ok(Json(json!([])));
    }
    let addon = super::resolve::addon(&web, &caller, None, &addon).await?;
    let all = stored::list_visible(&mut *web.read().await?, caller.id()).await?;
    let of_addon: Vec<_> = all.into_iter().filter(|one| one.database_id == addon.id).collect();
    Ok(shown(&caller, &of_addon))
}

/// Whether an add-on has a credential: a list of one, or an empty list.
pub(crate) async fn credential_config(
    State(web): State<Web>,
    caller: Caller,
    Path((addon, namespace)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let addon = super::resolve::addon(&web, &caller, None, &addon).await?;
    let name = namespace.strip_prefix("credential:").unwrap_or(&namespace);
    let found = credentials::find(&mut *web.read().await?, addon.id, name).await?;
    Ok(Json(found.map_or_else(|| json!([]), |one| json!([{ "name": one.name }]))))
}

/// An attachment of an app by its name or id.
async fn of_app(web: &Web, app: &App, name_or_id: &str) -> Result<Attachment> {
    let all = stored::list_by_app(&mut *web.read().await?, app.id).await?;
    let found = all.into_iter().find(|one| {
        one.name.as_str().eq_ignore_ascii_case(name_or_id)
            || one.id.to_string().eq_ignore_ascii_case(name_or_id)
    });
    found.ok_or_else(|| Error::not_found(Noun::Attachment))
}

pub(crate) async fn show_of_app(
    State(web): State<Web>,
    caller: Caller,
    Path((app, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let found = of_app(&web, &app, &name).await?;
    Ok(Json(object::attachment(&found, &caller.origin)))
}

async fn visible(web: &Web, caller: &Caller, id: &str) -> Result<Attachment> {
    let all = stored::list_visible(&mut *web.read().await?, caller.id()).await?;
    let found = all.into_iter().find(|one| one.id.to_string().eq_ignore_ascii_case(id));
    found.ok_or_else(|| Error::not_found(Noun::Attachment))
}

pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>> {
    let found = visible(&web, &caller, &id).await?;
    Ok(Json(object::attachment(&found, &caller.origin)))
}

/// An attachment that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewAttachment {
    addon: Ref,
    app: Ref,
    name: Option<String>,
    namespace: Option<String>,
    confirm: Option<String>,
}

pub(crate) async fn attach(
    State(web): State<Web>,
    caller: Caller,
    Body(new): Body<NewAttachment>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, new.app.text()).await?;
    let addon = super::resolve::addon(&web, &caller, None, new.addon.text()).await?;
    let namespace = new.namespace.as_deref().filter(|name| *name != "credential:default");
    let wanted = attachments::Wanted {
        name: new.name.as_deref(),
        namespace,
        confirm: new.confirm.as_deref(),
    };
    let made = attachments::attach(web.control(), caller.id(), &addon, &app, wanted).await?;
    Ok((StatusCode::CREATED, Json(object::attachment(&made, &caller.origin))))
}

pub(crate) async fn detach(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>> {
    let found = visible(&web, &caller, &id).await?;
    let app = web.app(&caller, &found.app_id.to_string()).await?;
    attachments::detach(web.control(), caller.id(), &app, &found).await?;
    Ok(Json(object::attachment(&found, &caller.origin)))
}
