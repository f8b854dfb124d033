//! Where things are: the page of an add-on, and the Git remote of an app.

use serde_json::{Value, json};

use super::addons::resolve;
use crate::command::{APP, Argument, Command, Group, REMOTE, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::resources::App;
use crate::session::Session;
use crate::{app, git};

pub(super) const COMMANDS: &[Command] = &[
    command("addons:open", Group::Databases, "Show the address of an add-on's page", |s, g| {
        Box::pin(open(s, g))
    })
    .arguments(&[Argument {
        name: "ADDON",
        times: Times::Once,
        means: "its name, or that of an attachment",
    }])
    .options(&[APP, REMOTE])
    .note("It is printed, not opened: a browser may be elsewhere.")
    .examples(&["howdah addons:open DATABASE -a demo"]),
    command("git:remote", Group::Apps, "Let a Git remote name an app", |s, g| {
        Box::pin(remote(s, g))
    })
    .options(&[APP, REMOTE])
    .note("From then on commands in that directory are for the app without `-a`.")
    .examples(&["howdah git:remote -a demo", "howdah git:remote -a demo -r staging"]),
];

async fn open(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::maybe(session, given)?;
    let addon = resolve(session, app.as_deref(), given.needed("ADDON")?).await?;
    let addon: Value = session.get(&["addons", &addon.id]).await?;
    let page = &addon["web_url"];
    session.answer("page", &json!({ "web_url": page }), |text| {
        text.line(page.as_str().unwrap_or("It has no page."));
    })
}

async fn remote(session: &Session, given: &Given) -> Result<(), Failure> {
    let environment = &session.environment;
    if !git::is_repository(environment) {
        let message = "This directory is not in a Git repository.\nMake one with `git init`.";
        return Err(Failure::new(Exit::Failed, "no-repository", message));
    }
    // With `-r` and `-a` the first is the name of the new remote.
    let name = match given.value("app") {
        Some(name) => name.to_owned(),
        None => app::named(session, given)?,
    };
    let app: App = session.get(&["apps", &name]).await?;
    let name = given.value("remote").unwrap_or(git::REMOTE);
    let is_there = git::remotes(environment).iter().any(|(remote, _)| remote == name);
    let set = if is_there { git::set_remote } else { git::add_remote };
    if !set(environment, name, &app.git_url) {
        let message = format!("Git did not set the remote {name} to {}", app.git_url);
        return Err(Failure::new(Exit::Failed, "git-failed", message));
    }
    let answer = json!({ "remote": name, "url": app.git_url });
    session.answer("remote", &answer, |page| {
        page.line(&format!("set git remote {name} to {}", app.git_url));
    })
}
