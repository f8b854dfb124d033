//! The names of add-ons: addons:attach, addons:detach, addons:rename.

use serde_json::{Value, json};

use super::addons::ADDON;
use crate::app;
use crate::command::{APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, command};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::resources::{Addon, Attachment};
use crate::session::{Ignored, Session};

pub(super) const COMMANDS: &[Command] = &[
    command("addons:attach", Group::Databases, "Attach a database to another app too", |s, g| {
        Box::pin(attach(s, g))
    })
    .arguments(&[Argument { means: "its name, or APP::ATTACHMENT", ..ADDON }])
    .options(&[
        APP,
        REMOTE,
        Opt::value("as", None, "NAME", "name of the attachment [default: a colour]"),
        Opt::value("credential", None, "NAME", "log in with this credential [default: default]"),
        CONFIRM,
    ])
    .examples(&["howdah addons:attach demo::DATABASE -a reports"]),
    command("addons:detach", Group::Databases, "Take an attachment off an app", |s, g| {
        Box::pin(detach(s, g))
    })
    .arguments(&[Argument {
        name: "ATTACHMENT",
        times: Times::Once,
        means: "name of the attachment, or its config var",
    }])
    .options(&[APP, REMOTE, CONFIRM])
    .note("The database and its other attachments stay.")
    .examples(&["howdah addons:detach HEROKU_POSTGRESQL_PINK -a reports"]),
    command("addons:rename", Group::Databases, "Give an add-on another name", |s, g| {
        Box::pin(rename(s, g))
    })
    .arguments(&[ADDON, Argument { name: "NEW", times: Times::Once, means: "the new name" }])
    .examples(&["howdah addons:rename postgresql-curved-12345 orders"]),
];

async fn attach(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let addon: Addon = session.get(&["addons", given.needed("ADDON")?]).await?;
    let credential = given.value("credential").filter(|name| *name != "default");
    let mut body = json!({ "addon": { "name": addon.name }, "app": { "name": app } });
    if let Some(name) = given.value("as") {
        body["name"] = json!(name);
    }
    if let Some(credential) = credential {
        body["namespace"] = json!(format!("credential:{credential}"));
    }
    if let Some(name) = given.value("confirm") {
        confirm::app(session, given, &app)?;
        body["confirm"] = json!(name);
    }
    let whom =
        credential.map_or_else(|| addon.name.clone(), |one| format!("{one} of {}", addon.name));
    let doing = format!("Attaching {whom} to {app}");
    let step = session.step(&doing);
    let attachment = match session.post::<Attachment>(&["addon-attachments"], body.clone()).await {
        Err(failure) if failure.exit == Exit::Unconfirmed => {
            step.ended("not yet");
            session.say(failure.text().trim_end());
            confirm::app(session, given, &app)?;
            body["confirm"] = json!(app);
            let step = session.step(&doing);
            let attachment = session.post::<Attachment>(&["addon-attachments"], body).await?;
            step.done();
            attachment
        }
        attached => {
            let attachment = attached?;
            step.done();
            attachment
        }
    };
    let step =
        session.step(&format!("Setting {} config vars and restarting {app}", attachment.name));
    session.done_in_release(step, &app, "").await;
    session.answer("attachment", &attachment, |_| {})
}

async fn detach(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let typed = given.needed("ATTACHMENT")?;
    let name = typed.strip_suffix("_URL").unwrap_or(typed);
    let attachment: Attachment = session.get(&["apps", &app, "addon-attachments", name]).await?;
    if given.value("confirm").is_some() {
        confirm::app(session, given, &app)?;
    }
    let step = session
        .step(&format!("Detaching {} from {} on {app}", attachment.name, attachment.addon.name));
    session.delete::<Ignored>(&["addon-attachments", &attachment.id]).await?;
    step.done();
    let step =
        session.step(&format!("Unsetting {} config vars and restarting {app}", attachment.name));
    session.done_in_release(step, &app, "").await;
    session.answer("attachment", &attachment, |_| {})
}

async fn rename(session: &Session, given: &Given) -> Result<(), Failure> {
    let (old, new) = (given.needed("ADDON")?, given.needed("NEW")?);
    let addon: Value = session.get(&["addons", old]).await?;
    let (app, id) = (text(&addon["app"]["id"]), text(&addon["id"]));
    let step = session.step(&format!("Renaming {old} to {new}"));
    let renamed: Addon =
        session.patch(&["apps", app, "addons", id], json!({ "name": new })).await?;
    step.done();
    session.answer("addon", &renamed, |_| {})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
