//! What encrypts secrets at rest: ChaCha20-Poly1305, bound to the row and column that they are in.

use std::fmt::{self, Display};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_model::secret::Secret;
use howdah_store::Sealed;

/// The first byte of what is sealed: tells later forms apart.
const FORM: u8 = 1;

/// The key of the platform (`HOWDAH_SECRET_KEY`). `Debug` does not show it.
pub struct Keyring {
    key: LessSafeKey,
    /// Made from the key, for what is signed and not sealed.
    signing: hmac::Key,
}

/// What tells the signing key from all else that may be made from the platform's key.
const SIGNING: &[u8] = b"howdah: signed URLs, 1";

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(***)")
    }
}

/// The key is not 32 bytes in Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret key is not 32 bytes in Base64 (`openssl rand -base64 32` makes one)")]
pub struct NotAKey;

/// A secret cannot be decrypted: it was encrypted with another key, belongs to another row, or was
/// changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{column}` cannot be decrypted: HOWDAH_SECRET_KEY is not the key it was stored with")]
pub struct CannotOpen {
    /// Where it lies.
    pub column: &'static str,
}

impl Keyring {
    /// The keyring of a key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), SIGNING);
        let signing = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        let key = key.expect("ChaCha20-Poly1305 takes every key of 32 bytes");
        Self { key: LessSafeKey::new(key), signing }
    }

    /// The keyring of a key in Base64, as `HOWDAH_SECRET_KEY` has it.
    ///
    /// # Errors
    /// When it is not 32 bytes.
    pub fn from_base64(text: &Secret) -> Result<Self, NotAKey> {
        let bytes = STANDARD.decode(text.reveal().trim()).map_err(|_| NotAKey)?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| NotAKey)?;
        Ok(Self::new(&key))
    }

    /// A new random key, in Base64.
    #[must_use]
    pub fn generate() -> Secret {
        let mut key = [0; 32];
        crate::password::fill(&mut key);
        Secret::new(STANDARD.encode(key))
    }

    /// Encrypts a value for the given column (`table.column`) of the given row.
    #[must_use]
    pub fn seal(&self, column: &'static str, row: impl Display, value: &[u8]) -> Sealed {
        // Random nonces of 96 bits: the few secrets of a platform never come near a collision.
        let mut nonce = [0; NONCE_LEN];
        crate::password::fill(&mut nonce);
        let mut bytes = value.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(column, row),
                &mut bytes,
            )
            .expect("sealing a value that fits into memory does not fail");
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + bytes.len());
        sealed.push(FORM);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&bytes);
        Sealed(sealed)
    }

    /// Signs a text: HMAC-SHA256, in hexadecimal.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        use std::fmt::Write as _;
        let tag = hmac::sign(&self.signing, text.as_bytes());
        tag.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Whether a signature is that of a text. Takes as long for a wrong one as for the right one.
    #[must_use]
    pub fn is_signed(&self, text: &str, signature: &str) -> bool {
        let digits = signature.as_bytes();
        if digits.len() != 64 || !signature.is_ascii() {
            return false;
        }
        let pairs = (0..64).step_by(2).map(|at| u8::from_str_radix(&signature[at..at + 2], 16));
        let Ok(tag) = pairs.collect::<Result<Vec<_>, _>>() else { return false };
        // `from_str_radix` takes `+1` for a number.
        let plain = digits.iter().all(u8::is_ascii_hexdigit);
        plain && hmac::verify(&self.signing, text.as_bytes(), &tag).is_ok()
    }

    /// Decrypts what [`Keyring::seal`] made for the same column and row.
    ///
    /// # Errors
    /// When it was made with another key or for another place, or was changed.
    pub fn open(
        &self,
        column: &'static str,
        row: impl Display,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, CannotOpen> {
        let cannot = CannotOpen { column };
        let (Some(&FORM), Some(rest)) = (sealed.0.first(), sealed.0.get(1..)) else {
            return Err(cannot);
        };
        let (nonce, bytes) = rest.split_at_checked(NONCE_LEN).ok_or_else(|| cannot.clone())?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| cannot.clone())?;
        let mut bytes = bytes.to_vec();
        let length = self
            .key
            .open_in_place(nonce, associated(column, row), &mut bytes)
            .map_err(|_| cannot)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Decrypts a text, such as a password.
    ///
    /// # Errors
    /// As [`Keyring::open`]; also when it is no text.
    pub fn open_text(
        &self,
        column: &'static str,
        row: impl Display,
        sealed: &Sealed,
    ) -> Result<Secret, CannotOpen> {
        let bytes = self.open(column, row, sealed)?;
        String::from_utf8(bytes).map(Secret::new).map_err(|_| CannotOpen { column })
    }
}

fn associated(column: &'static str, row: impl Display) -> Aad<String> {
    Aad::from(format!("{column}\0{row}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_key_and_in_its_place() {
        let (ours, other) = (Keyring::new(&[7; 32]), Keyring::new(&[8; 32]));
        let sealed = ours.seal("credentials.password", 1, b"geheim");
        let opened = ours.open_text("credentials.password", 1, &sealed).expect("ours");
        assert_eq!(opened.reveal(), "geheim");
        assert!(other.open("credentials.password", 1, &sealed).is_err());
        assert!(ours.open("credentials.password", 2, &sealed).is_err());
        assert!(ours.open("config_vars.value", 1, &sealed).is_err());
        for cut in 0..sealed.0.len() {
            let cut = Sealed(sealed.0[..cut].to_vec());
            assert!(ours.open("credentials.password", 1, &cut).is_err());
        }
        let mut changed = sealed.clone();
        *changed.0.last_mut().expect("not empty") ^= 1;
        assert!(ours.open("credentials.password", 1, &changed).is_err());
        assert_ne!(sealed, ours.seal("credentials.password", 1, b"geheim"), "a nonce of its own");
        assert!(!format!("{ours:?}{sealed:?}").contains("geheim"));
    }

    #[test]
    fn e17_a_signature_is_good_for_its_text_and_its_key_only() {
        let (ours, other) = (Keyring::new(&[7; 32]), Keyring::new(&[8; 32]));
        let signature = ours.sign("GET /a");
        assert!(ours.is_signed("GET /a", &signature));
        assert!(!ours.is_signed("GET /b", &signature) && !other.is_signed("GET /a", &signature));
        for index in 0..signature.len() {
            let mut changed = signature.clone().into_bytes();
            changed[index] = if changed[index] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).expect("text");
            assert!(!ours.is_signed("GET /a", &changed));
        }
        for bad in ["", "é", &signature[..62], &format!("+{}", &signature[1..])] {
            assert!(!ours.is_signed("GET /a", bad), "{bad}");
        }
    }

    #[test]
    fn a_generated_key_is_a_key_and_nothing_else_is() {
        assert!(Keyring::from_base64(&Keyring::generate()).is_ok());
        for bad in ["", "short", "AAAA", "%%%"] {
            assert_eq!(Keyring::from_base64(&Secret::new(bad.into())).err(), Some(NotAKey));
        }
    }
}
