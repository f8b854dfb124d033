//! Reports of how databases fare (`pg:diagnose`).

use howdah_model::ids::{AppId, DatabaseId, ReportId};
use jiff::Timestamp;
use sqlx::Row;
use sqlx::types::Json;

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// The app for which it was made.
    pub app_id: AppId,
    /// The database that it is about.
    pub database_id: DatabaseId,
    /// The whole of it, as it was answered.
    pub report: serde_json::Value,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Inserts one.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, report: &Report) -> Result<()> {
    sqlx::query(
        "insert into reports (id, app_id, database_id, report, created_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(report.id.0)
    .bind(report.app_id.0)
    .bind(report.database_id.0)
    .bind(Json(&report.report))
    .bind(at(report.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One report, if it is there.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: ReportId) -> Result<Option<Report>> {
    let row =
        sqlx::query("select * from reports where id = $1").bind(id.0).fetch_optional(conn).await?;
    let report = row.map(|row| {
        Ok::<_, sqlx::Error>(Report {
            id: row.id("id")?,
            app_id: row.id("app_id")?,
            database_id: row.id("database_id")?,
            report: row.try_get::<Json<_>, _>("report")?.0,
            created_at: row.time("created_at")?,
        })
    });
    Ok(report.transpose()?)
}

/// Deletes those that were made before a time.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(tx: &mut Tx, before: Timestamp) -> Result<()> {
    sqlx::query("delete from reports where created_at < $1")
        .bind(at(before))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
