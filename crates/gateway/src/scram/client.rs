//! The client's side: the gateway proves itself to PostgreSQL with the key it learnt.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ClientKey, Hash, Keys, PLAIN, hmac_sha256, xor};

/// Why the exchange with PostgreSQL cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// PostgreSQL has another verifier for the role.
    #[error("PostgreSQL has another verifier")]
    Verifier,
    /// Its message is not SCRAM, or it does not know the verifier itself.
    #[error("PostgreSQL's SCRAM message is wrong")]
    Server,
}

/// An exchange before PostgreSQL's first message.
#[derive(Debug)]
pub struct Exchange {
    first_bare: String,
    nonce: String,
}

/// An exchange before PostgreSQL's last message.
#[derive(Debug)]
pub struct Proved {
    /// Our last message.
    pub client_final: String,
    expected: Hash,
}

impl Exchange {
    /// Starts with a fresh [`nonce`](super::nonce).
    #[must_use]
    pub fn new(nonce: String) -> Self {
        Self { first_bare: format!("n=,r={nonce}"), nonce }
    }

    /// The body of the `SASLInitialResponse`.
    #[must_use]
    pub fn initial_response(&self) -> Vec<u8> {
        let first = format!("n,,{}", self.first_bare);
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
        [PLAIN.as_bytes(), b"\0", &length.to_be_bytes(), first.as_bytes()].concat()
    }

    /// Reads PostgreSQL's first message and makes the proof.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn prove(
        self,
        server_first: &str,
        keys: &Keys,
        client_key: &ClientKey,
    ) -> Result<Proved, Mismatch> {
        let mut attributes = server_first.split(',');
        let mut take = |name: &str| attributes.next().and_then(|text| text.strip_prefix(name));
        let (Some(nonce), Some(salt), Some(iterations)) = (take("r="), take("s="), take("i="))
        else {
            return Err(Mismatch::Server);
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Mismatch::Server);
        }
        if salt != keys.salt || iterations.parse() != Ok(keys.iterations) {
            return Err(Mismatch::Verifier);
        }
        let without_proof = format!("c=biws,r={nonce}");
        let parts: [&[u8]; 5] = [
            self.first_bare.as_bytes(),
            b",",
            server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        let proof = xor(&client_key.0, &hmac_sha256(&keys.stored, &parts));
        Ok(Proved {
            client_final: format!("{without_proof},p={}", STANDARD.encode(proof)),
            expected: hmac_sha256(&keys.server, &parts),
        })
    }
}

impl Proved {
    /// Checks that PostgreSQL knows the verifier.
    ///
    /// # Errors
    /// [`Mismatch::Server`].
    pub fn verify(&self, server_final: &str) -> Result<(), Mismatch> {
        let signature = server_final.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or(Mismatch::Server)?;
        verify_slices_are_equal(&signature, &self.expected).map_err(|_| Mismatch::Server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::tests::keys_of;
    use crate::scram::{hmac_sha256, server};

    fn client_key(password: &str, salt: &[u8]) -> ClientKey {
        let mut salted = [0; 32];
        aws_lc_rs::pbkdf2::derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            std::num::NonZeroU32::new(10).expect("not zero"),
            salt,
            password.as_bytes(),
            &mut salted,
        );
        ClientKey(hmac_sha256(&salted, &[b"Client Key"]))
    }

    #[test]
    fn both_sides_agree_and_a_learnt_key_opens_the_next_door() {
        let keys = keys_of("secret", b"salt", 10);
        let mut key = client_key("secret", b"salt");
        for round in ["first", "second"] {
            let exchange = Exchange::new(format!("{round}client"));
            let first = format!("n,,{}", exchange.first_bare);
            let server = server::Exchange::begin(PLAIN, &first, None, &keys, "s").expect("begins");
            let proved = exchange.prove(server.server_first(), &keys, &key).expect("proves");
            let proven = server.finish(&proved.client_final, &keys).expect("accepted");
            assert_eq!(proved.verify(&proven.server_final), Ok(()));
            assert_eq!(proved.verify("v=AAAA"), Err(Mismatch::Server));
            key = proven.client_key;
        }
    }

    #[test]
    fn another_salt_is_told_apart_from_a_bad_message() {
        let keys = keys_of("secret", b"salt", 10);
        let key = client_key("secret", b"salt");
        let prove = |first: &str| Exchange::new("c".into()).prove(first, &keys, &key).map(|_| ());
        assert_eq!(prove("r=cs,s=b3RoZXI=,i=10"), Err(Mismatch::Verifier));
        assert_eq!(prove(&format!("r=cs,s={},i=11", keys.salt)), Err(Mismatch::Verifier));
        assert_eq!(prove(&format!("r=xs,s={},i=10", keys.salt)), Err(Mismatch::Server));
        assert_eq!(prove("e=other-error"), Err(Mismatch::Server));
    }
}
