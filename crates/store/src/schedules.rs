//! Schedules: daily backups that people asked for.

use howdah_model::ids::{AppId, DatabaseId};
use howdah_model::schedule::Hour;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its id.
    pub id: Uuid,
    /// The app that owns the database.
    pub app_id: AppId,
    /// The database that it was asked for.
    pub database_id: DatabaseId,
    /// The config var that it was asked for with, such as `DATABASE_URL`.
    pub name: String,
    /// Whether whatever that leads to at the time is captured.
    pub by_name: bool,
    /// The hour.
    pub hour: Hour,
    /// The time zone, by its IANA name.
    pub zone: String,
    /// When it is due next.
    pub next_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl FromRow<'_, PgRow> for Schedule {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let hour = Hour::try_from(row.try_get::<i16, _>("hour")?);
        Ok(Self {
            id: row.try_get("id")?,
            app_id: row.id("app_id")?,
            database_id: row.id("database_id")?,
            name: row.try_get("name")?,
            by_name: row.try_get("by_name")?,
            hour: hour.map_err(|error| sqlx::Error::Decode(error.into()))?,
            zone: row.try_get("zone")?,
            next_at: row.time("next_at")?,
            created_at: row.time("created_at")?,
        })
    }
}

/// Stores a schedule. One of that name, hour and zone is replaced.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, new: &Schedule) -> Result<()> {
    sqlx::query(
        "insert into schedules
             (id, app_id, database_id, name, by_name, hour, zone, next_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict on constraint schedules_key do update
         set id = $1, database_id = $3, by_name = $5, next_at = $8, created_at = $9",
    )
    .bind(new.id)
    .bind(new.app_id.0)
    .bind(new.database_id.0)
    .bind(&new.name)
    .bind(new.by_name)
    .bind(i16::from(new.hour.get()))
    .bind(&new.zone)
    .bind(at(new.next_at))
    .bind(at(new.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The schedules of an app that lead to a database that is there, by name and hour.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_app(conn: &mut Connection, app: AppId) -> Result<Vec<Schedule>> {
    Ok(sqlx::query_as(
        "select s.* from schedules s join databases d on d.id = s.database_id
         where s.app_id = $1
           and (d.wanted = 'present'
                or s.by_name and exists (select from attachments a
                                         where a.app_id = s.app_id
                                           and a.name = regexp_replace(s.name, '_URL$', '')))
         order by s.name, s.hour, s.zone",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}

/// Gives the schedules of a destroyed database to the one that it was brought back as.
///
/// # Errors
/// When the database does not answer.
pub async fn inherit(tx: &mut Tx, from: DatabaseId, to: DatabaseId) -> Result<()> {
    sqlx::query("update schedules set database_id = $2 where database_id = $1")
        .bind(from.0)
        .bind(to.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives the schedules of databases that could not be brought back to those of before again.
///
/// # Errors
/// When the database does not answer.
pub async fn give_back(tx: &mut Tx) -> Result<()> {
    sqlx::query(
        "update schedules s set database_id = d.origin_id
         from databases d
         where d.id = s.database_id and d.wanted = 'absent' and d.origin = 'undelete'
           and not exists (select from operations o join releases r on r.operation_id = o.id
                           where o.database_id = d.id and o.kind = 'provision')",
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes an app's schedules of a name.
///
/// # Errors
/// When the database does not answer.
pub async fn delete_named(tx: &mut Tx, app: AppId, name: &str) -> Result<()> {
    sqlx::query("delete from schedules where app_id = $1 and name = $2")
        .bind(app.0)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes one schedule of an app; answers it.
///
/// # Errors
/// When the database does not answer.
pub async fn delete(tx: &mut Tx, app: AppId, id: Uuid) -> Result<Option<Schedule>> {
    Ok(sqlx::query_as("delete from schedules where app_id = $1 and id = $2 returning *")
        .bind(app.0)
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?)
}

/// The schedules that are due.
///
/// # Errors
/// When the database does not answer.
pub async fn list_due(conn: &mut Connection, now: Timestamp) -> Result<Vec<Schedule>> {
    Ok(sqlx::query_as("select * from schedules where next_at <= $1 order by next_at, id")
        .bind(at(now))
        .fetch_all(conn)
        .await?)
}

/// Moves a schedule on, if it is still due at `due`. Answers whether it was: then the caller, and
/// nobody else, does what it asks for.
///
/// # Errors
/// When the database does not answer.
pub async fn advance(tx: &mut Tx, id: Uuid, due: Timestamp, next: Timestamp) -> Result<bool> {
    let moved = sqlx::query("update schedules set next_at = $3 where id = $1 and next_at = $2")
        .bind(id)
        .bind(at(due))
        .bind(at(next))
        .execute(&mut **tx)
        .await?;
    Ok(moved.rows_affected() == 1)
}
