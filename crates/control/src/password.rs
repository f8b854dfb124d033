//! Random passwords and names. They need no quoting in URLs and in SQL (C9).

use aws_lc_rs::rand;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::secret::Secret;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const LETTERS_AND_DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Fills a buffer with random bytes.
///
/// # Panics
/// When the operating system has none, and nothing secret can be made at all.
pub fn fill(buffer: &mut [u8]) {
    rand::fill(buffer).expect("the operating system gives random bytes");
}

/// A random text of `length` lower-case letters and digits that starts with a letter. Each
/// character but the first is worth 5.17 bits.
#[must_use]
pub fn random(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 64];
        fill(&mut bytes);
        for byte in bytes {
            let alphabet = if text.is_empty() { LETTERS } else { LETTERS_AND_DIGITS };
            // Values above the last whole multiple would favour the first characters.
            let usable = 256 / alphabet.len() * alphabet.len();
            if usize::from(byte) < usable && text.len() < length {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
    }
    text
}

/// A password for a role: 32 characters, more than 160 bits.
#[must_use]
pub fn random_password() -> Secret {
    Secret::new(random(32))
}

/// A name for a role.
#[must_use]
pub fn random_role() -> RoleName {
    format!("u{}", random(15)).parse().expect("lower-case letters and digits are a role name")
}

/// A name for a database within PostgreSQL.
#[must_use]
pub fn random_database() -> DatabaseName {
    format!("d{}", random(15)).parse().expect("lower-case letters and digits are a database name")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn c9_a_thousand_passwords_need_no_escape_and_are_all_different() {
        let all: HashSet<_> = (0..1000).map(|_| random_password().reveal().to_owned()).collect();
        assert_eq!(all.len(), 1000);
        for text in &all {
            assert_eq!(text.len(), 32);
            assert!(text.starts_with(|c: char| c.is_ascii_lowercase()), "{text}");
            assert!(text.bytes().all(|b| LETTERS_AND_DIGITS.contains(&b)), "{text}");
        }
        assert_ne!(random_role(), random_role());
        assert_ne!(random_database(), random_database());
    }
}
