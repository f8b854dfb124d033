//! Taking `INSERT` from everybody in a database, and giving it back.

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use crate::connection::{Connection, SqlError};

/// Who may insert where, but superusers: one row for each privilege.
const INSERTABLE: &str = include_str!("insertable.sql");
const INSTALL: &str = include_str!("install.sql");
const TIGHTEN: &str = include_str!("tighten.sql");
const LOOSEN: &str = include_str!("loosen.sql");

/// What is done about who stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// They may end by themselves.
    Polite,
    /// They are ended.
    Firm,
}

/// Refuses new rows. May be repeated, and be broken off anywhere.
///
/// # Errors
/// See [`SqlError`]; also when a table is left that takes rows because somebody holds it.
pub async fn refuse(inside: &Connection, manner: Manner) -> Result<(), SqlError> {
    inside.run(&INSTALL.replace("{insertable}", INSERTABLE)).await?;
    let mut left = tighten(inside).await?;
    if left > 0 && manner == Manner::Firm {
        end_holders(inside).await?;
        left = tighten(inside).await?;
    }
    if left == 0 {
        return Ok(());
    }
    Err(SqlError::Refused {
        code: SqlState::LOCK_NOT_AVAILABLE,
        message: format!("{left} tables still take rows, as a transaction holds them"),
    })
}

/// Revokes for as long as that gets on. Returns how many tables still take rows.
async fn tighten(inside: &Connection) -> Result<i64, SqlError> {
    let count = format!("select count(distinct relation) from ({INSERTABLE}) i");
    let mut left = number(inside, &count).await?;
    while left > 0 {
        inside.run(&TIGHTEN.replace("{insertable}", INSERTABLE)).await?;
        let now = number(inside, &count).await?;
        if now >= left {
            break;
        }
        left = now;
    }
    Ok(left)
}

/// Gives back what [`refuse`] has taken. May be repeated, and be broken off anywhere. What somebody
/// holds stays recorded, for the next time.
///
/// # Errors
/// See [`SqlError`].
pub async fn allow(inside: &Connection) -> Result<(), SqlError> {
    const REFUSED: &str = "\
        select count(*) from pg_class where oid = to_regclass('pg_catalog.howdah_revoked')";
    const RECORDED: &str = "select count(*) from pg_catalog.howdah_revoked";
    let mut before = i64::MAX;
    while number(inside, REFUSED).await? > 0 {
        let recorded = number(inside, RECORDED).await?;
        if recorded >= before {
            break;
        }
        before = recorded;
        inside.run(LOOSEN).await?;
    }
    Ok(())
}

/// Ends the transactions of tenants that began earlier and write.
pub(super) async fn end_older_writers(
    inside: &Connection,
    began: Timestamp,
) -> Result<(), SqlError> {
    // One that holds a table as writers do may not have heard yet that it cannot insert.
    let end = format!(
        "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity a \
         where datname = current_database() and usename <> current_user \
         and xact_start < '{began}' and (backend_xid is not null or exists (\
         select from pg_locks l where l.pid = a.pid and l.mode = 'RowExclusiveLock' \
         and l.database = a.datid and l.relation >= 16384))"
    );
    let ended = number(inside, &end).await?;
    if ended > 0 {
        tracing::warn!("ended {ended} transactions that may still add rows over the limit");
    }
    Ok(())
}

/// Ends the sessions of tenants that keep a table which still takes rows from being changed.
async fn end_holders(inside: &Connection) -> Result<(), SqlError> {
    let end = format!(
        "select count(*) filter (where pg_terminate_backend(pid, 1000)) from pg_stat_activity \
         where datname = current_database() and usename <> current_user and pid in (\
         select l.pid from pg_locks l where l.granted \
         and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') \
         and l.relation in (select i.relation from ({INSERTABLE}) i))"
    );
    let ended = number(inside, &end).await?;
    if ended > 0 {
        tracing::warn!("ended {ended} sessions that held tables which take rows over the limit");
    }
    Ok(())
}

async fn number(inside: &Connection, count: &str) -> Result<i64, SqlError> {
    let rows = inside.rows(count, &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
