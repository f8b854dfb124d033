//! PostgreSQL's own programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Where packages put the programs of each major version.
const DIRECTORIES: [&str; 2] = ["/usr/lib/postgresql", "/usr"];

/// pg_dump and pg_restore of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) pg_dump: PathBuf,
    pub(crate) pg_restore: PathBuf,
    major: u32,
}

impl Tools {
    /// The oldest that can dump a server of this major version: what they write fits most targets.
    pub(crate) async fn for_server(session: &Session, server: u32) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for directory in directories(session.environment.get("PATH").unwrap_or_default()) {
            all.extend(Self::of(&directory).await);
        }
        let newest = all.iter().map(|tools| tools.major).max();
        // Of the same version, those on the PATH come first.
        let fitting = all.into_iter().filter(|tools| tools.major >= server);
        fitting.min_by_key(|tools| tools.major).ok_or_else(|| {
            let have = match newest {
                Some(newest) => format!("the newest here is of version {newest}"),
                None => "there is none here".to_owned(),
            };
            let message = format!(
                "pg_dump of version {server} or newer is needed, and {have}.\n\
                 Install it: `apt-get install postgresql-client-{server}`, `brew install libpq`, or \
                 https://www.postgresql.org/download"
            );
            Failure::new(Exit::Failed, "pg-dump-missing", message)
        })
    }

    async fn of(directory: &Path) -> Option<Self> {
        let (pg_dump, pg_restore) = (directory.join("pg_dump"), directory.join("pg_restore"));
        // Debian's wrapper is another version each time; the programs it chooses from are ours too.
        let real = pg_dump.canonicalize().ok()?;
        if real.ends_with("pg_wrapper") || !pg_restore.is_file() {
            return None;
        }
        let mut command = tokio::process::Command::new(&pg_dump);
        command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Some(Self { pg_dump, pg_restore, major: major(&said)? })
    }
}

/// Where the programs may be.
fn directories(path: &str) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::env::split_paths(path).collect();
    for parent in DIRECTORIES {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let versions = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let version = name.strip_prefix("pgsql-").unwrap_or(&name);
            !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
        });
        all.extend(versions.map(|path| path.join("bin")));
    }
    all
}

/// `pg_dump (PostgreSQL) 15.13 (Debian …)`, `… 19beta1`.
fn major(said: &str) -> Option<u32> {
    let version = said.split_whitespace().nth(2)?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_pg_dump_says() {
        let read = ["pg_dump (PostgreSQL) 15.13 (Debian 15.13-0)", "pg_dump (PostgreSQL) 19beta1"];
        assert_eq!(read.map(major), [Some(15), Some(19)]);
        assert_eq!(["", "pg_dump", "a b c"].map(major), [None; 3]);
    }
}
