//! pg:undelete: a database that was removed comes back, while its archive is kept.

use serde_json::json;

use super::addons_create;
use crate::app;
use crate::command::{
    APP, Argument, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::failure::Failure;
use crate::given::Given;
use crate::resources::Addon;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("pg:undelete", Group::Databases, "Bring a removed database back", |s, g| {
        Box::pin(undelete(s, g))
    })
    .arguments(&[Argument {
        name: "NAME",
        times: Times::Once,
        means: "the name of the add-on that was removed",
    }])
    .options(&[
        APP,
        REMOTE,
        Opt::flag("wait", None, "return when it can be used"),
        WAIT_INTERVAL,
        WAIT_TIMEOUT,
    ])
    .note(
        "It comes back as it was when it was removed, under its name and with its credentials. \
         The archive is kept as long as one can roll back.",
    )
    .examples(&["howdah pg:undelete postgresql-curly-12345 -a demo --wait"])];

async fn undelete(session: &Session, given: &Given) -> Result<(), Failure> {
    let (name, app) = (given.needed("NAME")?, app::named(session, given)?);
    let step = session.step(&format!("Bringing {name} back on {app}"));
    let body = json!({ "name": name, "app": app });
    let addon: Addon = session.post(&["howdah", "v1", "databases", "undelete"], body).await?;
    addons_create::told(session, given, &app, step, addon, false).await
}
