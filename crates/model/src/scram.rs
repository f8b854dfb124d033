//! SCRAM-SHA-256 verifiers: what PostgreSQL and the gateway keep instead of a password. Only the
//! form is here; the cryptography is where it is used (`control` makes them, `gateway` checks).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the form of
/// `pg_authid.rolpassword`; the three values in Base64. Its `Debug` keeps the keys to itself.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Verifier {
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// Base64 of the salt.
    pub salt: String,
    /// Base64 of the stored key.
    pub stored_key: String,
    /// Base64 of the server key.
    pub server_key: String,
}

const MECHANISM: &str = "SCRAM-SHA-256$";

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iterations, salt, stored_key, server_key } = self;
        write!(f, "{MECHANISM}{iterations}:{salt}${stored_key}:{server_key}")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MECHANISM}***")
    }
}

impl FromStr for Verifier {
    type Err = NotAVerifier;
    fn from_str(text: &str) -> Result<Self, NotAVerifier> {
        let parts = || {
            let (head, keys) = text.strip_prefix(MECHANISM)?.split_once('$')?;
            let (iterations, salt) = head.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            Some((iterations.parse::<u32>().ok()?, salt, stored_key, server_key))
        };
        let base64 = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        };
        match parts() {
            Some((iterations @ 1.., salt, stored_key, server_key))
                if base64(salt) && base64(stored_key) && base64(server_key) =>
            {
                Ok(Self {
                    iterations,
                    salt: salt.to_owned(),
                    stored_key: stored_key.to_owned(),
                    server_key: server_key.to_owned(),
                })
            }
            _ => Err(NotAVerifier),
        }
    }
}

impl From<Verifier> for String {
    fn from(verifier: Verifier) -> Self {
        verifier.to_string()
    }
}

impl TryFrom<String> for Verifier {
    type Error = NotAVerifier;
    fn try_from(text: String) -> Result<Self, NotAVerifier> {
        text.parse()
    }
}

/// Not a SCRAM-SHA-256 verifier. Says nothing about what it was, as that may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier")]
pub struct NotAVerifier;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_written_as_it_was_read_and_nothing_else_is_one() {
        let text = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy";
        let verifier: Verifier = text.parse().expect("well formed");
        assert_eq!(verifier.to_string(), text);
        assert_eq!(format!("{verifier:?}"), "SCRAM-SHA-256$***");
        for bad in ["", "secret", "md5abc", "SCRAM-SHA-256$0:a$b:c", "SCRAM-SHA-256$1:'$b:c"] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
    }
}
