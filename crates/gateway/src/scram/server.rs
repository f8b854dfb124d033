//! The server's side: a client proves that it knows the password.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ClientKey, Hash, Keys, PLAIN, PLUS, hmac_sha256, sha256, xor};

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its message is not what the protocol asks for. Says nothing about the password.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// Its proof is wrong.
    #[error("wrong proof")]
    WrongProof,
}

/// An exchange whose first client message has been read.
#[derive(Debug)]
pub struct Exchange {
    client_first_bare: String,
    server_first: String,
    nonce: String,
    /// What the `c=` of the last message must decode to.
    binding: Vec<u8>,
}

/// What a right proof gives.
#[derive(Debug)]
pub struct Proven {
    /// The key that the gateway logs in with.
    pub client_key: ClientKey,
    /// The last message for the client: it proves that the gateway knows the verifier.
    pub server_final: String,
}

impl Exchange {
    /// Reads the client's first message. `binding` is the hash of our certificate when
    /// [`PLUS`] was offered.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn begin(
        mechanism: &str,
        client_first: &str,
        binding: Option<&[u8]>,
        keys: &Keys,
        server_nonce: &str,
    ) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed;
        let mut parts = client_first.splitn(3, ',');
        let flag = parts.next().unwrap_or_default();
        let identity = parts.next().ok_or(malformed("no authorization identity"))?;
        let bare = parts.next().ok_or(malformed("no user name"))?;
        if !identity.is_empty() {
            return Err(malformed("authorization identities are not supported"));
        }
        let data = check_flag(mechanism, flag, binding)?;
        let mut attributes = bare.split(',');
        if !attributes.next().is_some_and(|user| user.starts_with("n=")) {
            return Err(malformed("no user name"));
        }
        let client_nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let client_nonce = client_nonce.ok_or(malformed("no nonce"))?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("nonce is not printable"));
        }
        let nonce = format!("{client_nonce}{server_nonce}");
        Ok(Self {
            client_first_bare: bare.to_owned(),
            server_first: format!("r={nonce},s={},i={}", keys.salt, keys.iterations),
            nonce,
            binding: [format!("{flag},,").as_bytes(), data].concat(),
        })
    }

    /// Our first message.
    #[must_use]
    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's last message and checks its proof.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn finish(self, client_final: &str, keys: &Keys) -> Result<Proven, Refusal> {
        let malformed = Refusal::Malformed;
        let (without_proof, proof) =
            client_final.rsplit_once(",p=").ok_or(malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|text| text.strip_prefix("c="));
        let nonce = attributes.next().and_then(|text| text.strip_prefix("r="));
        if binding.and_then(|text| STANDARD.decode(text).ok()) != Some(self.binding) {
            return Err(malformed("channel binding check failed"));
        }
        if nonce != Some(self.nonce.as_str()) {
            return Err(malformed("nonce does not match"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| Hash::try_from(proof).ok());
        let proof = proof.ok_or(malformed("malformed proof"))?;
        let parts: [&[u8]; 5] = [
            self.client_first_bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        let client_key = xor(&proof, &hmac_sha256(&keys.stored, &parts));
        if verify_slices_are_equal(&sha256(&client_key), &keys.stored).is_err() {
            return Err(Refusal::WrongProof);
        }
        let signature = hmac_sha256(&keys.server, &parts);
        Ok(Proven {
            client_key: ClientKey(client_key),
            server_final: format!("v={}", STANDARD.encode(signature)),
        })
    }
}

/// The data that the client has to bind to, which depends on what it believes we can.
fn check_flag<'a>(
    mechanism: &str,
    flag: &str,
    binding: Option<&'a [u8]>,
) -> Result<&'a [u8], Refusal> {
    match (mechanism, flag, binding) {
        (PLUS, "p=tls-server-end-point", Some(data)) => Ok(data),
        (PLUS, ..) => Err(Refusal::Malformed("unsupported channel-binding type")),
        // A client that can bind and believes that we cannot has been lied to on the way.
        (PLAIN, "y", Some(_)) => Err(Refusal::Malformed(
            "the client supports channel binding but thinks the server does not",
        )),
        (PLAIN, "n", _) | (PLAIN, "y", None) => Ok(&[]),
        _ => Err(Refusal::Malformed("unexpected channel-binding flag")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::tests::keys_of;

    /// The example of RFC 7677.
    #[test]
    fn the_exchange_of_the_rfc_is_accepted_and_its_signature_is_right() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("Base64");
        let keys = keys_of("pencil", &salt, 4096);
        let exchange = Exchange::begin(
            PLAIN,
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            None,
            &keys,
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
        .expect("begins");
        assert_eq!(
            exchange.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proven = exchange.finish(last, &keys).expect("proven");
        assert_eq!(proven.server_final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(sha256(&proven.client_key.0), keys.stored);
    }

    #[test]
    fn a_downgrade_of_channel_binding_is_noticed() {
        let keys = Keys::mock(b"secret", "role", 4096);
        let begin = |mechanism, first, binding| {
            Exchange::begin(mechanism, first, binding, &keys, "nonce").map(|_| ())
        };
        let hash = Some(&b"hash"[..]);
        assert!(begin(PLAIN, "y,,n=,r=abc", hash).is_err());
        assert!(begin(PLAIN, "y,,n=,r=abc", None).is_ok());
        assert!(begin(PLAIN, "n,,n=,r=abc", hash).is_ok());
        assert!(begin(PLUS, "p=tls-server-end-point,,n=,r=abc", hash).is_ok());
        assert!(begin(PLUS, "p=tls-server-end-point,,n=,r=abc", None).is_err());
        assert!(begin(PLUS, "p=tls-unique,,n=,r=abc", hash).is_err());
        assert!(begin(PLUS, "n,,n=,r=abc", hash).is_err());
    }

    #[test]
    fn malformed_messages_are_refused() {
        let keys = Keys::mock(b"secret", "role", 4096);
        for first in
            ["", "n", "n,", "n,,", "n,a=x,n=,r=a", "n,,r=a", "n,,n=", "n,,n=,r=", "n,,m=x,n=,r=a"]
        {
            assert!(Exchange::begin(PLAIN, first, None, &keys, "s").is_err(), "{first}");
        }
        for last in [
            "",
            "c=biws",
            "c=biws,r=abs",
            "c=biws,r=abs,p=",
            "c=biws,r=other,p=AAAA",
            "c=eSws,r=abs,p=AAAA",
        ] {
            let exchange = Exchange::begin(PLAIN, "n,,n=,r=ab", None, &keys, "s").expect("good");
            let refusal = exchange.finish(last, &keys).expect_err(last);
            assert!(matches!(refusal, Refusal::Malformed(_)), "{last}");
        }
    }
}
