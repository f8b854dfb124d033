//! The list of apps, and one app.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use howdah_control::requests::{addons, apps};
use howdah_model::plan::{PLANS, Plan};
use howdah_store::apps::App;
use howdah_store::attachments::Attachment;
use howdah_store::collaborators::Collaborator;
use howdah_store::releases::Release;
use howdah_store::{
    addons as stored, attachments, collaborators, config_vars, releases as store_releases,
};
use serde::Deserialize;

use super::pages::{Result, go_to, page};
use super::session::Visitor;
use crate::Web;

/// How many releases are shown.
const RECENT: i64 = 50;

#[derive(Template)]
#[template(path = "apps.html")]
struct Apps {
    visitor: Visitor,
    apps: Vec<App>,
}

pub(crate) async fn index(State(web): State<Web>, visitor: Visitor) -> Result<Response> {
    let all = howdah_store::apps::list_visible(&mut *web.read().await?, visitor.id()).await?;
    Ok(page(StatusCode::OK, &Apps { visitor, apps: all }))
}

/// An app that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewApp {
    csrf: String,
    name: String,
}

pub(crate) async fn create(
    State(web): State<Web>,
    visitor: Visitor,
    Form(form): Form<NewApp>,
) -> Result<Response> {
    visitor.check(&form.csrf)?;
    let name = Some(form.name.trim()).filter(|name| !name.is_empty());
    let app = apps::create(web.control(), visitor.id(), name, None).await?;
    Ok(go_to(&format!("/apps/{}", app.name)))
}

/// A database as the page of an app shows it.
struct Resource {
    name: String,
    attached: String,
    plan: String,
    price: String,
    state: String,
    status: &'static str,
}

#[derive(Template)]
#[template(path = "app.html")]
struct Page {
    visitor: Visitor,
    app: App,
    resources: Vec<Resource>,
    plans: &'static [Plan],
    vars: Vec<String>,
    people: Vec<Collaborator>,
    releases: Vec<Release>,
}

pub(crate) async fn show(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response> {
    let mut conn = web.read().await?;
    let app = apps::find(&mut conn, visitor.id(), &name).await?;
    let addons = stored::list_by_app(&mut conn, visitor.id(), app.id).await?;
    let attached = attachments::list_by_app(&mut conn, app.id).await?;
    let by_hand = config_vars::list(&mut conn, app.id).await?;
    let people = collaborators::list(&mut conn, app.id).await?;
    let releases = store_releases::newest(&mut conn, app.id, RECENT).await?;
    let mut vars: Vec<String> = by_hand.into_iter().map(|var| var.name.into()).collect();
    vars.extend(attached.iter().map(|one| one.name.url_var()));
    vars.sort();
    let names = names(&attached);
    let resources = addons.iter().map(|addon| Resource {
        name: addon.name.to_string(),
        attached: names.get(addon.name.as_str()).map(|all| all.join(", ")).unwrap_or_default(),
        plan: addon.plan.human_name(),
        price: addon.plan.price(),
        state: addon.state.to_string(),
        status: addon.state.shown(),
    });
    let resources = resources.collect();
    let shown = Page { visitor, app, resources, plans: PLANS, vars, people, releases };
    Ok(page(StatusCode::OK, &shown))
}

/// What each add-on is called on the app.
fn names(attached: &[Attachment]) -> BTreeMap<&str, Vec<&str>> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in attached {
        names.entry(one.addon_name.as_str()).or_default().push(one.name.as_str());
    }
    names
}

/// A database that is to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewDatabase {
    csrf: String,
    plan: String,
}

pub(crate) async fn add_database(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<NewDatabase>,
) -> Result<Response> {
    visitor.check(&form.csrf)?;
    let app = apps::find(&mut *web.read().await?, visitor.id(), &name).await?;
    let wanted = addons::Wanted { plan: form.plan, ..addons::Wanted::default() };
    addons::create(web.control(), visitor.id(), &app, &wanted).await?;
    Ok(go_to(&format!("/apps/{}", app.name)))
}
