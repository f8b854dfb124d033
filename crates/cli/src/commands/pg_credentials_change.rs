//! pg:credentials:create, :destroy, :rotate and :repair-default, and `pg:credentials --reset`
//! (D25, D28).

use howdah_model::attachment::DEFAULT;
use howdah_model::name::PRIMARY;
use howdah_model::permission::Permission;
use reqwest::Method;
use serde_json::json;

use super::pg_credentials_permissions::parsed;
use crate::command::{APP, CONFIRM, Command, DATABASE, Group, Opt, REMOTE, command};
use crate::confirm;
use crate::database::{self, Database};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::Credential;
use crate::session::{Ignored, Session};

pub(super) const NAME: Opt =
    Opt::value("name", Some('n'), "NAME", "the credential; it must be said");

pub(super) const COMMANDS: &[Command] = &[
    command("pg:credentials:create", Group::Databases, "Make a credential", |s, g| {
        Box::pin(create(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        NAME,
        Opt::value("permission", None, "WORD", "readonly, readwrite or none [default: none]"),
    ])
    .note(
        "With none it may enter the database and nothing else: grant it what it needs by its user \
         name, which `pg:credentials` shows. Grants and permissions stay when it is rotated.",
    )
    .examples(&[
        "howdah pg:credentials:create DATABASE_URL --name reports -a demo",
        "howdah pg:credentials:create -n reports --permission readonly -a demo",
    ]),
    command("pg:credentials:destroy", Group::Databases, "End a credential", |s, g| {
        Box::pin(destroy(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, NAME, CONFIRM])
    .note("What it owns in the database goes to the default credential.")
    .examples(&["howdah pg:credentials:destroy --name reports -a demo --confirm demo"]),
    command(
        "pg:credentials:rotate",
        Group::Databases,
        "Give credentials new user names and passwords",
        |s, g| Box::pin(rotate(s, g)),
    )
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("name", Some('n'), "NAME", "the credential [default: default]"),
        Opt::flag("all", None, "all credentials of the database"),
        Opt::flag("force", None, "end the old ones and their sessions at once"),
        CONFIRM,
    ])
    .note(
        "The apps get the new URLs with a release. The old ones, and sessions that are open, go on \
         until nobody uses them any more, for a day at most; until then `pg:credentials` says \
         `rotating`.",
    )
    .examples(&[
        "howdah pg:credentials:rotate DATABASE_URL -a demo --confirm demo",
        "howdah pg:credentials:rotate --all --force -a demo --confirm demo",
    ]),
    command(
        "pg:credentials:repair-default",
        Group::Databases,
        "Give the default credential all rights",
        |s, g| Box::pin(repair_default(s, g)),
    )
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, CONFIRM])
    .note(
        "It owns everything in the database then. Other credentials keep the right to use what \
         they have made.",
    )
    .examples(&["howdah pg:credentials:repair-default -a demo --confirm demo"]),
];

pub(super) fn named(given: &Given) -> Result<&str, Failure> {
    given.value("name").ok_or_else(|| Failure::usage("Must specify the credential with --name"))
}

async fn create(session: &Session, given: &Given) -> Result<(), Failure> {
    let name = named(given)?;
    let permission = given.value("permission").map(parsed).transpose()?.unwrap_or_default();
    let database = database::named(session, given).await?;
    let addon = &database.attachment.addon.name;
    let step = session.step(&format!("Creating credential {name}"));
    let path = ["postgres", "v0", "databases", addon, "credentials"];
    let mut body = json!({ "name": name });
    if permission != Permission::None {
        body["permission"] = json!(permission);
    }
    let made: Credential = session.post(&path, body).await?;
    step.done();
    let app = &database.app;
    let names = [("ADDON", addon.as_str()), ("NAME", name), ("APP", app), ("DATABASE", addon)];
    session.nothing("No app uses it yet", &Hint::AttachCredential.fill(&names));
    if permission == Permission::None {
        session.nothing("It may only enter the database yet", &Hint::Grant.fill(&names));
    }
    let user = made.logins.first().map(|login| login.user.as_str()).unwrap_or_default();
    let data = json!({ "database": addon, "name": made.name, "user": user,
                       "permission": permission });
    session.answer("credential", &data, |page| page.line(&format!("User name: {user}")))
}

