//! Public keys of people (A5).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use howdah_model::ids::AccountId;
use howdah_store::ssh_keys::{self, SshKey};
use uuid::Uuid;

use super::error::{Error, Noun, Result};
use crate::Control;

/// The types of key that OpenSSH makes.
const TYPES: &[&str] = &[
    "ssh-rsa",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Adds a public key to an account. One that it has already is answered as it is.
///
/// # Errors
/// [`Error::Invalid`] when the text is no public key.
pub async fn add(control: &Control, account: AccountId, public_key: &str) -> Result<SshKey> {
    let (fingerprint, comment) = read(public_key)?;
    let key = SshKey {
        id: Uuid::now_v7(),
        account_id: account,
        fingerprint,
        public_key: public_key.trim().to_owned(),
        comment,
        created_at: control.now(),
    };
    let mut tx = control.store().begin().await?;
    match ssh_keys::insert(&mut tx, &key).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(key)
        }
        Err(error) if error.is_conflict("ssh_keys_fingerprint_key") => {
            drop(tx);
            let mut conn = control.reader().get().await?;
            let keys = ssh_keys::list(&mut conn, account).await?;
            let same = keys.into_iter().find(|one| one.fingerprint == key.fingerprint);
            same.ok_or(Error::NotFound(Noun::Key))
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a key by its id, fingerprint or comment.
///
/// # Errors
/// [`Error::NotFound`] when the account has no such key.
pub async fn remove(control: &Control, account: AccountId, key: &str) -> Result<SshKey> {
    let mut tx = control.store().begin().await?;
    let removed = ssh_keys::delete(&mut tx, account, key).await?;
    tx.commit().await?;
    removed.ok_or(Error::NotFound(Noun::Key))
}

/// The fingerprint and the comment of a public key.
fn read(text: &str) -> Result<(String, String)> {
    let bad =
        || Error::invalid("That is not a public SSH key. One starts with `ssh-ed25519 AAAA`.");
    let text = text.trim();
    if text.len() > 16_384 || text.contains(['\n', '\r', '\0']) {
        return Err(bad());
    }
    let mut words = text.splitn(3, ' ');
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Err(bad());
    };
    let blob = STANDARD.decode(blob).map_err(|_| bad())?;
    // The type is repeated in the key itself, behind its length.
    let inner = blob.get(4..4 + kind.len());
    if !TYPES.contains(&kind) || inner != Some(kind.as_bytes()) {
        return Err(bad());
    }
    let digest = digest::digest(&digest::SHA256, &blob);
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(digest));
    Ok((fingerprint, words.next().unwrap_or_default().trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIG5OPIaALUMFcwbkx26ce+DRHgqg/NHvgfPjUh2RSTZs dev@laptop";

    #[test]
    fn a_key_has_the_fingerprint_that_ssh_keygen_prints() {
        let (fingerprint, comment) = read(KEY).expect("a key");
        assert_eq!(fingerprint, "SHA256:g42VdyeaDn9rIDTH9N+IwujjdoVO9c6An+HmgLkMzkI");
        assert_eq!(comment, "dev@laptop");
        for bad in ["", "hello", "ssh-rsa", "ssh-rsa AAAA", &KEY.replace("ed25519", "rsa")] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&format!("{KEY}\n{KEY}")).is_err());
    }
}
