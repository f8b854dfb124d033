//! Add-ons, looked at: addons, addons:info, addons:plans, addons:services.

use howdah_model::size::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::pg_versions::Version;
use crate::app;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::resources::{Addon, AddonState, Attachment, Price};
use crate::session::Session;

pub(super) const ADDON: Argument = Argument {
    name: "ADDON",
    times: Times::Once,
    means: "its name, or that of an attachment or config var",
};

pub(super) const COMMANDS: &[Command] = &[
    command("addons", Group::Databases, "List add-ons, of one app or of all", |s, g| {
        Box::pin(list(s, g))
    })
    .options(&[APP, REMOTE, Opt::flag("all", Some('A'), "those of every app")])
    .examples(&["howdah addons -a demo", "howdah addons --all"]),
    command("addons:info", Group::Databases, "Show an add-on", |s, g| Box::pin(info(s, g)))
        .arguments(&[ADDON])
        .options(&[APP, REMOTE])
        .examples(&["howdah addons:info DATABASE_URL -a demo"]),
    command("addons:plans", Group::Databases, "List the plans of a service", |s, g| {
        Box::pin(plans(s, g))
    })
    .arguments(&[Argument {
        name: "SERVICE",
        times: Times::Optional,
        means: "the service [default: heroku-postgresql]",
    }])
    .examples(&["howdah addons:plans heroku-postgresql"]),
    command(
        "addons:services",
        Group::Databases,
        "List the services that add-ons are of",
        |s, g| Box::pin(services(s, g)),
    )
    .aliases(&["addons:list"])
    .examples(&["howdah addons:services"]),
];

/// The add-on that a word names, seen from an app if one is known. More than one is an error.
pub(super) async fn resolve(
    session: &Session,
    app: Option<&str>,
    typed: &str,
) -> Result<Addon, Failure> {
    let mut body = json!({ "addon": typed });
    if let Some((app, addon)) = typed.split_once("::") {
        body = json!({ "addon": addon, "app": app });
    } else if let Some(app) = app {
        body["app"] = json!(app);
    }
    let found: Vec<Addon> = session.post(&["actions", "addons", "resolve"], body).await.map_err(
        |failure| match app {
            Some(app) if failure.exit == Exit::NotFound => {
                failure.advise(Hint::ListAddons.fill(&[("APP", app)]))
            }
            Some(_) | None => failure,
        },
    )?;
    let names: Vec<_> = found.iter().map(|addon| addon.name.clone()).collect();
    match <[Addon; 1]>::try_from(found) {
        Ok([addon]) => Ok(addon),
        Err(_) if names.is_empty() => {
            Err(Failure::not_found(format!("Couldn't find the add-on {typed}.")))
        }
        Err(_) => {
            let names = names.join(", ");
            let message =
                format!("Ambiguous identifier; multiple matching add-ons found: {names}.");
            Err(Failure::new(Exit::NotFound, "multiple-matches", message))
        }
    }
}

/// An add-on with its attachments, as `addons` lists it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    addon: &'a Addon,
    attachments: Vec<String>,
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = if given.has("all") { None } else { app::maybe(session, given)? };
    let path = app.as_ref().map_or_else(|| vec!["addons"], |app| vec!["apps", app, "addons"]);
    let (addons, attachments) = tokio::try_join!(
        session.get::<Vec<Addon>>(&path),
        session.get::<Vec<Attachment>>(&["addon-attachments"]),
    )?;
    let listed: Vec<_> = addons
        .iter()
        .map(|addon| Listed { addon, attachments: names(addon, &attachments, app.as_deref()) })
        .collect();
    if listed.is_empty() {
        match &app {
            Some(app) => session.nothing(
                &format!("{app} has no add-ons."),
                &Hint::CreateDatabase.fill(&[("APP", app)]),
            ),
            None => session.nothing("You have no add-ons.", &Hint::ListPlans.plain()),
        }
    }
    session.answer("addons", &listed, |page| {
        let row = |one: &Listed<'_>| {
            [
                one.addon.name.clone(),
                one.addon.plan.name.clone(),
                one.addon.price(),
                state(one.addon.state).to_owned(),
                one.attachments.join(", "),
            ]
        };
        let rows: Vec<_> = listed.iter().map(row).collect();
        if !rows.is_empty() {
            page.table(["Add-on", "Plan", "Price", "State", "Attachments"], &rows);
        }
    })
}

fn names(addon: &Addon, all: &[Attachment], app: Option<&str>) -> Vec<String> {
    let of_addon = all.iter().filter(|one| one.addon.id == addon.id);
    let name = |one: &Attachment| match app {
        Some(app) if app == one.app.name => one.name.clone(),
        Some(_) | None => format!("{}::{}", one.app.name, one.name),
    };
    of_addon.map(name).collect()
}

