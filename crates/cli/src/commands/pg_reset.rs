//! pg:reset: a database is emptied (D29, D30).

use reqwest::Method;
use serde_json::json;

use super::pg_wait;
use crate::command::{APP, Argument, CONFIRM, Command, DATABASE, Group, Opt, REMOTE, command};
use crate::confirm;
use crate::database;
use crate::failure::Failure;
use crate::given::Given;
use crate::session::{Ignored, Session};

pub(super) const COMMANDS: &[Command] =
    &[command("pg:reset", Group::Databases, "Delete everything in a database", |s, g| {
        Box::pin(reset(s, g))
    })
    .arguments(&[Argument { means: "which one; it must be said", ..DATABASE }])
    .options(&[
        APP,
        REMOTE,
        Opt::value("extensions", Some('e'), "NAMES", "extensions to make again, with commas"),
        CONFIRM,
    ])
    .note("The URL stays the same.")
    .examples(&["howdah pg:reset DATABASE_URL -a demo --confirm demo"])];

async fn reset(session: &Session, given: &Given) -> Result<(), Failure> {
    if given.value("DATABASE").is_none() {
        return Err(Failure::usage("Must specify DATABASE to reset"));
    }
    let database = database::named(session, given).await?;
    confirm::app(session, given, &database.app)?;
    let mut body = json!({});
    if let Some(names) = given.value("extensions") {
        let mut names: Vec<_> = names.split(',').map(|name| name.trim().to_lowercase()).collect();
        names.sort();
        body["extensions"] = json!(names);
    }
    let step = session.step(&format!("Resetting {}", database.var()));
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "reset"];
    session.call::<Ignored>(Method::PUT, &path, Some(body), None).await?;
    // The platform answers before it is done when that takes longer than clients wait.
    pg_wait::until_usable(session, given, &database, &step)
        .await
        .inspect_err(|failure| step.given_up(failure))?;
    step.done();
    let data = json!({ "addon": database.attachment.addon.name, "config_var": database.var() });
    session.answer("reset", &data, |_| {})
}
