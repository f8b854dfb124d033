//! Where in a planned move a database is, and until when. Without a row it is in none.

use std::time::Duration;

use howdah_model::ids::{DatabaseId, ParticipantId};
use jiff::Timestamp;

use crate::column::at;
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// A stage of a planned move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Sessions are opened and filled at the participant that will be next.
    Prepare {
        /// That participant.
        next: ParticipantId,
    },
    /// No transaction begins.
    Hold {
        /// For how long what runs may go on.
        grace: Duration,
    },
}

/// Puts a database into a stage until a time, whatever it was in before.
///
/// # Errors
/// When the database does not answer, or there is no such database or participant.
pub async fn set(tx: &mut Tx, database: DatabaseId, stage: Stage, until: Timestamp) -> Result<()> {
    let (name, next, grace) = match stage {
        Stage::Prepare { next } => ("prepare", Some(next.0), None),
        Stage::Hold { grace } => {
            ("hold", None, Some(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)))
        }
    };
    sqlx::query(
        "insert into stages (database_id, stage, next_id, grace_ms, until)
         values ($1, $2, $3, $4, $5)
         on conflict (database_id) do update
         set stage = excluded.stage, next_id = excluded.next_id, grace_ms = excluded.grace_ms,
             until = excluded.until",
    )
    .bind(database.0)
    .bind(name)
    .bind(next)
    .bind(grace)
    .bind(at(until))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The name of the stage that a database is in at a time, `prepare` or `hold`; none when it is in
/// none.
///
/// # Errors
/// When the database does not answer.
pub async fn named(
    conn: &mut Connection,
    database: DatabaseId,
    now: Timestamp,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("select stage from stages where database_id = $1 and until > $2")
        .bind(database.0)
        .bind(at(now))
        .fetch_optional(conn)
        .await?)
}

/// Ends a database's stage. `false` when it was in none.
///
/// # Errors
/// When the database does not answer.
pub async fn clear(tx: &mut Tx, database: DatabaseId) -> Result<bool> {
    let result = sqlx::query("delete from stages where database_id = $1")
        .bind(database.0)
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// Deletes the stages that were over at a time.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(tx: &mut Tx, before: Timestamp) -> Result<()> {
    sqlx::query("delete from stages where until < $1").bind(at(before)).execute(&mut **tx).await?;
    Ok(())
}
