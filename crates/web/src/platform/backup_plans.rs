//! The add-on `pgbackups` as the Platform API shows it.

use howdah_control::requests::backup_plans as requests;
use howdah_model::backup::{PLANS, Plan, SERVICE};
use howdah_store::apps::App;
use howdah_store::backup_plans::{self, BackupPlan};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Web;
use crate::auth::Caller;
use crate::error::Result;

/// Ids of things that are the same on every platform.
const SERVICE_ID: Uuid = Uuid::from_u128(0x6861_7764_6168_4000_8000_0000_0000_0600);
const FIRST_PLAN: u128 = 0x6861_7764_6168_4000_8000_0000_0000_0700;

/// The service.
pub(crate) fn service() -> Value {
    json!({
        "id": SERVICE_ID,
        "name": SERVICE,
        "human_name": "PG Backups",
        "cli_plugin_name": null,
        "state": "ga",
        "supports_multiple_installations": false,
        "supports_sharing": false,
    })
}

/// Whether a name or id is the service's.
pub(crate) fn is_service(name: &str) -> bool {
    name == SERVICE || name == SERVICE_ID.to_string()
}

/// Whether a plan is one of the service's.
pub(crate) fn is_plan(name: &str) -> bool {
    name.split(':').next() == Some(SERVICE)
}

fn price() -> Value {
    json!({ "cents": 0, "unit": "month", "contract": false, "metered": false })
}

fn plan(plan: &Plan) -> Value {
    let index = PLANS.iter().position(|one| one.name == plan.name).unwrap_or_default();
    json!({
        "id": Uuid::from_u128(FIRST_PLAN + index as u128),
        "name": plan.full_name(),
        "human_name": plan.human_name,
        "description": format!("PG Backups {}", plan.human_name),
        "default": index == 0,
        "state": "ga",
        "visible": true,
        "space_default": false,
        "installable_inside_private_network": false,
        "installable_outside_private_network": true,
        "addon_service": { "id": SERVICE_ID, "name": SERVICE },
        "price": price(),
        "manual": plan.manual,
        "daily": plan.daily,
        "weekly": plan.weekly,
        "automatic": plan.is_automatic(),
    })
}

/// The plans.
pub(crate) fn plans() -> Value {
    PLANS.iter().map(plan).collect()
}

/// The add-on of an app.
pub(crate) fn addon(one: &BackupPlan, url: &str) -> Value {
    json!({
        "id": one.id,
        "name": one.name,
        "state": "provisioned",
        "app": { "id": one.app_id, "name": one.app_name },
        "addon_service": service(),
        "plan": plan(one.plan),
        "billed_price": price(),
        "billing_entity": { "id": one.app_id, "name": one.app_name, "type": "app" },
        "config_vars": [],
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "provider_id": one.id,
        "web_url": format!("{url}/dashboard/apps/{}", one.app_name),
        "provision_message": null,
        "actions": [],
        "log_input_url": null,
    })
}

/// Those of all apps of the caller.
pub(crate) async fn list(web: &Web, caller: &Caller) -> Result<Vec<Value>> {
    let all = backup_plans::list_visible(&mut *web.read().await?, caller.id()).await?;
    Ok(all.iter().map(|one| addon(one, &caller.origin)).collect())
}

/// That of an app, if it has it.
pub(crate) async fn of_app(web: &Web, caller: &Caller, app: &App) -> Result<Option<Value>> {
    let found = backup_plans::of_app(&mut *web.read().await?, app.id).await?;
    Ok(found.map(|one| addon(&one, &caller.origin)))
}

/// The one that a text means on an app, or on any app when none is given.
pub(crate) async fn meant(
    web: &Web,
    caller: &Caller,
    app: Option<&App>,
    wanted: &str,
) -> Result<Option<BackupPlan>> {
    let mut conn = web.read().await?;
    if let Some(app) = app {
        return Ok(requests::find(&mut conn, app, wanted).await?);
    }
    let all = backup_plans::list_visible(&mut conn, caller.id()).await?;
    let by_name = |one: &BackupPlan| wanted != SERVICE && requests::means(one, wanted);
    Ok(all.into_iter().find(by_name))
}

/// Adds it to an app.
pub(crate) async fn create(
    web: &Web,
    caller: &Caller,
    app: &App,
    wanted: &str,
    name: Option<&str>,
) -> Result<Value> {
    let plan = requests::plan(wanted)?;
    let made = requests::add(web.control(), caller.id(), app, plan, name).await?;
    let mut shown = addon(&made, &caller.origin);
    shown["provision_message"] = requests::WELCOME.into();
    Ok(shown)
}

/// Changes its plan.
pub(crate) async fn update(
    web: &Web,
    caller: &Caller,
    app: &App,
    there: &BackupPlan,
    wanted: &str,
) -> Result<Value> {
    let plan = requests::plan(wanted)?;
    if plan == there.plan {
        return Ok(addon(there, &caller.origin));
    }
    let changed = requests::change(web.control(), caller.id(), app, there, plan).await?;
    let mut shown = addon(&changed, &caller.origin);
    let message = format!("Backups are kept as {} does from now on.", plan.full_name());
    shown["provision_message"] = message.into();
    Ok(shown)
}

/// Takes it from an app, with all backups.
pub(crate) async fn destroy(
    web: &Web,
    caller: &Caller,
    app: &App,
    there: &BackupPlan,
) -> Result<Value> {
    requests::remove(web.control(), caller.id(), app, there).await?;
    let mut shown = addon(there, &caller.origin);
    shown["state"] = "deprovisioned".into();
    Ok(shown)
}
