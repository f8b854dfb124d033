//! Add-ons, and the service and plans that they are of.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::plans::{self, Changed};
use howdah_control::requests::{Noun, addons};
use howdah_model::plan::{DEFAULT, PLANS, SERVICE};
use howdah_model::version::{Major, Version};
use howdah_store::addons::{self as stored, Addon};
use howdah_store::apps::App;
use howdah_store::attachments;
use howdah_store::backup_plans::BackupPlan;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::body::{Body, Ref, options};
use crate::error::{Error, Result};
use crate::platform::backup_plans;
use crate::{Web, object};

pub(crate) async fn services(_: Caller) -> Json<Value> {
    Json(json!([object::service(), backup_plans::service()]))
}

pub(crate) async fn service(_: Caller, Path(service): Path<String>) -> Result<Json<Value>> {
    if backup_plans::is_service(&service) {
        return Ok(Json(backup_plans::service()));
    }
    check_service(&service)?;
    Ok(Json(object::service()))
}

fn check_service(name: &str) -> Result<()> {
    if name == SERVICE || object::service()["id"] == name {
        return Ok(());
    }
    Err(Error::not_found(Noun::Service))
}

/// The plans, each with the versions of PostgreSQL that are installed.
pub(crate) async fn plans(
    State(web): State<Web>,
    _: Caller,
    Path(service): Path<String>,
) -> Result<Json<Value>> {
    if backup_plans::is_service(&service) {
        return Ok(Json(backup_plans::plans()));
    }
    check_service(&service)?;
    let installed = web.control().installed().await?;
    let versions = versions(&installed);
    let plans = PLANS.iter().map(|plan| {
        let mut plan = object::plan(plan, DEFAULT);
        plan["versions"] = versions.clone();
        plan
    });
    Ok(Json(plans.collect()))
}

/// The installed versions, and what is promised of each (C37).
pub(crate) fn versions(installed: &[Version]) -> Value {
    let default = Major::default_of(installed.iter().map(|version| version.major));
    let shown = |version: &Version| {
        json!({
            "major": version.major,
            "version": version,
            "status": version.major.support().to_string(),
            "default": Some(version.major) == default,
        })
    };
    installed.iter().map(shown).collect()
}

pub(crate) async fn list(State(web): State<Web>, caller: Caller) -> Result<Json<Value>> {
    let mut conn = web.read().await?;
    let all = stored::list_visible(&mut conn, caller.id()).await?;
    let attached = attachments::list_visible(&mut conn, caller.id()).await?;
    let of = |addon: &Addon| {
        let own = attached.iter().filter(|one| one.app_id == addon.app_id);
        object::addon(addon, &own.cloned().collect::<Vec<_>>(), &caller.origin)
    };
    drop(conn);
    let others = backup_plans::list(&web, &caller).await?;
    Ok(Json(all.iter().map(of).chain(others).collect()))
}

pub(crate) async fn list_of_app(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let mut conn = web.read().await?;
    let all = stored::list_by_app(&mut conn, caller.id(), app.id).await?;
    let attached = attachments::list_by_app(&mut conn, app.id).await?;
    drop(conn);
    let other = backup_plans::of_app(&web, &caller, &app).await?;
    let shown = all.iter().map(|addon| object::addon(addon, &attached, &caller.origin));
    Ok(Json(shown.chain(other).collect()))
}

/// An add-on as JSON, with its config vars on its own app.
async fn shown(web: &Web, caller: &Caller, addon: &Addon) -> Result<Value> {
    let attached = attachments::list_by_app(&mut *web.read().await?, addon.app_id).await?;
    Ok(object::addon(addon, &attached, &caller.origin))
}

/// An add-on by its id, its name or `app::ATTACHMENT`.
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(addon): Path<String>,
) -> Result<Json<Value>> {
    if let Some(other) = backup_plans::meant(&web, &caller, None, &addon).await? {
        return Ok(Json(backup_plans::addon(&other, &caller.origin)));
    }
    let addon = super::resolve::addon(&web, &caller, None, &addon).await?;
    Ok(Json(shown(&web, &caller, &addon).await?))
}

/// An app and an add-on that it owns or that is attached to it.
async fn of_app(web: &Web, caller: &Caller, app: &str, addon: &str) -> Result<(App, Addon)> {
    let app = web.app(caller, app).await?;
    let mut conn = web.read().await?;
    let all = stored::list_by_app(&mut conn, caller.id(), app.id).await?;
    let found = all
        .into_iter()
        .find(|one| one.name.as_str() == addon || one.id.to_string().eq_ignore_ascii_case(addon));
    Ok((app, found.ok_or_else(|| Error::not_found(Noun::Addon))?))
}

