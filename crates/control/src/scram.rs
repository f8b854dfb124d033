//! Makes SCRAM-SHA-256 verifiers (RFC 5802 and 7677): what PostgreSQL keeps instead of a password.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_model::scram::Verifier;
use howdah_model::secret::Secret;

/// PBKDF2 rounds: PostgreSQL's own default. Passwords are random, more would only cost time.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// The verifier of a password, with a salt of its own. Passwords are ASCII here, so that
/// SASLprep changes nothing.
#[must_use]
pub fn verifier(password: &Secret) -> Verifier {
    let mut salt = [0; 16];
    crate::password::fill(&mut salt);
    derive(password, &salt, ITERATIONS)
}

fn derive(password: &Secret, salt: &[u8], iterations: NonZeroU32) -> Verifier {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let password = password.reveal().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let server_key = hmac::sign(&key, b"Server Key");
    Verifier {
        iterations: iterations.get(),
        salt: STANDARD.encode(salt),
        stored_key: STANDARD.encode(digest::digest(&digest::SHA256, client_key.as_ref())),
        server_key: STANDARD.encode(server_key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3: its proof and signature follow from these keys.
    #[test]
    fn the_keys_are_those_of_the_standard() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("Base64");
        let made = derive(&Secret::new("pencil".into()), &salt, ITERATIONS);
        assert_eq!(
            made.to_string(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
             $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=\
             :wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn the_same_password_gives_another_verifier_each_time() {
        let password = Secret::new("geheim".into());
        assert_ne!(verifier(&password), verifier(&password));
    }
}
