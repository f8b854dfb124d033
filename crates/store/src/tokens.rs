//! API tokens. Only their SHA-256 is stored.

use howdah_model::ids::{AccountId, TokenId};
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::accounts::Account;
use crate::column::at;
use crate::{Connection, Result, Tx};

/// A token, without the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Token {
    /// Its id.
    #[sqlx(try_from = "Uuid")]
    pub id: TokenId,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub account_id: AccountId,
    /// What it is for, as its maker said.
    pub description: String,
    /// When it was made.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    expires_at: Option<jiff_sqlx::Timestamp>,
}

impl Token {
    /// A token that is about to be stored.
    #[must_use]
    pub fn new(
        account_id: AccountId,
        description: String,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let expires_at = expires_at.map(at);
        Self { id: TokenId::new(), account_id, description, created_at, expires_at }
    }

    /// When it stops to be good, if ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.map(jiff_sqlx::Timestamp::to_jiff)
    }
}

/// Stores a token by the SHA-256 of its secret.
pub async fn insert(tx: &mut Tx, token: &Token, hash: &[u8]) -> Result<()> {
    sqlx::query(
        "insert into tokens (id, account_id, hash, description, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(token.id.0)
    .bind(token.account_id.0)
    .bind(hash)
    .bind(&token.description)
    .bind(at(token.created_at))
    .bind(token.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A token and its account.
#[derive(Clone, Debug, FromRow)]
pub struct Bearer {
    /// Who it speaks for.
    #[sqlx(flatten)]
    pub account: Account,
    /// Which token.
    #[sqlx(try_from = "Uuid")]
    pub token_id: TokenId,
}

/// Who a token speaks for: nobody when it is unknown or has expired.
pub async fn bearer(conn: &mut Connection, hash: &[u8], now: Timestamp) -> Result<Option<Bearer>> {
    Ok(sqlx::query_as(
        "select a.id, a.email, a.name, a.created_at, t.id as token_id
         from tokens t join accounts a on a.id = t.account_id
         where t.hash = $1 and (t.expires_at is null or t.expires_at > $2)",
    )
    .bind(hash)
    .bind(at(now))
    .fetch_optional(conn)
    .await?)
}

/// The tokens of an account, oldest first.
pub async fn list(conn: &mut Connection, account: AccountId) -> Result<Vec<Token>> {
    Ok(sqlx::query_as(
        "select id, account_id, description, created_at, expires_at
         from tokens where account_id = $1 order by id",
    )
    .bind(account.0)
    .fetch_all(conn)
    .await?)
}

/// Takes a token back. Answers it when the account had it.
pub async fn delete(tx: &mut Tx, account: AccountId, id: TokenId) -> Result<Option<Token>> {
    Ok(sqlx::query_as(
        "delete from tokens where account_id = $1 and id = $2
         returning id, account_id, description, created_at, expires_at",
    )
    .bind(account.0)
    .bind(id.0)
    .fetch_optional(&mut **tx)
    .await?)
}
