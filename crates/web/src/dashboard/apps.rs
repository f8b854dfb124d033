//! The list of apps, and one app.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use howdah_control::requests::{addons, apps};
use howdah_model::backup;
use howdah_model::database::State as Fares;
use howdah_model::name::AddonName;
use howdah_model::plan::{PLANS, Plan};
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::attachments::Attachment;
use howdah_store::backup_plans::BackupPlan;
use howdah_store::collaborators::Collaborator;
use howdah_store::{addons as stored, attachments, backup_plans, collaborators, config_vars};
use serde::Deserialize;

use super::activity::{self, Entry};
use super::pages::{Notice, Result, go_to, moment, page};
use super::session::Visitor;
use crate::Web;

#[derive(Template)]
#[template(path = "apps.html")]
struct Apps {
    visitor: Visitor,
    notice: Option<Notice>,
    apps: Vec<App>,
    /// What was typed as the name of a new one.
    name: String,
}

async fn list(
    web: &Web,
    visitor: Visitor,
    notice: Option<Notice>,
    name: String,
) -> Result<Response> {
    let apps = howdah_store::apps::list_visible(&mut *web.read().await?, visitor.id()).await?;
    let status = Notice::status(notice.as_ref());
    Ok(page(status, &Apps { visitor, notice, apps, name }))
}

pub(crate) async fn index(State(web): State<Web>, visitor: Visitor) -> Result<Response> {
    list(&web, visitor, None, String::new()).await
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
    match apps::create(web.control(), visitor.id(), name, None).await {
        Ok(app) => Ok(go_to(&format!("/apps/{}", app.name))),
        Err(refusal) => {
            let notice = Notice::refused(refusal)?;
            list(&web, visitor, Some(notice), form.name).await
        }
    }
}

/// A database as the page of an app shows it.
struct Resource {
    name: String,
    attached: String,
    plan: String,
    price: String,
    state: Fares,
}

#[derive(Template)]
#[template(path = "app.html")]
struct Page {
    visitor: Visitor,
    notice: Option<Notice>,
    app: App,
    resources: Vec<Resource>,
    plans: &'static [Plan],
    /// The chosen one.
    plan: String,
    backup_plan: Option<BackupPlan>,
    backup_plans: &'static [backup::Plan],
    vars: Vec<String>,
    people: Vec<Collaborator>,
    activity: Vec<Entry>,
}

/// What was done before the page was asked for: the name of the database that it was done to.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct News {
    added: Option<AddonName>,
    destroyed: Option<AddonName>,
    backups: Option<String>,
}

impl News {
    /// The sentence, if it is true.
    fn notice(&self, app: &App, there: &[Resource]) -> Option<Notice> {
        let find = |name: &AddonName| there.iter().find(|one| one.name == name.as_str());
        if let Some(one) = self.added.as_ref().and_then(find) {
            let (name, app) = (&one.name, &app.name);
            return Some(Notice::done(if one.state == Fares::Available {
                format!("{name} was added and is available. {app} has its URL in its config vars.")
            } else {
                format!(
                    "{name} was added and is being made. `howdah pg:wait -a {app}` waits for it."
                )
            }));
        }
        if self.backups.is_some() {
            let text = format!("The backup plan of {} was saved.", app.name);
            return Some(Notice::done(text));
        }
        let gone = self.destroyed.as_ref().filter(|name| find(name).is_none())?;
        Some(Notice::done(format!("{gone} was destroyed, and taken from the config vars.")))
    }
}

async fn render(
    web: &Web,
    visitor: Visitor,
    app: App,
    notice: impl FnOnce(&App, &[Resource]) -> Option<Notice>,
    plan: String,
) -> Result<Response> {
    let mut conn = web.read().await?;
    let addons = stored::list_by_app(&mut conn, visitor.id(), app.id).await?;
    let attached = attachments::list_by_app(&mut conn, app.id).await?;
    let by_hand = config_vars::list(&mut conn, app.id).await?;
    let people = collaborators::list(&mut conn, app.id).await?;
    let activity = activity::of_app(&mut conn, app.id).await?;
    let backup_plan = backup_plans::of_app(&mut conn, app.id).await?;
    let mut vars: Vec<String> = by_hand.into_iter().map(|var| var.name.into()).collect();
    vars.extend(attached.iter().map(|one| one.name.url_var()));
    vars.sort();
    let resources = resources(&addons, &attached);
    let notice = notice(&app, &resources);
    let status = Notice::status(notice.as_ref());
    let plans = PLANS;
    let shown = Page {
        visitor,
        notice,
        app,
        resources,
        plans,
        plan,
        backup_plan,
        backup_plans: backup::PLANS,
        vars,
        people,
        activity,
    };
    Ok(page(status, &shown))
}

pub(crate) async fn show(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    news: Result<Query<News>, QueryRejection>,
) -> Result<Response> {
    let app = apps::find(&mut *web.read().await?, visitor.id(), &name).await?;
    let news = news.map(|Query(news)| news).unwrap_or_default();
    render(&web, visitor, app, |app, there| news.notice(app, there), String::new()).await
}

fn resources(addons: &[Addon], attached: &[Attachment]) -> Vec<Resource> {
    let names = names(attached);
    let resources = addons.iter().map(|addon| Resource {
        name: addon.name.to_string(),
        attached: names.get(addon.name.as_str()).map(|all| all.join(", ")).unwrap_or_default(),
        plan: addon.plan.human_name(),
        price: addon.plan.price(),
        state: addon.state,
    });
    resources.collect()
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
    let wanted = addons::Wanted { plan: form.plan.clone(), ..addons::Wanted::default() };
    match addons::create(web.control(), visitor.id(), &app, &wanted).await {
        Ok(made) => Ok(go_to(&format!("/apps/{}?added={}", app.name, made.addon.name))),
        Err(refusal) => {
            let notice = Notice::refused(refusal)?;
            render(&web, visitor, app, |_, _| Some(notice), form.plan).await
        }
    }
}
