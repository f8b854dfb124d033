//! The limit of rows of a tenant's database: counting, and refusing new rows so that it holds
//! against the owner (C27, C28, C29).
//!
//! New rows are refused by what PostgreSQL has for that: `INSERT` is revoked, from everybody, on
//! every table. As the owner of a table can always grant it again, and owns what it makes next, an
//! event trigger of the platform refuses every command after which somebody could insert, for as
//! long as this lasts. What was revoked is recorded in the database itself, in the transaction that
//! revokes it, where only the platform can write, and is granted again from that record.
//!
//! The guard comes first, in a transaction of its own: from then on nothing new can be made, and
//! what a crash, or a tenant's open transaction, has left is found by the next look. A transaction
//! that began earlier and still writes when that look comes is ended.

mod count;

use howdah_model::compliance::{Compliance, Limit};
use howdah_model::name::DatabaseName;
use jiff::Timestamp;

use crate::Cluster;
use crate::connection::{Connection, Limits, SqlError};
use crate::sql::literal;

pub use count::count;

/// Who may insert where, but superusers: one row for each privilege.
const INSERTABLE: &str = include_str!("rows/insertable.sql");
const INSTALL: &str = include_str!("rows/install.sql");
const TIGHTEN: &str = include_str!("rows/tighten.sql");
const LOOSEN: &str = include_str!("rows/loosen.sql");

/// What a look at the rows of a database saw, and left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its rows.
    pub rows: u64,
    /// How it stands to its limit.
    pub compliance: Compliance,
}

/// Counts the rows of a database and makes what its limit wants true in it.
///
/// # Errors
/// See [`SqlError`]; what was not done is done by the next look.
pub async fn look(
    cluster: &Cluster,
    database: &DatabaseName,
    limit: &Limit,
    now: Timestamp,
) -> Result<Seen, SqlError> {
    let inside = cluster.connect(database.as_str(), Limits::ROWS).await?;
    let rows = count(&inside, limit.rows).await?;
    let platform = cluster.connect("postgres", Limits::LOOK).await?;
    let before = remembered(&platform, database).await?;
    let compliance = before.judge(rows, limit, now);
    if compliance != before {
        remember(&platform, database, compliance).await?;
    }
    platform.close().await;
    match compliance {
        Compliance::Within | Compliance::Over { .. } => allow(&inside).await?,
        Compliance::Refused { since, .. } => {
            if compliance == before {
                end_older_writers(&inside, since).await?;
            }
            refuse(&inside).await?;
        }
    }
    inside.close().await;
    Ok(Seen { rows, compliance })
}

/// Makes true that a database has no limit.
///
/// # Errors
/// See [`SqlError`].
pub async fn unlimited(cluster: &Cluster, database: &DatabaseName) -> Result<(), SqlError> {
    let inside = cluster.connect(database.as_str(), Limits::ROWS).await?;
    allow(&inside).await?;
    inside.close().await;
    Ok(())
}

/// Refuses new rows. May be repeated, and be broken off anywhere.
///
/// # Errors
/// See [`SqlError`]; also when a table is left that takes rows because its owner holds it.
pub async fn refuse(inside: &Connection) -> Result<(), SqlError> {
    inside.run(&INSTALL.replace("{insertable}", INSERTABLE)).await?;
    let left = format!("select count(distinct relation) from ({INSERTABLE}) i");
    let number = async || {
        let rows = inside.rows(&left, &[]).await?;
        Ok::<i64, SqlError>(rows.first().map_or(0, |row| row.get(0)))
    };
    if number().await? == 0 {
        return Ok(());
    }
    inside.run(&TIGHTEN.replace("{insertable}", INSERTABLE)).await?;
    match number().await? {
        0 => Ok(()),
        left => Err(SqlError::Refused {
            code: tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE,
            message: format!("{left} tables still take rows, as a transaction has changed them"),
        }),
    }
}

/// Gives back what [`refuse`] has taken. May be repeated, and be broken off anywhere.
///
/// # Errors
/// See [`SqlError`].
pub async fn allow(inside: &Connection) -> Result<(), SqlError> {
    const REFUSED: &str = "select from pg_class where oid = to_regclass('pg_catalog.howdah_revoked') \
         union all select from pg_event_trigger where evtname = 'howdah_row_guard'";
    if inside.rows(REFUSED, &[]).await?.is_empty() {
        return Ok(());
    }
    inside.run(LOOSEN).await
}

/// Ends the transactions of tenants that began before new rows were refused and have written.
async fn end_older_writers(inside: &Connection, since: Timestamp) -> Result<(), SqlError> {
    let end = "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity \
         where datname = current_database() and usename <> current_user \
         and backend_xid is not null and xact_start < to_timestamp($1::float8)";
    let since = since.as_microsecond() as f64 / 1_000_000.0;
    let rows = inside.rows(end, &[&since]).await?;
    let ended: i64 = rows.first().map_or(0, |row| row.get(0));
    if ended > 0 {
        tracing::warn!("ended {ended} transactions that still added rows over the limit");
    }
    Ok(())
}

async fn remembered(platform: &Connection, name: &DatabaseName) -> Result<Compliance, SqlError> {
    let select = "select (extract(epoch from over_since) * 1000000)::bigint, \
         (extract(epoch from until) * 1000000)::bigint, \
         (extract(epoch from refused_since) * 1000000)::bigint from howdah.rows where name = $1";
    let rows = platform.rows(select, &[&name.as_str()]).await?;
    let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(match rows.first().map(|row| (row.get(0), row.get(1), row.get::<_, Option<i64>>(2))) {
        None => Compliance::Within,
        Some((over, until, None)) => Compliance::Over { since: at(over), until: at(until) },
        Some((over, _, Some(since))) => Compliance::Refused { over: at(over), since: at(since) },
    })
}

/// Under its name, so that a reset or a restore makes no new grace.
async fn remember(
    platform: &Connection,
    name: &DatabaseName,
    compliance: Compliance,
) -> Result<(), SqlError> {
    let name = literal(name.as_str());
    let (over, until, refused) = match compliance {
        Compliance::Within => {
            let forget = format!(
                "delete from howdah.rows r where name = {name} \
                 or not exists (select from howdah.databases d where d.name = r.name)"
            );
            return platform.run(&forget).await;
        }
        Compliance::Over { since, until } => (since, until, "null".to_owned()),
        Compliance::Refused { over, since } => (over, since, format!("'{since}'")),
    };
    let write = format!(
        "insert into howdah.rows (name, over_since, until, refused_since) \
         values ({name}, '{over}', '{until}', {refused}) on conflict (name) do update \
         set over_since = excluded.over_since, until = excluded.until, \
         refused_since = excluded.refused_since"
    );
    platform.run(&write).await
}
