//! The role by which standbys get at their primary, and how they find it.

use std::path::Path;

use crate::connection::{Connection, SqlError};
use crate::settings::PORT;

/// The role that standbys and `pg_rewind` come in as: PostgreSQL's own operating system user is it,
/// over the socket, and it can do nothing but read WAL and files of the data directory.
pub const REPLICATION_ROLE: &str = "howdah_replication";

/// What the platform has in the database `postgres` beside what every version's template has held:
/// clusters that were made by an older version get it here. One statement; twice is fine.
pub(crate) const ENSURE: &str = include_str!("ensure.sql");

/// Makes what the platform needs in the database `postgres` of a primary, as far as it is missing.
///
/// # Errors
/// See [`SqlError`].
pub async fn ensure(connection: &Connection) -> Result<(), SqlError> {
    connection.run(ENSURE).await
}

/// How libpq finds a server by its socket directory.
#[must_use]
pub fn conninfo(socket_dir: &Path, role: &str, application_name: &str) -> String {
    format!(
        "host={} port={PORT} user={role} dbname=postgres application_name={}",
        value(&socket_dir.to_string_lossy()),
        value(application_name)
    )
}

fn value(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_with_quotes_and_blanks_are_written_as_libpq_reads_them() {
        assert_eq!(
            conninfo(Path::new(r"/a b/it's\x"), "r", "n"),
            r"host='/a b/it\'s\\x' port=5432 user=r dbname=postgres application_name='n'"
        );
    }
}
