//! Windows of databases, and what was or is to be done about their servers in them.

use howdah_model::ids::{AppId, DatabaseId, MaintenanceId, ParticipantId};
use howdah_model::maintenance::{Status, Window};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::{Error, Result};
use crate::wakes;

/// Something that is due for the server of a database, or was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Its id.
    pub id: MaintenanceId,
    /// The database.
    pub database_id: DatabaseId,
    /// The participant whose server it is about.
    pub participant_id: ParticipantId,
    /// Why, for people.
    pub reason: String,
    /// Where it stands.
    pub status: Status,
    /// When it was noticed.
    pub noticed_at: Timestamp,
    /// Until when it is to be done.
    pub required_by: Timestamp,
    /// When it is to begin.
    pub scheduled_for: Timestamp,
    /// When it was to begin before that was changed.
    pub previously_scheduled_for: Option<Timestamp>,
    /// How many restarts were asked for of the participant, with its own.
    pub restarts: Option<i32>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Maintenance {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            database_id: row.id("database_id")?,
            participant_id: row.id("participant_id")?,
            reason: row.try_get("reason")?,
            status: row.named("status")?,
            noticed_at: row.time("noticed_at")?,
            required_by: row.time("required_by")?,
            scheduled_for: row.time("scheduled_for")?,
            previously_scheduled_for: row.time_or_null("previously_scheduled_for")?,
            restarts: row.try_get("restarts")?,
            started_at: row.time_or_null("started_at")?,
            completed_at: row.time_or_null("completed_at")?,
        })
    }
}

/// The window of a database.
///
/// # Errors
/// When the database does not answer.
pub async fn window(conn: &mut Connection, id: DatabaseId) -> Result<Window> {
    let row = sqlx::query("select day, minute from maintenance_windows where database_id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else {
        return Ok(Window::of(id.0));
    };
    let (day, minute): (i16, i16) = (row.try_get("day")?, row.try_get("minute")?);
    let chosen = u8::try_from(day).ok().zip(u16::try_from(minute).ok());
    Ok(chosen.and_then(|(day, minute)| Window::new(day, minute)).unwrap_or(Window::of(id.0)))
}

/// Chooses the window of a database.
///
/// # Errors
/// When the database does not answer.
pub async fn put_window(tx: &mut Tx, id: DatabaseId, window: Window) -> Result<()> {
    sqlx::query(
        "insert into maintenance_windows (database_id, day, minute) values ($1, $2, $3)
         on conflict (database_id) do update set day = excluded.day, minute = excluded.minute",
    )
    .bind(id.0)
    .bind(i16::from(window.day()))
    .bind(i16::try_from(window.minute()).unwrap_or_default())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those that are not over, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_open(conn: &mut Connection) -> Result<Vec<Maintenance>> {
    Ok(sqlx::query_as(
        "select * from maintenances where completed_at is null order by noticed_at, id",
    )
    .fetch_all(conn)
    .await?)
}

/// Those of a database, the newest first, at most so many.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, id: DatabaseId, most: u32) -> Result<Vec<Maintenance>> {
    Ok(sqlx::query_as(
        "select * from maintenances where database_id = $1
         order by completed_at desc nulls first, noticed_at desc limit $2",
    )
    .bind(id.0)
    .bind(i64::from(most))
    .fetch_all(conn)
    .await?)
}

/// The newest one of each database of an app that has any.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_app(conn: &mut Connection, app: AppId) -> Result<Vec<Maintenance>> {
    Ok(sqlx::query_as(
        "select distinct on (m.database_id) m.* from maintenances m
         join databases d on d.id = m.database_id
         where d.app_id = $1 and d.removed_at is null
         order by m.database_id, m.completed_at desc nulls first, m.noticed_at desc",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}

/// Inserts one that waits for its time, unless one of the database is not over yet.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, new: &Maintenance) -> Result<()> {
    sqlx::query(
        "insert into maintenances (id, database_id, participant_id, reason, status, noticed_at,
                                   required_by, scheduled_for)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (database_id) where completed_at is null do nothing",
    )
    .bind(new.id.0)
    .bind(new.database_id.0)
    .bind(new.participant_id.0)
    .bind(&new.reason)
    .bind(Named(new.status))
    .bind(at(new.noticed_at))
    .bind(at(new.required_by))
    .bind(at(new.scheduled_for))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives one that waits another time, if it still waits.
///
/// # Errors
/// When the database does not answer.
pub async fn schedule(tx: &mut Tx, id: MaintenanceId, time: Timestamp) -> Result<()> {
    sqlx::query(
        "update maintenances set previously_scheduled_for = scheduled_for, scheduled_for = $2
         where id = $1 and status = $3",
    )
    .bind(id.0)
    .bind(at(time))
    .bind(Named(Status::Pending))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Begins one that waits: asks for one restart of its participant, which may be away until a time.
/// Answers whether that was news; it is not when it was begun before, or is not there any more.
///
/// # Errors
/// [`Error::Gone`] when there is no such participant.
pub async fn begin(
    tx: &mut Tx,
    one: &Maintenance,
    now: Timestamp,
    away_until: Timestamp,
) -> Result<bool> {
    let waits = sqlx::query("select from maintenances where id = $1 and status = $2 for update")
        .bind(one.id.0)
        .bind(Named(Status::Pending))
        .fetch_optional(&mut **tx)
        .await?;
    if waits.is_none() {
        return Ok(false);
    }
    let restarts: i32 = sqlx::query_scalar(
        "update participants
         set restarts = restarts + 1, revision = revision + 1, expected_disruption_until = $2
         where id = $1 returning restarts",
    )
    .bind(one.participant_id.0)
    .bind(at(away_until))
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::Gone { what: "the participant" })?;
    sqlx::query(
        "update maintenances set status = $2, restarts = $3, started_at = $4 where id = $1",
    )
    .bind(one.id.0)
    .bind(Named(Status::Running))
    .bind(restarts)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    wakes::insert(tx, &[one.participant_id.0]).await?;
    Ok(true)
}

/// Ends one that was begun.
///
/// # Errors
/// When the database does not answer.
pub async fn complete(tx: &mut Tx, id: MaintenanceId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "update maintenances set status = $2, completed_at = $3
         where id = $1 and completed_at is null",
    )
    .bind(id.0)
    .bind(Named(Status::Completed))
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes one that waits: it is not due any more.
///
/// # Errors
/// When the database does not answer.
pub async fn withdraw(tx: &mut Tx, id: MaintenanceId) -> Result<()> {
    sqlx::query("delete from maintenances where id = $1 and status = $2")
        .bind(id.0)
        .bind(Named(Status::Pending))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
