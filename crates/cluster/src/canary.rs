//! A commit of the platform's own. It tells how far a copy or the archive goes, and lets a recovery
//! to a moment see that it is past it.

use howdah_model::lsn::Lsn;
use jiff::Timestamp;

use crate::connection::{Connection, SqlError};

/// The newest canary of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Grows by one with each.
    pub number: i64,
    /// Before its commit, and after everything that was committed before it was asked for.
    pub at: Timestamp,
    /// A place in WAL that is not before the end of its commit; zero of one that was read.
    pub lsn: Lsn,
}

const COMMIT: &str = "\
insert into howdah.canary as c (one, number, at) values (true, 1, clock_timestamp()) \
on conflict (one) do update set number = c.number + 1, at = clock_timestamp() \
returning number, (extract(epoch from at) * 1000000)::bigint";

const READ: &str = "select number, (extract(epoch from at) * 1000000)::bigint from howdah.canary";

/// Commits a canary in the database `postgres` of a primary. When this returns it is durable, and
/// the time of its commit is later than any moment before the call.
///
/// # Errors
/// See [`SqlError`].
pub async fn commit(connection: &Connection) -> Result<Canary, SqlError> {
    let committed = connection.rows(COMMIT, &[]).await?;
    let canary = committed.first().and_then(canary).ok_or_else(strange)?;
    let rows = connection.rows("select pg_current_wal_insert_lsn()::text", &[]).await?;
    let lsn = rows.first().and_then(|row| row.get::<_, &str>(0).parse().ok());
    Ok(Canary { lsn: lsn.ok_or_else(strange)?, ..canary })
}

/// Reads the newest canary; `None` where there has never been one.
///
/// # Errors
/// See [`SqlError`].
pub async fn read(connection: &Connection) -> Result<Option<Canary>, SqlError> {
    let there = "select from pg_class where oid = to_regclass('howdah.canary')";
    if connection.rows(there, &[]).await?.is_empty() {
        return Ok(None);
    }
    Ok(connection.rows(READ, &[]).await?.first().and_then(canary))
}

fn canary(row: &tokio_postgres::Row) -> Option<Canary> {
    let at = Timestamp::from_microsecond(row.get(1)).ok()?;
    Some(Canary { number: row.get(0), at, lsn: Lsn(0) })
}

fn strange() -> SqlError {
    SqlError::Lost("the canary's row is missing".to_owned())
}
