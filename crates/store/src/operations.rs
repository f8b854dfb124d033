//! Operations: what people asked for and what takes time.

use howdah_model::agent::Incarnation;
use howdah_model::ids::{AccountId, AppId, DatabaseId, OperationId};
use howdah_model::machine::Kind;
use howdah_model::operation::{
    self, Admission, Outcome, capture::Capture, change_plan::ChangePlan, destroy::Destroy,
    promote::Promote, provision::Provision, reset::Reset, restore::Restore, rotate::Rotate,
    unfollow::Unfollow,
};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::{Error, Result};
use crate::{databases, machines, wakes};

/// The channel that carries the id of an operation whose outcome was written.
pub const OUTCOMES: &str = "howdah_operations";

/// An operation, and where its machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What was asked for.
    pub kind: operation::Operation,
    /// The database that it is about.
    pub database_id: DatabaseId,
    /// The app that it was asked for.
    pub app_id: AppId,
    /// Who asked; none when it was the platform itself.
    pub account_id: Option<AccountId>,
    /// What was asked for, for the kinds that take arguments.
    pub arguments: serde_json::Value,
    /// The incarnation that a reset or a restore asked for, once it has.
    pub incarnation: Option<Incarnation>,
    /// When somebody changed their mind.
    pub cancelled_at: Option<Timestamp>,
    /// How it ended, or that it has not.
    pub outcome: Outcome,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The name of its machine's state.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Why its last attempt at an effect did not succeed.
    pub last_error: Option<String>,
}

impl FromRow<'_, PgRow> for Operation {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            kind: row.named("kind")?,
            database_id: row.id("database_id")?,
            app_id: row.id("app_id")?,
            account_id: row.id_or_null("account_id")?,
            arguments: row.try_get("arguments")?,
            incarnation: row.try_get::<Option<i32>, _>("incarnation")?.map(Incarnation),
            cancelled_at: row.time_or_null("cancelled_at")?,
            outcome: row.named("outcome")?,
            created_at: row.time("created_at")?,
            finished_at: row.time_or_null("finished_at")?,
            state: row.try_get("state")?,
            since: row.time("since")?,
            last_error: row.try_get("last_error")?,
        })
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct New {
    /// Its id.
    pub id: OperationId,
    /// What is asked for.
    pub kind: operation::Operation,
    /// The database that it is about.
    pub database_id: DatabaseId,
    /// The app that it is asked for.
    pub app_id: AppId,
    /// Who asks; none when it is the platform itself.
    pub account_id: Option<AccountId>,
    /// What is asked for, for the kinds that take arguments; else an empty object.
    pub arguments: serde_json::Value,
}

