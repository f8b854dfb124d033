//! The page of one database (C18).

use askama::Template;
use axum::Form;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use howdah_control::requests::addons;
use howdah_control::requests::databases::{self, DEFAULT, Shown};
use howdah_model::database::Database;
use howdah_model::machine::Machine as _;
use howdah_model::name::PRIMARY;
use howdah_store::addons::Addon;
use howdah_store::attachments::{self, Attachment};
use howdah_store::transitions::{self, Transition};
use serde::Deserialize;

use super::activity::{self, Entry};
use super::pages::{Notice, Result, moment, page};
use super::pools::{self, Shown as Pools};
use super::session::{Bare, Visitor};
use super::snapshots::{self, Snapshot};
use crate::Web;
use crate::data::databases::facts;
use crate::data::info::{self, Row};

/// How much of the history is shown.
const RECENT: usize = 100;

#[derive(Template)]
#[template(path = "database.html")]
struct Page {
    visitor: Visitor,
    notice: Option<Notice>,
    addon: Addon,
    /// What its state means.
    means: &'static str,
    /// Its names on the apps that the visitor sees.
    attached: Vec<Attachment>,
    /// Whether it is the primary database of its app.
    primary: bool,
    credential: Option<Shown>,
    rows: Vec<Row>,
    /// How long it can be brought back once it is destroyed.
    kept: String,
    pools: Pools,
    snapshots: Vec<Snapshot>,
    activity: Vec<Entry>,
    history: Vec<Transition>,
}

/// The add-on with a name or id that the visitor may see.
pub(super) async fn find(web: &Web, visitor: &Visitor, name: &str) -> Result<Addon> {
    let mut conn = web.read().await?;
    Ok(addons::find(&mut conn, visitor.id(), name).await?)
}

/// The page, with what there is to say of the form that led to it.
pub(super) async fn render(
    web: &Web,
    visitor: Visitor,
    addon: Addon,
    credential: Option<Shown>,
    notice: Option<Notice>,
) -> Result<Response> {
    let (facts, pools) = tokio::join!(facts(web, &addon), pools::of(web, &addon));
    let rows = info::rows(&facts?);
    let snapshots = snapshots::of(web, &addon).await?;
    let mut conn = web.read().await?;
    let mut history = transitions::list(&mut conn, &[addon.id.0]).await?;
    history.reverse();
    history.truncate(RECENT);
    let activity = activity::of_database(&mut conn, addon.id).await?;
    let mut attached = attachments::list_visible(&mut conn, visitor.id()).await?;
    attached.retain(|one| one.database_id == addon.id);
    drop(conn);
    let on_app = |one: &Attachment| one.app_id == addon.app_id && one.name.as_str() == PRIMARY;
    let primary = attached.iter().any(on_app);
    let row = Database::TABLE.iter().find(|row| row.state == addon.state);
    let means = row.map_or("", |row| row.means);
    let status = Notice::status(notice.as_ref());
    let kept = kept(web, &addon);
    let shown = Page {
        visitor,
        notice,
        addon,
        means,
        attached,
        primary,
        credential,
        rows,
        kept,
        pools,
        snapshots,
        activity,
        history,
    };
    Ok(page(status, &shown))
}

/// How long what is destroyed is kept: `24 hours`, `7 days`.
fn kept(web: &Web, addon: &Addon) -> String {
    let keep = addon.plan.tier.protection(web.control().config().catalogue).keep;
    match keep / 3600 {
        hours @ 0..=48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

/// What was done to the database before its page was asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    /// It was emptied.
    Reset,
    /// It is being emptied.
    Resetting,
    /// It became the primary.
    Promoted,
    /// A backup was begun.
    Snapshot,
    /// A backup was deleted.
    Deleted,
}

impl Done {
    fn notice(self, addon: &Addon) -> Notice {
        let Addon { name, app_name, .. } = addon;
        Notice::done(match self {
            Self::Reset => format!("{name} was reset: it is empty. Its URL is as it was."),
            Self::Resetting => {
                format!("{name} is being reset. The history below tells when it is done.")
            }
            Self::Snapshot => {
                format!("A snapshot of {name} is being taken. It goes on by itself.")
            }
            Self::Deleted => "The snapshot was deleted. Its URLs are dead.".to_owned(),
            Self::Promoted => {
                format!("{name} was promoted: DATABASE_URL of {app_name} points to it.")
            }
        })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct News {
    done: Option<Done>,
}

pub(crate) async fn show(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    news: Result<Query<News>, QueryRejection>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    let notice = news.ok().and_then(|news| news.done).map(|done| done.notice(&addon));
    render(&web, visitor, addon, None, notice).await
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
    render(&web, visitor, addon, Some(credential), None).await
}
