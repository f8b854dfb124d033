//! pg:backups:capture: a backup of a database (E5–E10, E29).

use serde_json::json;

use super::pg_backups::VERBOSE;
use crate::command::{
    APP, Command, DATABASE, Group, Opt, REMOTE, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::database::{self, Database};
use crate::failure::Failure;
use crate::follow::Following;
use crate::given::Given;
use crate::hint::Hint;
use crate::session::Session;
use crate::transfer::Transfer;

/// `--expire`: makes room.
pub(super) const EXPIRE: Opt =
    Opt::flag("expire", Some('e'), "delete the oldest manual backup when there are too many");
/// `--no-wait`.
pub(super) const NO_WAIT: Opt = Opt::flag("no-wait", None, "return when it has begun");

pub(super) const COMMANDS: &[Command] = &[command(
    "pg:backups:capture",
    Group::Databases,
    "Back a database up",
    |s, g| Box::pin(capture(s, g)),
)
.arguments(&[DATABASE])
.options(&[APP, REMOTE, EXPIRE, NO_WAIT, VERBOSE, WAIT_INTERVAL, WAIT_TIMEOUT])
.note(
    "The database is read as it is at one moment, and goes on working. Ctrl-C stops watching, not \
     the backup.",
)
.examples(&["howdah pg:backups:capture -a demo", "howdah pg:backups:capture gold -a demo -e"])];

async fn capture(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let app = database.attachment.addon.app.name.clone();
    let step = session.step(&format!("Starting backup of {}", database.attachment.addon.name));
    let backup = begin(session, given, &database).await?;
    step.done();
    if given.has("no-wait") {
        return begun(session, &app, &backup);
    }
    session.say(
        "\nUse Ctrl-C at any time to stop monitoring progress; the backup will continue running.",
    );
    session.say("Use `howdah pg:backups:info` to check progress.");
    session.say("Stop a running backup with `howdah pg:backups:cancel`.\n");
    if app != database.app {
        session.say(&format!(
            "The database belongs to {app}: `howdah pg:backups -a {app}` lists its backups."
        ));
    }
    let from = backup.from_name.clone().unwrap_or_else(|| database.var());
    let following = Following { session, given, app: &app, noun: "backup" };
    let doing = format!("Backing up {from} to {}", backup.id());
    let ended = following.to_the_end(&backup, &doing).await?;
    session.answer("transfer", &ended.shown(), |_| {})
}

/// Asks for a backup.
pub(super) async fn begin(
    session: &Session,
    given: &Given,
    database: &Database,
) -> Result<Transfer, Failure> {
    let addon = &database.attachment.addon;
    let body = if given.has("expire") { json!({ "expire": true }) } else { json!({}) };
    session.post(&["client", "v11", "databases", &addon.id, "backups"], body).await
}

/// Says that something has begun and how to follow it.
pub(super) fn begun(session: &Session, app: &str, transfer: &Transfer) -> Result<(), Failure> {
    let id = transfer.id();
    let advice = Hint::WatchTransfer.fill(&[("ID", &id), ("APP", app)]);
    session.say(&format!("{id} has begun. To watch it: `{}`", advice.command));
    session.answer("transfer", &transfer.shown(), |page| page.line(&id))
}
