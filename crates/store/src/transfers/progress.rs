//! What becomes of a transfer on its way.

use howdah_model::ids::{ParticipantId, ServerId, TransferId};
use jiff::Timestamp;

use crate::column::at;
use crate::connection::Tx;
use crate::error::Result;

/// What was chosen to be read and filled, and by whose agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is read, when it is of this platform.
    pub from: Option<ParticipantId>,
    /// What is filled, when that is a database.
    pub into: Option<ParticipantId>,
    /// Whose agent does it.
    pub server: ServerId,
}

/// Records what was chosen, once.
///
/// # Errors
/// When the database does not answer.
pub async fn choose(tx: &mut Tx, id: TransferId, choice: &Choice) -> Result<()> {
    sqlx::query(
        "update transfers
         set from_participant_id = $2, into_participant_id = $3, server_id = $4
         where id = $1 and server_id is null",
    )
    .bind(id.0)
    .bind(choice.from.map(|id| id.0))
    .bind(choice.into.map(|id| id.0))
    .bind(choice.server.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Records that the agent was told; its observations know of that from `change` on.
///
/// # Errors
/// When the database does not answer.
pub async fn told(tx: &mut Tx, id: TransferId, change: u64) -> Result<()> {
    sqlx::query("update transfers set told_change = $2, attempts = attempts + 1 where id = $1")
        .bind(id.0)
        .bind(i64::try_from(change).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Records that it has begun.
///
/// # Errors
/// When the database does not answer.
pub async fn started(tx: &mut Tx, id: TransferId, now: Timestamp) -> Result<()> {
    sqlx::query("update transfers set started_at = coalesce(started_at, $2) where id = $1")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// How a transfer ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finished {
    /// Whether all was copied.
    pub succeeded: bool,
    /// Whether it was cancelled.
    pub canceled: bool,
    /// Bytes of the dump, or that were copied.
    pub processed_bytes: u64,
    /// Size of the database that was copied.
    pub source_bytes: u64,
    /// Objects that were left out.
    pub warnings: u32,
    /// Tables that were copied.
    pub tables: u64,
    /// Why it failed, for people, without secrets.
    pub error: Option<String>,
    /// The log, without secrets.
    pub log: serde_json::Value,
}

/// Records how a transfer ended, and forgets the URL of what it copied.
///
/// # Errors
/// When the database does not answer.
pub async fn finish(
    tx: &mut Tx,
    id: TransferId,
    finished: &Finished,
    now: Timestamp,
) -> Result<()> {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    sqlx::query(
        "update transfers
         set finished_at = $2, succeeded = $3, canceled_at = case when $4 then $2 end,
             processed_bytes = $5, source_bytes = $6, warnings = $7, tables = $8, error = $9,
             log = $10, source_url = null
         where id = $1 and finished_at is null",
    )
    .bind(id.0)
    .bind(at(now))
    .bind(finished.succeeded)
    .bind(finished.canceled)
    .bind(number(finished.processed_bytes))
    .bind(number(finished.source_bytes))
    .bind(i32::try_from(finished.warnings).unwrap_or(i32::MAX))
    .bind(number(finished.tables))
    .bind(&finished.error)
    .bind(&finished.log)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
