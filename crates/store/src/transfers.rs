//! Transfers: backups, restores and copies, as people see them.

mod erasing;
mod progress;

use howdah_model::backup::{self, Cause, Kind};
use howdah_model::ids::{AppId, DatabaseId, ParticipantId, ServerId, TransferId};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named, Sealed, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

pub use erasing::{erased, inherit, list_erasable, reap};
pub use progress::{Choice, Finished, choose, finish, started, told};

/// What kind of thing is copied.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum SourceIs {
    /// A database of this platform.
    Database,
    /// A dump in the archive.
    Dump,
    /// A dump at an address of the web.
    Web,
    /// A database that is not of this platform.
    Foreign,
}

/// A transfer, without its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its id: that of its operation.
    pub id: TransferId,
    /// The app that owns the database.
    pub app_id: AppId,
    /// The database that is captured, or that gets what is copied.
    pub database_id: DatabaseId,
    /// What it is for people.
    pub kind: Kind,
    /// Who wanted it.
    pub cause: Cause,
    /// Its number among all transfers of the app.
    pub number: i32,
    /// What is copied, for people.
    pub from_name: String,
    /// Where to, for people.
    pub to_name: String,
    /// What kind of thing is copied.
    pub source_is: SourceIs,
    /// The dump that is restored.
    pub dump_id: Option<TransferId>,
    /// The other database of this platform that is copied.
    pub source_id: Option<DatabaseId>,
    /// The URL of what is copied, encrypted, until it is over.
    pub source_url: Option<Sealed>,
    /// Extensions to create first.
    pub extensions: Vec<String>,
    /// The schedule that wanted it.
    pub schedule_id: Option<uuid::Uuid>,
    /// Whether the oldest manual backup makes room for it.
    pub expires: bool,
    /// What is read, once that was chosen.
    pub from_participant_id: Option<ParticipantId>,
    /// What is filled, once that was chosen.
    pub into_participant_id: Option<ParticipantId>,
    /// Whose agent does it, once that was chosen.
    pub server_id: Option<ServerId>,
    /// How often the agent was told.
    pub attempts: u32,
    /// The number of an observation that knows of the last time that the agent was told.
    pub told_change: Option<u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// When it was cancelled.
    pub canceled_at: Option<Timestamp>,
    /// How it ended.
    pub succeeded: Option<bool>,
    /// Bytes of the dump, or that were copied.
    pub processed_bytes: i64,
    /// Size of the database that was copied, in bytes; 0 when that is not known.
    pub source_bytes: i64,
    /// Objects that were left out, each with a line in the log.
    pub warnings: i32,
    /// Why it failed, for people.
    pub error: Option<String>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Transfer {
    /// The id that people know it by.
    #[must_use]
    pub fn label(&self) -> String {
        backup::label(self.kind, self.cause, self.number)
    }

    /// Whether it is a complete backup that was not deleted.
    #[must_use]
    pub fn is_good_backup(&self) -> bool {
        self.kind == Kind::Backup && self.succeeded == Some(true) && self.deleted_at.is_none()
    }
}

impl FromRow<'_, PgRow> for Transfer {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            app_id: row.id("app_id")?,
            database_id: row.id("database_id")?,
            kind: row.named("kind")?,
            cause: row.named("cause")?,
            number: row.try_get("number")?,
            from_name: row.try_get("from_name")?,
            to_name: row.try_get("to_name")?,
            source_is: row.named("source_is")?,
            dump_id: row.id_or_null("dump_id")?,
            source_id: row.id_or_null("source_id")?,
            source_url: row.try_get::<Option<Vec<u8>>, _>("source_url")?.map(Sealed),
            extensions: row.try_get("extensions")?,
            schedule_id: row.try_get("schedule_id")?,
            expires: row.try_get("expires")?,
            from_participant_id: row.id_or_null("from_participant_id")?,
            into_participant_id: row.id_or_null("into_participant_id")?,
            server_id: row.id_or_null("server_id")?,
            attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
            told_change: row.try_get::<Option<i64>, _>("told_change")?.map(i64::unsigned_abs),
            created_at: row.time("created_at")?,
            started_at: row.time_or_null("started_at")?,
            finished_at: row.time_or_null("finished_at")?,
            canceled_at: row.time_or_null("canceled_at")?,
            succeeded: row.try_get("succeeded")?,
            processed_bytes: row.try_get("processed_bytes")?,
            source_bytes: row.try_get("source_bytes")?,
            warnings: row.try_get("warnings")?,
            error: row.try_get("error")?,
            deleted_at: row.time_or_null("deleted_at")?,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select t.id, t.app_id, t.database_id, t.kind, t.cause, t.number, t.from_name,
                    t.to_name, t.source_is, t.dump_id, t.source_id, t.source_url, t.extensions,
                    t.schedule_id, t.expires, t.from_participant_id, t.into_participant_id,
                    t.server_id, t.attempts, t.told_change, t.created_at, t.started_at,
                    t.finished_at, t.canceled_at, t.succeeded, t.processed_bytes, t.source_bytes,
                    t.warnings, t.error, t.deleted_at
             from transfers t ",
            $rest
        )
    };
}

