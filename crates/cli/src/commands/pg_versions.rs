//! pg:versions: the versions of PostgreSQL that databases can have (C37).

use serde::{Deserialize, Serialize};

use crate::command::{Command, Group, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("pg:versions", Group::Databases, "List the versions of PostgreSQL", |s, g| {
        Box::pin(run(s, g))
    })
    .note("Those with a release are installed; others are supported when they are installed.")
    .examples(&["howdah pg:versions"])];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Version {
    major: u16,
    /// The installed release, such as 18.6.
    #[serde(default)]
    version: Option<String>,
    status: String,
    #[serde(default)]
    default: bool,
}

async fn run(session: &Session, _given: &Given) -> Result<(), Failure> {
    let versions: Vec<Version> = session.get(&["postgres-versions"]).await?;
    session.answer("versions", &versions, |page| {
        let row = |one: &Version| {
            let default = if one.default { " (default)" } else { "" };
            let installed = one.version.clone().unwrap_or_else(|| "-".to_owned());
            [one.major.to_string(), installed, format!("{}{default}", one.status)]
        };
        let rows: Vec<_> = versions.iter().map(row).collect();
        page.table(["Version", "Installed", "Status"], &rows);
    })
}
