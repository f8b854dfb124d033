//! pg:diagnose: what is wrong with a database, why it matters, and what can be done.

use howdah_model::diagnosis::{Check, Finding, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::page::Page;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("pg:diagnose", Group::Databases, "Look at what is wrong with a database", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[Argument {
        name: "DATABASE|REPORT",
        times: Times::Optional,
        means: "a database, or the id of a report that was made before",
    }])
    .options(&[
        APP,
        REMOTE,
        Opt::value("only", None, "NAME", "show only this check, such as `Bloat`"),
        Opt::flag("exit-code", None, "end with 10 when anything is red, 11 when yellow"),
    ])
    .note("A report can be shown again for a month.")
    .examples(&["howdah pg:diagnose -a demo", "howdah pg:diagnose DATABASE -a demo --json"])];

/// A report as the API answers it.
#[derive(Debug, Deserialize, Serialize)]
struct Report {
    id: String,
    app: String,
    database: String,
    created_at: String,
    checks: Vec<Check>,
}

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.value("DATABASE|REPORT");
    let mut report = match typed.filter(|typed| is_id(typed)) {
        Some(id) => session.get::<Report>(&["reports", id]).await?,
        None => made(session, given, typed.unwrap_or("DATABASE_URL")).await?,
    };
    let worst = report.checks.iter().map(|check| check.status).min();
    if let Some(only) = given.value("only") {
        let is_meant = |check: &Check| check.name.to_string().eq_ignore_ascii_case(only);
        report.checks.retain(is_meant);
        if report.checks.is_empty() {
            return Err(Failure::not_found(format!("The report has no check `{only}`")));
        }
    }
    session.answer("report", &report, |page| show(page, &report))?;
    match worst.filter(|_| given.has("exit-code")) {
        Some(Status::Red) => Err(Failure::told(Exit::Red)),
        Some(Status::Yellow) => Err(Failure::told(Exit::Yellow)),
        Some(Status::Green | Status::Skipped) | None => Ok(()),
    }
}

/// Whether a word is the id of a report rather than the name of a database.
fn is_id(typed: &str) -> bool {
    let parts: Vec<_> = typed.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && typed.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

async fn made(session: &Session, given: &Given, typed: &str) -> Result<Report, Failure> {
    let database = database::by_name(session, given, typed, None).await?;
    let step = session.step(&format!("Looking at {}", database.var()));
    let question = json!({ "app": database.app, "database": database.attachment.url_var() });
    let made = session.post(&["reports"], question).await;
    let report = made.inspect_err(|failure| step.given_up(failure))?;
    step.done();
    Ok(report)
}

fn show(page: &mut Page<'_>, report: &Report) {
    let Report { id, app, database, created_at, checks } = report;
    page.line(&format!("Report {id} for {app}::{database}"));
    let at = page.time(created_at);
    page.line(&format!("available for one month after creation on {at}"));
    page.line("");
    let mut sorted: Vec<_> = checks.iter().collect();
    sorted.sort_by_key(|check| check.status);
    for check in sorted {
        let status = check.status.to_string().to_uppercase();
        match check.status {
            Status::Green => page.line(&format!("{status}: {}", check.name)),
            Status::Skipped => {
                let reason = check.results.first().map(|row| cell(row, "reason"));
                page.line(&format!("{status}: {} ({})", check.name, reason.unwrap_or_default()));
            }
            Status::Red | Status::Yellow => {
                page.line(&format!("{status}: {}", check.name));
                findings(page, &check.results);
                page.line(&format!("  Why: {}", check.why));
                page.line(&format!("  Fix: {}", check.fix));
                page.line("");
            }
        }
    }
}

fn cell(row: &Finding, key: &str) -> String {
    match row.get(key) {
        Some(Value::String(text)) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// The rows below their keys, each column as wide as it needs.
fn findings(page: &mut Page<'_>, rows: &[Finding]) {
    let Some(first) = rows.first() else { return };
    let keys: Vec<_> = first.keys().map(String::as_str).collect();
    let width = |key: &&str| {
        let cells = rows.iter().map(|row| cell(row, key).chars().count());
        cells.chain([key.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = keys.iter().map(width).collect();
    let line = |cells: Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    page.line(&line(keys.iter().map(|key| key.replace('_', " ")).collect()));
    for row in rows {
        page.line(&line(keys.iter().map(|key| cell(row, key)).collect()));
    }
}
