//! Links from one database to another.

use howdah_model::agent::{Incarnation, Wanted};
use howdah_model::ids::{CredentialId, DatabaseId, LinkId};
use howdah_model::name::{AddonName, LinkName};
use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::postgres::PgRow;

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// Where its foreign tables are.
    pub database: DatabaseId,
    /// Whose tables they are.
    pub remote: DatabaseId,
    /// That one's name as an add-on.
    pub remote_addon: AddonName,
    /// The name of its server and schema.
    pub name: LinkName,
    /// The other's credential that was made for it.
    pub credential: CredentialId,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl FromRow<'_, PgRow> for Link {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            database: row.id("database_id")?,
            remote: row.id("remote_id")?,
            remote_addon: row.named("addon_name")?,
            name: row.named("name")?,
            credential: row.id("credential_id")?,
            created_at: row.time("created_at")?,
        })
    }
}

/// Stores a link that is to be made.
///
/// # Errors
/// A conflict with `links_name_key` when the database has one of that name.
pub async fn insert(tx: &mut Tx, link: &Link, incarnation: Incarnation) -> Result<()> {
    sqlx::query(
        "insert into links
             (id, database_id, incarnation, remote_id, name, credential_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(link.id.0)
    .bind(link.database.0)
    .bind(incarnation.0)
    .bind(link.remote.0)
    .bind(link.name.as_str())
    .bind(link.credential.0)
    .bind(at(link.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Records that the agent has made a link. `false` when it has ended meanwhile.
///
/// # Errors
/// When the database does not answer.
pub async fn made(tx: &mut Tx, id: LinkId, now: Timestamp) -> Result<bool> {
    let made = sqlx::query("update links set made_at = $2 where id = $1 and ended_at is null")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(made.rows_affected() == 1)
}

/// Records that a link has ended. `false` when it had before.
///
/// # Errors
/// When the database does not answer.
pub async fn end(tx: &mut Tx, id: LinkId, now: Timestamp) -> Result<bool> {
    let ended = sqlx::query("update links set ended_at = $2 where id = $1 and ended_at is null")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(ended.rows_affected() == 1)
}

/// The links of a database that were made, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, database: DatabaseId) -> Result<Vec<Link>> {
    Ok(sqlx::query_as(
        "select l.*, r.addon_name from links l
         join databases d on d.id = l.database_id and d.incarnation = l.incarnation
         join databases r on r.id = l.remote_id and r.wanted = $2
         where l.database_id = $1 and l.made_at is not null and l.ended_at is null
         order by l.created_at, l.name",
    )
    .bind(database.0)
    .bind(Named(Wanted::Present))
    .fetch_all(conn)
    .await?)
}

/// The links that nobody has any use for any more: one of their databases is gone or was emptied
/// since, or they were not made although they were asked for before `begun_before`.
///
/// # Errors
/// When the database does not answer.
pub async fn list_over(conn: &mut Connection, begun_before: Timestamp) -> Result<Vec<Link>> {
    Ok(sqlx::query_as(
        "select l.*, r.addon_name from links l
         join databases d on d.id = l.database_id
         join databases r on r.id = l.remote_id
         where l.ended_at is null
           and (d.wanted <> $1 or r.wanted <> $1 or d.incarnation > l.incarnation
                or (l.made_at is null and l.created_at < $2))
         order by l.created_at, l.id",
    )
    .bind(Named(Wanted::Present))
    .bind(at(begun_before))
    .fetch_all(conn)
    .await?)
}
