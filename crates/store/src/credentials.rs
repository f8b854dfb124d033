//! Credentials: the roles of a database, with their passwords (encrypted) and verifiers.

use howdah_model::agent::Wanted;
use howdah_model::ids::{CredentialId, DatabaseId, ParticipantId};
use howdah_model::name::RoleName;
use howdah_model::permission::Permission;
use howdah_model::scram::Verifier;
use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::column::{Columns, Named, Sealed, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;
use crate::logins;

/// The name of the credential that every database has; its role owns the database.
pub use howdah_model::attachment::DEFAULT;

/// How the names of credentials begin that were made for a link from another database. People's
/// cannot, and are shown none of these.
pub const LINK: &str = "link:";

/// A role of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// The database that it opens.
    pub database_id: DatabaseId,
    /// Its name among those of the database.
    pub name: String,
    /// Its role within PostgreSQL.
    pub role: RoleName,
    /// Its password, encrypted for this row.
    pub password: Sealed,
    /// What PostgreSQL and the gateway check a password against.
    pub verifier: Verifier,
    /// What the platform lets it do with the tables.
    pub permission: Permission,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<Timestamp>,
}

impl Credential {
    /// Whether it was made for a link from another database.
    #[must_use]
    pub fn is_links(&self) -> bool {
        self.name.starts_with(LINK)
    }
}

impl FromRow<'_, PgRow> for Credential {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            database_id: row.id("database_id")?,
            name: row.try_get("name")?,
            role: row.named("role")?,
            password: row.sealed("password")?,
            verifier: row.named("verifier")?,
            permission: row.named("permission")?,
            created_at: row.time("created_at")?,
            revoked_at: row.time_or_null("revoked_at")?,
        })
    }
}

/// Inserts a credential.
///
/// # Errors
/// A conflict with `credentials_name_key` when the database has one of that name.
pub async fn insert(tx: &mut Tx, new: &Credential) -> Result<()> {
    sqlx::query(
        "insert into credentials (id, database_id, name, role, password, verifier, permission,
                                  created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.id.0)
    .bind(new.database_id.0)
    .bind(&new.name)
    .bind(new.role.as_str())
    .bind(&new.password.0)
    .bind(Named(&new.verifier))
    .bind(Named(new.permission))
    .bind(at(new.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Changes what the platform lets a credential do with the tables.
///
/// # Errors
/// When the database does not answer.
pub async fn set_permission(tx: &mut Tx, id: CredentialId, permission: Permission) -> Result<()> {
    sqlx::query("update credentials set permission = $2 where id = $1")
        .bind(id.0)
        .bind(Named(permission))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The one that was made last, of any database, revoked or not: something that was encrypted.
pub async fn newest(conn: &mut Connection) -> Result<Option<Credential>> {
    let newest = "select * from credentials order by created_at desc, id desc limit 1";
    Ok(sqlx::query_as(newest).fetch_optional(conn).await?)
}

/// The credentials of a database that have not been revoked, the oldest (the default) first, but
/// for those of links.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, database: DatabaseId) -> Result<Vec<Credential>> {
    let all = sqlx::query_as(
        "select * from credentials where database_id = $1 and revoked_at is null
           and name not like 'link:%'
         order by created_at, id",
    )
    .bind(database.0)
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// The credential of a database with that name, unless it was revoked or is a link's.
///
/// # Errors
/// When the database does not answer.
pub async fn find(
    conn: &mut Connection,
    database: DatabaseId,
    name: &str,
) -> Result<Option<Credential>> {
    let found = sqlx::query_as(
        "select * from credentials where database_id = $1 and name = $2 and revoked_at is null
           and name not like 'link:%'",
    )
    .bind(database.0)
    .bind(name)
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// Revokes all credentials of a database, with all their logins.
///
/// # Errors
/// When the database does not answer.
pub async fn revoke_all(tx: &mut Tx, database: DatabaseId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "update credentials set revoked_at = $2 where database_id = $1 and revoked_at is null",
    )
    .bind(database.0)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    logins::revoke_of_database(tx, database, now).await
}

/// The credentials of all databases that a participant shall have, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_participant(
    conn: &mut Connection,
    participant: ParticipantId,
) -> Result<Vec<Credential>> {
    let all = sqlx::query_as(
        "select c.* from credentials c join databases d on d.id = c.database_id
         where d.participant_id = $1 and d.wanted = $2 and c.revoked_at is null
         order by c.created_at, c.role",
    )
    .bind(participant.0)
    .bind(Named(Wanted::Present))
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// The credential with a role that was not revoked.
///
/// # Errors
/// When the database does not answer.
pub async fn find_role(conn: &mut Connection, role: &str) -> Result<Option<Credential>> {
    Ok(sqlx::query_as("select * from credentials where role = $1 and revoked_at is null")
        .bind(role)
        .fetch_optional(conn)
        .await?)
}