/// A state in Heroku's words.
fn state(state: AddonState) -> &'static str {
    match state {
        AddonState::Provisioning => "creating",
        AddonState::Provisioned => "created",
        AddonState::Deprovisioning => "destroying",
        AddonState::Deprovisioned => "destroyed",
    }
}

async fn info(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::maybe(session, given)?;
    let addon = resolve(session, app.as_deref(), given.needed("ADDON")?).await?;
    let attachments: Vec<Attachment> =
        session.get(&["addons", &addon.id, "addon-attachments"]).await?;
    let attachments = names(&addon, &attachments, None);
    let listed = Listed { addon: &addon, attachments };
    session.answer("addon", &listed, |page| {
        page.heading(&addon.name);
        let installed = page.time(&addon.created_at);
        page.fields([
            ("Attachments", listed.attachments.join("\n")),
            ("Installed at", installed),
            ("Owning app", addon.app.name.clone()),
            ("Plan", addon.plan.name.clone()),
            ("Price", addon.price()),
            ("State", state(addon.state).to_owned()),
        ]);
    })
}

/// A plan as it is listed: with all that the platform says of it.
#[derive(Deserialize, Serialize)]
struct ListedPlan {
    name: String,
    #[serde(default)]
    default: bool,
    price: Price,
    /// Sessions that a database may have, and so on: other services have other figures.
    #[serde(default)]
    connections: Option<u64>,
    #[serde(default)]
    rows: Option<u64>,
    #[serde(default)]
    ram_mib: Option<u64>,
    #[serde(default)]
    disk_gib: Option<u64>,
    /// The versions of PostgreSQL that are installed.
    #[serde(default)]
    versions: Vec<Version>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

async fn plans(session: &Session, given: &Given) -> Result<(), Failure> {
    let service = given.value("SERVICE").unwrap_or(howdah_model::plan::SERVICE);
    let plans: Vec<ListedPlan> = session.get(&["addon-services", service, "plans"]).await?;
    session.answer("plans", &plans, |page| {
        if service == howdah_model::backup::SERVICE {
            return backup_plans(page, &plans);
        }
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let size = |size: Option<u64>, shift: u32| match size {
            None | Some(0) => "-".to_owned(),
            Some(size) => Bytes(size << shift).to_string(),
        };
        let row = |plan: &ListedPlan| {
            let default = if plan.default { " (default)" } else { "" };
            [
                format!("{}{default}", plan.name),
                plan.price.shown(),
                number(plan.connections).unwrap_or_else(|| "-".to_owned()),
                number(plan.rows).unwrap_or_else(|| "unlimited".to_owned()),
                size(plan.ram_mib, 20),
                size(plan.disk_gib, 30),
            ]
        };
        let rows: Vec<_> = plans.iter().map(row).collect();
        page.table(["Plan", "Price", "Connections", "Rows", "RAM", "Disk"], &rows);
        if let Some(plan) = plans.first().filter(|plan| !plan.versions.is_empty()) {
            let versions: Vec<_> = plan.versions.iter().map(Version::shown).collect();
            page.line("");
            page.line(&format!("PostgreSQL: {}", versions.join(", ")));
        }
    })
}

/// The plans of the add-on for backups: how many of each kind are kept (E1).
fn backup_plans(page: &mut Page, plans: &[ListedPlan]) {
    let kept = |plan: &ListedPlan, what: &str| {
        plan.more.get(what).map_or_else(|| "-".to_owned(), Value::to_string)
    };
    let row = |plan: &ListedPlan| {
        let default = if plan.default { " (default)" } else { "" };
        let automatic = plan.more.get("automatic").and_then(Value::as_bool) == Some(true);
        [
            format!("{}{default}", plan.name),
            plan.price.shown(),
            kept(plan, "manual"),
            kept(plan, "daily"),
            kept(plan, "weekly"),
            if automatic { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<_> = plans.iter().map(row).collect();
    let head = ["Plan", "Price", "Manual kept", "Daily kept", "Weekly kept", "Automatic daily"];
    page.table(head, &rows);
}

#[derive(Deserialize, Serialize)]
struct Service {
    name: String,
    human_name: String,
    #[serde(default)]
    state: String,
}

async fn services(session: &Session, _given: &Given) -> Result<(), Failure> {
    let services: Vec<Service> = session.get(&["addon-services"]).await?;
    session.answer("services", &services, |page| {
        let row = |one: &Service| [one.name.clone(), one.human_name.clone(), one.state.clone()];
        let rows: Vec<_> = services.iter().map(row).collect();
        page.table(["Service", "Name", "State"], &rows);
    })
}
