//! What can be done to a database from its page: promote, reset, destroy.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;
use howdah_control::requests::databases::{self, Reset};
use howdah_control::requests::{self, Error as Refusal, addons, apps, attachments};
use howdah_store::addons::Addon;
use serde::Deserialize;

use super::database::{find, render};
use super::pages::{Notice, Result, go_to};
use super::session::{Bare, Visitor};
use crate::Web;

/// The name of the database, typed by somebody who means it.
#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
    confirm: String,
}

impl Confirmed {
    fn check(&self, addon: &Addon) -> requests::Result<()> {
        if self.confirm.trim() == addon.name.as_str() {
            return Ok(());
        }
        Err(Refusal::Invalid(format!(
            "Confirmation did not match {}. Nothing was changed.",
            addon.name
        )))
    }
}

/// Goes to where a change leads, or shows the database's page again with what stood against it.
async fn answer(
    web: &Web,
    visitor: Visitor,
    addon: Addon,
    changed: requests::Result<String>,
) -> Result<Response> {
    match changed {
        Ok(path) => Ok(go_to(&path)),
        Err(refusal) => {
            let notice = Notice::refused(refusal)?;
            render(web, visitor, addon, None, Some(notice)).await
        }
    }
}

/// Makes it the primary database of its app (C10).
pub(crate) async fn promote(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Bare>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    visitor.check(&form.csrf)?;
    addons::check_owned(&addon)?;
    let app = apps::find(&mut *web.read().await?, visitor.id(), addon.app_name.as_str()).await?;
    let promoted = attachments::promote(web.control(), visitor.id(), &addon, &app).await;
    let changed = promoted.map(|_| format!("/databases/{}?done=promoted", addon.name));
    answer(&web, visitor, addon, changed).await
}

pub(crate) async fn reset(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Confirmed>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    visitor.check(&form.csrf)?;
    let changed = match form.check(&addon) {
        Ok(()) => databases::reset(web.control(), visitor.id(), &addon, Vec::new()).await,
        Err(refusal) => Err(refusal),
    };
    let changed = changed.map(|came| {
        let done = match came {
            Reset::Done => "reset",
            Reset::Running => "resetting",
        };
        format!("/databases/{}?done={done}", addon.name)
    });
    answer(&web, visitor, addon, changed).await
}

pub(crate) async fn destroy(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Confirmed>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    visitor.check(&form.csrf)?;
    let changed = match form.check(&addon) {
        Ok(()) => addons::destroy(web.control(), visitor.id(), &addon, false).await,
        Err(refusal) => Err(refusal),
    };
    let changed = changed.map(|()| format!("/apps/{}?destroyed={}", addon.app_name, addon.name));
    answer(&web, visitor, addon, changed).await
}
