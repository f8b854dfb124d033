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
    .note("Those that are installed on the platform.")
    .examples(&["howdah pg:versions"])];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    major: u16,
    /// The installed release, such as 18.6.
    #[serde(default)]
    version: Option<String>,
    status: String,
    #[serde(default)]
    default: bool,
}

impl Version {
    /// As a list of versions has it: `18.6 (default)`.
    pub(super) fn shown(&self) -> String {
        let version = self.version.clone().unwrap_or_else(|| self.major.to_string());
        let default = if self.default { " (default)" } else { "" };
        format!("{version}{default}")
    }
}

async fn run(session: &Session, _given: &Given) -> Result<(), Failure> {
    let versions: Vec<Version> = session.get(&["howdah", "v1", "versions"]).await?;
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
