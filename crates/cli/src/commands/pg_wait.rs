//! pg:wait: until databases can be used.

use futures_util::future::try_join_all;
use serde_json::json;

use super::pg_operations;
use crate::api;
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
use crate::step::Step;
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
    let (mut waited, mut failed) = (Vec::new(), Vec::new());
    for (database, first) in databases.iter().zip(first) {
        let outcome = match first {
            Status::Ended(end) => finished(session, database, end).await,
            Status::Waiting(_) => wait_for(session, given, database).await,
        };
        match outcome {
            Ok(message) => {
                waited.push(json!({ "config_var": database.var(), "message": message }));
            }
            // The others are waited for all the same.
            Err(failure) if failure.exit == Exit::Failed => failed.push(failure),
            Err(failure) => return Err(failure),
        }
    }
    if let Some(last) = failed.pop() {
        failed.iter().for_each(|failure| session.say(failure.text().trim_end()));
        return Err(last);
    }
    session.answer("waited", &waited, |_| {})
}

async fn wait_for(
    session: &Session,
    given: &Given,
    database: &Database,
) -> Result<String, Failure> {
    let step = session.step(&format!("Waiting for database {}", database.var()));
    let message = until_usable(session, given, database, &step)
        .await
        .inspect_err(|failure| step.given_up(failure))?;
    step.ended(&message);
    Ok(message)
}

/// Waits until a database can be used, and gives its state in words. The step shows how far it is.
pub(super) async fn until_usable(
    session: &Session,
    given: &Given,
    database: &Database,
    step: &Step<'_>,
) -> Result<String, Failure> {
    let var = database.var();
    let advice = Hint::WaitForDatabase.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    let patience = Patience::of(given, advice)?;
    let end = wait::until(session, &patience, step, &var, || async {
        match status(session, database).await? {
            Status::Ended(end) => Ok(Some(end)),
            Status::Waiting(how_far) => {
                step.progress(&how_far);
                Ok(None)
            }
        }
    })
    .await?;
    finished(session, database, end).await
}

/// Whether there is something to wait for.
enum Status {
    /// Yes; with how far it is, if that is known.
    Waiting(String),
    /// No.
    Ended(End),
}

/// How waiting ends.
enum End {
    /// It can be used; with its state in words.
    Usable(String),
    /// It cannot, for this reason.
    Failed(String),
    /// It is not there any more.
    Gone,
}

/// How a database is. One that is being made may not be known yet.
async fn status(session: &Session, database: &Database) -> Result<Status, Failure> {
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "wait_status"];
    match session.get::<WaitStatus>(&path).await {
        Ok(status) if status.failed => Ok(Status::Ended(End::Failed(status.message))),
        Ok(status) if status.waiting => Ok(Status::Waiting(status.message)),
        Ok(status) => Ok(Status::Ended(End::Usable(status.message))),
        Err(failure) if failure.code == api::NOT_YET => Ok(Status::Waiting(String::new())),
        Err(failure) if failure.exit == Exit::NotFound => Ok(Status::Ended(End::Gone)),
        Err(failure) => Err(failure),
    }
}

async fn finished(session: &Session, database: &Database, end: End) -> Result<String, Failure> {
    let why = match end {
        End::Usable(message) if message.is_empty() => return Ok("available".to_owned()),
        End::Usable(message) => return Ok(message),
        End::Failed(why) => why,
        End::Gone => {
            let addon = &database.attachment.addon;
            let why = pg_operations::last_word(session, &database.app, &addon.id).await;
            why.unwrap_or_else(|| "it is not there any more".to_owned())
        }
    };
    let message = format!("{}: {why}", database.var());
    let advice = Hint::ListOperations.fill(&[("APP", &database.app)]);
    Err(Failure::new(Exit::Failed, "failed", message).advise(advice))
}
