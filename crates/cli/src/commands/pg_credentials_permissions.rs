//! pg:credentials:permissions: what a named credential may do with the tables (D28).

use howdah_model::permission::Permission;
use serde_json::json;

use super::pg_credentials_change::{NAME, named};
use crate::command::{APP, Argument, Command, DATABASE, Group, REMOTE, Times, command};
use crate::database;
use crate::failure::Failure;
use crate::given::Given;
use crate::resources::Credential;
use crate::session::Session;

const PERMISSION: Argument = Argument {
    name: "PERMISSION",
    times: Times::Optional,
    means: "readonly, readwrite or none; without it, what it has is shown",
};

pub(super) const COMMANDS: &[Command] = &[command(
    "pg:credentials:permissions",
    Group::Databases,
    "Show or set what a credential may do",
    |s, g| Box::pin(run(s, g)),
)
.arguments(&[DATABASE, PERMISSION])
.options(&[APP, REMOTE, NAME])
.note(
    "It holds for all tables that are there, and for those that the default credential makes later. \
     Setting another one takes back what was granted on tables by hand; `none` leaves it to do so \
     from then on.",
)
.examples(&[
    "howdah pg:credentials:permissions DATABASE_URL -n reports -a demo",
    "howdah pg:credentials:permissions DATABASE_URL readonly -n reports -a demo",
])];

/// Reads the word for a permission.
pub(super) fn parsed(word: &str) -> Result<Permission, Failure> {
    word.parse().map_err(|_| {
        Failure::usage(format!("{word} is no permission: say readonly, readwrite or none"))
    })
}

/// What a credential may do, in a word.
pub(super) fn word(credential: &Credential) -> &'static str {
    credential.permission.map_or("owner", Into::into)
}

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let name = named(given)?;
    let (typed, wanted) = match (given.value("DATABASE"), given.value("PERMISSION")) {
        // A permission alone is meant for the primary.
        (Some(only), None) => match only.parse::<Permission>() {
            Ok(permission) => (None, Some(permission)),
            Err(_) => (Some(only), None),
        },
        (typed, None) => (typed, None),
        (typed, Some(word)) => (typed, Some(parsed(word)?)),
    };
    let database = database::by_name(session, given, typed.unwrap_or("DATABASE_URL"), None).await?;
    let addon = &database.attachment.addon.name;
    let credential: Credential = match wanted {
        None => session.get(&["postgres", "v0", "databases", addon, "credentials", name]).await?,
        Some(permission) => {
            let step = session.step(&format!("Setting the permission of {name} to {permission}"));
            let path = ["howdah", "v1", "databases", addon, "credentials", name];
            let now = session.patch(&path, json!({ "permission": permission })).await?;
            step.done();
            now
        }
    };
    let data = json!({ "database": addon, "name": credential.name,
                       "permission": credential.permission });
    session.answer("credential", &data, |page| {
        page.line(&format!("{name} on {addon}: {}", word(&credential)));
    })
}
