//! Apps, changed: apps:create, apps:rename, apps:destroy.

use serde_json::json;

use super::apps::{APP_WORD, of_word};
use crate::app;
use crate::command::{APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, command};
use crate::confirm;
use crate::failure::Failure;
use crate::git;
use crate::given::Given;
use crate::resources::App;
use crate::session::{Ignored, Session};
use crate::step::Step;

pub(super) const COMMANDS: &[Command] = &[
    command("apps:create", Group::Apps, "Make an app", |s, g| Box::pin(create(s, g)))
        .aliases(&["create"])
        .arguments(&[Argument {
            name: "NAME",
            times: Times::Optional,
            means: "its name [default: one is invented]",
        }])
        .options(&[
            Opt::value("region", None, "REGION", "where its databases are: us or eu"),
            Opt::value("stack", Some('s'), "STACK", "the stack"),
            Opt::value("remote", Some('r'), "NAME", "name of the Git remote [default: heroku]"),
            Opt::flag("no-remote", Some('n'), "add no Git remote"),
        ])
        .examples(&["howdah apps:create demo", "howdah apps:create demo --region eu"]),
    command("apps:rename", Group::Apps, "Give an app another name", |s, g| Box::pin(rename(s, g)))
        .aliases(&["rename"])
        .arguments(&[Argument { name: "NEW", times: Times::Once, means: "the new name" }])
        .options(&[APP, REMOTE])
        .examples(&["howdah apps:rename shop -a demo"]),
    command("apps:destroy", Group::Apps, "Remove an app with its databases", |s, g| {
        Box::pin(destroy(s, g))
    })
    .aliases(&["destroy", "apps:delete"])
    .arguments(&[APP_WORD])
    .options(&[APP, REMOTE, CONFIRM])
    .examples(&["howdah apps:destroy -a demo --confirm demo"]),
];

async fn create(session: &Session, given: &Given) -> Result<(), Failure> {
    let mut body = json!({});
    for (option, field) in [("NAME", "name"), ("region", "region"), ("stack", "stack")] {
        if let Some(value) = given.value(option) {
            body[field] = json!(value);
        }
    }
    let name = given.value("NAME");
    let step = name.map(|name| session.step(&format!("Creating {name}")));
    let app: App = session.post(&["apps"], body).await?;
    // An invented name is known only now.
    let step =
        step.unwrap_or_else(|| Step::begin(&session.screen, &format!("Creating {}", app.name)));
    step.done_with(&format!("region is {}", app.region.name));
    session.answer("app", &app, |page| page.line(&format!("{} | {}", app.web_url, app.git_url)))?;
    if !given.has("no-remote") && git::is_repository(&session.environment) {
        add_remote(session, given.value("remote").unwrap_or(git::REMOTE), &app.git_url);
    }
    Ok(())
}

fn add_remote(session: &Session, name: &str, url: &str) {
    let existing =
        git::remotes(&session.environment).into_iter().find(|(remote, _)| remote == name);
    match existing {
        Some((_, old)) if old == url => {}
        Some((_, old)) => session.say(&format!(" !    The Git remote {name} stays {old}")),
        None if git::add_remote(&session.environment, name, url) => {
            session.say(&format!("Git remote {name} added"));
        }
        None => session.say(&format!(" !    Git did not add the remote {name} for {url}")),
    }
}

async fn rename(session: &Session, given: &Given) -> Result<(), Failure> {
    let (old, new) = (app::named(session, given)?, given.needed("NEW")?);
    let step = session.step(&format!("Renaming {old} to {new}"));
    let app: App = session.patch(&["apps", &old], json!({ "name": new })).await?;
    step.done();
    session.answer("app", &app, |page| page.line(&format!("{} | {}", app.web_url, app.git_url)))?;
    for (remote, url) in git::remotes(&session.environment) {
        let is_ours = git::app_of(&url) == Some(old.as_str())
            && git::app_of(&app.git_url) == Some(app.name.as_str())
            && url.rsplit_once(old.as_str()).map(|(host, _)| host)
                == app.git_url.rsplit_once(app.name.as_str()).map(|(host, _)| host);
        if is_ours && git::set_remote(&session.environment, &remote, &app.git_url) {
            session.say(&format!("Git remote {remote} updated"));
        }
    }
    Ok(())
}

async fn destroy(session: &Session, given: &Given) -> Result<(), Failure> {
    let name = of_word(session, given)?;
    let app: App = session.get(&["apps", &name]).await?;
    confirm::app(session, given, &app.name)?;
    let step = session.step(&format!("Destroying {} (including all add-ons)", app.name));
    session.delete::<Ignored>(&["apps", &app.id]).await?;
    step.done();
    session.answer("app", &app, |_| {})
}
