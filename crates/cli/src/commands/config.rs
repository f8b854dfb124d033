//! Config vars of an app (B10–B13).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::app;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::ConfigVars;
use crate::session::Session;
use crate::shell;

const SHELL: Opt = Opt::flag("shell", Some('s'), "print NAME=value lines that a shell reads");
const NAMES: Argument =
    Argument { name: "NAME", times: Times::OnceOrMore, means: "names of config vars" };

pub(super) const COMMANDS: &[Command] = &[
    command("config", Group::Apps, "Show the config vars of an app", |s, g| Box::pin(list(s, g)))
        .options(&[APP, REMOTE, SHELL])
        .examples(&["howdah config -a demo", "howdah config -s -a demo > .env"]),
    command("config:get", Group::Apps, "Print the value of a config var", |s, g| {
        Box::pin(get(s, g))
    })
    .arguments(&[NAMES])
    .options(&[APP, REMOTE, SHELL])
    .note("One that is not set prints an empty line.")
    .examples(&["howdah config:get DATABASE_URL -a demo"]),
    command("config:set", Group::Apps, "Set config vars", |s, g| Box::pin(set(s, g)))
        .aliases(&["config:add"])
        .arguments(&[Argument {
            name: "NAME=VALUE",
            times: Times::OnceOrMore,
            means: "config vars and their values",
        }])
        .options(&[APP, REMOTE])
        .note("The app is restarted with the new values; each change is a release.")
        .examples(&["howdah config:set RAILS_ENV=staging -a demo"]),
    command("config:unset", Group::Apps, "Remove config vars", |s, g| Box::pin(unset(s, g)))
        .aliases(&["config:remove"])
        .arguments(&[NAMES])
        .options(&[APP, REMOTE])
        .examples(&["howdah config:unset RAILS_ENV -a demo"]),
];

async fn all(session: &Session, app: &str) -> Result<ConfigVars, Failure> {
    session.get(&["apps", app, "config-vars"]).await
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let vars = all(session, &app).await?;
    if vars.is_empty() {
        session.nothing(
            &format!("{app} has no config vars."),
            &Hint::SetConfig.fill(&[("APP", &app)]),
        );
    }
    session.answer("config", &vars, |page| {
        if given.has("shell") {
            vars.iter().for_each(|(name, value)| page.line(&assignment(name, value)));
        } else if !vars.is_empty() {
            page.heading(&format!("{app} Config Vars"));
            page.fields(vars.iter().map(|(name, value)| (name.as_str(), value.clone())));
        }
    })
}

fn assignment(name: &str, value: &str) -> String {
    format!("{name}={}", shell::word(value))
}

async fn get(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let vars = all(session, &app).await?;
    let names = given.values("NAME");
    let wanted: BTreeMap<_, _> = names.iter().map(|name| (*name, vars.get(*name))).collect();
    session.answer("config", &wanted, |page| {
        for name in names {
            let value = vars.get(name).map_or("", String::as_str);
            let assigned = || assignment(name, value);
            page.line(&if given.has("shell") { assigned() } else { value.to_owned() });
        }
    })
}

async fn set(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let mut vars = BTreeMap::new();
    for word in given.values("NAME=VALUE") {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            // What was typed may be a value.
            return Err(Failure::usage("Config vars are given as NAME=VALUE"));
        };
        vars.insert(name, value);
    }
    let step = session.step(&format!("Setting config vars and restarting {app}"));
    let after: ConfigVars = session
        .patch(&["apps", &app, "config-vars"], json!(vars))
        .await
        .map_err(|failure| on_attached(failure, &app, vars.keys().copied()))?;
    session.done_in_release(step, &app, "").await;
    let after: BTreeMap<_, _> = vars.keys().map(|name| (*name, after.get(*name))).collect();
    session.answer("config", &after, |page| {
        page.fields(vars.into_iter().map(|(name, value)| (name, value.to_owned())));
    })
}

async fn unset(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let names = given.values("NAME");
    let body: Map<_, _> = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let step = session.step(&format!("Unsetting {} and restarting {app}", names.join(", ")));
    let after: ConfigVars = session
        .patch(&["apps", &app, "config-vars"], Value::Object(body))
        .await
        .map_err(|failure| on_attached(failure, &app, names.iter().copied()))?;
    session.done_in_release(step, &app, "").await;
    session.answer("config", &after, |_| {})
}

/// A config var that belongs to an attachment can be set once that is detached (C16).
fn on_attached<'n>(failure: Failure, app: &str, names: impl Iterator<Item = &'n str>) -> Failure {
    let mut names = names.filter(|name| failure.message.contains(*name));
    let attachment = names.next().and_then(|name| name.strip_suffix("_URL"));
    match attachment {
        Some(attachment)
            if failure.message.contains("attachment")
                && !failure.message.contains("addons:detach") =>
        {
            failure.advise(Hint::DetachFirst.fill(&[("ATTACHMENT", attachment), ("APP", app)]))
        }
        Some(_) | None => failure,
    }
}
