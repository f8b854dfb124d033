//! Snapshots: the backups of a database on its page (E15, E16), and the backup plan of an app (E3).

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;
use howdah_control::requests::backups::{self, Room, Shown};
use howdah_control::requests::{Error as Refusal, addons, apps, backup_plans, downloads};
use howdah_model::backup::{Cause, Kind};
use howdah_model::size::Bytes;
use howdah_store::addons::Addon;
use serde::Deserialize;

use super::database::{find, render};
use super::pages::{Notice, Result, go_to};
use super::session::{Bare, Visitor};
use crate::Web;

/// The most that a page shows.
const MOST: usize = 50;

/// A backup as the page of its database shows it.
pub(super) struct Snapshot {
    pub(super) id: String,
    /// When it was asked for, as ISO 8601 has it.
    pub(super) at: String,
    pub(super) size: String,
    pub(super) status: &'static str,
    pub(super) good: bool,
    /// Whether it was made by hand: those can be deleted here.
    pub(super) manual: bool,
}

impl Snapshot {
    fn new(one: &Shown) -> Self {
        let Shown { transfer, live } = one;
        let bytes = live.as_ref().map_or(transfer.processed_bytes.unsigned_abs(), |l| l.processed);
        Self {
            id: transfer.label(),
            at: transfer.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            size: Bytes(bytes).to_string(),
            status: match transfer.succeeded {
                None => "under way",
                Some(true) => "complete",
                Some(false) if transfer.canceled_at.is_some() => "cancelled",
                Some(false) => "failed",
            },
            good: transfer.is_good_backup(),
            manual: transfer.cause == Cause::Manual,
        }
    }
}

/// The backups of a database, newest first; none for those who do not see the app that owns it.
pub(super) async fn of(web: &Web, addon: &Addon) -> Result<Vec<Snapshot>> {
    if !addon.owned {
        return Ok(Vec::new());
    }
    let all = backups::list(web.control(), addon.app_id).await?;
    let of_it = all
        .iter()
        .rev()
        .filter(|one| one.transfer.kind == Kind::Backup && one.transfer.database_id == addon.id);
    Ok(of_it.take(MOST).map(Snapshot::new).collect())
}

/// Takes a snapshot (E16).
pub(crate) async fn take(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<Bare>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    visitor.check(&form.csrf)?;
    match backups::capture(web.control(), visitor.id(), &addon, Room::Keep).await {
        Ok(_) => Ok(go_to(&format!("/databases/{}?done=snapshot", addon.name))),
        Err(refusal) => {
            let notice = Notice::refused(refusal)?;
            render(&web, visitor, addon, None, Some(notice)).await
        }
    }
}

/// One backup of a database.
async fn one(web: &Web, visitor: &Visitor, addon: &Addon, id: &str) -> Result<Shown> {
    addons::check_owned(addon)?;
    let app = apps::find(&mut *web.read().await?, visitor.id(), addon.app_name.as_str()).await?;
    let shown = backups::find(web.control(), &app, id).await?;
    if shown.transfer.database_id != addon.id {
        return Err(Refusal::NotFound(howdah_control::requests::Noun::Transfer).into());
    }
    Ok(shown)
}

/// Leads to the dump, by a signed address on this platform.
pub(crate) async fn download(
    State(web): State<Web>,
    visitor: Visitor,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    let shown = one(&web, &visitor, &addon, &id).await?;
    let path = downloads::path(web.control(), addon.app_name.as_str(), &shown.transfer)?;
    Ok(go_to(&path))
}

pub(crate) async fn delete(
    State(web): State<Web>,
    visitor: Visitor,
    Path((name, id)): Path<(String, String)>,
    Form(form): Form<Bare>,
) -> Result<Response> {
    let addon = find(&web, &visitor, &name).await?;
    visitor.check(&form.csrf)?;
    let shown = one(&web, &visitor, &addon, &id).await?;
    match backups::delete(web.control(), &shown).await {
        Ok(_) => Ok(go_to(&format!("/databases/{}?done=deleted", addon.name))),
        Err(refusal) => {
            let notice = Notice::refused(refusal)?;
            render(&web, visitor, addon, None, Some(notice)).await
        }
    }
}

/// The backup plan that an app shall have; `-` for none.
#[derive(Debug, Deserialize)]
pub(crate) struct NewPlan {
    csrf: String,
    plan: String,
}

/// Adds the add-on `pgbackups` to an app, changes its plan, or removes it with all backups.
pub(crate) async fn set_plan(
    State(web): State<Web>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<NewPlan>,
) -> Result<Response> {
    visitor.check(&form.csrf)?;
    let mut conn = web.read().await?;
    let app = apps::find(&mut conn, visitor.id(), &name).await?;
    let there = backup_plans::find(&mut conn, &app, howdah_model::backup::SERVICE).await?;
    drop(conn);
    let (control, account) = (web.control(), visitor.id());
    match (there, form.plan.as_str()) {
        (None, "-") => {}
        (Some(there), "-") => backup_plans::remove(control, account, &app, &there).await?,
        (there, plan) => {
            let plan = backup_plans::plan(plan)?;
            match there {
                None => backup_plans::add(control, account, &app, plan, None).await?,
                Some(there) => backup_plans::change(control, account, &app, &there, plan).await?,
            };
        }
    }
    Ok(go_to(&format!("/apps/{}?backups=saved", app.name)))
}
