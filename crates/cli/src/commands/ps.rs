//! Processes of an app: what runs, how many of each type, restarting and stopping (B17, B21).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::session::{Ignored, Session};

const PROCESS: Argument = Argument {
    name: "PROCESS",
    times: Times::Optional,
    means: "a process, such as web.1, or a type, such as web",
};
const DYNO_NAME: Opt = Opt::value("dyno-name", Some('d'), "NAME", "the process");
const PROCESS_TYPE: Opt = Opt::value("process-type", Some('p'), "TYPE", "the type");

pub(super) const COMMANDS: &[Command] = &[
    command("ps", Group::Apps, "List the processes of an app", |s, g| Box::pin(list(s, g)))
        .options(&[APP, REMOTE])
        .examples(&["howdah ps -a demo"]),
    command("ps:scale", Group::Apps, "Change how many processes of a type run", |s, g| {
        Box::pin(scale(s, g))
    })
    .aliases(&["scale", "dyno:scale"])
    .arguments(&[Argument {
        name: "TYPE=NUMBER",
        times: Times::Any,
        means: "web=2, worker+1, worker-1, worker=2:SIZE; without any, what there is",
    }])
    .options(&[APP, REMOTE])
    .examples(&["howdah ps:scale web=2 worker=0 -a demo", "howdah ps:scale worker+1 -a demo"]),
    command("ps:restart", Group::Apps, "Restart processes", |s, g| Box::pin(restart(s, g)))
        .aliases(&["restart", "dyno:restart"])
        .arguments(&[Argument { means: "a process or a type [default: all]", ..PROCESS }])
        .options(&[APP, REMOTE, DYNO_NAME, PROCESS_TYPE])
        .examples(&["howdah ps:restart -a demo", "howdah ps:restart web.1 -a demo"]),
    command("ps:stop", Group::Apps, "Stop a process", |s, g| Box::pin(stop(s, g)))
        .aliases(&["ps:kill", "dyno:stop", "dyno:kill"])
        .arguments(&[PROCESS])
        .options(&[APP, REMOTE, DYNO_NAME, PROCESS_TYPE])
        .note("What belongs to the formation is started again; `ps:scale TYPE=0` keeps it from it.")
        .examples(&["howdah ps:stop run.1234 -a demo"]),
    command("ps:type", Group::Apps, "Show the process types with their sizes", |s, g| {
        Box::pin(types(s, g))
    })
    .aliases(&["ps:resize", "dyno:type", "dyno:resize"])
    .arguments(&[Argument {
        name: "TYPE=SIZE",
        times: Times::Any,
        means: "a word for the size of a type",
    }])
    .options(&[APP, REMOTE])
    .note("Processes run on your own machines: a size is a word, and changes nothing.")
    .examples(&["howdah ps:type -a demo"]),
];

#[derive(Debug, Serialize, Deserialize)]
struct Version {
    version: u64,
}

/// A process.
#[derive(Debug, Serialize, Deserialize)]
struct Dyno {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    command: String,
    size: String,
    state: String,
    release: Option<Version>,
    updated_at: String,
}

/// A process type.
#[derive(Debug, Serialize, Deserialize)]
struct Process {
    #[serde(rename = "type")]
    kind: String,
    quantity: u32,
    size: String,
    #[serde(default)]
    command: String,
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let dynos: Vec<Dyno> = session.get(&["apps", &app, "dynos"]).await?;
    if dynos.is_empty() {
        session.nothing(&format!("No dynos on {app}"), &Hint::StartRunner.fill(&[("APP", &app)]));
    }
    session.answer("dynos", &dynos, |page| write_dynos(page, &dynos))
}

fn write_dynos(page: &mut Page<'_>, dynos: &[Dyno]) {
    let mut types: BTreeMap<&str, Vec<&Dyno>> = BTreeMap::new();
    for dyno in dynos {
        types.entry(&dyno.kind).or_default().push(dyno);
    }
    let count = types.len();
    for (place, (kind, dynos)) in types.into_iter().enumerate() {
        let number = dynos.len();
        let (size, command) = dynos.first().map_or(("", ""), |one| (&one.size, &one.command));
        if kind == "run" {
            page.heading(&format!("run: one-off processes ({number})"));
        } else {
            page.heading(&format!("{kind} ({size}): {command} ({number})"));
        }
        for dyno in dynos {
            let command = if kind == "run" { format!(": {}", dyno.command) } else { String::new() };
            let time = page.time(&dyno.updated_at);
            page.line(&format!("{}: {} {time}{command}", dyno.name, dyno.state));
        }
        if place + 1 < count {
            page.line("");
        }
    }
}

/// `web=2:SIZE`: what is to be changed of a type.
fn change(typed: &str) -> Result<Value, Failure> {
    let bad = || {
        let message = format!(
            "`{typed}` is not TYPE=NUMBER, TYPE+NUMBER or TYPE-NUMBER, such as web=2 or worker+1"
        );
        Failure::usage(message)
    };
    let (amount, size) = match typed.split_once(':') {
        Some((amount, size)) => (amount, Some(size)),
        None => (typed, None),
    };
    // Types may have dashes: the last one counts.
    let place = amount.find('=').or_else(|| amount.find('+')).or_else(|| amount.rfind('-'));
    let (kind, quantity) = amount.split_at(place.ok_or_else(bad)?);
    let digits = &quantity[1..];
    if kind.is_empty() || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let quantity = quantity.strip_prefix('=').unwrap_or(quantity);
    let mut update = json!({ "type": kind, "quantity": quantity });
    if let Some(size) = size {
        update["size"] = size.into();
    }
    Ok(update)
}

