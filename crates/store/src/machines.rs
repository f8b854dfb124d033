//! Where each state machine is, who works on it, and when it is looked at next.

use std::time::Duration;

use howdah_model::machine::{Kind, Machine};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::{Error, Result};
use crate::{transitions, wakes};

/// The channel that is notified when a machine is due at once.
pub const DUE: &str = "howdah_machines";

/// A machine as it is stored. Its state is text here, as its type depends on the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The id of its participant, database or operation.
    pub id: Uuid,
    /// Which machine it is.
    pub kind: Kind,
    /// The name of its state.
    pub state: String,
    /// Since when it has been in the state.
    pub since: Timestamp,
    /// Whether it is at its end.
    pub over: bool,
    /// Effects tried since the state was entered, or since there was nothing to do.
    pub attempt: u32,
    /// When it is looked at next, if nothing wakes it before.
    pub wake_at: Timestamp,
    /// Why the last attempt did not succeed.
    pub last_error: Option<String>,
}

impl FromRow<'_, PgRow> for Stored {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.named("kind")?,
            state: row.try_get("state")?,
            since: row.time("since")?,
            over: row.try_get("over")?,
            attempt: row.try_get::<i32, _>("attempt")?.unsigned_abs(),
            wake_at: row.time("wake_at")?,
            last_error: row.try_get("last_error")?,
        })
    }
}

/// A worker's claim on a machine: what it needs to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The machine.
    pub id: Uuid,
    /// The claim's random token.
    pub token: Uuid,
}

/// Inserts a machine in its first state, due at once, and records that as its first transition.
///
/// # Errors
/// When it is there already, or the database does not answer.
pub async fn insert<M: Machine>(tx: &mut Tx, id: Uuid, why: &str, now: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into machines (id, kind, state, since, wake_at) values ($1, $2, $3, $4, $4)",
    )
    .bind(id)
    .bind(Named(M::KIND))
    .bind(Named(M::START))
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    transitions::insert(tx, id, M::KIND, None, &M::START.to_string(), why, now).await?;
    wakes::notify(tx).await
}

/// When the next machine is due: in the past when one is due now.
///
/// # Errors
/// When the database does not answer.
pub async fn next_due(conn: &mut Connection) -> Result<Option<Timestamp>> {
    let due: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "select least(
             (select min(coalesce(m.lease_until, to_timestamp(0)))
              from wakes w join machines m on m.id = w.machine_id where not m.over),
             (select min(wake_at) from machines where not over and lease is null),
             (select min(lease_until) from machines where not over and lease is not null)
         )",
    )
    .fetch_one(conn)
    .await?;
    Ok(due.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Claims at most `limit` machines that are due and that nobody works on, longest due first.
///
/// The claim holds for `hold`. Should the worker not come back, the machine is due again then, or
/// later when its last attempts did not succeed.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(
    tx: &mut Tx,
    token: Uuid,
    now: Timestamp,
    hold: Duration,
    limit: u32,
) -> Result<Vec<Stored>> {
    let until = now + hold;
    let mut claimed: Vec<(i64, Stored)> = sqlx::query(
        "with ready as (
             select id from machines where not over and lease is null and wake_at <= $2
             union
             select id from machines where not over and lease is not null and lease_until <= $2
             union
             select machine_id from wakes
         ), due as (
             select id, wake_at from machines
             where id in (select id from ready)
               and not over and (lease is null or lease_until <= $2)
             order by wake_at, serial
             limit $4
             for no key update skip locked
         ), woken as (
             delete from wakes where machine_id in (select id from due)
         )
         update machines m
         set lease = $1, lease_until = $3,
             wake_at = greatest($3, $2 + interval '100 ms' * least(600, 2 ^ least(attempt, 10)))
         from due where m.id = due.id
         returning m.serial, m.id, kind, state, since, over, attempt, due.wake_at, last_error",
    )
    .bind(token)
    .bind(at(now))
    .bind(at(until))
    .bind(i64::from(limit))
    .try_map(|row: PgRow| Ok((row.try_get("serial")?, Stored::from_row(&row)?)))
    .fetch_all(&mut **tx)
    .await?;
    claimed.sort_by_key(|(serial, stored)| (stored.wake_at, *serial));
    Ok(claimed.into_iter().map(|(_, stored)| stored).collect())
}