/// What a new transfer is made from.
#[derive(Clone, Debug)]
pub struct New {
    /// Its id: that of its operation, which is there already.
    pub id: TransferId,
    /// The app that owns the database; the transaction has locked it.
    pub app_id: AppId,
    /// The database that is captured, or that gets what is copied.
    pub database_id: DatabaseId,
    /// What it is for people.
    pub kind: Kind,
    /// Who wanted it.
    pub cause: Cause,
    /// What is copied, for people.
    pub from_name: String,
    /// Where to, for people; a backup's is its id.
    pub to_name: String,
    /// What is copied.
    pub source: Source,
    /// Extensions to create first.
    pub extensions: Vec<String>,
    /// The schedule that wants it.
    pub schedule_id: Option<uuid::Uuid>,
    /// Whether the oldest manual backup makes room for it.
    pub expires: bool,
}

/// What a transfer copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A database of this platform; none but the one that is captured.
    Database(Option<DatabaseId>),
    /// A dump in the archive.
    Dump(TransferId),
    /// A dump at a URL, which is encrypted.
    Web(Sealed),
    /// A database at a URL, which is encrypted.
    Foreign(Sealed),
}

impl Source {
    fn is(&self) -> SourceIs {
        match self {
            Self::Database(_) => SourceIs::Database,
            Self::Dump(_) => SourceIs::Dump,
            Self::Web(_) => SourceIs::Web,
            Self::Foreign(_) => SourceIs::Foreign,
        }
    }
}

/// Inserts a transfer, with the app's next number, which it answers.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, new: &New, now: Timestamp) -> Result<i32> {
    let (dump, source, url) = match &new.source {
        Source::Database(source) => (None, *source, None),
        Source::Dump(dump) => (Some(*dump), None, None),
        Source::Web(url) | Source::Foreign(url) => (None, None, Some(&url.0)),
    };
    Ok(sqlx::query_scalar(
        "with numbered as (
             update apps set transfers = transfers + 1 where id = $2 returning transfers
         )
         insert into transfers (id, app_id, database_id, kind, cause, number, from_name, to_name,
                                dump_id, source_id, source_url, source_is, extensions, schedule_id,
                                expires, created_at)
         select $1, $2, $3, $4, $5, numbered.transfers, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
         from numbered returning number",
    )
    .bind(new.id.0)
    .bind(new.app_id.0)
    .bind(new.database_id.0)
    .bind(Named(new.kind))
    .bind(Named(new.cause))
    .bind(&new.from_name)
    .bind(&new.to_name)
    .bind(dump.map(|id| id.0))
    .bind(source.map(|id| id.0))
    .bind(url)
    .bind(Named(new.source.is()))
    .bind(&new.extensions)
    .bind(new.schedule_id)
    .bind(new.expires)
    .bind(at(now))
    .fetch_one(&mut **tx)
    .await?)
}

/// One transfer, also when it was deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: TransferId) -> Result<Option<Transfer>> {
    Ok(sqlx::query_as(select!("where t.id = $1")).bind(id.0).fetch_optional(conn).await?)
}

/// The transfers of those ids that are there, in no order.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, ids: &[TransferId]) -> Result<Vec<Transfer>> {
    Ok(sqlx::query_as(select!("where t.id = any($1)"))
        .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?)
}

/// The transfers of an app that people can see, oldest first: those that were not deleted, of
/// databases that are there.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_app(conn: &mut Connection, app: AppId) -> Result<Vec<Transfer>> {
    Ok(sqlx::query_as(select!(
        "join databases d on d.id = t.database_id
         where t.app_id = $1 and t.deleted_at is null and d.wanted = 'present'
         order by t.number"
    ))
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}

/// The transfer of an app with a number, also when it was deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn numbered(conn: &mut Connection, app: AppId, number: i32) -> Result<Option<Transfer>> {
    Ok(sqlx::query_as(select!("where t.app_id = $1 and t.number = $2"))
        .bind(app.0)
        .bind(number)
        .fetch_optional(conn)
        .await?)
}

/// The lines of the log of a transfer that is over, as they were stored.
///
/// # Errors
/// When the database does not answer.
pub async fn log(conn: &mut Connection, id: TransferId) -> Result<serde_json::Value> {
    let found = sqlx::query_scalar("select log from transfers where id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await?;
    Ok(found.unwrap_or_default())
}

/// Deletes transfers for people: from now on nobody sees them, and their dumps are erased. Answers
/// how many were there.
///
/// # Errors
/// When the database does not answer.
pub async fn delete(tx: &mut Tx, ids: &[TransferId], now: Timestamp) -> Result<u64> {
    let deleted = sqlx::query(
        "update transfers set deleted_at = $2 where id = any($1) and deleted_at is null",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(deleted.rows_affected())
}
