//! pg:copy: all that is in one database takes the place of what is in another.

use serde_json::{Value, json};

use super::pg_backups::VERBOSE;
use super::pg_backups_capture::{NO_WAIT, begun};
use crate::command::{
    APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT,
    command,
};
use crate::confirm;
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Following;
use crate::given::Given;
use crate::libpq;
use crate::resources::ConfigVars;
use crate::session::Session;
use crate::transfer::Transfer;

pub(super) const ARGUMENTS: &[Argument] = &[
    Argument {
        name: "SOURCE",
        times: Times::Once,
        means: "attachment, config var, colour, add-on, APP::NAME or postgres:// URL",
    },
    Argument { name: "TARGET", times: Times::Once, means: "the database to fill, named likewise" },
];
pub(super) const OPTIONS: &[Opt] =
    &[APP, REMOTE, NO_WAIT, VERBOSE, WAIT_INTERVAL, WAIT_TIMEOUT, CONFIRM];

pub(super) const COMMANDS: &[Command] = &[command(
    "pg:copy",
    Group::Databases,
    "Replace what is in a database by another's data",
    |s, g| Box::pin(copy(s, g)),
)
.arguments(ARGUMENTS)
.options(OPTIONS)
.note(
    "The target is replaced when all of the copy is there, at once; when anything fails it stays \
     as it is. --confirm takes the target's name.",
)
.examples(&[
    "howdah pg:copy DATABASE_URL gold -a demo --confirm GOLD",
    "howdah pg:copy production::DATABASE_URL DATABASE_URL -a staging",
])];

/// One side of a copy.
pub(super) struct Side {
    /// What people call it.
    pub(super) name: String,
    /// The database, where it is one of the platform's.
    pub(super) database: Option<Database>,
    pub(super) url: String,
}

/// Looks a side up: one of the platform's databases, or a URL.
pub(super) async fn side(session: &Session, given: &Given, typed: &str) -> Result<Side, Failure> {
    if typed.contains("://") {
        let name = libpq::Place::of_url(&session.environment, typed)?.label;
        return Ok(Side { name, database: None, url: typed.to_owned() });
    }
    let database = database::by_name(session, given, typed, None).await?;
    let vars: ConfigVars = session.get(&["apps", &database.app, "config-vars"]).await?;
    let var = database.attachment.url_var();
    let url = vars.get(&var).cloned().ok_or_else(|| {
        let message = format!("{var} is not set on {}: is it still being made?", database.app);
        Failure::new(Exit::Conflict, "not-ready", message)
    })?;
    let name = &database.attachment.name;
    let name = name.strip_prefix("HEROKU_POSTGRESQL_").unwrap_or(name).to_owned();
    Ok(Side { name, database: Some(database), url })
}

/// Copies, as the arguments say.
pub(super) async fn copy(session: &Session, given: &Given) -> Result<(), Failure> {
    let source = side(session, given, given.needed("SOURCE")?).await?;
    let target = side(session, given, given.needed("TARGET")?).await?;
    if source.url == target.url {
        return Err(Failure::usage("Cannot copy database onto itself"));
    }
    let Some(database) = &target.database else {
        let message = "The target is not a database of this platform.\n\
                       To fill another one: `howdah pg:pull SOURCE TARGET`";
        return Err(Failure::usage(message));
    };
    // Who names the app means its database too.
    if given.value("confirm") != Some(database.app.as_str()) {
        confirm_copy(session, given, &source.name, &target.name)?;
    }
    let transfer = begin(session, &source, &target, database).await?;
    let app = &database.attachment.addon.app.name;
    if given.has("no-wait") {
        return begun(session, app, &transfer);
    }
    let ended = follow(session, given, app, &transfer).await?;
    session.answer("transfer", &ended.shown(), |_| {})
}

/// Asks for a copy.
pub(super) async fn begin(
    session: &Session,
    source: &Side,
    target: &Side,
    database: &Database,
) -> Result<Transfer, Failure> {
    let addon = &database.attachment.addon;
    let step = session.step(&format!("Starting copy of {} to {}", source.name, target.name));
    let body = json!({
        "from_name": source.name,
        "from_url": source.url,
        "to_name": target.name,
        "to_url": target.url,
    });
    let path = ["client", "v11", "databases", &addon.id, "transfers"];
    let transfer: Transfer = session.post(&path, body).await?;
    step.done();
    if let Some(from) = &source.database {
        warn_of_credentials(session, from).await;
    }
    Ok(transfer)
}

/// Follows a copy to its end.
pub(super) async fn follow(
    session: &Session,
    given: &Given,
    app: &str,
    transfer: &Transfer,
) -> Result<Transfer, Failure> {
    Following { session, given, app, noun: "copy" }.to_the_end(transfer, "Copying").await
}

/// A copy belongs to the target's owner alone, and has no grants.
async fn warn_of_credentials(session: &Session, from: &Database) {
    let path = ["postgres", "v0", "databases", &from.attachment.addon.name, "credentials"];
    let all: Result<Vec<Value>, Failure> = session.get(&path).await;
    if all.is_ok_and(|all| all.len() > 1) {
        session.say(
            " !    WARNING: the copy has the data of all credentials, but belongs to the default \
             one; make the others again with pg:credentials:create",
        );
    }
}

/// Makes sure that the target is meant: its name is typed, or given with `--confirm`.
fn confirm_copy(session: &Session, given: &Given, from: &str, to: &str) -> Result<(), Failure> {
    let told = [
        "WARNING: Destructive action".to_owned(),
        format!("This command will remove all data from {to}"),
        format!("Data from {from} will then be transferred to {to}"),
    ];
    confirm::named(session, given, to, &told)
}
