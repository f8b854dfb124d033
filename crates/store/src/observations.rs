//! What was seen of databases (K4, K5): a history, never overwritten.

use howdah_model::agent::DatabaseLook;
use howdah_model::ids::DatabaseId;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// What was seen of one database at one moment. The figures are null while it is not available,
/// or when nobody has looked into it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Which database.
    pub database_id: DatabaseId,
    /// When.
    pub at: Timestamp,
    /// Whether sessions could be opened.
    pub services_available: bool,
    /// Sessions of tenants.
    pub connections: Option<i64>,
    /// Estimated live rows of all user tables.
    pub row_count: Option<i64>,
    /// User tables.
    pub table_count: Option<i64>,
    /// Sequential scans of all user tables since the statistics were reset.
    pub seq_scans: Option<i64>,
    /// Index scans of all user tables since the statistics were reset.
    pub index_scans: Option<i64>,
    /// Size on disk, in bytes.
    pub size_bytes: Option<i64>,
}

impl Observation {
    /// Makes an observation of what an agent looked at.
    #[must_use]
    pub fn new(database_id: DatabaseId, at: Timestamp, look: Option<&DatabaseLook>) -> Self {
        Self {
            database_id,
            at,
            services_available: true,
            connections: look.map(|look| look.connections),
            row_count: look.map(|look| look.row_count),
            table_count: look.map(|look| look.table_count),
            seq_scans: look.map(|look| look.seq_scans),
            index_scans: look.map(|look| look.index_scans),
            size_bytes: look.map(|look| look.size_bytes),
        }
    }

    /// Makes an observation of a database that is not available.
    #[must_use]
    pub fn unavailable(database_id: DatabaseId, at: Timestamp) -> Self {
        Self { services_available: false, ..Self::new(database_id, at, None) }
    }
}

impl FromRow<'_, PgRow> for Observation {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            database_id: row.id("database_id")?,
            at: row.time("at")?,
            services_available: row.try_get("services_available")?,
            connections: row.try_get("connections")?,
            row_count: row.try_get("row_count")?,
            table_count: row.try_get("table_count")?,
            seq_scans: row.try_get("seq_scans")?,
            index_scans: row.try_get("index_scans")?,
            size_bytes: row.try_get("size_bytes")?,
        })
    }
}

/// Inserts observations, in one statement.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, all: &[Observation]) -> Result<()> {
    fn column<T>(all: &[Observation], of: impl Fn(&Observation) -> T) -> Vec<T> {
        all.iter().map(of).collect()
    }
    sqlx::query(
        "insert into observations (database_id, at, services_available, connections, row_count,
                                   table_count, seq_scans, index_scans, size_bytes)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::boolean[], $4::bigint[],
                              $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])",
    )
    .bind(column(all, |seen| seen.database_id.0))
    .bind(column(all, |seen| at(seen.at)))
    .bind(column(all, |seen| seen.services_available))
    .bind(column(all, |seen| seen.connections))
    .bind(column(all, |seen| seen.row_count))
    .bind(column(all, |seen| seen.table_count))
    .bind(column(all, |seen| seen.seq_scans))
    .bind(column(all, |seen| seen.index_scans))
    .bind(column(all, |seen| seen.size_bytes))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The newest observations of a database, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &mut Connection,
    database: DatabaseId,
    limit: u32,
) -> Result<Vec<Observation>> {
    Ok(sqlx::query_as(
        "select * from observations where database_id = $1 order by at desc, id desc limit $2",
    )
    .bind(database.0)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?)
}

/// Deletes at most `limit` observations from before `before`, oldest first. Answers how many it
/// deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn delete_before(tx: &mut Tx, before: Timestamp, limit: u32) -> Result<u64> {
    let deleted = sqlx::query(
        "delete from observations where id in (
             select id from observations where at < $1 order by id limit $2
         )",
    )
    .bind(at(before))
    .bind(i64::from(limit))
    .execute(&mut **tx)
    .await?;
    Ok(deleted.rows_affected())
}
