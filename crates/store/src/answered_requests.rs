//! Answers of requests that changed something, for clients that send a request again (M21).
//!
//! A request first claims its key, so that of two that arrive at once only one is carried out; the
//! other waits for the answer. A claim without an answer has status 0.

use howdah_model::ids::AccountId;
use jiff::Timestamp;
use sqlx::FromRow;

use crate::column::at;
use crate::{Connection, Result, Sealed, Tx};

/// What makes two requests the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Who asks.
    pub account: AccountId,
    /// The client's id of the request.
    pub request_id: String,
    /// The HTTP method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
}

/// An answer, or the claim that one is on its way.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Answer {
    /// The HTTP status; 0 while there is no answer.
    pub status: i16,
    /// The body, encrypted.
    #[sqlx(try_from = "Vec<u8>")]
    pub body: Sealed,
    /// When the key was claimed.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub at: Timestamp,
}

/// Claims a key. `false` when it was claimed before.
pub async fn claim(tx: &mut Tx, key: &Key, now: Timestamp) -> Result<bool> {
    let result = sqlx::query(
        "insert into answered_requests (account_id, request_id, method, path, status, body, at)
         values ($1, $2, $3, $4, 0, '', $5) on conflict do nothing",
    )
    .bind(key.account.0)
    .bind(&key.request_id)
    .bind(&key.method)
    .bind(&key.path)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The answer or claim of a key.
pub async fn find(conn: &mut Connection, key: &Key) -> Result<Option<Answer>> {
    Ok(sqlx::query_as(
        "select status, body, at from answered_requests
         where account_id = $1 and request_id = $2 and method = $3 and path = $4",
    )
    .bind(key.account.0)
    .bind(&key.request_id)
    .bind(&key.method)
    .bind(&key.path)
    .fetch_optional(conn)
    .await?)
}

/// Keeps the answer of a claimed key.
pub async fn answer(tx: &mut Tx, key: &Key, status: i16, body: &Sealed) -> Result<()> {
    sqlx::query(
        "update answered_requests set status = $5, body = $6
         where account_id = $1 and request_id = $2 and method = $3 and path = $4",
    )
    .bind(key.account.0)
    .bind(&key.request_id)
    .bind(&key.method)
    .bind(&key.path)
    .bind(status)
    .bind(&body.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a claim up, so that the request can be tried again: nothing came of it.
pub async fn give_up(tx: &mut Tx, key: &Key) -> Result<()> {
    sqlx::query(
        "delete from answered_requests
         where account_id = $1 and request_id = $2 and method = $3 and path = $4 and status = 0",
    )
    .bind(key.account.0)
    .bind(&key.request_id)
    .bind(&key.method)
    .bind(&key.path)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes some of what was claimed before a moment.
pub async fn forget(tx: &mut Tx, before: Timestamp) -> Result<()> {
    sqlx::query(
        "delete from answered_requests where ctid = any(array(
             select ctid from answered_requests where at < $1 limit 100
             for update skip locked))",
    )
    .bind(at(before))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
