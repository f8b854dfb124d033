//! Uploads: dumps that people sent, to be restored once.

use howdah_model::ids::{AccountId, ServerId, TransferId};
use jiff::Timestamp;

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// Stores that a dump is being sent.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(
    tx: &mut Tx,
    id: TransferId,
    account: AccountId,
    server: ServerId,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into uploads (id, account_id, server_id, created_at) values ($1, $2, $3, $4)",
    )
    .bind(id.0)
    .bind(account.0)
    .bind(server.0)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Records that all of it is there.
///
/// # Errors
/// When the database does not answer.
pub async fn complete(tx: &mut Tx, id: TransferId, now: Timestamp) -> Result<()> {
    sqlx::query("update uploads set completed_at = $2 where id = $1")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a dump is there as a whole, and was sent by this account.
///
/// # Errors
/// When the database does not answer.
pub async fn is_complete(
    conn: &mut Connection,
    id: TransferId,
    account: AccountId,
) -> Result<bool> {
    let found: Option<bool> = sqlx::query_scalar(
        "select completed_at is not null from uploads where id = $1 and account_id = $2",
    )
    .bind(id.0)
    .bind(account.0)
    .fetch_optional(conn)
    .await?;
    Ok(found.unwrap_or(false))
}

/// Dumps that were restored, or that nobody wanted since `before`, each with the server whose agent
/// has put it there. One that is being restored waits.
///
/// # Errors
/// When the database does not answer.
pub async fn list_erasable(
    conn: &mut Connection,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(TransferId, ServerId)>> {
    let rows = sqlx::query(
        "select u.id, u.server_id from uploads u
         where (u.created_at < $1 or exists (select from transfers t where t.dump_id = u.id))
           and not exists (select from transfers t where t.dump_id = u.id and t.finished_at is null)
         order by u.created_at, u.id limit $2",
    )
    .bind(at(before))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let read = rows.iter().map(|row| Ok((row.id("id")?, row.id("server_id")?)));
    Ok(read.collect::<sqlx::Result<_>>()?)
}

/// Forgets a dump that is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn erased(tx: &mut Tx, id: TransferId) -> Result<()> {
    sqlx::query("delete from uploads where id = $1").bind(id.0).execute(&mut **tx).await?;
    Ok(())
}
