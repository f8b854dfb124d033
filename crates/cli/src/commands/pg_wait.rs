//! pg:wait: until databases can be used.

use futures_util::future::try_join_all;
use serde_json::json;

use crate::app;
use crate::command::{
    APP, Command, DATABASE, Group, Opt, REMOTE, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::WaitStatus;
use crate::session::Session;
use crate::wait::{self, Patience};

pub(super) const COMMANDS: &[Command] =
    &[command("pg:wait", Group::Databases, "Wait until databases can be used", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        WAIT_INTERVAL,
        WAIT_TIMEOUT,
        Opt::flag("no-notify", None, "accepted for Heroku's sake; nothing is notified"),
    ])
    .note("Ctrl-C stops waiting, not what is waited for.")
    .examples(&["howdah pg:wait -a demo", "howdah pg:wait gold -a demo --timeout 60"])];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let databases = match given.value("DATABASE") {
        Some(_) => vec![database::named(session, given).await?],
        None => database::all(session, &app::named(session, given)?).await?,
    };
    let first = try_join_all(databases.iter().map(|database| status(session, database))).await?;
    let mut waited = Vec::new();
    for (database, first) in databases.iter().zip(first) {
        let message = match first {
            Some(status) => finished(database, &status)?,
            None => wait_for(session, given, database).await?,
        };
        waited.push(json!({ "config_var": database.var(), "message": message }));
    }
    session.answer("waited", &waited, |_| {})
}

async fn wait_for(
    session: &Session,
    given: &Given,
    database: &Database,
) -> Result<String, Failure> {
    let step = session.step(&format!("Waiting for database {}", database.var()));
    let message = until_usable(session, given, database)
        .await
        .inspect_err(|failure| step.given_up(failure))?;
    step.ended(&message);
    Ok(message)
}

/// Waits until a database can be used, and gives its state in words.
pub(super) async fn until_usable(
    session: &Session,
    given: &Given,
    database: &Database,
) -> Result<String, Failure> {
    let var = database.var();
    let advice = Hint::WaitForDatabase.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    let patience = Patience::of(given, advice)?;
    let status = wait::until(session, &patience, &var, || status(session, database)).await?;
    finished(database, &status)
}

/// The status, once there is nothing left to wait for. A database that is being made may not be
/// known yet.
async fn status(session: &Session, database: &Database) -> Result<Option<WaitStatus>, Failure> {
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "wait_status"];
    match session.get::<WaitStatus>(&path).await {
        Ok(status) => Ok((!status.waiting).then_some(status)),
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn finished(database: &Database, status: &WaitStatus) -> Result<String, Failure> {
    if status.failed {
        let message = format!("{}: {}", database.var(), status.message);
        let advice = Hint::ListOperations.fill(&[("APP", &database.app)]);
        return Err(Failure::new(Exit::Failed, "failed", message).advise(advice));
    }
    Ok(if status.message.is_empty() { "available".to_owned() } else { status.message.clone() })
}
