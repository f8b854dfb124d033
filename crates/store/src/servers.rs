//! Servers: machines that run an agent.

use howdah_model::ids::ServerId;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// A machine that runs an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Its name, for people.
    pub name: String,
    /// The region that it is in.
    pub region: String,
    /// Where its agent listens: the path of a unix socket, or an `https` URL.
    pub agent: String,
    /// When it was registered for the first time.
    pub created_at: Timestamp,
}

impl FromRow<'_, PgRow> for Server {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            name: row.try_get("name")?,
            region: row.try_get("region")?,
            agent: row.try_get("agent")?,
            created_at: row.time("created_at")?,
        })
    }
}

/// Inserts a server, or brings what is stored of it up to date.
///
/// # Errors
/// A conflict with `servers_name_key` when another server has its name.
pub async fn register(tx: &mut Tx, server: &Server) -> Result<()> {
    sqlx::query(
        "insert into servers (id, name, region, agent, created_at) values ($1, $2, $3, $4, $5)
         on conflict (id) do update
         set name = excluded.name, region = excluded.region, agent = excluded.agent",
    )
    .bind(server.id.0)
    .bind(&server.name)
    .bind(&server.region)
    .bind(&server.agent)
    .bind(at(server.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// All servers, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection) -> Result<Vec<Server>> {
    Ok(sqlx::query_as("select * from servers order by created_at, id").fetch_all(conn).await?)
}

/// One server.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: ServerId) -> Result<Option<Server>> {
    Ok(sqlx::query_as("select * from servers where id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await?)
}

/// Locks a server until the end of the transaction: only one at a time decides what goes there.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(tx: &mut Tx, id: ServerId) -> Result<()> {
    sqlx::query("select from servers where id = $1 for no key update")
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The servers of a region, the one with the fewest participants first, locked until the end of
/// the transaction: only one at a time decides where something goes in a region.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_region(tx: &mut Tx, region: &str) -> Result<Vec<ServerId>> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select id from servers where region = $1 order by id for no key update",
    )
    .bind(region)
    .fetch_all(&mut **tx)
    .await?;
    let ordered: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select s.id from servers s where s.id = any($1)
         order by (select count(*) from participants p
                   where p.server_id = s.id and p.removed_at is null and not p.pooled),
                  s.created_at, s.id",
    )
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    Ok(ordered.into_iter().map(ServerId).collect())
}
