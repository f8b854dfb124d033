//! The formation of an app: which processes it has and how many of each shall run.

use std::collections::BTreeMap;

use howdah_model::ids::AppId;
use howdah_model::name::ProcessType;
use howdah_model::process::SIZE;
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Tx};

/// Notified with an app's id when what its processes run with, or how many there shall be, has
/// changed: a release, maintenance mode, the formation.
pub const CHANGED: &str = "processes";

/// A process type of an app.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Process {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[sqlx(rename = "type", try_from = "String")]
    pub kind: ProcessType,
    /// What it runs.
    pub command: String,
    #[sqlx(rename = "quantity")]
    stored: i32,
    /// The size that was asked for.
    pub size: String,
    /// When it was last changed.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
}

impl Process {
    /// How many shall run.
    #[must_use]
    pub fn quantity(&self) -> u32 {
        u32::try_from(self.stored).unwrap_or(0)
    }
}

/// The process types of an app, by name.
pub async fn list(conn: &mut Connection, app: AppId) -> Result<Vec<Process>> {
    Ok(sqlx::query_as(
        "select id, type, command, quantity, size, updated_at from formation
         where app_id = $1 order by type",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}

/// Makes a formation that of a Procfile: what is new in it gets `first(type)` processes, what it
/// has no more is gone, and numbers of processes stay. The caller has locked the app.
pub async fn declare(
    tx: &mut Tx,
    app: AppId,
    types: &BTreeMap<ProcessType, String>,
    first: impl Fn(&ProcessType) -> u32,
    now: Timestamp,
) -> Result<()> {
    let names: Vec<_> = types.keys().map(ProcessType::as_str).collect();
    sqlx::query("delete from formation where app_id = $1 and type <> all($2)")
        .bind(app.0)
        .bind(&names)
        .execute(&mut **tx)
        .await?;
    for (kind, command) in types {
        sqlx::query(
            "insert into formation (id, app_id, type, command, quantity, size, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (app_id, type)
                do update set command = excluded.command, updated_at = excluded.updated_at",
        )
        .bind(Uuid::now_v7())
        .bind(app.0)
        .bind(kind.as_str())
        .bind(command)
        .bind(i32::try_from(first(kind)).unwrap_or(0))
        .bind(SIZE)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    }
    notify(tx, app).await
}

/// Changes how many processes of a type shall run, and their size where one is named. `false` when
/// the app has no such type.
pub async fn scale(
    tx: &mut Tx,
    app: AppId,
    kind: &str,
    quantity: u32,
    size: Option<&str>,
    now: Timestamp,
) -> Result<bool> {
    let changed = sqlx::query(
        "update formation set quantity = $3, size = coalesce($4, size), updated_at = $5
         where app_id = $1 and type = $2",
    )
    .bind(app.0)
    .bind(kind)
    .bind(i32::try_from(quantity).unwrap_or(i32::MAX))
    .bind(size)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    notify(tx, app).await?;
    Ok(changed.rows_affected() > 0)
}

/// Tells, with the commit, that what an app's processes run with has changed.
pub(crate) async fn notify(tx: &mut Tx, app: AppId) -> Result<()> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANGED)
        .bind(app.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
