//! A look into one database: the figures of an observation (K5), and its sessions.

use std::path::Path;

use howdah_model::agent::DatabaseLook;
use howdah_model::name::DatabaseName;
use jiff::Timestamp;

use crate::connection::{Connection, Limits, SqlError};

const FIGURES: &str = "\
select (select count(*) from pg_stat_activity \
        where datname = current_database() and backend_type = 'client backend' \
        and usename <> current_user), \
       pg_database_size(current_database()), \
       coalesce(sum(n_live_tup) filter (where c.relpersistence <> 't' \
                and c.relowner <> current_user::text::regrole), 0)::bigint, \
       count(*), \
       coalesce(sum(seq_scan), 0)::bigint, \
       coalesce(sum(idx_scan), 0)::bigint \
from pg_stat_user_tables s join pg_class c on c.oid = s.relid";

/// Reads the figures of a database, within the time of [`Limits::LOOK`] for each step. `at` is the
/// time that the look is said to be of.
///
/// # Errors
/// See [`SqlError`].
pub async fn look(
    socket_dir: &Path,
    database: &DatabaseName,
    at: Timestamp,
) -> Result<DatabaseLook, SqlError> {
    let connection = Connection::open(socket_dir, database.as_str(), Limits::LOOK).await?;
    let rows = connection.rows(FIGURES, &[]).await?;
    connection.close().await;
    let Some(row) = rows.first() else {
        return Err(SqlError::Lost("the figures are missing".to_owned()));
    };
    Ok(DatabaseLook {
        at,
        connections: row.get(0),
        size_bytes: row.get(1),
        row_count: row.get(2),
        table_count: row.get(3),
        seq_scans: row.get(4),
        index_scans: row.get(5),
    })
}

/// Which sessions of tenants are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of the database.
    All,
    /// The one of this process id.
    Pid(i32),
}

/// What happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The session ends.
    Terminate,
    /// Only its running statement ends.
    Cancel,
}

/// Ends sessions of tenants in one database; those of the platform and those in other databases
/// are left. Returns how many were told.
///
/// # Errors
/// See [`SqlError`].
pub async fn terminate(
    socket_dir: &Path,
    database: &DatabaseName,
    which: Which,
    how: How,
) -> Result<i64, SqlError> {
    let connection = Connection::open(socket_dir, "postgres", Limits::LOOK).await?;
    let function = match how {
        How::Terminate => "pg_terminate_backend",
        How::Cancel => "pg_cancel_backend",
    };
    let pid = match which {
        Which::All => None,
        Which::Pid(pid) => Some(pid),
    };
    let end = format!(
        "select count(*) filter (where {function}(pid)) from pg_stat_activity \
         where datname = $1::text and usename <> current_user and ($2::int is null or pid = $2) \
         and backend_type in ('client backend', 'walsender')"
    );
    let rows = connection.rows(&end, &[&database.as_str(), &pid]).await?;
    connection.close().await;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// Sets PostgreSQL's statistics of one database back to zero.
///
/// # Errors
/// See [`SqlError`].
pub async fn reset_statistics(socket_dir: &Path, database: &DatabaseName) -> Result<(), SqlError> {
    let connection = Connection::open(socket_dir, database.as_str(), Limits::LOOK).await?;
    connection.run("select pg_stat_reset()").await?;
    connection.close().await;
    Ok(())
}

/// What tells whether a database was used: it changes with every session, of the platform as well.
pub type Sessions = i64;

/// The number of sessions that every database has ever had, for those that have no session of a
/// tenant now. A database whose number has not changed since the last look has the same figures.
///
/// # Errors
/// See [`SqlError`].
pub async fn quiet_databases(connection: &Connection) -> Result<Vec<(String, Sessions)>, SqlError> {
    let quiet = "select datname::text, sessions from pg_stat_database d where datname is not null \
         and not exists (select from pg_stat_activity a where a.datid = d.datid \
         and a.usename <> current_user)";
    let rows = connection.rows(quiet, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
