//! `howdah local`: the Procfile on this machine alone, as foreman runs it (B16).

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_model::name::ProcessType;
use howdah_model::process::{DynoName, RELEASE};
use howdah_runner::local::{Event, Start, run_together};
use howdah_runner::{Setting, dotenv};
use tokio::sync::mpsc;

use super::runner::{program, read_procfile};
use crate::command::{Argument, Command, Group, Opt, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

/// The first port that is handed out, as foreman's.
const PORT: u64 = 5000;

/// How far the first ports of two types are apart, as foreman's.
const APART: u16 = 100;

/// How long processes get to end, as foreman's.
const GRACE: Duration = Duration::from_secs(5);

const ENV: Opt = Opt::value("env", Some('e'), "FILE", "file of variables [default: .env]");

pub(super) const COMMANDS: &[Command] = &[
    command("local", Group::Apps, "Run the Procfile on this machine alone", |s, g| {
        Box::pin(start(s, g))
    })
    .aliases(&["local:start"])
    .arguments(&[Argument {
        name: "TYPES",
        times: Times::Optional,
        means: "only these process types: web,worker [default: all]",
    }])
    .options(&[
        Opt::value("procfile", Some('f'), "FILE", "another Procfile [default: ./Procfile]"),
        ENV,
        Opt::value("port", Some('p'), "PORT", "the first PORT [default: 5000]"),
        Opt::value("formation", Some('m'), "web=2,…", "how many of each type [default: 1]"),
    ])
    .note("Processes have your variables and those of .env, and end together.")
    .examples(&["howdah local", "howdah local web -p 7000"]),
    command("local:run", Group::Apps, "Run one command with the variables of .env", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[Argument {
        name: "COMMAND",
        times: Times::Rest,
        means: "the command and its words",
    }])
    .options(&[ENV, Opt::value("port", Some('p'), "PORT", "its PORT [default: 5000]")])
    .examples(&["howdah local:run bin/console"]),
];

/// This process' variables and those of a file.
fn variables(session: &Session, given: &Given) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = session.environment.all().clone();
    let named = given.value("env");
    let path = session.environment.directory.join(named.unwrap_or(".env"));
    match std::fs::read_to_string(&path) {
        Ok(text) => all.extend(dotenv::parse(&text)),
        Err(error) if named.is_some() => {
            return Err(Failure::usage(format!("{}: {error}", path.display())));
        }
        Err(_) => {}
    }
    Ok(all)
}

fn port(given: &Given) -> Result<u16, Failure> {
    let port = given.number("port", PORT)?;
    u16::try_from(port).map_err(|_| Failure::usage("--port takes a port"))
}

/// How many of each type run.
fn formation(given: &Given, types: &[(ProcessType, String)]) -> Result<Vec<(usize, u32)>, Failure> {
    let find = |name: &str| {
        let index = types.iter().position(|(kind, _)| kind.as_str() == name);
        index
            .ok_or_else(|| Failure::not_found(format!("The Procfile has no process type `{name}`")))
    };
    if let Some(list) = given.value("formation") {
        return list
            .split(',')
            .map(|part| {
                let bad = || Failure::usage(format!("`{part}` is not TYPE=NUMBER"));
                let (name, number) = part.split_once('=').ok_or_else(bad)?;
                let number = number.trim().parse().ok().filter(|number| *number <= 100);
                Ok((find(name.trim())?, number.ok_or_else(bad)?))
            })
            .collect();
    }
    match given.value("TYPES") {
        Some(list) => list.split(',').map(|name| Ok((find(name.trim())?, 1))).collect(),
        None => {
            let all = types.iter().enumerate();
            Ok(all
                .filter(|(_, (kind, _))| kind.as_str() != RELEASE)
                .map(|(index, _)| (index, 1))
                .collect())
        }
    }
}

async fn start(session: &Session, given: &Given) -> Result<(), Failure> {
    let directory = session.environment.directory.clone();
    let types = read_procfile(&directory, given.value("procfile"))?;
    let vars = variables(session, given)?;
    let first = port(given)?;
    let mut starts = Vec::new();
    for (index, number) in formation(given, &types)? {
        let (kind, command) = &types[index];
        for number in 1..=number {
            let name = DynoName { kind: kind.clone(), number };
            let offset = u16::try_from(index).unwrap_or(0).saturating_mul(APART);
            let port =
                first.saturating_add(offset).saturating_add(u16::try_from(number - 1).unwrap_or(0));
            let mut env = vars.clone();
            env.insert("PORT".to_owned(), port.to_string());
            env.insert("DYNO".to_owned(), name.to_string());
            starts.push(Start { name, command: command.clone(), env });
        }
    }
    let width = starts.iter().map(|one| one.name.to_string().len()).max().unwrap_or(0);
    let setting = Setting { program: program()?, directory, grace: GRACE };
    let (events, mut happens) = mpsc::channel(100);
    let stop = async {
        let terminate = tokio::signal::unix::SignalKind::terminate();
        match tokio::signal::unix::signal(terminate) {
            Ok(mut terminate) => tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            },
            Err(_) => {
                let _ = tokio::signal::ctrl_c().await;
            }
        }
    };
    let running = run_together(&setting, starts, events, stop);
    let showing = async {
        while let Some((name, event)) = happens.recv().await {
            show(session, &name, &event, width);
        }
    };
    let (ended, ()) = tokio::join!(running, showing);
    match ended {
        Ok(code) => {
            session.ends_with.set(code.unwrap_or(0));
            Ok(())
        }
        Err(error) => Err(Failure::new(
            Exit::Failed,
            "not-run",
            format!("The processes cannot be run: {error}"),
        )),
    }
}

fn show(session: &Session, name: &DynoName, event: &Event, width: usize) {
    let time = (session.screen.now)().to_zoned(session.screen.zone.clone()).strftime("%H:%M:%S");
    let name = name.to_string();
    let text = match event {
        Event::Started(pid) => format!("started with pid {pid}"),
        Event::Line(line) => line.clone(),
        Event::Exited(code) => format!("exited with code {code}"),
    };
    session.screen.out(&format!("{time} {name:width$} | {text}\n"));
}

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let words = given.values("COMMAND");
    if words.is_empty() {
        return Err(Failure::usage("What shall be run? `howdah local:run COMMAND`"));
    }
    let mut command = std::process::Command::new("/bin/sh");
    command.arg("-c").arg(super::run::joined(&words)).env_clear().envs(variables(session, given)?);
    command.env("PORT", port(given)?.to_string());
    session.becomes.set(Some(command));
    Ok(())
}
