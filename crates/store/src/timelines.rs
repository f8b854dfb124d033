//! Timelines: histories of WAL. They outlive their databases.

use howdah_model::ids::TimelineId;
use howdah_model::version::Major;
use jiff::Timestamp;

use crate::column::at;
use crate::connection::Tx;
use crate::error::Result;

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
