//! What people set of databases with `pg:settings`. A follower has its leader's.

use std::collections::HashMap;

use howdah_model::database_setting::{Changed, Value};
use howdah_model::ids::{DatabaseId, ParticipantId};
use howdah_model::name::DatabaseName;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

fn entry(row: &PgRow) -> sqlx::Result<(String, Value)> {
    Ok((row.try_get("name")?, row.try_get::<Json<Value>, _>("value")?.0))
}

/// What was set of a database, or of the one that it follows.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, id: DatabaseId) -> Result<Changed> {
    let rows = sqlx::query(
        "select s.name, s.value from databases d
         join database_settings s on s.database_id = coalesce(d.follows_id, d.id)
         where d.id = $1",
    )
    .bind(id.0)
    .fetch_all(conn)
    .await?;
    Ok(rows.iter().map(entry).collect::<sqlx::Result<_>>()?)
}

/// As [`list`], of every database of a participant that has any, by its name there.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_participant(
    conn: &mut Connection,
    participant: ParticipantId,
) -> Result<HashMap<DatabaseName, Changed>> {
    let rows = sqlx::query(
        "select d.name as database, s.name, s.value from databases d
         join database_settings s on s.database_id = coalesce(d.follows_id, d.id)
         where d.participant_id = $1 and d.removed_at is null",
    )
    .bind(participant.0)
    .fetch_all(conn)
    .await?;
    let mut all: HashMap<DatabaseName, Changed> = HashMap::new();
    for row in &rows {
        let (name, value) = entry(row)?;
        all.entry(row.named("database")?).or_default().insert(name, value);
    }
    Ok(all)
}

/// Sets one. Whatever participants it concerns are to be raised in the same transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn put(
    tx: &mut Tx,
    id: DatabaseId,
    name: &str,
    value: &Value,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into database_settings (database_id, name, value, changed_at)
         values ($1, $2, $3, $4)
         on conflict (database_id, name)
         do update set value = excluded.value, changed_at = excluded.changed_at",
    )
    .bind(id.0)
    .bind(name)
    .bind(Json(value))
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a database all that another one has, instead of what it has itself.
///
/// # Errors
/// When the database does not answer.
pub async fn inherit(tx: &mut Tx, id: DatabaseId, from: DatabaseId) -> Result<()> {
    sqlx::query("delete from database_settings where database_id = $1")
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into database_settings (database_id, name, value, changed_at)
         select $1, s.name, s.value, s.changed_at from databases d
         join database_settings s on s.database_id = coalesce(d.follows_id, d.id)
         where d.id = $2",
    )
    .bind(id.0)
    .bind(from.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The participants that hold a database or follow it: whom a change of its settings concerns.
///
/// # Errors
/// When the database does not answer.
pub async fn participants(tx: &mut Tx, id: DatabaseId) -> Result<Vec<ParticipantId>> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select participant_id from databases
         where (id = $1 or follows_id = $1) and removed_at is null and participant_id is not null
         order by participant_id",
    )
    .bind(id.0)
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(ParticipantId).collect())
}
