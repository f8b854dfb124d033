//! Logins of credentials beside their own: the next one while a rotation is under way, and former
//! ones, which open the database until nobody uses them any more.

use howdah_model::agent::Revision;
use howdah_model::ids::{CredentialId, DatabaseId, OperationId, ParticipantId};
use howdah_model::name::RoleName;
use howdah_model::scram::Verifier;
use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::column::{Columns, Named, Sealed, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// What a login beside a credential's own is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// It is made, to take the place of the credential's own.
    Next,
    /// It was the credential's own before a rotation.
    Former,
}

/// A login beside a credential's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its role within PostgreSQL.
    pub role: RoleName,
    /// Whose it is.
    pub credential: CredentialId,
    /// The rotation that made it what it is.
    pub operation: OperationId,
    /// What it is.
    pub stage: Stage,
    /// What a password is checked against.
    pub verifier: Verifier,
    /// Of a next one: the participant that makes it, and the revision that it was told with.
    pub told: Option<(ParticipantId, Revision)>,
    /// Since when it is what it is.
    pub since: Timestamp,
    /// Of a former one: until when it opens its database at most.
    pub until: Option<Timestamp>,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Login {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let participant = row.id_or_null("participant_id")?;
        let revision = row.try_get::<Option<i64>, _>("revision")?.map(Revision);
        Ok(Self {
            role: row.named("role")?,
            credential: row.id("credential_id")?,
            operation: row.id("operation_id")?,
            stage: row.named("stage")?,
            verifier: row.named("verifier")?,
            told: participant.zip(revision),
            since: row.time("since")?,
            until: row.time_or_null("until")?,
            revoked_at: row.time_or_null("revoked_at")?,
        })
    }
}

/// A login that shall be a credential's next.
#[derive(Clone, Debug)]
pub struct Next<'a> {
    /// Its role within PostgreSQL.
    pub role: &'a RoleName,
    /// Whose it shall be.
    pub credential: CredentialId,
    /// The rotation.
    pub operation: OperationId,
    /// What its password is checked against.
    pub verifier: &'a Verifier,
    /// Its password, encrypted for the credential's row.
    pub password: &'a Sealed,
    /// The participant that makes it, and the revision that it is told with.
    pub told: (ParticipantId, Revision),
}

/// Stores a credential's next login.
///
/// # Errors
/// A conflict with `logins_next_key` when it has one.
pub async fn insert_next(tx: &mut Tx, next: &Next<'_>, now: Timestamp) -> Result<()> {
    sqlx::query(
        "insert into logins (role, credential_id, operation_id, stage, verifier, password,
                             participant_id, revision, since)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(next.role.as_str())
    .bind(next.credential.0)
    .bind(next.operation.0)
    .bind(Named(Stage::Next))
    .bind(Named(next.verifier))
    .bind(&next.password.0)
    .bind(next.told.0.0)
    .bind(next.told.1.0)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts the next logins of a rotation in the place of the credentials' own, which are former ones
/// from now on.
///
/// # Errors
/// When the database does not answer.
pub async fn exchange(
    tx: &mut Tx,
    operation: OperationId,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let next: Vec<(Uuid, String, String, Vec<u8>)> = sqlx::query_as(
        "with next as (delete from logins where operation_id = $1 and stage = $2
                       returning credential_id, role, verifier, password)
         select n.credential_id, n.role, n.verifier, n.password
         from next n join credentials c on c.id = n.credential_id
         where c.revoked_at is null",
    )
    .bind(operation.0)
    .bind(Named(Stage::Next))
    .fetch_all(&mut **tx)
    .await?;
    for (credential, role, verifier, password) in next {
        sqlx::query(
            "insert into logins (role, credential_id, operation_id, stage, verifier, since, until)
             select role, id, $2, $3, verifier, $4, $5 from credentials where id = $1",
        )
        .bind(credential)
        .bind(operation.0)
        .bind(Named(Stage::Former))
        .bind(at(now))
        .bind(at(until))
        .execute(&mut **tx)
        .await?;
        let own = "update credentials set role = $2, verifier = $3, password = $4 where id = $1";
        sqlx::query(own)
            .bind(credential)
            .bind(role)
            .bind(verifier)
            .bind(password)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The logins of some credentials, the newest first, revoked or not.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, credentials: &[CredentialId]) -> Result<Vec<Login>> {
    let ids: Vec<_> = credentials.iter().map(|id| id.0).collect();
    let all = "select * from logins where credential_id = any($1)
               order by stage = 'next' desc, since desc, role";
    Ok(sqlx::query_as(all).bind(ids).fetch_all(conn).await?)
}

/// The logins that a rotation has made next or former ones.
///
/// # Errors
/// When the database does not answer.
pub async fn of_rotation(conn: &mut Connection, operation: OperationId) -> Result<Vec<Login>> {
    let all = "select * from logins where operation_id = $1 order by role";
    Ok(sqlx::query_as(all).bind(operation.0).fetch_all(conn).await?)
}

/// All former logins that still open their databases, with these, the oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn former(conn: &mut Connection) -> Result<Vec<(Login, DatabaseId)>> {
    let rows = sqlx::query(
        "select l.*, c.database_id from logins l join credentials c on c.id = l.credential_id
         where l.stage = 'former' and l.revoked_at is null order by l.since, l.role",
    )
    .fetch_all(conn)
    .await?;
    let read = |row: &PgRow| Ok((Login::from_row(row)?, row.id("database_id")?));
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

/// Revokes former logins. Answers how many opened something.
///
/// # Errors
/// When the database does not answer.
pub async fn revoke(tx: &mut Tx, roles: &[RoleName], now: Timestamp) -> Result<u64> {
    let roles: Vec<_> = roles.iter().map(RoleName::as_str).collect();
    let revoked = sqlx::query(
        "update logins set revoked_at = $2
         where role = any($1) and stage = 'former' and revoked_at is null",
    )
    .bind(roles)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(revoked.rows_affected())
}

/// Ends all logins of a database's credentials beside their own.
///
/// # Errors
/// When the database does not answer.
pub async fn revoke_of_database(tx: &mut Tx, database: DatabaseId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "delete from logins l using credentials c
         where c.id = l.credential_id and c.database_id = $1 and l.stage = 'next'",
    )
    .bind(database.0)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "update logins l set revoked_at = $2 from credentials c
         where c.id = l.credential_id and c.database_id = $1 and l.revoked_at is null",
    )
    .bind(database.0)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a credential and its former logins. `false` when it has ended already.
///
/// # Errors
/// When the database does not answer.
pub async fn revoke_credential(
    tx: &mut Tx,
    credential: CredentialId,
    now: Timestamp,
) -> Result<bool> {
    let ended =
        sqlx::query("update credentials set revoked_at = $2 where id = $1 and revoked_at is null")
            .bind(credential.0)
            .bind(at(now))
            .execute(&mut **tx)
            .await?;
    let logins =
        "update logins set revoked_at = $2 where credential_id = $1 and revoked_at is null";
    sqlx::query(logins).bind(credential.0).bind(at(now)).execute(&mut **tx).await?;
    Ok(ended.rows_affected() == 1)
}
