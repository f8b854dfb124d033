//! The dumps that nobody needs any more.

use howdah_model::ids::{DatabaseId, ServerId, TransferId};
use jiff::Timestamp;

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// Deletes the transfers of databases that were destroyed and cannot be brought back any more (C14).
/// Where that was tried and did not succeed, they belong to the database of before again.
///
/// # Errors
/// When the database does not answer.
pub async fn reap(tx: &mut Tx, now: Timestamp) -> Result<u64> {
    sqlx::query(
        "update transfers t set database_id = d.origin_id
         from databases d
         where d.id = t.database_id and t.deleted_at is null
           and d.wanted = 'absent' and d.origin = 'undelete'
           and not exists (select from operations o join releases r on r.operation_id = o.id
                           where o.database_id = d.id and o.kind = 'provision')",
    )
    .execute(&mut **tx)
    .await?;
    let reaped = sqlx::query(
        "update transfers t set deleted_at = $1
         from databases d
         where d.id = t.database_id and t.deleted_at is null and t.finished_at is not null
           and d.wanted = 'absent' and coalesce(d.keep_until, d.withdrawn_at, $1) <= $1",
    )
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(reaped.rows_affected())
}

/// Gives the transfers of a destroyed database to the one that it was brought back as.
///
/// # Errors
/// When the database does not answer.
pub async fn inherit(tx: &mut Tx, from: DatabaseId, to: DatabaseId) -> Result<()> {
    sqlx::query("update transfers set database_id = $2 where database_id = $1")
        .bind(from.0)
        .bind(to.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Dumps that are to be erased, each with the server whose agent made it: those that were deleted,
/// and what may be left of those that failed. One that is being restored waits.
///
/// # Errors
/// When the database does not answer.
pub async fn list_erasable(
    conn: &mut Connection,
    limit: u32,
) -> Result<Vec<(TransferId, Option<ServerId>)>> {
    let rows = sqlx::query(
        "select t.id, t.server_id from transfers t
         where t.kind = 'backup' and t.erased_at is null and t.finished_at is not null
           and (t.deleted_at is not null or not t.succeeded)
           and not exists (select from transfers r where r.dump_id = t.id and r.finished_at is null)
         order by t.finished_at, t.id limit $1",
    )
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let read = rows.iter().map(|row| Ok((row.id("id")?, row.id_or_null("server_id")?)));
    Ok(read.collect::<sqlx::Result<_>>()?)
}

/// Records that a dump is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn erased(tx: &mut Tx, id: TransferId, now: Timestamp) -> Result<()> {
    sqlx::query("update transfers set erased_at = $2 where id = $1")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
