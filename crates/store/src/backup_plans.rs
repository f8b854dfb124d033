//! The add-on `pgbackups` of apps: which backup plan each has.

use howdah_model::backup::Plan;
use howdah_model::ids::{AccountId, AppId};
use howdah_model::name::{AddonName, AppName};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// The add-on of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPlan {
    /// The add-on's id.
    pub id: Uuid,
    /// The add-on's name.
    pub name: AddonName,
    /// The app.
    pub app_id: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// The plan.
    pub plan: &'static Plan,
    /// When it captures the primary by itself.
    pub next_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

impl FromRow<'_, PgRow> for BackupPlan {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.named("name")?,
            app_id: row.id("app_id")?,
            app_name: row.named("app_name")?,
            plan: Plan::find(row.try_get("plan")?).unwrap_or_else(Plan::built_in),
            next_at: row.time_or_null("next_at")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select b.*, a.name as app_name from backup_plans b join apps a on a.id = b.app_id
             where a.destroyed_at is null and ",
            $rest
        )
    };
}

/// The add-on of an app, if it has it.
///
/// # Errors
/// When the database does not answer.
pub async fn of_app(conn: &mut Connection, app: AppId) -> Result<Option<BackupPlan>> {
    Ok(sqlx::query_as(select!("b.app_id = $1")).bind(app.0).fetch_optional(conn).await?)
}

/// The add-ons of the apps that an account may see.
///
/// # Errors
/// When the database does not answer.
pub async fn list_visible(conn: &mut Connection, account: AccountId) -> Result<Vec<BackupPlan>> {
    Ok(sqlx::query_as(select!(
        "(a.owner_id = $1
          or exists (select from collaborators c where c.app_id = a.id and c.account_id = $1))
         order by a.name"
    ))
    .bind(account.0)
    .fetch_all(conn)
    .await?)
}

/// Those that are due to capture.
///
/// # Errors
/// When the database does not answer.
pub async fn list_due(conn: &mut Connection, now: Timestamp) -> Result<Vec<BackupPlan>> {
    Ok(sqlx::query_as(select!("b.next_at <= $1 order by b.next_at, b.id"))
        .bind(at(now))
        .fetch_all(conn)
        .await?)
}

/// Gives an app a plan, or another one.
///
/// # Errors
/// A conflict with `backup_plans_name_key` when the name is taken.
pub async fn set(
    tx: &mut Tx,
    app: AppId,
    name: &AddonName,
    plan: &Plan,
    next_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into backup_plans (app_id, id, name, plan, next_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)
         on conflict (app_id) do update set plan = $4, next_at = $5, updated_at = $6",
    )
    .bind(app.0)
    .bind(Uuid::now_v7())
    .bind(name.as_str())
    .bind(plan.name)
    .bind(next_at.map(at))
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Moves on when a plan captures next, if it is still due at `due`. Answers whether it was.
///
/// # Errors
/// When the database does not answer.
pub async fn advance(tx: &mut Tx, id: Uuid, due: Timestamp, next: Timestamp) -> Result<bool> {
    let moved = sqlx::query("update backup_plans set next_at = $3 where id = $1 and next_at = $2")
        .bind(id)
        .bind(at(due))
        .bind(at(next))
        .execute(&mut **tx)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Takes the add-on from an app. Answers whether it had it.
///
/// # Errors
/// When the database does not answer.
pub async fn delete(tx: &mut Tx, app: AppId) -> Result<bool> {
    let deleted = sqlx::query("delete from backup_plans where app_id = $1")
        .bind(app.0)
        .execute(&mut **tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}