async fn destroy(session: &Session, given: &Given) -> Result<(), Failure> {
    let name = named(given)?;
    if name == DEFAULT {
        return Err(Failure::usage("Default credential cannot be destroyed."));
    }
    let database = database::named(session, given).await?;
    confirm::app(session, given, &database.app)?;
    let addon = &database.attachment.addon.name;
    let step = session.step(&format!("Destroying credential {name}"));
    let path = ["postgres", "v0", "databases", addon, "credentials", name];
    session.call::<Ignored>(Method::DELETE, &path, None, None).await?;
    step.done();
    session.say(&format!(
        "The credential has been destroyed within {addon}.\nDatabase objects owned by {name} will \
         be assigned to the default credential."
    ));
    session.answer("destroyed", &json!({ "database": addon, "name": name }), |_| {})
}

async fn rotate(session: &Session, given: &Given) -> Result<(), Failure> {
    let (name, all) = (given.value("name"), given.has("all"));
    if all && name.is_some() {
        return Err(Failure::usage("Say either --all or --name NAME, not both"));
    }
    let name = name.unwrap_or(DEFAULT);
    let database = database::named(session, given).await?;
    confirm::app(session, given, &database.app)?;
    let addon = &database.attachment.addon.name;
    let what = if all { "all credentials" } else { name };
    let step = session.step(&format!("Rotating {what} on {addon}"));
    let which = if all { None } else { Some(name) };
    ask_to_rotate(session, &database, which, given.has("force")).await?;
    step.done();
    if !given.has("force") {
        let advice = Hint::ListCredentials.fill(&[("APP", &database.app)]);
        session.nothing("The old URLs work until nobody uses them any more", &advice);
    }
    let data = json!({ "database": addon, "name": which, "force": given.has("force") });
    session.answer("rotated", &data, |_| {})
}

/// One credential, or all when none is named.
async fn ask_to_rotate(
    session: &Session,
    database: &Database,
    name: Option<&str>,
    forced: bool,
) -> Result<(), Failure> {
    let base = ["postgres", "v0", "databases", &database.attachment.addon.name];
    let path = match name {
        Some(name) => [&base[..], &["credentials", name, "credentials_rotation"]].concat(),
        None => [&base[..], &["credentials_rotation"]].concat(),
    };
    let body = if forced { json!({ "forced": true }) } else { json!({}) };
    session.post::<Ignored>(&path, body).await.map(|_| ())
}

/// `pg:credentials DATABASE --reset`: as it was before there were named credentials. The old ones
/// open nothing any more.
pub(super) async fn reset(session: &Session, given: &Given, name: &str) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let label = database.label();
    let step = session.step(&format!("Resetting credentials for {label}"));
    ask_to_rotate(session, &database, Some(name), true).await?;
    step.done();
    let attached = database::attachments(session, &database.app).await?;
    let addon = &database.attachment.addon;
    if attached.iter().any(|one| one.addon.id == addon.id && one.name == PRIMARY) {
        session.step(&format!("Promoting {label}")).done();
    }
    session.answer("reset", &json!({ "database": addon.name }), |_| {})
}

async fn repair_default(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    confirm::app(session, given, &database.app)?;
    let addon = &database.attachment.addon.name;
    let step = session.step(&format!("Giving the default credential all rights in {addon}"));
    let path = ["postgres", "v0", "databases", addon, "repair-default"];
    session.post::<Ignored>(&path, json!({})).await?;
    step.done();
    session.answer("repaired", &json!({ "database": addon }), |_| {})
}
