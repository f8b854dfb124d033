//! What the platform tells of itself to those who watch over it: all databases of everybody.

use howdah_model::database::State;
use howdah_model::ids::DatabaseId;
use howdah_model::name::{AddonName, AppName};
use howdah_model::operation::Operation;
use howdah_model::plan::Plan;
use howdah_model::version::Major;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::Columns;
use crate::connection::Connection;
use crate::databases::plan_of;
use crate::error::Result;

/// One database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its id.
    pub id: DatabaseId,
    /// Its name as an add-on.
    pub name: AddonName,
    /// The app that owns it.
    pub app: AppName,
    /// Its plan.
    pub plan: &'static Plan,
    /// Its major version.
    pub major: Major,
    /// How it fares.
    pub state: State,
}

impl FromRow<'_, PgRow> for Figure {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            name: row.named("addon_name")?,
            app: row.named("app_name")?,
            plan: plan_of(row)?,
            major: row.major("major")?,
            state: row.named("state")?,
        })
    }
}

/// All databases that are not gone, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn databases(conn: &mut Connection) -> Result<Vec<Figure>> {
    Ok(sqlx::query_as(
        "select d.id, d.addon_name, a.name as app_name, d.plan, d.major, m.state
         from databases d
         join apps a on a.id = d.app_id
         join machines m on m.id = d.id
         where d.removed_at is null
         order by d.addon_name, d.id",
    )
    .fetch_all(conn)
    .await?)
}

/// How many operations of each kind are under way.
///
/// # Errors
/// When the database does not answer.
pub async fn operations(conn: &mut Connection) -> Result<Vec<(Operation, i64)>> {
    let rows = sqlx::query(
        "select kind, count(*) from operations where finished_at is null group by kind order by kind",
    )
    .fetch_all(conn)
    .await?;
    let counted = rows.iter().map(|row| Ok((row.named("kind")?, row.try_get("count")?)));
    Ok(counted.collect::<sqlx::Result<_>>()?)
}