/// An app and its add-on of backups, if that is what is meant.
async fn other(
    web: &Web,
    caller: &Caller,
    app: &str,
    addon: &str,
) -> Result<Option<(App, BackupPlan)>> {
    let app = web.app(caller, app).await?;
    let found = backup_plans::meant(web, caller, Some(&app), addon).await?;
    Ok(found.map(|found| (app, found)))
}

pub(crate) async fn show_of_app(
    State(web): State<Web>,
    caller: Caller,
    Path((app, addon)): Path<(String, String)>,
) -> Result<Json<Value>> {
    if let Some((_, other)) = other(&web, &caller, &app, &addon).await? {
        return Ok(Json(backup_plans::addon(&other, &caller.origin)));
    }
    let (_, addon) = of_app(&web, &caller, &app, &addon).await?;
    Ok(Json(shown(&web, &caller, &addon).await?))
}

/// An add-on that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewAddon {
    plan: Ref,
    name: Option<String>,
    #[serde(default)]
    attachment: Option<NewAttachment>,
    #[serde(default)]
    config: Option<BTreeMap<String, Value>>,
}

/// How it is to be attached.
#[derive(Debug, Deserialize)]
struct NewAttachment {
    name: Option<String>,
}

pub(crate) async fn create(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(new): Body<NewAddon>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, &app).await?;
    if backup_plans::is_plan(new.plan.text()) {
        let (plan, name) = (new.plan.text(), new.name.as_deref());
        let made = backup_plans::create(&web, &caller, &app, plan, name).await?;
        return Ok((StatusCode::CREATED, Json(made)));
    }
    let wanted = addons::Wanted {
        plan: new.plan.text().to_owned(),
        name: new.name,
        attachment: new.attachment.and_then(|attachment| attachment.name),
        options: options(new.config.unwrap_or_default()),
    };
    let made = addons::create(web.control(), caller.id(), &app, &wanted).await?;
    Ok((StatusCode::CREATED, Json(created(&web, &caller, &made).await?)))
}

/// A new add-on as JSON, with what is to be said of it.
pub(crate) async fn created(web: &Web, caller: &Caller, made: &addons::Created) -> Result<Value> {
    let mut shown = shown(web, caller, &made.addon).await?;
    shown["provision_message"] = made.message.clone().into();
    Ok(shown)
}

/// What is to be changed of an add-on.
#[derive(Debug, Deserialize)]
pub(crate) struct Update {
    name: Option<String>,
    plan: Option<Ref>,
}

pub(crate) async fn update(
    State(web): State<Web>,
    caller: Caller,
    Path((app, addon)): Path<(String, String)>,
    Body(update): Body<Update>,
) -> Result<Json<Value>> {
    if let Some((app, there)) = other(&web, &caller, &app, &addon).await? {
        let plan = update.plan.as_ref().map_or(there.plan.name, Ref::text);
        return Ok(Json(backup_plans::update(&web, &caller, &app, &there, plan).await?));
    }
    let (_, mut addon) = of_app(&web, &caller, &app, &addon).await?;
    let mut message = None;
    if let Some(plan) = update.plan {
        let changed = plans::change(web.control(), caller.id(), &addon, plan.text()).await?;
        message = match changed {
            Changed::Already => None,
            Changed::Begun(message) => Some(message),
        };
    }
    if let Some(name) = update.name {
        addon = addons::rename(web.control(), caller.id(), &addon, &name).await?;
    }
    let mut shown = shown(&web, &caller, &addon).await?;
    if let Some(message) = message {
        shown["provision_message"] = message.into();
    }
    Ok(Json(shown))
}

/// Whether an add-on that other apps use may go.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Destroy {
    #[serde(default)]
    force: bool,
}

/// Destroys an add-on. Its apps have lost it when this answers; what is left of it goes after.
pub(crate) async fn destroy(
    State(web): State<Web>,
    caller: Caller,
    Path((app, addon)): Path<(String, String)>,
    Body(Destroy { force }): Body<Destroy>,
) -> Result<Json<Value>> {
    if let Some((app, there)) = other(&web, &caller, &app, &addon).await? {
        return Ok(Json(backup_plans::destroy(&web, &caller, &app, &there).await?));
    }
    let (_, addon) = of_app(&web, &caller, &app, &addon).await?;
    let mut shown = shown(&web, &caller, &addon).await?;
    addons::destroy(web.control(), caller.id(), &addon, force).await?;
    let mut conn = web.read().await?;
    let still_there = stored::find_visible(&mut conn, caller.id(), &addon.id.to_string()).await?;
    shown["state"] = if still_there.is_some() { "deprovisioning" } else { "deprovisioned" }.into();
    Ok(Json(shown))
}
