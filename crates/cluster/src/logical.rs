//! Logical copies: `pg_dump` and `pg_restore` as children, with a role of their own for the time.
//!
//! What is dumped and what is restored is a tenant's, who may have made it to do harm. So neither
//! program ever comes as the platform: it has a role ([`role`]) that can read a database, or be the
//! owner of a new one, and that goes when the copy has ended.

pub mod dumping;
pub mod fill;
pub mod foreign;
pub mod list;
pub mod process;
pub mod restoring;
pub mod role;
pub mod said;

use std::fmt;
use std::sync::Arc;

use howdah_model::transfer::LogLevel;

use crate::connection::SqlError;

/// Takes the lines of a copy's log as they come. They hold no secrets.
#[derive(Clone)]
pub struct Notes(Arc<dyn Fn(LogLevel, String) + Send + Sync>);

impl Notes {
    /// Calls `take` for every line.
    pub fn new(take: impl Fn(LogLevel, String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// A line of any level.
    pub fn line(&self, level: LogLevel, line: String) {
        (self.0)(level, line);
    }

    /// What goes on.
    pub fn info(&self, line: impl Into<String>) {
        (self.0)(LogLevel::Info, line.into());
    }

    /// Something is left out, or may be slow.
    pub fn warn(&self, line: impl Into<String>) {
        (self.0)(LogLevel::Warning, line.into());
    }

    /// It ends here.
    pub fn error(&self, line: impl Into<String>) {
        (self.0)(LogLevel::Error, line.into());
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notes")
    }
}

/// Why a logical copy failed. Without secrets, for people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program said no, and why.
    #[error("{said}")]
    Said {
        /// What it said.
        said: String,
    },
    /// The program could not be run, or what it needs is not there.
    #[error("{0}")]
    Cannot(String),
    /// The platform's own session with PostgreSQL.
    #[error("{what}: {error}")]
    Sql {
        /// What was done.
        what: &'static str,
        /// What PostgreSQL said.
        error: SqlError,
    },
}

/// What a program says, without where the server's socket is: that is nobody's business.
fn without_socket(said: &str) -> String {
    const BEGIN: &str = "connection to server on socket \"";
    const END: &str = "\" failed: ";
    let parts = said.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, behind) = rest.split_once(END)?;
        Some(format!("{before}{behind}"))
    });
    parts.unwrap_or_else(|| said.to_owned())
}

impl Failure {
    pub(crate) fn sql(what: &'static str) -> impl FnOnce(SqlError) -> Self {
        move |error| Self::Sql { what, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_not_told_where_sockets_are() {
        let said =
            "connection to server on socket \"/home/x/.s.PGSQL.5432\" failed: FATAL:  too many";
        assert_eq!(without_socket(said), "FATAL:  too many");
        assert_eq!(without_socket("permission denied"), "permission denied");
    }
}
