//! Every change of state, with its reason.

use howdah_model::machine::Kind;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The machine: the id of its participant, database or operation.
    pub machine_id: Uuid,
    /// Which machine it is.
    pub kind: Kind,
    /// The state before; none for a new machine.
    pub from: Option<String>,
    /// The state after.
    pub to: String,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl FromRow<'_, PgRow> for Transition {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            machine_id: row.try_get("machine_id")?,
            kind: row.named("kind")?,
            from: row.try_get("from_state")?,
            to: row.try_get("to_state")?,
            reason: row.try_get("reason")?,
            at: row.time("at")?,
        })
    }
}

pub(crate) async fn insert(
    tx: &mut Tx,
    machine: Uuid,
    kind: Kind,
    from: Option<&str>,
    to: &str,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into transitions (machine_id, kind, from_state, to_state, reason, at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(machine)
    .bind(Named(kind))
    .bind(from)
    .bind(to)
    .bind(why)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The history of some machines, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, machines: &[Uuid]) -> Result<Vec<Transition>> {
    let all = sqlx::query_as(
        "select machine_id, kind, from_state, to_state, reason, at from transitions
         where machine_id = any($1) order by id",
    )
    .bind(machines)
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// Deletes at most `limit` transitions from before `before`, oldest first. Answers how many it
/// deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn delete_before(tx: &mut Tx, before: Timestamp, limit: u32) -> Result<u64> {
    let deleted = sqlx::query(
        "delete from transitions where id in (
             select id from transitions where at < $1 order by id limit $2
         )",
    )
    .bind(at(before))
    .bind(i64::from(limit))
    .execute(&mut **tx)
    .await?;
    Ok(deleted.rows_affected())
}
