//! SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides of it, without ever knowing a password.
//!
//! [`server`] checks a client against a verifier and learns the ClientKey from its proof;
//! [`client`] proves with that key to PostgreSQL, which has the same verifier.

pub mod client;
pub mod server;

use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_model::scram::Verifier;

/// The mechanism without channel binding.
pub const PLAIN: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The rounds of PostgreSQL's verifiers, unless it is told otherwise.
pub const USUAL_ROUNDS: u32 = 4096;
/// Bytes of a salt, as PostgreSQL makes them.
const SALT: usize = 16;

/// A value of SHA-256.
pub type Hash = [u8; 32];

/// A verifier with its values decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// The salt in Base64, as it goes over the wire.
    pub salt: String,
    stored: Hash,
    server: Hash,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(***)")
    }
}

/// What a client proves that it knows. With it one can log in, so it is kept for the log-in only.
#[derive(Clone)]
pub struct ClientKey(Hash);

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKey(***)")
    }
}

impl Keys {
    /// Decodes a verifier. `None` when its keys are not SHA-256 values.
    #[must_use]
    pub fn decode(verifier: &Verifier) -> Option<Self> {
        STANDARD.decode(&verifier.salt).ok()?;
        let hash = |text: &str| Hash::try_from(STANDARD.decode(text).ok()?).ok();
        Some(Self {
            iterations: verifier.iterations,
            salt: verifier.salt.clone(),
            stored: hash(&verifier.stored_key)?,
            server: hash(&verifier.server_key)?,
        })
    }

    /// Keys that nothing fits, always the same for one name, so that a stranger cannot tell an
    /// unknown role from a wrong password.
    #[must_use]
    pub fn mock(secret: &[u8], role: &str, iterations: u32) -> Self {
        let derive = |what: &str| hmac_sha256(secret, &[what.as_bytes(), b"\0", role.as_bytes()]);
        Self {
            iterations,
            salt: STANDARD.encode(&derive("salt")[..SALT]),
            stored: derive("stored"),
            server: derive("server"),
        }
    }
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    into_hash(context.sign().as_ref())
}

fn sha256(bytes: &[u8]) -> Hash {
    into_hash(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn into_hash(bytes: &[u8]) -> Hash {
    Hash::try_from(bytes).expect("SHA-256 has 32 bytes")
}

fn xor(a: &Hash, b: &Hash) -> Hash {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// A fresh nonce: 18 random bytes in Base64, as PostgreSQL makes them.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn nonce() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 18];
    rand::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    /// The verifier of a password, and its ClientKey.
    pub(super) fn keys_of(password: &str, salt: &[u8], iterations: u32) -> Keys {
        let mut salted = [0; 32];
        aws_lc_rs::pbkdf2::derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(iterations).expect("not zero"),
            salt,
            password.as_bytes(),
            &mut salted,
        );
        let client = hmac_sha256(&salted, &[b"Client Key"]);
        Keys {
            iterations,
            salt: STANDARD.encode(salt),
            stored: sha256(&client),
            server: hmac_sha256(&salted, &[b"Server Key"]),
        }
    }

    #[test]
    fn the_mock_is_constant_for_a_role_and_looks_like_a_real_one() {
        let like = keys_of("secret", &[7; 16], 4096);
        let mock = |role: &str| Keys::mock(b"key", role, 4096);
        assert_eq!(mock("a"), mock("a"));
        assert_ne!(mock("a").salt, mock("b").salt);
        assert_eq!((mock("a").salt.len(), mock("a").iterations), (like.salt.len(), 4096));
    }
}