async fn scale(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let typed = given.values("TYPE=NUMBER");
    if typed.is_empty() {
        return show_formation(session, &app).await;
    }
    let updates = typed.iter().map(|typed| change(typed)).collect::<Result<Vec<_>, _>>()?;
    let kinds: Vec<_> = updates.iter().filter_map(|update| update["type"].as_str()).collect();
    let sized = updates.iter().any(|update| update.get("size").is_some());
    // Heroku said it the first way of one type in 2013, and says it the second way today.
    let doing = match kinds[..] {
        [kind] if !sized => format!("Scaling {kind} dynos"),
        _ => "Scaling dynos".to_owned(),
    };
    let step = session.step(&doing);
    let body = json!({ "updates": updates });
    let all: Vec<Process> = session.patch(&["apps", &app, "formation"], body).await?;
    let changed: Vec<_> = all.iter().filter(|one| kinds.contains(&one.kind.as_str())).collect();
    match changed[..] {
        [one] if !sized => step.done_with(&format!("now running {}", one.quantity)),
        _ => {
            let said =
                changed.iter().map(|one| format!("{} at {}:{}", one.kind, one.quantity, one.size));
            step.done_with(&format!("now running {}", said.collect::<Vec<_>>().join(", ")));
        }
    }
    session.answer("formation", &all, |_| {})
}

async fn show_formation(session: &Session, app: &str) -> Result<(), Failure> {
    let all: Vec<Process> = session.get(&["apps", app, "formation"]).await?;
    if all.is_empty() {
        session.nothing(
            &format!("{app} has no process types"),
            &Hint::StartRunner.fill(&[("APP", app)]),
        );
    }
    session.answer("formation", &all, |page| {
        let said = all.iter().map(|one| format!("{}={}:{}", one.kind, one.quantity, one.size));
        let said = said.collect::<Vec<_>>().join(" ");
        if !said.is_empty() {
            page.line(&said);
        }
    })
}

/// Which processes a line means.
enum Which {
    All,
    Dyno(String),
    Type(String),
}

impl Which {
    fn of(given: &Given) -> Self {
        let own = |text: &str| text.to_owned();
        match (given.value("dyno-name"), given.value("process-type"), given.value("PROCESS")) {
            (Some(dyno), _, _) => Self::Dyno(own(dyno)),
            (_, Some(kind), _) => Self::Type(own(kind)),
            (_, _, Some(name)) if name.contains('.') => Self::Dyno(own(name)),
            (_, _, Some(kind)) => Self::Type(own(kind)),
            (None, None, None) => Self::All,
        }
    }
}

async fn restart(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let (doing, path): (String, Vec<String>) = match Which::of(given) {
        Which::All => (format!("Restarting all dynos on {app}"), vec!["dynos".into()]),
        Which::Dyno(name) => {
            (format!("Restarting dyno {name} on {app}"), vec!["dynos".into(), name])
        }
        Which::Type(kind) => {
            (format!("Restarting all {kind} dynos on {app}"), vec!["formations".into(), kind])
        }
    };
    let step = session.step(&doing);
    let path: Vec<_> = ["apps", &app].into_iter().chain(path.iter().map(String::as_str)).collect();
    let _: Ignored = session.delete(&path).await?;
    step.done();
    session.answer("restart", &json!({}), |_| {})
}

async fn stop(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let (doing, kind, name) = match Which::of(given) {
        Which::All => {
            return Err(Failure::usage(
                "Which process shall stop? `howdah ps:stop web.1`, or a type",
            ));
        }
        Which::Dyno(name) => (format!("Stopping dyno {name} on {app}"), "dynos", name),
        Which::Type(kind) => (format!("Stopping all {kind} dynos on {app}"), "formations", kind),
    };
    let step = session.step(&doing);
    let path = ["apps", &app, kind, &name, "actions", "stop"];
    let _: Ignored = session.post(&path, json!({})).await?;
    step.done();
    session.answer("stop", &json!({}), |_| {})
}

async fn types(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let typed = given.values("TYPE=SIZE");
    let all: Vec<Process> = if typed.is_empty() {
        session.get(&["apps", &app, "formation"]).await?
    } else {
        let update = |typed: &&str| {
            let (kind, size) = typed
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("`{typed}` is not TYPE=SIZE")))?;
            Ok(json!({ "type": kind, "size": size }))
        };
        let updates = typed.iter().map(update).collect::<Result<Vec<Value>, Failure>>()?;
        session.patch(&["apps", &app, "formation"], json!({ "updates": updates })).await?
    };
    session.answer("formation", &all, |page| {
        page.heading("Process Types");
        let row = |one: &Process| {
            [one.kind.clone(), one.size.clone(), one.quantity.to_string(), one.command.clone()]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        page.table(["Type", "Size", "Qty", "Command"], &rows);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b17_changes_are_absolute_relative_and_may_name_a_size() {
        let read = |typed: &str| change(typed).map(|update| update.to_string());
        assert_eq!(read("web=2"), Ok(r#"{"quantity":"2","type":"web"}"#.into()));
        assert_eq!(read("worker+1"), Ok(r#"{"quantity":"+1","type":"worker"}"#.into()));
        assert_eq!(read("my-job-1"), Ok(r#"{"quantity":"-1","type":"my-job"}"#.into()));
        assert_eq!(
            read("worker=2:2X"),
            Ok(r#"{"quantity":"2","size":"2X","type":"worker"}"#.into())
        );
        for bad in ["web", "web=", "=2", "web=x", "web=1.5", "web==1", "", "web+", "-1"] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }
}
