//! Public keys of people (A5).

use howdah_model::ids::AccountId;
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Tx};

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SshKey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub account_id: AccountId,
    /// `SHA256:` and the digest in Base64, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The whole line: type, key, comment.
    pub public_key: String,
    /// The comment of the line, often `user@machine`.
    pub comment: String,
    /// When it was added.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
}

/// Stores a key; taken when the account has it already.
pub async fn insert(tx: &mut Tx, key: &SshKey) -> Result<()> {
    sqlx::query(
        "insert into ssh_keys (id, account_id, fingerprint, public_key, comment, created_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key.id)
    .bind(key.account_id.0)
    .bind(&key.fingerprint)
    .bind(&key.public_key)
    .bind(&key.comment)
    .bind(at(key.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The keys of an account, oldest first.
pub async fn list(conn: &mut Connection, account: AccountId) -> Result<Vec<SshKey>> {
    Ok(sqlx::query_as(
        "select id, account_id, fingerprint, public_key, comment, created_at
         from ssh_keys where account_id = $1 order by created_at, id",
    )
    .bind(account.0)
    .fetch_all(conn)
    .await?)
}

/// Removes a key by its id, fingerprint or comment. Answers what was removed.
pub async fn delete(tx: &mut Tx, account: AccountId, key: &str) -> Result<Option<SshKey>> {
    Ok(sqlx::query_as(
        "delete from ssh_keys where id = (
             select id from ssh_keys
             where account_id = $1 and (id::text = $2 or fingerprint = $2 or comment = $2)
             order by created_at limit 1)
         returning id, account_id, fingerprint, public_key, comment, created_at",
    )
    .bind(account.0)
    .bind(key)
    .fetch_optional(&mut **tx)
    .await?)
}
