//! pg:protection and pg:drill: what is kept of a database outside of it, and whether it is any good.

use std::time::Duration;

use howdah_model::protection::{Drilled, Protected, Protection};
use howdah_model::size::{Bytes, Span};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::incidents::{self, Incident};
use crate::command::{
    APP, Command, DATABASE, Group, Opt, REMOTE, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::session::{Ignored, Session};
use crate::step::Step;
use crate::wait::{self, Patience};

pub(super) const COMMANDS: &[Command] = &[
    command("pg:protection", Group::Databases, "Show what is archived of a database", |s, g| {
        Box::pin(protection(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::flag("backup", None, "take a base backup now, and wait for it"),
        WAIT_INTERVAL,
        WAIT_TIMEOUT,
    ])
    .examples(&["howdah pg:protection -a demo", "howdah pg:protection gold --backup -a demo"]),
    command("pg:drill", Group::Databases, "Prove that a database can be restored", |s, g| {
        Box::pin(drill(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::flag("wait", None, "return when it is known how it went"),
        WAIT_INTERVAL,
        WAIT_TIMEOUT,
    ])
    .note("It is restored aside and looked at, and is not touched itself.")
    .examples(&["howdah pg:drill -a demo --wait"]),
];

/// How a database is to be protected, and how it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct State {
    wanted: Option<Protection>,
    protected: Option<Protected>,
}

/// One database's protection as `--json` prints it.
#[derive(Serialize)]
struct Shown<'a> {
    addon: &'a str,
    config_var: String,
    #[serde(flatten)]
    state: &'a State,
    incidents: Vec<Incident>,
}

async fn look(session: &Session, database: &Database) -> Result<State, Failure> {
    let addon = &database.attachment.addon.id;
    session.get(&["howdah", "v1", "databases", addon, "protection"]).await
}

async fn protection(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    if given.has("backup") {
        let step = session.step(&format!("Taking a base backup of {}", database.var()));
        ask(session, &database, "backup").await?;
        let done = |state: &State| Some(state.protected.as_ref()?.backups >= state.wanted?.backups);
        until(session, given, &database, &step, done).await?;
        step.done();
    }
    let addon = database.attachment.addon.name.as_str();
    let (state, mut incidents) =
        tokio::try_join!(look(session, &database), incidents::all(session))?;
    incidents.retain(|one| one.is_about(addon));
    let shown = Shown { addon, config_var: database.var(), state: &state, incidents };
    session.answer("protection", &shown, |page| {
        page.heading(&database.label());
        let rows = rows(page, (session.screen.now)(), &state);
        page.fields(rows);
        if !shown.incidents.is_empty() {
            page.line("");
            incidents::table(page, &shown.incidents);
        }
    })
}

async fn drill(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let var = database.var();
    let step = session.step(&format!("Restoring {var} aside"));
    ask(session, &database, "drill").await?;
    if !given.has("wait") {
        step.ended("begun");
        let names = [("DATABASE", var.as_str()), ("APP", database.app.as_str())];
        let advice = Hint::ShowProtection.fill(&names);
        session.say(&format!("It takes a while; {} `{}`", advice.lead, advice.command));
        return session.answer("drill", &json!({ "config_var": var, "drill": null }), |_| {});
    }
    let done = |state: &State| Some(state.protected.as_ref()?.drills >= state.wanted?.drills);
    let state = until(session, given, &database, &step, done).await?;
    let seen = state.protected.and_then(|protected| protected.drill);
    let Some(seen) = seen else {
        return Err(Failure::new(
            Exit::Failed,
            "no-drill",
            format!("{var}: nothing is said of it"),
        ));
    };
    let ended = |code, message: String| {
        let names = [("DATABASE", var.as_str()), ("APP", database.app.as_str())];
        Err(Failure::new(Exit::Failed, code, message).advise(Hint::ShowProtection.fill(&names)))
    };
    match &seen.outcome {
        Drilled::Proven { .. } => {
            step.done_with(&outcome(&seen.outcome));
            session.answer("drill", &json!({ "config_var": var, "drill": seen }), |_| {})
        }
        Drilled::Skipped { why } => {
            step.ended("skipped");
            ended("drill-skipped", format!("No restore of {var} was tried: {why}"))
        }
        Drilled::Failed { why } => {
            step.ended("failed");
            ended("drill-failed", format!("{var} could not be restored: {why}"))
        }
    }
}

/// Asks for something beside the schedule.
async fn ask(session: &Session, database: &Database, what: &str) -> Result<(), Failure> {
    let path = ["howdah", "v1", "databases", &database.attachment.addon.id, what];
    session.call::<Ignored>(Method::PUT, &path, Some(json!({})), None).await.map(drop)
}

/// Waits until what was asked for is done; a base backup shows how far it is.
async fn until(
    session: &Session,
    given: &Given,
    database: &Database,
    step: &Step<'_>,
    done: impl Fn(&State) -> Option<bool>,
) -> Result<State, Failure> {
    let var = database.var();
    let advice = Hint::ShowProtection.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    let patience = Patience::of(given, advice)?;
    wait::until(session, &patience, step, &var, || async {
        let state = look(session, database).await?;
        if done(&state).unwrap_or(false) {
            return Ok(Some(state));
        }
        if let Some((bytes, all)) = state.protected.and_then(|protected| protected.backing_up) {
            step.progress(&of(bytes, all));
        }
        Ok(None)
    })
    .await
    .inspect_err(|failure| step.given_up(failure))
}

/// `5% (1.0 GB of 20.0 GB)`.
fn of(done: u64, all: u64) -> String {
    let (done, bytes) = (done.min(all.max(done)), Bytes(done));
    match (u128::from(done) * 100).checked_div(u128::from(all)) {
        Some(per_cent) => format!("{}% ({bytes} of {})", per_cent.min(100), Bytes(all)),
        None => bytes.to_string(),
    }
}

fn rows(page: &Page<'_>, now: Timestamp, state: &State) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let Some(protected) = &state.protected else {
        rows.push(("Continuous Protection", "nothing is known of it yet".to_owned()));
        return rows;
    };
    rows.push(match &protected.trouble {
        None => ("Continuous Protection", "On".to_owned()),
        Some(trouble) => {
            let since = page.time(&trouble.since.to_string());
            ("Continuous Protection", format!("in trouble since {since}: {}", trouble.what))
        }
    });
    rows.push(("Archive Lag", lag(now, protected)));
    rows.push((
        "Rollback",
        match protected.earliest {
            Some(earliest) => format!("earliest from {}", earliest.strftime("%Y-%m-%d %H:%M UTC")),
            None => "Unsupported".to_owned(),
        },
    ));
    rows.push((
        "Last Base Backup",
        match &protected.backup {
            Some(backup) => format!(
                "{}, {}, {} stored",
                page.time(&backup.ended_at.to_string()),
                Bytes(backup.bytes),
                Bytes(backup.stored)
            ),
            None => "none yet".to_owned(),
        },
    ));
    if let Some((done, all)) = protected.backing_up {
        rows.push(("Base Backup", of(done, all)));
    }
    rows.push((
        "Proven Restore",
        match &protected.drill {
            Some(seen) => {
                format!("{}, {}", page.time(&seen.at.to_string()), outcome(&seen.outcome))
            }
            None => "none yet".to_owned(),
        },
    ));
    if let Some(wanted) = state.wanted {
        rows.push(("Base Backups", format!("every {}", long(wanted.backup_every))));
        rows.push(("Kept For", long(wanted.keep)));
        let never = wanted.drill_every == 0;
        let every = || format!("every {}", long(wanted.drill_every));
        rows.push(("Restore Drills", if never { "when asked for".to_owned() } else { every() }));
    }
    rows
}

/// Bytes that are not in the archive yet, and since when.
fn lag(now: Timestamp, protected: &Protected) -> String {
    let bytes = Bytes(protected.lag_bytes);
    let Some(at) = protected.archived_at.filter(|_| protected.lag_bytes > 0) else {
        return bytes.to_string();
    };
    let behind = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    format!("{bytes}, {}", Span(behind))
}

/// What a drill came to, in words.
fn outcome(drilled: &Drilled) -> String {
    match drilled {
        Drilled::Proven { took_ms, lost_ms } => {
            let [took, lost] = [took_ms, lost_ms].map(|ms| Span(Duration::from_millis(*ms)));
            format!("{took}, lost {lost}")
        }
        Drilled::Skipped { why } => format!("skipped: {why}"),
        Drilled::Failed { why } => format!("failed: {why}"),
    }
}

/// A span of a schedule: `24 h`, `4 days`.
fn long(seconds: u64) -> String {
    match (seconds / 3600, seconds % 3600) {
        (0, _) => format!("{} min", seconds.div_ceil(60)),
        (hours, 0) if hours > 24 && hours.is_multiple_of(24) => format!("{} days", hours / 24),
        (hours, _) => format!("{hours} h"),
    }
}
