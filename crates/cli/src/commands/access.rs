//! Who may use an app (A24).

use serde_json::{Value, json};

use crate::app;
use crate::command::{APP, Argument, Command, Group, REMOTE, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::resources::Collaborator;
use crate::session::Session;

const EMAIL: Argument =
    Argument { name: "EMAIL", times: Times::Once, means: "e-mail address of the account" };

pub(super) const COMMANDS: &[Command] = &[
    command("access", Group::Apps, "List who may use an app", |s, g| Box::pin(list(s, g)))
        .aliases(&["sharing"])
        .options(&[APP, REMOTE])
        .examples(&["howdah access -a demo"]),
    command("access:add", Group::Apps, "Let another account use an app", |s, g| {
        Box::pin(add(s, g))
    })
    .aliases(&["sharing:add"])
    .arguments(&[EMAIL])
    .options(&[APP, REMOTE])
    .examples(&["howdah access:add dev@example.com -a demo"]),
    command("access:remove", Group::Apps, "Let an account use an app no more", |s, g| {
        Box::pin(remove(s, g))
    })
    .aliases(&["sharing:remove"])
    .arguments(&[EMAIL])
    .options(&[APP, REMOTE])
    .examples(&["howdah access:remove dev@example.com -a demo"]),
];

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let people: Vec<Collaborator> = session.get(&["apps", &app, "collaborators"]).await?;
    session.answer("collaborators", &people, |page| {
        let role = |one: &Collaborator| one.role.clone().unwrap_or_else(|| "collaborator".into());
        let rows: Vec<_> = people.iter().map(|one| [one.user.email.clone(), role(one)]).collect();
        page.table(["Account", "Role"], &rows);
    })
}

async fn add(session: &Session, given: &Given) -> Result<(), Failure> {
    let (app, email) = (app::named(session, given)?, given.needed("EMAIL")?);
    let step = session.step(&format!("Adding {email} access to the app {app}"));
    let added: Value =
        session.post(&["apps", &app, "collaborators"], json!({ "user": email })).await?;
    step.done();
    session.answer("collaborator", &added, |_| {})
}

async fn remove(session: &Session, given: &Given) -> Result<(), Failure> {
    let (app, email) = (app::named(session, given)?, given.needed("EMAIL")?);
    let step = session.step(&format!("Removing {email} access from the app {app}"));
    let removed: Value = session.delete(&["apps", &app, "collaborators", email]).await?;
    step.done();
    session.answer("collaborator", &removed, |_| {})
}
