//! The objects of Heroku's Platform API. Everything that a client may ask to be expanded is there
//! always: clients ignore what they do not know.

use howdah_model::plan::{PLANS, Plan, SERVICE};
use howdah_store::accounts::Account;
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::attachments::Attachment;
use howdah_store::collaborators::Collaborator;
use howdah_store::releases::Release;
use howdah_store::ssh_keys::SshKey;
use serde_json::{Value, json};
use uuid::Uuid;

/// Ids of things that are the same on every platform.
const REGION: u128 = 0x6861_7764_6168_4000_8000_0000_0000_0100;
const STACK: u128 = REGION + 0x100;
const SERVICE_ID: u128 = REGION + 0x200;
const PLAN: u128 = REGION + 0x300;
const GENERATION: u128 = REGION + 0x400;

fn fixed(id: u128) -> Uuid {
    Uuid::from_u128(id)
}

/// An account.
pub(crate) fn account(account: &Account) -> Value {
    json!({
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "allow_tracking": false,
        "beta": false,
        "verified": true,
        "created_at": account.created_at,
        "updated_at": account.created_at,
        "federated": false,
        "two_factor_authentication": false,
    })
}

/// An app. `url` is the platform's own address.
pub(crate) fn app(app: &App, url: &str) -> Value {
    let stack = json!({ "id": fixed(STACK), "name": "heroku-24" });
    json!({
        "id": app.id,
        "name": app.name,
        "acm": false,
        "archived_at": null,
        "stack": stack,
        "build_stack": stack,
        "buildpack_provided_description": null,
        "create_status": "complete",
        "created_at": app.created_at,
        "updated_at": app.updated_at,
        "released_at": app.released_at,
        "git_url": format!("{url}/{}.git", app.name),
        "web_url": format!("{url}/apps/{}", app.name),
        "owner": { "id": app.owner_id, "email": app.owner_email },
        "region": region(&app.region),
        "space": null,
        "team": null,
        "organization": null,
        "internal_routing": null,
        "maintenance": app.maintenance,
        "repo_size": 0,
        "slug_size": 0,
        "generation": { "id": fixed(GENERATION), "name": "cedar" },
        "process_tier": "standard",
    })
}

fn region(name: &str) -> Value {
    let index = u128::from(name == "eu");
    json!({ "id": fixed(REGION + index), "name": name })
}

/// A release of an app.
pub(crate) fn release(release: &Release, of: &App) -> Value {
    let id = release.account_id();
    let user = json!({ "id": id, "email": release.email.as_deref().unwrap_or("howdah") });
    json!({
        "id": release.id,
        "version": release.version,
        "description": release.description,
        "status": "succeeded",
        "current": release.current,
        "created_at": release.created_at,
        "updated_at": release.created_at,
        "user": user,
        "app": { "id": of.id, "name": of.name },
        "slug": null,
        "addon_plan_names": release.addon_plan_names,
        "eligible_for_rollback": true,
        "output_stream_url": null,
    })
}

/// The add-on service: there is one.
pub(crate) fn service() -> Value {
    json!({
        "id": fixed(SERVICE_ID),
        "name": SERVICE,
        "human_name": "Heroku Postgres",
        "cli_plugin_name": null,
        "state": "ga",
        "supports_multiple_installations": true,
        "supports_sharing": true,
    })
}

/// A plan.
pub(crate) fn plan(plan: &Plan, default: &str) -> Value {
    let index = PLANS.iter().position(|one| one.name == plan.name).unwrap_or_default();
    json!({
        "id": fixed(PLAN + index as u128),
        "name": plan.full_name(),
        "human_name": plan.human_name(),
        "description": format!("Heroku Postgres {}", plan.human_name()),
        "default": plan.name == default,
        "state": "ga",
        "visible": true,
        "space_default": false,
        "installable_inside_private_network": false,
        "installable_outside_private_network": true,
        "addon_service": { "id": fixed(SERVICE_ID), "name": SERVICE },
        "price": price(plan),
        "tier": plan.tier,
        "connections": plan.connections,
        "rows": plan.rows,
        "vcpu": plan.vcpu,
        "ram_mib": plan.ram_mib,
        "disk_gib": plan.disk_gib,
        "piops": plan.piops,
        "multitenant": plan.multitenant,
        "aliases": plan.aliases,
        "features": plan.tier.features(),
    })
}

fn price(plan: &Plan) -> Value {
    json!({
        "cents": plan.cents.unwrap_or_default(),
        "unit": "month",
        "contract": plan.cents.is_none(),
        "metered": false,
    })
}

/// An add-on. `of_app` are the attachments of the app that it is shown for: the config vars are
/// its names there.
pub(crate) fn addon(addon: &Addon, of_app: &[Attachment], url: &str) -> Value {
    let mine = of_app.iter().filter(|one| one.database_id == addon.id);
    let vars: Vec<_> = mine.map(|one| one.name.url_var()).collect();
    let web_url = format!("{url}/databases/{}", addon.name);
    json!({
        "id": addon.id,
        "name": addon.name,
        "state": addon_state(addon),
        "app": { "id": addon.app_id, "name": addon.app_name },
        "addon_service": service(),
        "plan": plan(addon.plan, howdah_model::plan::DEFAULT),
        "billed_price": price(addon.plan),
        "billing_entity": { "id": addon.app_id, "name": addon.app_name, "type": "app" },
        "config_vars": vars,
        "created_at": addon.created_at,
        "updated_at": addon.since,
        "provider_id": addon.id,
        "web_url": web_url,
        "provision_message": null,
        "actions": [],
        "log_input_url": null,
    })
}

fn addon_state(addon: &Addon) -> &'static str {
    match (addon.destroying, addon.published) {
        (true, _) => "deprovisioning",
        (false, true) => "provisioned",
        (false, false) => "provisioning",
    }
}

/// An attachment.
pub(crate) fn attachment(attachment: &Attachment, url: &str) -> Value {
    let plan = howdah_model::plan::find(&attachment.plan)
        .map_or(Value::Null, |found| plan(found, howdah_model::plan::DEFAULT));
    json!({
        "id": attachment.id,
        "name": attachment.name,
        "namespace": attachment.namespace,
        "app": { "id": attachment.app_id, "name": attachment.app_name },
        "addon": {
            "id": attachment.database_id,
            "name": attachment.addon_name,
            "app": { "id": attachment.owner_app_id, "name": attachment.owner_app_name },
            "plan": plan,
            "addon_service": service(),
        },
        "config_vars": [attachment.name.url_var()],
        "created_at": attachment.created_at,
        "updated_at": attachment.updated_at,
        "web_url": format!("{url}/databases/{}", attachment.addon_name),
        "log_input_url": null,
    })
}

/// Somebody with access to an app.
pub(crate) fn collaborator(one: &Collaborator, of: &App) -> Value {
    json!({
        "id": one.account_id,
        "app": { "id": of.id, "name": of.name },
        "user": { "id": one.account_id, "email": one.email, "federated": false },
        "role": if one.owner { "owner" } else { "collaborator" },
        "permissions": [],
        "created_at": one.created_at,
        "updated_at": one.created_at,
    })
}

/// A public key.
pub(crate) fn key(key: &SshKey, email: &str) -> Value {
    json!({
        "id": key.id,
        "comment": key.comment,
        "email": email,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
        "created_at": key.created_at,
        "updated_at": key.created_at,
    })
}
