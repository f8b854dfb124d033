//! What the gateway's routes are made of: credentials, with how their databases fare.

use std::path::PathBuf;

use howdah_model::database::State;
use howdah_model::ids::DatabaseId;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::plan::Plan;
use howdah_model::route::Stage;
use howdah_model::scram::Verifier;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::databases::plan_of;
use crate::error::Result;

/// The channel that is notified when routes have changed.
pub const CHANGED: &str = "howdah_routes";

/// One credential, with how its database fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The role that clients name.
    pub role: RoleName,
    /// What their password is checked against.
    pub verifier: Verifier,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<Timestamp>,
    /// The database that it opens.
    pub database_id: DatabaseId,
    /// The name of that within PostgreSQL.
    pub database: DatabaseName,
    /// The name by which clients open it, where that is another one.
    pub known_as: Option<DatabaseName>,
    /// The plan of that.
    pub plan: &'static Plan,
    /// How that fares.
    pub state: State,
    /// Where the sockets of its participant are, once they were seen.
    pub socket_dir: Option<PathBuf>,
    /// The stage of the planned move that it is in.
    pub stage: Option<StoredStage>,
}

/// The stage of a database's planned move, with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStage {
    /// The stage.
    pub stage: Stage,
    /// Until when it holds.
    pub until: Timestamp,
}

impl FromRow<'_, PgRow> for Stored {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            role: row.named("role")?,
            verifier: row.named("verifier")?,
            revoked_at: row.time_or_null("revoked_at")?,
            database_id: row.id("database_id")?,
            database: row.named("database")?,
            known_as: row.try_get::<Option<Named<_>>, _>("known_as")?.map(|name| name.0),
            plan: plan_of(row)?,
            state: row.named("state")?,
            socket_dir: path(row, "socket_dir")?,
            stage: stage(row)?,
        })
    }
}

fn path(row: &PgRow, column: &str) -> sqlx::Result<Option<PathBuf>> {
    Ok(row.try_get::<Option<String>, _>(column)?.map(PathBuf::from))
}

/// None also for a preparation whose next server has not been seen: there is nothing to open yet.
fn stage(row: &PgRow) -> sqlx::Result<Option<StoredStage>> {
    let Some(until) = row.time_or_null("stage_until")? else {
        return Ok(None);
    };
    let grace_ms = row.try_get::<Option<i64>, _>("grace_ms")?;
    let stage = match (grace_ms, path(row, "next_socket_dir")?) {
        (Some(grace_ms), _) => Stage::Hold { grace_ms: grace_ms.unsigned_abs() },
        (None, Some(next)) => Stage::Prepare { next },
        (None, None) => Stage::Open,
    };
    Ok(Some(StoredStage { stage, until }))
}

/// All credentials with the logins that they have beside their own, but those that were revoked
/// before `revoked_since`, by role, with the stages that
/// hold at `now`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &mut Connection,
    revoked_since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Stored>> {
    Ok(sqlx::query_as(
        "select c.role, c.verifier, c.revoked_at, d.id as database_id, d.name as database, d.known_as, d.plan,
                m.state, p.socket_dir, s.until as stage_until, s.grace_ms,
                n.socket_dir as next_socket_dir
         from (select role, verifier, revoked_at, database_id from credentials
               union all
               select l.role, l.verifier, coalesce(l.revoked_at, o.revoked_at), o.database_id
               from logins l join credentials o on o.id = l.credential_id) c
         join databases d on d.id = c.database_id
         join machines m on m.id = d.id
         left join participants p on p.id = d.participant_id
         left join stages s on s.database_id = d.id and s.until > $2
         left join participants n on n.id = s.next_id and n.removed_at is null
         where c.revoked_at is null or c.revoked_at > $1
         order by c.role",
    )
    .bind(at(revoked_since))
    .bind(at(now))
    .fetch_all(conn)
    .await?)
}

/// Tells all control planes that routes have changed, when the transaction is committed.
///
/// # Errors
/// When the database does not answer.
pub async fn changed(tx: &mut Tx) -> Result<()> {
    sqlx::query("select pg_notify($1, '')").bind(CHANGED).execute(&mut **tx).await?;
    Ok(())
}
