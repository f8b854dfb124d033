//! Sessions of a database: pg:ps, pg:kill, pg:killall (D19–D23).

use serde_json::{Value, json};

use super::pg_psql::target;
use crate::command::{APP, Argument, Command, DATABASE, Group, Opt, REMOTE, Times, command};
use crate::database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::psql;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] = &[
    command("pg:ps", Group::Databases, "List the queries that are running", |s, g| {
        Box::pin(ps(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, Opt::flag("verbose", Some('v'), "also sessions that are idle")])
    .examples(&["howdah pg:ps -a demo"]),
    command("pg:kill", Group::Databases, "Cancel a query, or end its session", |s, g| {
        Box::pin(kill(s, g))
    })
    .arguments(&[
        Argument { name: "PID", times: Times::Once, means: "the pid that pg:ps shows" },
        DATABASE,
    ])
    .options(&[APP, REMOTE, Opt::flag("force", Some('f'), "end the session, not only the query")])
    .examples(&["howdah pg:kill 31912 -a demo", "howdah pg:kill 31912 -f -a demo"]),
    command("pg:killall", Group::Databases, "End every session of a database", |s, g| {
        Box::pin(killall(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:killall -a demo"]),
];

/// The sessions but our own, newest first. `waiting` is what PostgreSQL showed until 9.5.
fn sessions(with_idle: bool) -> String {
    let idle = if with_idle { "" } else { "\n  and state <> 'idle'" };
    format!(
        "select pid, state, application_name as source, usename as username,
  date_trunc('second', clock_timestamp() - query_start) as running_for,
  xact_start as transaction_start, wait_event is not null as waiting, query
from pg_catalog.pg_stat_activity
where query <> '<insufficient privilege>' and backend_type = 'client backend'
  and datname = pg_catalog.current_database() and pid <> pg_catalog.pg_backend_pid(){idle}
order by query_start desc"
    )
}

async fn ps(session: &Session, given: &Given) -> Result<(), Failure> {
    let target = target(session, given).await?;
    let query = sessions(given.has("verbose"));
    if !session.wants_json() {
        let table = psql::output(session, &target, &["-c", &query]).await?;
        session.screen.out_bytes(&table);
        return Ok(());
    }
    let rows = rows(session, &target, &query).await?;
    session.answer("sessions", &rows, |_| {})
}

/// The rows of a query as JSON objects.
async fn rows(session: &Session, target: &psql::Target, query: &str) -> Result<Value, Failure> {
    let query = format!("select coalesce(pg_catalog.json_agg(q), '[]') from ({query}) q");
    let output = psql::output(session, target, &["-At", "-c", &query]).await?;
    serde_json::from_slice(&output).map_err(|error| {
        Failure::new(Exit::Failed, "bad-answer", format!("psql's output is not JSON: {error}"))
    })
}

async fn kill(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.needed("PID")?;
    let Ok(pid) = typed.parse::<u32>() else {
        return Err(Failure::usage(format!("PID is a number, not `{typed}`")));
    };
    let target = target(session, given).await?;
    let function = if given.has("force") { "pg_terminate_backend" } else { "pg_cancel_backend" };
    let query = format!("select pg_catalog.{function}({pid})");
    if !session.wants_json() {
        let table = psql::output(session, &target, &["-c", &query]).await?;
        session.screen.out_bytes(&table);
        return Ok(());
    }
    let rows = rows(session, &target, &query).await?;
    session.answer("killed", &json!({ "pid": pid, "done": rows[0][function] }), |_| {})
}

async fn killall(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let step = session.step("Terminating connections for all credentials");
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "connection_reset"];
    let answer: Value = session.post(&path, json!({})).await?;
    match answer["terminated"].as_u64() {
        Some(ended) => step.done_with(&format!("{ended} ended")),
        None => step.done(),
    }
    session.answer("killed", &answer, |_| {})
}
