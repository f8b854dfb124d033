//! Counting the rows of a database without reading it all.
//!
//! PostgreSQL's statistics count what is inserted and deleted; they are believed for tables that
//! were analyzed since those statistics began. They begin anew with a crash, and when somebody
//! resets them. Tables of which nothing is known, and near the limit all that have changed, are
//! analyzed: that reads a small table whole and 30,000 pages of a large one, and PostgreSQL does it
//! with the rights of the table's owner, where a query of the platform's own would let what the
//! owner has put into indexes run with the platform's.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, SqlError};
use crate::sql::identifier;

const TABLES: &str = include_str!("tables.sql");

/// More rows than this a page of 8 KiB cannot hold.
const ROWS_OF_PAGE: i64 = 291;

/// How long tables may be analyzed in one look; what is left comes with the next.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tenant may have set these for its database, or put something slow into an index; and a
/// transaction that has changed a table without holding it is not waited for.
const SET: &str = "set default_statistics_target = 100; set vacuum_cost_delay = 0; \
    set lock_timeout = '250ms'; set statement_timeout = '5s'";

/// What is known of one table.
struct Table {
    name: String,
    /// Rows, as the statistics have it.
    live: i64,
    /// It has changed since it was analyzed.
    changed: bool,
    /// It was not analyzed since the statistics began.
    unknown: bool,
    pages: i64,
}

/// Counts the rows of the tables and materialized views of tenants. The number is exact near
/// `limit`, but for tables of more than 30,000 pages, where it is an estimate without bias.
///
/// # Errors
/// See [`SqlError`].
pub async fn count(inside: &Connection, limit: u64) -> Result<u64, SqlError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let near = limit - limit / 10;
    let tables = tables(inside).await?;
    if tables.iter().map(Table::at_most).fold(0, i64::saturating_add) < near {
        return Ok(sum(&tables));
    }
    let analyzed = analyze(inside, tables.iter().filter(|table| table.is_blind())).await?;
    let tables = if analyzed { self::tables(inside).await? } else { tables };
    let rows = sum(&tables);
    if rows < u64::try_from(near).unwrap_or_default() {
        return Ok(rows);
    }
    let changed = tables.iter().filter(|table| table.changed);
    let again = analyze(inside, changed).await?;
    if again { Ok(sum(&self::tables(inside).await?)) } else { Ok(rows) }
}

impl Table {
    fn is_blind(&self) -> bool {
        self.unknown && self.pages > 0
    }

    fn at_most(&self) -> i64 {
        let known = if self.unknown { self.pages.saturating_mul(ROWS_OF_PAGE) } else { 0 };
        known.max(self.live)
    }
}

fn sum(tables: &[Table]) -> u64 {
    let live = tables.iter().map(|table| table.live.max(0)).fold(0, i64::saturating_add);
    u64::try_from(live).unwrap_or_default()
}

async fn tables(inside: &Connection) -> Result<Vec<Table>, SqlError> {
    let rows = inside.rows(TABLES, &[]).await?;
    let table = |row: &tokio_postgres::Row| Table {
        name: format!("{}.{}", identifier(row.get("schema")), identifier(row.get("name"))),
        live: row.get("live"),
        changed: row.get("changed"),
        unknown: row.get("unknown"),
        pages: row.get("pages"),
    };
    Ok(rows.iter().map(table).collect())
}

/// Analyzes tables, as long as there is patience. One that somebody holds, or that fails, is left
/// out. Returns whether any was.
async fn analyze<'a>(
    inside: &Connection,
    tables: impl Iterator<Item = &'a Table>,
) -> Result<bool, SqlError> {
    let begin = Instant::now();
    let mut any = false;
    for table in tables.take_while(|_| begin.elapsed() < PATIENCE) {
        if !any {
            inside.run(SET).await?;
        }
        any = true;
        match inside.run(&format!("analyze (skip_locked) {}", table.name)).await {
            Err(error) if !error.leaves_session() => return Err(error),
            Err(error) => tracing::debug!("a table is not counted: {error}"),
            Ok(()) => {}
        }
    }
    if any {
        inside.run("reset lock_timeout; reset statement_timeout").await?;
    }
    Ok(any)
}
