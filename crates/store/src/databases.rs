//! Databases: what customers bought. Their names stay reserved for ever.

use howdah_model::agent::{Incarnation, Revision, Wanted};
use howdah_model::database::{self, State};
use howdah_model::ids::{AppId, DatabaseId, ParticipantId};
use howdah_model::name::{AddonName, DatabaseName};
use howdah_model::plan::{self, Plan};
use howdah_model::version::Major;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::{Error, Result};
use crate::machines;

/// A database, and where its supervisor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its id: also the add-on's.
    pub id: DatabaseId,
    /// The name of the add-on.
    pub addon_name: AddonName,
    /// The app that owns it.
    pub app_id: AppId,
    /// Its plan.
    pub plan: &'static Plan,
    /// Its major version of PostgreSQL.
    pub major: Major,
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// Where it lives, once it has been placed.
    pub participant_id: Option<ParticipantId>,
    /// Its name within PostgreSQL.
    pub name: DatabaseName,
    /// The incarnation that is wanted; a reset makes the next one.
    pub incarnation: Incarnation,
    /// The revision of its participant that carries its newest change.
    pub revision: Revision,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was gone.
    pub removed_at: Option<Timestamp>,
    /// Where its supervisor is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

impl FromRow<'_, PgRow> for Database {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            addon_name: row.named("addon_name")?,
            app_id: row.id("app_id")?,
            plan: plan_of(row)?,
            major: row.major("major")?,
            wanted: row.named("wanted")?,
            participant_id: row.id_or_null("participant_id")?,
            name: row.named("name")?,
            incarnation: Incarnation(row.try_get("incarnation")?),
            revision: Revision(row.try_get("revision")?),
            created_at: row.time("created_at")?,
            removed_at: row.time_or_null("removed_at")?,
            state: row.named("state")?,
            since: row.time("since")?,
        })
    }
}

/// Reads the column `plan`.
pub(crate) fn plan_of(row: &PgRow) -> sqlx::Result<&'static Plan> {
    plan::find(row.try_get("plan")?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What a new database is made from.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Its id.
    pub id: DatabaseId,
    /// The name of the add-on.
    pub addon_name: &'a AddonName,
    /// The app that owns it.
    pub app_id: AppId,
    /// Its plan.
    pub plan: &'static Plan,
    /// Its major version of PostgreSQL.
    pub major: Major,
    /// Its name within PostgreSQL.
    pub name: &'a DatabaseName,
}

/// Inserts a database that is wanted and not placed yet, and its supervisor.
///
/// # Errors
/// A conflict with `databases_addon_name_key` or `databases_name_key` when a name is taken.
pub async fn insert(tx: &mut Tx, new: &New<'_>, now: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into databases (id, addon_name, app_id, plan, major, wanted, name, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.id.0)
    .bind(new.addon_name.as_str())
    .bind(new.app_id.0)
    .bind(new.plan.name)
    .bind(i16::try_from(new.major.0).unwrap_or(i16::MAX))
    .bind(Named(Wanted::Present))
    .bind(new.name.as_str())
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    machines::insert::<database::Database>(tx, new.id.0, "it was asked for", now).await
}

/// One database, also when it is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: DatabaseId) -> Result<Option<Database>> {
    let found = sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id) where d.id = $1",
    )
    .bind(id.0)
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// One database, locked until the end of the transaction.
///
/// # Errors
/// [`Error::Gone`] when there is none of that id.
pub async fn lock(tx: &mut Tx, id: DatabaseId) -> Result<Database> {
    sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.id = $1 for no key update of d",
    )
    .bind(id.0)
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::Gone { what: "the database" })
}

/// The database with that add-on name that is not gone.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut Connection, addon_name: &AddonName) -> Result<Option<Database>> {
    let found = sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.addon_name = $1 and d.removed_at is null",
    )
    .bind(addon_name.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// The databases that an app owns and that are not gone, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_app(conn: &mut Connection, app: AppId) -> Result<Vec<Database>> {
    let all = sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.app_id = $1 and d.removed_at is null order by m.serial",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// Gives the add-on another name.
///
/// # Errors
/// A conflict with `databases_addon_name_key` when it is taken; [`Error::Gone`] when the database
/// is.
pub async fn rename(tx: &mut Tx, id: DatabaseId, addon_name: &AddonName) -> Result<()> {
    let renamed =
        sqlx::query("update databases set addon_name = $2 where id = $1 and removed_at is null")
            .bind(id.0)
            .bind(addon_name.as_str())
            .execute(&mut **tx)
            .await?;
    if renamed.rows_affected() == 0 {
        return Err(Error::Gone { what: "the database" });
    }
    Ok(())
}
