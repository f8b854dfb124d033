//! What people call a database: see the contract's rules of resolution.

use axum::Json;
use axum::extract::State;
use howdah_control::requests::{Noun, addons as requests, resolve};
use howdah_store::addons::{self, Addon};
use howdah_store::attachments::{self, Attachment};
use howdah_store::backup_plans::BackupPlan;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};
use crate::platform::backup_plans;
use crate::{Web, object};

/// The question for attachments.
#[derive(Debug, Deserialize)]
pub(crate) struct AttachmentQuestion {
    addon_attachment: String,
    app: Option<String>,
}

/// The attachments that a text may mean.
pub(crate) async fn resolve_attachments(
    State(web): State<Web>,
    caller: Caller,
    Body(question): Body<AttachmentQuestion>,
) -> Result<Json<Value>> {
    let (of, wanted) = resolve::split(&question.addon_attachment);
    let found = match of.or(question.app.as_deref()) {
        Some(app) => of_app(&web, &caller, app, wanted).await?,
        None => anywhere(&web, &caller, wanted).await?,
    };
    if found.is_empty() {
        return Err(Error::not_found(Noun::Attachment));
    }
    Ok(Json(found.iter().map(|one| object::attachment(one, &caller.origin)).collect()))
}

async fn of_app(web: &Web, caller: &Caller, app: &str, wanted: &str) -> Result<Vec<Attachment>> {
    let app = web.app(caller, app).await?;
    let all = attachments::list_by_app(&mut *web.read().await?, app.id).await?;
    let prefix = &web.control().config().var_prefix;
    Ok(resolve::attachments(&all, wanted, prefix).into_iter().cloned().collect())
}

/// Without an app: by the attachment's id or the add-on's name or id.
async fn anywhere(web: &Web, caller: &Caller, wanted: &str) -> Result<Vec<Attachment>> {
    let all = attachments::list_visible(&mut *web.read().await?, caller.id()).await?;
    let means = |one: &Attachment| {
        one.id.to_string() == wanted
            || one.addon_name.as_str() == wanted
            || one.database_id.to_string() == wanted
    };
    Ok(all.into_iter().filter(means).collect())
}

/// The question for add-ons.
#[derive(Debug, Deserialize)]
pub(crate) struct AddonQuestion {
    addon: String,
    app: Option<String>,
}

/// The add-ons that a text may mean.
pub(crate) async fn resolve_addons(
    State(web): State<Web>,
    caller: Caller,
    Body(question): Body<AddonQuestion>,
) -> Result<Json<Value>> {
    if let Some(other) = other(&web, &caller, &question).await? {
        return Ok(Json(json!([backup_plans::addon(&other, &caller.origin)])));
    }
    let found = candidates(&web, &caller, question.app.as_deref(), &question.addon).await?;
    let mut conn = web.read().await?;
    let mut shown = Vec::new();
    for addon in &found {
        let attached = attachments::list_by_app(&mut conn, addon.app_id).await?;
        shown.push(object::addon(addon, &attached, &caller.origin));
    }
    Ok(Json(shown.into()))
}

/// The add-on of backups, if that is what is meant.
async fn other(web: &Web, caller: &Caller, asked: &AddonQuestion) -> Result<Option<BackupPlan>> {
    let (of, wanted) = resolve::split(&asked.addon);
    let app = match of.or(asked.app.as_deref()) {
        Some(app) => Some(web.app(caller, app).await?),
        None => None,
    };
    backup_plans::meant(web, caller, app.as_ref(), wanted).await
}

async fn candidates(
    web: &Web,
    caller: &Caller,
    app: Option<&str>,
    wanted: &str,
) -> Result<Vec<Addon>> {
    let (of, wanted) = match resolve::split(wanted) {
        (Some(of), wanted) => (Some(of), wanted),
        (None, wanted) => (app, wanted),
    };
    let Some(of) = of else {
        let mut conn = web.read().await?;
        return Ok(vec![requests::find(&mut conn, caller.id(), wanted).await?]);
    };
    let app = web.app(caller, of).await?;
    let mut conn = web.read().await?;
    let attached = attachments::list_by_app(&mut conn, app.id).await?;
    let all = addons::list_by_app(&mut conn, caller.id(), app.id).await?;
    let prefix = &web.control().config().var_prefix;
    let found: Vec<_> =
        resolve::addons(&attached, &all, wanted, prefix).into_iter().cloned().collect();
    if found.is_empty() { Err(Error::not_found(Noun::Addon)) } else { Ok(found) }
}

/// The one add-on that a text means: its id, its name or `app::ATTACHMENT`.
pub(crate) async fn addon(
    web: &Web,
    caller: &Caller,
    app: Option<&str>,
    wanted: &str,
) -> Result<Addon> {
    let mut found = candidates(web, caller, app, wanted).await?;
    if found.len() > 1 {
        let names: Vec<_> = found.iter().map(|addon| addon.name.as_str()).collect();
        return Err(Error::invalid(format!(
            "{wanted} may be any of {}. Say which.",
            names.join(", ")
        )));
    }
    found.pop().ok_or_else(|| Error::not_found(Noun::Addon))
}
