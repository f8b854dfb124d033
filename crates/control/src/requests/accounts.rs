//! Accounts, their passwords and their tokens.

use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::{digest, hmac, rand};
use howdah_model::ids::{AccountId, TokenId};
use howdah_model::secret::Secret;
use howdah_store::accounts::{self, Account};
use howdah_store::tokens::{self, Bearer, Token};

use super::error::{Error, Noun, Result};
use super::password;
use crate::Control;

/// What every token starts with, so that one that leaked is recognised.
pub const TOKEN_PREFIX: &str = "hwd_";

/// Makes an account (A1). One without a password can only be used through its tokens.
///
/// # Errors
/// [`Error::Invalid`] when the address or the password will not do, or the address is taken.
pub async fn create(control: &Control, email: &str, password: Option<&Secret>) -> Result<Account> {
    let email = email.trim();
    check_email(email)?;
    let hash = match password {
        Some(password) => Some(password::hash(password).await?),
        None => None,
    };
    let account = Account {
        id: AccountId::new(),
        email: email.to_owned(),
        name: None,
        created_at: control.now(),
    };
    let mut tx = control.store().begin().await?;
    accounts::insert(&mut tx, &account, hash.as_deref()).await.map_err(|error| {
        if error.is_conflict("accounts_email_key") {
            Error::invalid(format!("There is an account for {email} already. Log in instead."))
        } else {
            error.into()
        }
    })?;
    tx.commit().await?;
    Ok(account)
}

fn check_email(email: &str) -> Result<()> {
    let good = email.len() <= 254
        && !email.contains(|c: char| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.contains('@')
        });
    if good {
        return Ok(());
    }
    Err(Error::invalid("That is not an e-mail address. One has the form name@example.com."))
}

/// The account of an e-mail address and password. Takes as long when there is no such account. A
/// token of the account is as good as its password, so that the first account, which has none, can
/// sign in on the web.
///
/// # Errors
/// [`Error::Unauthorized`] when the pair is not right (A3).
pub async fn log_in(control: &Control, email: &str, password: &Secret) -> Result<Account> {
    if password.reveal().starts_with(TOKEN_PREFIX) {
        let bearer = bearer(control, password).await?;
        return if bearer.account.email.eq_ignore_ascii_case(email.trim()) {
            Ok(bearer.account)
        } else {
            Err(Error::Unauthorized)
        };
    }
    let mut conn = control.reader().get().await?;
    let account = accounts::find_by_email(&mut conn, email.trim()).await?;
    let hash = match &account {
        Some(account) => accounts::password_hash(&mut conn, account.id).await?,
        None => None,
    };
    drop(conn);
    let right = password::verify(password, hash).await?;
    account.filter(|_| right).ok_or(Error::Unauthorized)
}

/// Makes a token of an account, for ever or for some time. The secret is shown this once.
///
/// # Errors
/// Only when the platform's database does not answer.
pub async fn issue_token(
    control: &Control,
    account: AccountId,
    description: &str,
    lasts: Option<Duration>,
) -> Result<(Token, Secret)> {
    let now = control.now();
    let expires = match lasts {
        Some(lasts) => Some(
            now.checked_add(lasts)
                .map_err(|_| Error::invalid("`expires_in` is too long a time."))?,
        ),
        None => None,
    };
    let secret = new_secret()?;
    let description: String = description.chars().take(200).collect();
    let token = Token::new(account, description, now, expires);
    let mut tx = control.store().begin().await?;
    tokens::insert(&mut tx, &token, &hash(&secret)).await?;
    tx.commit().await?;
    Ok((token, secret))
}

fn new_secret() -> Result<Secret> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes).context("draw random bytes")?;
    Ok(Secret::new(format!("{TOKEN_PREFIX}{}", hex(&bytes))))
}

fn hash(secret: &Secret) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.reveal().as_bytes()).as_ref().to_vec()
}

/// What follows from a token for one purpose, and from which nobody gets back to the token.
#[must_use]
pub fn derived(secret: &Secret, purpose: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    hex(hmac::sign(&key, purpose.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who a token speaks for.
///
/// # Errors
/// [`Error::Unauthorized`] when it is unknown or has expired.
pub async fn bearer(control: &Control, secret: &Secret) -> Result<Bearer> {
    let mut conn = control.reader().get().await?;
    let found = tokens::bearer(&mut conn, &hash(secret), control.now()).await?;
    found.ok_or(Error::Unauthorized)
}

/// Takes a token back.
///
/// # Errors
/// [`Error::NotFound`] when the account has no such token.
pub async fn revoke_token(control: &Control, account: AccountId, id: TokenId) -> Result<Token> {
    let mut tx = control.store().begin().await?;
    let token = tokens::delete(&mut tx, account, id).await?;
    tx.commit().await?;
    token.ok_or(Error::NotFound(Noun::Authorization))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_roughly() {
        assert!(check_email("dev@example.com").is_ok() && check_email("root@localhost").is_ok());
        for bad in ["", "dev", "@example.com", "dev@", "a b@example.com", "a@b@c", "a\n@b"] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_are_long_recognised_and_never_the_same() {
        let one = new_secret().expect("random bytes");
        assert_eq!(one.reveal().len(), TOKEN_PREFIX.len() + 48);
        assert!(one.reveal().starts_with(TOKEN_PREFIX));
        assert_ne!(one, new_secret().expect("random bytes"));
        assert_eq!(hash(&one).len(), 32);
    }
}
