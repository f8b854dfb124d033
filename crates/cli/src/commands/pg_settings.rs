//! pg:settings and its commands: what a server notes of a database's statements.

use std::collections::BTreeMap;

use howdah_model::database_setting::{self as setting, Known, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::command::{APP, Argument, Command, DATABASE, Group, REMOTE, Times, command};
use crate::database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

const VALUE: Argument = Argument {
    name: "VALUE",
    times: Times::Optional,
    means: "what to set it to; without one it is shown",
};

/// A command for one setting.
macro_rules! setting {
    ($name:literal, $does:literal, $value:literal) => {
        command(concat!("pg:settings:", $name), Group::Databases, $does, |s, g| Box::pin(one(s, g)))
            .arguments(&[DATABASE, VALUE])
            .options(&[APP, REMOTE])
            .examples(&[
                concat!("howdah pg:settings:", $name, " -a demo"),
                concat!("howdah pg:settings:", $name, " DATABASE ", $value, " -a demo"),
            ])
    };
}

pub(super) const COMMANDS: &[Command] = &[
    command("pg:settings", Group::Databases, "Show the settings of a database", |s, g| {
        Box::pin(all(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .note("Each is shown and changed by a command of its own: `pg:settings:log-statement`.")
    .examples(&["howdah pg:settings -a demo"]),
    setting!("auto-explain", "Log how slow statements were carried out", "on")
        .note("Sessions that are open do not notice: restart the app."),
    setting!("auto-explain:log-analyze", "Log what each step of a plan took", "on")
        .note("It measures every statement, logged or not: this costs time."),
    setting!("auto-explain:log-buffers", "Log what each step of a plan read", "on")
        .note("Only together with `pg:settings:auto-explain:log-analyze`."),
    setting!("auto-explain:log-format", "Choose the form of logged plans", "json"),
    setting!("auto-explain:log-min-duration", "Choose how slow a statement's plan is", "500")
        .note("In milliseconds: 0 logs every plan, -1 none."),
    setting!("auto-explain:log-nested-statements", "Log plans within functions too", "on"),
    setting!("auto-explain:log-triggers", "Log what triggers took", "on")
        .note("Only together with `pg:settings:auto-explain:log-analyze`."),
    setting!("auto-explain:log-verbose", "Log plans in more detail", "on"),
    setting!("data-connector-details-logs", "Log details of data connectors", "off")
        .aliases(&["pg:settings:explain-data-connector-details"])
        .note("Kept for Heroku's sake: this platform has no data connectors."),
    setting!("log-connections", "Log every login", "on"),
    setting!("log-lock-waits", "Log who waits for a lock for long", "on"),
    setting!("log-min-duration-statement", "Choose how slow a logged statement is", "2000")
        .note("In milliseconds: 0 logs every statement, -1 none."),
    setting!("log-min-error-statement", "Choose whose statements are logged", "error")
        .note("What is logged may hold secrets: error, log, fatal or panic."),
    setting!("log-statement", "Choose which statements are logged", "ddl")
        .note("What is logged may hold secrets: none, ddl, mod or all."),
    setting!("track-functions", "Choose which functions are counted", "pl"),
];

/// A setting as the API says it.
#[derive(Debug, Deserialize, Serialize)]
struct Shown {
    value: Value,
    default: Value,
}

type All = BTreeMap<String, Shown>;

async fn all(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let all: All = session.get(&path(&database.attachment.addon.id)).await?;
    session.answer("settings", &all, |page| {
        page.heading(&database.label());
        let names: Vec<_> = all.keys().map(|name| name.replace('_', "-")).collect();
        let values = all.values().map(|shown| shown.value.to_string());
        page.fields(names.iter().map(String::as_str).zip(values));
    })
}

fn path(addon: &str) -> [&str; 5] {
    ["postgres", "v0", "databases", addon, "config"]
}

/// The setting that a command is for, as the API names it.
fn known(command: &Command) -> Option<&'static Known> {
    let name = command.name.strip_prefix("pg:settings:")?;
    setting::find(&name.replace(':', ".").replace('-', "_"))
}

async fn one(session: &Session, given: &Given) -> Result<(), Failure> {
    let known = known(given.command)
        .ok_or_else(|| Failure::usage(format!("{} is no setting", given.command.name)))?;
    let (typed, value) = match (given.value("DATABASE"), given.value("VALUE")) {
        // A value alone is meant for the primary.
        (Some(only), None) => match known.parse(only) {
            Ok(value) => (None, Some(value)),
            Err(_) => (Some(only), None),
        },
        (typed, None) => (typed, None),
        (typed, Some(value)) => {
            let value = known.parse(value).map_err(|error| Failure::usage(error.to_string()))?;
            (typed, Some(value))
        }
    };
    let typed = typed.unwrap_or("DATABASE_URL");
    let database = database::by_name(session, given, typed, None).await?;
    let path = path(&database.attachment.addon.id);
    let (mut all, how): (All, _) = match &value {
        Some(value) => (session.patch(&path, json!({ known.name: value })).await?, "has been set"),
        None => (session.get(&path).await?, "is set"),
    };
    let shown = all.remove(known.name).ok_or_else(|| {
        let message = format!("The platform does not know {}", known.name);
        Failure::new(Exit::Failed, "unknown-setting", message)
    })?;
    let addon = &database.attachment.addon.name;
    let name = known.name.replace('_', "-");
    let answer = json!({ "addon": addon, "setting": known.name, "value": shown.value });
    session.answer("setting", &answer, |page| {
        page.line(&format!("{name} {how} to {} for {addon}.", shown.value));
        page.line(&known.explain(&shown.value));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_its_command_and_every_command_its_setting() {
        let settings = || COMMANDS.iter().filter(|command| command.name != "pg:settings");
        let names: Vec<_> = settings().filter_map(|command| Some(known(command)?.name)).collect();
        assert_eq!(names.len(), settings().count());
        let mut all: Vec<_> = setting::KNOWN.iter().map(|known| known.name).collect();
        let mut commands = names.clone();
        all.sort_unstable();
        commands.sort_unstable();
        assert_eq!(all, commands);
    }
}
