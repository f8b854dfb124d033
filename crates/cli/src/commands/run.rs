//! `howdah run`: a one-off process with the app's config vars (B27).

use std::collections::BTreeMap;

use howdah_model::process::DynoName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app;
use crate::attach;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::link::Link;
use crate::resources::ConfigVars;
use crate::session::Session;

const COMMAND: Argument =
    Argument { name: "COMMAND", times: Times::Rest, means: "the command and its words" };
const ENV: Opt =
    Opt::value("env", Some('e'), "A=1;B=2", "further variables, separated by semicolons");
const SIZE: Opt = Opt::value("size", Some('s'), "SIZE", "a word that Heroku has a use for");

pub(super) const COMMANDS: &[Command] = &[
    command("run", Group::Apps, "Run a one-off process with the app's config vars", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[COMMAND])
    .options(&[
        APP,
        REMOTE,
        Opt::flag("local", None, "run it on this machine, not at the app's runner"),
        ENV,
        Opt::flag("no-tty", None, "without a terminal"),
        Opt::flag("exit-code", Some('x'), "pass its exit code on, which is always done"),
        SIZE,
    ])
    .note(
        "Options come before the command. A shell at the runner reads it: quote what yours \
         shall leave alone.",
    )
    .examples(&[
        "howdah run -a demo bash",
        "howdah run -a demo -- psql '$DATABASE_URL' -c 'select 1'",
        "howdah run --local -a demo bin/console",
    ]),
    command(
        "run:detached",
        Group::Apps,
        "Run a one-off process; its output goes to the log",
        |s, g| Box::pin(detached(s, g)),
    )
    .arguments(&[COMMAND])
    .options(&[APP, REMOTE, ENV, SIZE])
    .examples(&["howdah run:detached -a demo bin/nightly"]),
];

/// One line for a shell. A single word is taken as it is; of several, those with spaces or quotes
/// are put in double quotes, in which the shell still puts variables in.
pub(super) fn joined(words: &[&str]) -> String {
    if let [word] = words {
        return (*word).to_owned();
    }
    let quoted = |word: &&str| {
        if word.is_empty() || word.contains([' ', '\t', '"', '\'']) {
            format!("\"{}\"", word.replace('"', "\\\""))
        } else {
            (*word).to_owned()
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn typed(given: &Given) -> Result<String, Failure> {
    match joined(&given.values("COMMAND")) {
        line if line.trim().is_empty() => Err(Failure::usage(
            "What shall be run? `howdah run COMMAND`, such as `howdah run bash`",
        )),
        line => Ok(line),
    }
}

/// What `--env` says.
fn further(given: &Given) -> Result<BTreeMap<String, String>, Failure> {
    let list = given.value("env").unwrap_or_default();
    let parts = list.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| Failure::usage("--env takes NAME=VALUE, separated by semicolons"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// A process that was asked for.
#[derive(Debug, Deserialize, serde::Serialize)]
struct Made {
    id: String,
    name: DynoName,
    command: String,
    state: String,
}

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let (app, line) = (app::named(session, given)?, typed(given)?);
    let mut env = further(given)?;
    if given.has("local") {
        return here(session, &app, &line, &env).await;
    }
    let terminals = session.screen.terminals;
    let terminal = terminals.input && terminals.out && !given.has("no-tty");
    let terminal = terminal.then(attach::size).flatten();
    if terminal.is_some() {
        let kind = session.environment.get("TERM").unwrap_or("xterm");
        env.entry("TERM".to_owned()).or_insert_with(|| kind.to_owned());
    }
    let size = terminal.map(|(rows, columns)| json!({ "rows": rows, "columns": columns }));
    let step = session.step(&format!("Running {line} on {app}"));
    let body = json!({
        "command": line, "attach": true, "type": "run", "env": env, "stream": { "terminal": size },
    });
    let made: Made = session.post(&["apps", &app, "dynos"], body).await?;
    let stream = Link::of(session)?.stream(&app, &made.id, "client").await?;
    step.ended(&format!("up, {}", made.name));
    let code = attach::carry(stream, terminal.is_some()).await?;
    session.ends_with.set(code);
    Ok(())
}

/// Becomes the command, with the app's config vars.
async fn here(
    session: &Session,
    app: &str,
    line: &str,
    env: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let vars: ConfigVars = session.get(&["apps", app, "config-vars"]).await?;
    let mut command = std::process::Command::new("/bin/sh");
    command.arg("-c").arg(line).env_clear();
    // What the terminal and the machine say, and of nothing else: the app's variables decide.
    for name in ["PATH", "HOME", "TERM", "LANG", "USER"] {
        if let Some(value) = session.environment.get(name) {
            command.env(name, value);
        }
    }
    command.envs(&vars).envs(env).env("DYNO", "run.local");
    session.becomes.set(Some(command));
    Ok(())
}

async fn detached(session: &Session, given: &Given) -> Result<(), Failure> {
    let (app, line) = (app::named(session, given)?, typed(given)?);
    let step = session.step(&format!("Running {line} on {app}"));
    let body = json!({ "command": line, "attach": false, "type": "run", "env": further(given)? });
    let made: Value = session.post(&["apps", &app, "dynos"], body).await?;
    let name = made["name"].as_str().unwrap_or_default().to_owned();
    step.done_with(&name);
    let advice = Hint::ReadLog.fill(&[("DYNO", &name), ("APP", &app)]);
    session.say(&format!("{} `{}`", advice.lead, advice.command));
    session.answer("dyno", &made, |_| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b27_variables_are_put_in_at_the_runner_whatever_words_they_are_in() {
        let line = joined(&["psql", "$DATABASE_URL", "-Atc", "select 1"]);
        assert_eq!(line, r#"psql $DATABASE_URL -Atc "select 1""#);
        assert_eq!(joined(&["echo $A | wc"]), "echo $A | wc");
        assert_eq!(joined(&["echo", "a \"b\"", "", "it's"]), r#"echo "a \"b\"" "" "it's""#);
    }
}
