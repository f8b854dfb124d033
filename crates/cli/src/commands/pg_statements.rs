//! The statements that cost most: pg:outliers, pg:calls (I34); and to begin to count anew.

use reqwest::Method;
use serde_json::{Value, json};

use super::pg_extras::{TRUNCATE, answer, bare, text_of};
use super::pg_psql::target;
use crate::command::{APP, Command, DATABASE, Group, Opt, REMOTE, command};
use crate::database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::psql::{self, Target};
use crate::session::Session;

pub(super) const COMMANDS: &[Command] = &[
    command("pg:outliers", Group::Databases, "Show the statements that took longest", |s, g| {
        Box::pin(outliers(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("num", Some('n'), "NUMBER", "how many to show [default: 10]"),
        TRUNCATE,
        Opt::flag("reset", None, "begin to count anew, and show nothing"),
    ])
    .note("The time of all their calls together, since the statistics were reset.")
    .examples(&["howdah pg:outliers -n 20 -a demo", "howdah pg:outliers --reset -a demo"]),
    command("pg:calls", Group::Databases, "Show the statements that ran most often", |s, g| {
        Box::pin(calls(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, TRUNCATE])
    .examples(&["howdah pg:calls -t -a demo"]),
    command("pg:stats-reset", Group::Databases, "Begin to count statistics anew", |s, g| {
        Box::pin(reset_all(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .note("Those of tables, indexes and caches. `pg:outliers --reset` is for statements.")
    .examples(&["howdah pg:stats-reset -a demo"]),
];

/// How statements are ordered.
#[derive(Clone, Copy)]
enum By {
    Time,
    Calls,
}

async fn outliers(session: &Session, given: &Given) -> Result<(), Failure> {
    let limit = given.number("num", 10)?;
    let target = target(session, given).await?;
    let there = statements(session, &target).await?;
    if !given.has("reset") {
        return list(session, given, &target, &there, By::Time, limit).await;
    }
    let reset = format!("select {}.pg_stat_statements_reset()", there.schema);
    psql::output(session, &target, &["-At", "-c", &reset]).await?;
    session.answer("reset", &json!({ "done": true }), |_| {})
}

async fn calls(session: &Session, given: &Given) -> Result<(), Failure> {
    let target = target(session, given).await?;
    let there = statements(session, &target).await?;
    list(session, given, &target, &there, By::Calls, 10).await
}

async fn list(
    session: &Session,
    given: &Given,
    target: &Target,
    there: &Statements,
    by: By,
    limit: u64,
) -> Result<(), Failure> {
    let order = match by {
        By::Time => "s.total_exec_time",
        By::Calls => "s.calls",
    };
    let query = include_str!("../extras/statements.sql")
        .replace("{schema}", &there.schema)
        .replace("{read}", &format!("{}_read_time", there.blocks))
        .replace("{write}", &format!("{}_write_time", there.blocks))
        .replace("{query}", &text_of(given, "s.query"))
        .replace("{order}", order)
        .replace("{limit}", &limit.to_string());
    answer(session, given, target, &query).await
}

/// Where `pg_stat_statements` is, and how it calls the times of blocks.
struct Statements {
    /// As an identifier.
    schema: String,
    blocks: String,
}

async fn statements(session: &Session, target: &Target) -> Result<Statements, Failure> {
    let query = bare(include_str!("../extras/statements_where.sql"));
    let output = psql::output(session, target, &["-At", "-F", " ", "-c", &query]).await?;
    let line = String::from_utf8_lossy(&output);
    let found = line.trim_end().rsplit_once(' ');
    let (schema, blocks) = found.ok_or_else(|| {
        let message = "The extension pg_stat_statements is not in this database.\n\
                       Create it with `create extension pg_stat_statements`.";
        Failure::new(Exit::Failed, "extension-missing", message).advise(Hint::OpenSession.plain())
    })?;
    Ok(Statements { schema: schema.to_owned(), blocks: blocks.to_owned() })
}

async fn reset_all(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "stats_reset"];
    let said: Value = session.call(Method::PUT, &path, Some(json!({})), None).await?;
    session.answer("reset", &said, |page| page.line(said["message"].as_str().unwrap_or("Done.")))
}
