//! Timelines: histories of WAL. They outlive their databases.

use howdah_model::ids::{ServerId, TimelineId};
use howdah_model::lsn::Lsn;
use howdah_model::version::Major;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// A timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Its id.
    pub id: TimelineId,
    /// The one that it branched off.
    pub parent_id: Option<TimelineId>,
    /// Where it did, once that was seen.
    pub branch_lsn: Option<Lsn>,
    /// When it began.
    pub created_at: Timestamp,
    /// Until when its archive is kept, once nobody leads it any more.
    pub keep_until: Option<Timestamp>,
    /// When its archive was gone.
    pub erased_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Timeline {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let branch: Option<String> = row.try_get("branch")?;
        let branch = branch.map(|text| text.parse()).transpose();
        Ok(Self {
            id: row.id("id")?,
            parent_id: row.id_or_null("parent_id")?,
            branch_lsn: branch.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            created_at: row.time("created_at")?,
            keep_until: row.time_or_null("keep_until")?,
            erased_at: row.time_or_null("erased_at")?,
        })
    }
}

/// Inserts a timeline that begins with an empty cluster.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, id: TimelineId, major: Major, now: Timestamp) -> Result<()> {
    sqlx::query("insert into timelines (id, major, created_at) values ($1, $2, $3)")
        .bind(id.0)
        .bind(i16::try_from(major.0).unwrap_or(i16::MAX))
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Inserts a timeline that branches off another. `at_lsn` is none while nobody knows where.
///
/// # Errors
/// When the database does not answer.
pub async fn branch(
    tx: &mut Tx,
    id: TimelineId,
    parent: TimelineId,
    at_lsn: Option<Lsn>,
    major: Major,
    now: Timestamp,
) -> Result<()> {
    insert(tx, id, major, now).await?;
    sqlx::query("update timelines set parent_id = $2, branch_lsn = $3::text::pg_lsn where id = $1")
        .bind(id.0)
        .bind(parent.0)
        .bind(at_lsn.map(|lsn| lsn.to_string()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Records where a timeline branched off its parent, unless that is known already.
///
/// # Errors
/// When the database does not answer.
pub async fn branched(tx: &mut Tx, id: TimelineId, at_lsn: Lsn) -> Result<()> {
    sqlx::query(
        "update timelines set branch_lsn = $2::text::pg_lsn
         where id = $1 and parent_id is not null and branch_lsn is null",
    )
    .bind(id.0)
    .bind(at_lsn.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A timeline and all that it branched off, the newest first (K13).
///
/// # Errors
/// When the database does not answer.
pub async fn history(conn: &mut Connection, id: TimelineId) -> Result<Vec<Timeline>> {
    Ok(sqlx::query_as(
        "with recursive line as (
             select t.*, 0 as depth from timelines t where t.id = $1
             union all
             select t.*, line.depth + 1 from timelines t join line on t.id = line.parent_id
             where line.depth < 1000
         )
         select *, branch_lsn::text as branch from line order by depth",
    )
    .bind(id.0)
    .fetch_all(conn)
    .await?)
}

/// The timelines whose archive is to be erased, each with the server that had it last. One that a
/// new participant is being made from waits.
///
/// # Errors
/// When the database does not answer.
pub async fn list_due(
    conn: &mut Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(TimelineId, ServerId)>> {
    let rows = sqlx::query(
        "select t.id, p.server_id
         from timelines t
         cross join lateral (select server_id from participants
                             where timeline_id = t.id order by created_at desc limit 1) p
         where t.keep_until <= $1 and t.erased_at is null
           and not exists (select from participants p
                           where p.timeline_id = t.id and p.removed_at is null)
           and not exists (select from participants p join machines m using (id)
                           where p.source ->> 'timeline' = t.id::text and p.removed_at is null
                             and m.state in ('requested', 'creating'))
         order by t.keep_until, t.id limit $2",
    )
    .bind(at(now))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let read = rows.iter().map(|row| Ok((row.id("id")?, row.id("server_id")?)));
    Ok(read.collect::<sqlx::Result<_>>()?)
}

/// Records that the archives of timelines are gone. Answers how many that was news of.
///
/// # Errors
/// When the database does not answer.
pub async fn erased(tx: &mut Tx, ids: &[TimelineId], now: Timestamp) -> Result<u64> {
    let erased = sqlx::query(
        "update timelines set erased_at = $2
         where id = any($1) and erased_at is null and keep_until is not null",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(erased.rows_affected())
}
