//! People's passwords: Argon2id, off the threads that serve requests.

use anyhow::{Context as _, anyhow};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use howdah_model::secret::Secret;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::{Error, Result};

/// Each hash takes 19 MiB and a core: more at once would only be in each other's way.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What is compared with when there is no account, so that the answer takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LWhhcy10aGlz$\
                      iQ3V0w0Xh4kJ8qv4bq0pXrG3nq6V5mQ4c7q0YJH0yJ0";

/// The most characters of a password: more would only cost time.
const LONGEST: usize = 1000;

/// The hash of a new password.
///
/// # Errors
/// [`Error::Invalid`] when it is too short or too long.
pub(crate) async fn hash(password: &Secret) -> Result<String> {
    if password.reveal().chars().count() < 8 {
        return Err(Error::invalid("The password is too short: it needs 8 characters or more."));
    }
    if password.reveal().len() > LONGEST {
        return Err(Error::invalid("The password is too long: 1000 characters are the most."));
    }
    let password = password.clone();
    let _turn = AT_ONCE.acquire().await.context("wait for a turn")?;
    let hash = spawn_blocking(move || {
        Argon2::default().hash_password(password.reveal().as_bytes()).map(|hash| hash.to_string())
    });
    let hash = hash.await.context("wait for the hash")?;
    Ok(hash.map_err(|error| anyhow!("hash a password: {error}"))?)
}

/// Whether a password is the one of the hash. Without a hash it never is, after the same time.
pub(crate) async fn verify(password: &Secret, hash: Option<String>) -> Result<bool> {
    if password.reveal().len() > LONGEST {
        return Ok(false);
    }
    let password = password.clone();
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
    let _turn = AT_ONCE.acquire().await.context("wait for a turn")?;
    let right = spawn_blocking(move || {
        let hash = PasswordHash::new(&hash)?;
        Ok::<_, argon2::password_hash::phc::Error>(
            Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok(),
        )
    });
    let right = right.await.context("wait for the hash")?;
    Ok(known && right.map_err(|error| anyhow!("read a password's hash: {error}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_opens_its_own_hash_and_no_other() {
        let secret = |text: &str| Secret::new(text.into());
        let stored = hash(&secret("correct horse")).await.expect("a hash");
        assert!(stored.starts_with("$argon2id$"));
        assert!(verify(&secret("correct horse"), Some(stored.clone())).await.expect("answer"));
        assert!(!verify(&secret("wrong"), Some(stored)).await.expect("answer"));
        assert!(!verify(&secret("correct horse"), None).await.expect("answer"));
        assert!(hash(&secret("short")).await.is_err());
        assert!(hash(&secret(&"x".repeat(2000))).await.is_err());
    }
}
