//! The page of one database (C18).

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use howdah_control::requests::databases::{self, DEFAULT, Shown};
use howdah_control::requests::{Error as Refusal, addons};
use howdah_store::addons::Addon;
use howdah_store::transitions::{self, Transition};
use serde::Deserialize;

use super::pages::{Result, go_to, page};
use super::session::{Bare, Visitor};
use crate::Web;
use crate::data::databases::facts;
use crate::data::info::{self, Row};

/// How much of the history is shown.
const RECENT: usize = 100;

#[derive(Template)]
#[template(path = "database.html")]
struct Page {
    visitor: Visitor,
    addon: Addon,
    credential: Option<Shown>,
    rows: Vec<Row>,
    history: Vec<Transition>,
}

async fn find(web: &Web, visitor: &Visitor, name: &str) -> Result<Addon> {
    let mut conn = web.read().await?;
    Ok(addons::find(&mut conn, visitor.id(), name).await?)
}

async fn render(
    web: &Web,
    visitor: Visitor,
    addon: Addon,
    credential: Option<Shown>,
) -> Result<Response> {
    let rows = info::rows(&facts(web, &addon).await?);
    let mut history = transitions::list(&mut *web.read().await?, &[addon.id.0]).await?;
    history.reverse();
    history.truncate(RECENT);
    let shown = Page { visitor, addon, credential, rows, history };
    Ok(page(StatusCode::OK, &shown))
}

pub(crate) async fn show(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    render(&web, visitor, addon, None).await
}

/// The page with the connection in clear: asked for by a form, so that no link leads to it.
pub(crate) async fn reveal(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Bare>,
) -> Result<Response> {
    visitor.check(&form.csrf)?;
    let addon = find(&web, &visitor, &name).await?;
    let mut conn = web.read().await?;
    let credential = databases::credential(web.control(), &mut conn, &addon, DEFAULT).await?;
    drop(conn);
    render(&web, visitor, addon, Some(credential)).await
}

/// The name of the database, typed by somebody who means it.
#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
    confirm: String,
}

impl Confirmed {
    fn check(&self, visitor: &Visitor, addon: &Addon) -> Result<()> {
        visitor.check(&self.csrf)?;
        if self.confirm.trim() == addon.name.as_str() {
            return Ok(());
        }
        Err(Refusal::Invalid(format!(
            "Confirmation did not match {}. Nothing was changed.",
            addon.name
        ))
        .into())
    }
}

pub(crate) async fn reset(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Confirmed>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    form.check(&visitor, &addon)?;
    databases::reset(web.control(), visitor.id(), &addon, Vec::new()).await?;
    Ok(go_to(&format!("/databases/{}", addon.name)))
}

pub(crate) async fn destroy(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Confirmed>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    form.check(&visitor, &addon)?;
    addons::destroy(web.control(), visitor.id(), &addon, false).await?;
    Ok(go_to(&format!("/apps/{}", addon.app_name)))
}
