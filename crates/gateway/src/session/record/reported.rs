//! The parameters that a server reports by itself, as a client last heard them.

use std::fmt;
use std::sync::Arc;

use crate::message::{Builder, take_cstr};

/// Names and values of `ParameterStatus`, in the order in which they were first told. Sessions that
/// heard the same share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Each as in the message: name, zero, value, zero.
    pub(super) bytes: Arc<[u8]>,
}

impl Reported {
    /// Notes the body of a `ParameterStatus`; says whether it told anything new.
    pub fn note(&mut self, body: &[u8]) -> bool {
        let mut rest = body;
        let (Some(name), Some(value)) = (take_cstr(&mut rest), take_cstr(&mut rest)) else {
            return false;
        };
        if self.get(name) == Some(value) {
            return false;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() + body.len());
        let mut put = |name: &[u8], value: &[u8]| {
            for text in [name, value] {
                bytes.extend_from_slice(text);
                bytes.push(0);
            }
        };
        let mut known = false;
        for (other, before) in self.iter() {
            put(other, if other == name { value } else { before });
            known |= other == name;
        }
        if !known {
            put(name, value);
        }
        self.bytes = bytes.into();
        true
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || Some((take_cstr(&mut rest)?, take_cstr(&mut rest)?)))
    }

    /// The messages that tell somebody who knows `self` what is otherwise in `now`.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<u8> {
        let mut builder = Builder::default();
        for (name, value) in now.iter().filter(|(name, value)| self.get(name) != Some(value)) {
            builder.message(b'S', |body| {
                for text in [name, value] {
                    body.extend_from_slice(text);
                    body.push(0);
                }
            });
        }
        builder.into_bytes()
    }
}

impl fmt::Debug for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        f.debug_map().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_differences_are_told() {
        let mut before = Reported::default();
        assert!(before.note(b"TimeZone\0UTC\0"));
        assert!(before.note(b"DateStyle\0ISO\0"));
        assert!(!before.note(b"TimeZone\0UTC\0"));
        let mut now = before.clone();
        assert_eq!(before.differences(&now), b"");
        assert!(now.note(b"TimeZone\0Europe/Berlin\0"));
        assert!(now.note(b"search_path\0\0"));
        assert_eq!(now.get(b"TimeZone"), Some(&b"Europe/Berlin"[..]));
        assert_eq!(now.iter().count(), 3);
        let told = b"S\0\0\0\x1bTimeZone\0Europe/Berlin\0S\0\0\0\x11search_path\0\0";
        assert_eq!(before.differences(&now), told);
        assert!(!now.note(b"garbage"));
    }
}