/// Makes sure that the claim still holds and that the machine is still in `state`, until the end
/// of the transaction: what is written in it is not written by a worker that lost its claim.
///
/// # Errors
/// [`Error::Gone`] when the claim was lost.
pub async fn fence(tx: &mut Tx, lease: Lease, state: &str) -> Result<()> {
    let held = sqlx::query(
        "select from machines where id = $1 and lease = $2 and state = $3 and not over
         for no key update",
    )
    .bind(lease.id)
    .bind(lease.token)
    .bind(state)
    .fetch_optional(&mut **tx)
    .await?;
    held.map(|_| ()).ok_or(LOST)
}

/// What is gone when a claim was lost, in [`Error::Gone`].
pub const CLAIM: &str = "the claim on the machine";

const LOST: Error = Error::Gone { what: CLAIM };

/// Moves a machine on, with its reason. The claim stays, unless the machine is at its end.
///
/// # Errors
/// [`Error::Gone`] when the claim was lost.
pub async fn goto<M: Machine>(
    tx: &mut Tx,
    lease: Lease,
    from: M::State,
    to: M::State,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    let over = M::is_over(to);
    let moved = sqlx::query(
        "update machines
         set state = $4, since = $5, over = $6, attempt = 0, last_error = null,
             lease = case when $6 then null else lease end,
             lease_until = case when $6 then null else lease_until end
         where id = $1 and lease = $2 and state = $3 and not over",
    )
    .bind(lease.id)
    .bind(lease.token)
    .bind(Named(from))
    .bind(Named(to))
    .bind(at(now))
    .bind(over)
    .execute(&mut **tx)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(LOST);
    }
    if over {
        wakes::forget(tx, lease.id).await?;
    }
    let from = from.to_string();
    transitions::insert(tx, lease.id, M::KIND, Some(&from), &to.to_string(), why, now).await
}

/// How a worker leaves a machine that it lets go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The machine.
    pub id: Uuid,
    /// When it is looked at next.
    pub wake_at: Timestamp,
    /// Effects tried since the state was entered, or since there was nothing to do.
    pub attempt: u32,
    /// Why the last attempt did not succeed.
    pub last_error: Option<String>,
}

/// Lets go of machines of one claim, all in one statement. Those whose claim was lost meanwhile
/// are left alone.
///
/// # Errors
/// When the database does not answer.
pub async fn rest(tx: &mut Tx, token: Uuid, rests: &[Rest]) -> Result<()> {
    let ids: Vec<_> = rests.iter().map(|rest| rest.id).collect();
    let wake_at: Vec<_> = rests.iter().map(|rest| at(rest.wake_at)).collect();
    let attempt: Vec<_> =
        rests.iter().map(|rest| i32::try_from(rest.attempt).unwrap_or(i32::MAX)).collect();
    let errors: Vec<_> = rests.iter().map(|rest| rest.last_error.as_deref()).collect();
    sqlx::query(
        "update machines m
         set lease = null, lease_until = null,
             wake_at = rest.wake_at, attempt = rest.attempt, last_error = rest.last_error
         from unnest($2::uuid[], $3::timestamptz[], $4::integer[], $5::text[])
             as rest (id, wake_at, attempt, last_error)
         where m.id = rest.id and m.lease = $1",
    )
    .bind(token)
    .bind(ids)
    .bind(wake_at)
    .bind(attempt)
    .bind(errors)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Frees what workers that are gone had claimed. Only for one who knows that no other worker lives:
/// a worker that did would go on beside the next one.
///
/// # Errors
/// When the database does not answer.
pub async fn free_all(tx: &mut Tx, now: Timestamp) -> Result<()> {
    sqlx::query(
        "update machines set lease = null, lease_until = null, wake_at = least(wake_at, $1)
         where lease is not null and not over",
    )
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One machine.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: Uuid) -> Result<Option<Stored>> {
    let found = sqlx::query_as(
        "select id, kind, state, since, over, attempt, wake_at, last_error
         from machines where id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(found)
}
