//! Maintenance mode of an app (B18).

use serde_json::json;

use crate::app;
use crate::command::{APP, Command, Group, REMOTE, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::resources::App;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] = &[
    command("maintenance", Group::Apps, "Show whether maintenance mode is on", |s, g| {
        Box::pin(show(s, g))
    })
    .options(&[APP, REMOTE])
    .examples(&["howdah maintenance -a demo"]),
    command("maintenance:on", Group::Apps, "Put an app into maintenance mode", |s, g| {
        Box::pin(switch(s, g, true))
    })
    .options(&[APP, REMOTE])
    .examples(&["howdah maintenance:on -a demo"]),
    command("maintenance:off", Group::Apps, "Take an app out of maintenance mode", |s, g| {
        Box::pin(switch(s, g, false))
    })
    .options(&[APP, REMOTE])
    .examples(&["howdah maintenance:off -a demo"]),
];

async fn show(session: &Session, given: &Given) -> Result<(), Failure> {
    let app: App = session.get(&["apps", &app::named(session, given)?]).await?;
    let state = if app.maintenance { "on" } else { "off" };
    session.answer("maintenance", &json!({ "maintenance": app.maintenance }), |page| {
        page.line(state);
    })
}

async fn switch(session: &Session, given: &Given, on: bool) -> Result<(), Failure> {
    let name = app::named(session, given)?;
    let doing = if on { "Enabling" } else { "Disabling" };
    let step = session.step(&format!("{doing} maintenance mode for {name}"));
    let app: App = session.patch(&["apps", &name], json!({ "maintenance": on })).await?;
    step.done();
    session.answer("maintenance", &json!({ "maintenance": app.maintenance }), |_| {})
}