/// Why an operation was not begun.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Another operation on the same database stands against it.
    #[error("{why}")]
    Refused {
        /// Which one is under way.
        running: operation::Operation,
        /// Why both cannot be, for people: `it is being destroyed`.
        why: &'static str,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Begins an operation, if the others on the same database allow it (see
/// [`operation::admit`]); those that it supersedes are cancelled. Locks the database, so an app
/// that the caller needs too is locked before.
///
/// # Errors
/// [`NotAdmitted::Refused`] when another operation stands against it; [`Error::Gone`] when there
/// is no such database.
pub async fn insert(tx: &mut Tx, new: &New, now: Timestamp) -> Result<(), NotAdmitted> {
    databases::lock(tx, new.database_id).await?;
    let superseded = admit(tx, new).await?;
    for id in superseded {
        cancel(tx, id, now).await?;
    }
    sqlx::query(
        "insert into operations
             (id, kind, database_id, app_id, account_id, arguments, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.id.0)
    .bind(Named(new.kind))
    .bind(new.database_id.0)
    .bind(new.app_id.0)
    .bind(new.account_id.map(|id| id.0))
    .bind(&new.arguments)
    .bind(at(now))
    .execute(&mut **tx)
    .await
    .map_err(Error::from)?;
    insert_machine(tx, new, now).await?;
    Ok(())
}

/// The operations that a new one supersedes.
async fn admit(tx: &mut Tx, new: &New) -> Result<Vec<OperationId>, NotAdmitted> {
    let running = unfinished(tx, new.database_id).await?;
    let mut superseded = Vec::new();
    for running in running {
        match operation::admit(running.kind, new.kind) {
            Admission::Together => {}
            Admission::Supersedes => superseded.push(running.id),
            Admission::Refused(why) => {
                return Err(NotAdmitted::Refused { running: running.kind, why });
            }
        }
    }
    Ok(superseded)
}

async fn insert_machine(tx: &mut Tx, new: &New, now: Timestamp) -> Result<()> {
    let (id, why) = (new.id.0, "it was asked for");
    match new.kind.kind() {
        Kind::Provision => machines::insert::<Provision>(tx, id, why, now).await,
        Kind::Reset => machines::insert::<Reset>(tx, id, why, now).await,
        Kind::Promote => machines::insert::<Promote>(tx, id, why, now).await,
        Kind::Unfollow => machines::insert::<Unfollow>(tx, id, why, now).await,
        Kind::ChangePlan => machines::insert::<ChangePlan>(tx, id, why, now).await,
        Kind::Capture => machines::insert::<Capture>(tx, id, why, now).await,
        Kind::Restore => machines::insert::<Restore>(tx, id, why, now).await,
        Kind::Rotate => machines::insert::<Rotate>(tx, id, why, now).await,
        Kind::Destroy => machines::insert::<Destroy>(tx, id, why, now).await,
        Kind::Participant | Kind::Database => unreachable!("a supervisor is no operation"),
    }
}

/// Marks an unfinished operation as no longer wanted and wakes it. It undoes itself if its point
/// of no return has not been passed. Answers whether there was one to mark.
///
/// # Errors
/// When the database does not answer.
pub async fn cancel(tx: &mut Tx, id: OperationId, now: Timestamp) -> Result<bool> {
    let marked = sqlx::query(
        "update operations set cancelled_at = $2
         where id = $1 and finished_at is null and cancelled_at is null",
    )
    .bind(id.0)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    wakes::insert(tx, &[id.0]).await?;
    Ok(marked.rows_affected() > 0)
}

/// One operation.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: OperationId) -> Result<Option<Operation>> {
    let found = sqlx::query_as(
        "select o.*, m.state, m.since, m.last_error
         from operations o join machines m using (id) where o.id = $1",
    )
    .bind(id.0)
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// The unfinished operations on a database, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn unfinished(conn: &mut Connection, database: DatabaseId) -> Result<Vec<Operation>> {
    let all = sqlx::query_as(
        "select o.*, m.state, m.since, m.last_error
         from operations o join machines m using (id)
         where o.database_id = $1 and o.finished_at is null order by m.serial",
    )
    .bind(database.0)
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// The newest operations of an app, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_app(conn: &mut Connection, app: AppId, limit: u32) -> Result<Vec<Operation>> {
    let all = sqlx::query_as(
        "select o.*, m.state, m.since, m.last_error
         from operations o join machines m using (id)
         where o.app_id = $1 order by o.created_at desc, m.serial desc limit $2",
    )
    .bind(app.0)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// The newest operations on a database, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_database(
    conn: &mut Connection,
    database: DatabaseId,
    limit: u32,
) -> Result<Vec<Operation>> {
    let all = sqlx::query_as(
        "select o.*, m.state, m.since, m.last_error
         from operations o join machines m using (id)
         where o.database_id = $1 order by o.created_at desc, m.serial desc limit $2",
    )
    .bind(database.0)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// Records which incarnation a reset or a restore has asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn asked_for(tx: &mut Tx, id: OperationId, incarnation: Incarnation) -> Result<()> {
    sqlx::query("update operations set incarnation = $2 where id = $1")
        .bind(id.0)
        .bind(incarnation.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Records how an operation ended or where it stands still, and tells those who wait for it.
/// `finished` only when it is at its end.
///
/// # Errors
/// When the database does not answer.
pub async fn record(
    tx: &mut Tx,
    id: OperationId,
    outcome: Outcome,
    finished: Option<Timestamp>,
) -> Result<()> {
    sqlx::query("update operations set outcome = $2, finished_at = $3 where id = $1")
        .bind(id.0)
        .bind(Named(outcome))
        .bind(finished.map(at))
        .execute(&mut **tx)
        .await?;
    sqlx::query("select pg_notify($1, $2)")
        .bind(OUTCOMES)
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a database has been given to its app: the release of its making is there.
///
/// # Errors
/// When the database does not answer.
pub async fn was_published(conn: &mut Connection, database: DatabaseId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (select from operations o join releases r on r.operation_id = o.id
                        where o.database_id = $1 and o.kind = $2)",
    )
    .bind(database.0)
    .bind(Named(operation::Operation::Provision))
    .fetch_one(conn)
    .await?)
}
