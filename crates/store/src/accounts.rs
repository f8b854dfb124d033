//! Accounts: people with a login.

use std::collections::HashMap;

use howdah_model::ids::AccountId;
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Tx};

/// A person with a login.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Account {
    /// Its id.
    #[sqlx(try_from = "Uuid")]
    pub id: AccountId,
    /// Its identity everywhere; unique without regard to case.
    pub email: String,
    /// What the person is called.
    pub name: Option<String>,
    /// When it was made.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
}

/// Stores an account. The hash is Argon2id; none for an account that only has tokens.
pub async fn insert(tx: &mut Tx, account: &Account, password_hash: Option<&str>) -> Result<()> {
    sqlx::query(
        "insert into accounts (id, email, name, password_hash, created_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(account.id.0)
    .bind(&account.email)
    .bind(&account.name)
    .bind(password_hash)
    .bind(at(account.created_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The account with an e-mail address, in any case.
pub async fn find_by_email(conn: &mut Connection, email: &str) -> Result<Option<Account>> {
    Ok(sqlx::query_as(
        "select id, email, name, created_at from accounts where lower(email) = lower($1)",
    )
    .bind(email)
    .fetch_optional(conn)
    .await?)
}

/// The hash of an account's password, if it has one.
pub async fn password_hash(conn: &mut Connection, id: AccountId) -> Result<Option<String>> {
    let hash: Option<Option<String>> =
        sqlx::query_scalar("select password_hash from accounts where id = $1")
            .bind(id.0)
            .fetch_optional(conn)
            .await?;
    Ok(hash.flatten())
}

/// The e-mail addresses of some accounts.
pub async fn emails(
    conn: &mut Connection,
    ids: &[AccountId],
) -> Result<HashMap<AccountId, String>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let all: Vec<(Uuid, String)> =
        sqlx::query_as("select id, email from accounts where id = any($1)")
            .bind(ids)
            .fetch_all(conn)
            .await?;
    Ok(all.into_iter().map(|(id, email)| (AccountId(id), email)).collect())
}

/// Whether there is any account: a platform that was never used has none.
pub async fn any(conn: &mut Connection) -> Result<bool> {
    Ok(sqlx::query_scalar("select exists (select from accounts)").fetch_one(conn).await?)
}
