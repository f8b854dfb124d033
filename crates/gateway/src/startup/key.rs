//! Cancel keys: PostgreSQL's own, and those that clients are given.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use super::{CANCEL, Protocol};
use crate::message::{Builder, take_u32};

/// Bytes of a secret in protocol 3.0.
const SHORT: usize = 4;
/// Bytes of a secret in protocol 3.2, as PostgreSQL makes them.
const LONG: usize = 32;

/// PostgreSQL's own key for a session, in protocol 3.0. It never leaves the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// The process number of the server.
    pub pid: u32,
    /// The secret.
    pub secret: u32,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl CancelKey {
    /// The request to cancel.
    #[must_use]
    pub fn to_request(self) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.untagged(|body| {
            for value in [CANCEL, self.pid, self.secret] {
                body.extend_from_slice(&value.to_be_bytes());
            }
        });
        builder.into_bytes()
    }
}

/// The key that a client is given for its session (`BackendKeyData`) and sends to cancel its query.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    pid: u32,
    secret: Secret,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Secret {
    Short([u8; SHORT]),
    Long([u8; LONG]),
    /// Of a length that no session is given.
    Foreign,
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl SessionKey {
    /// Makes a key with a fresh secret, as long as the client's protocol allows.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn mint(pid: u32, protocol: Protocol) -> Result<Self, Unspecified> {
        let mut bytes = [0; LONG];
        let secret = match protocol {
            Protocol::V3_0 => {
                let mut bytes = [0; SHORT];
                rand::fill(&mut bytes)?;
                Secret::Short(bytes)
            }
            Protocol::V3_2 => {
                rand::fill(&mut bytes)?;
                Secret::Long(bytes)
            }
        };
        Ok(Self { pid, secret })
    }

    /// Reads what follows the code in a `CancelRequest`. A secret of a strange length is no error:
    /// it is nobody's, and who guesses is not told more.
    pub(super) fn parse(mut body: &[u8]) -> Option<Self> {
        let pid = take_u32(&mut body)?;
        let secret = match body.len() {
            0 => return None,
            SHORT => Secret::Short(body.try_into().ok()?),
            LONG => Secret::Long(body.try_into().ok()?),
            _ => Secret::Foreign,
        };
        Some(Self { pid, secret })
    }

    /// The process number that the client sees.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.pid
    }

    fn secret(&self) -> &[u8] {
        match &self.secret {
            Secret::Short(bytes) => bytes,
            Secret::Long(bytes) => bytes,
            Secret::Foreign => &[],
        }
    }

    /// The body of the request to cancel, to be passed on to another gateway; none for a key that no
    /// session is given.
    #[must_use]
    pub fn to_request(&self) -> Option<Vec<u8>> {
        let secret = Some(self.secret()).filter(|secret| !secret.is_empty())?;
        Some([&CANCEL.to_be_bytes()[..], &self.pid.to_be_bytes(), secret].concat())
    }

    /// Appends `BackendKeyData`.
    pub fn put(&self, builder: &mut Builder) {
        builder.message(b'K', |body| {
            body.extend_from_slice(&self.pid.to_be_bytes());
            body.extend_from_slice(self.secret());
        });
    }

    /// The same key in the form of PostgreSQL's own, when it is as short.
    #[must_use]
    pub fn short(self) -> Option<CancelKey> {
        match self.secret {
            Secret::Short(bytes) => {
                Some(CancelKey { pid: self.pid, secret: u32::from_be_bytes(bytes) })
            }
            Secret::Long(_) | Secret::Foreign => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::startup::{Packet, parse};

    #[test]
    fn a_key_comes_back_as_it_was_given() {
        for (protocol, length) in [(Protocol::V3_0, 4), (Protocol::V3_2, 32)] {
            let key = SessionKey::mint(7, protocol).expect("random bytes");
            let mut builder = Builder::default();
            key.put(&mut builder);
            let told = builder.into_bytes();
            assert_eq!((told.len(), told[0]), (9 + length, b'K'));
            assert_eq!(parse(&key.to_request().expect("a request")), Ok(Packet::Cancel(key)));
            let secrets = format!("{:?}", key.secret());
            assert!(!format!("{key:?}").contains(&secrets));
        }
    }

    #[test]
    fn a_secret_of_a_strange_length_is_nobodys() {
        let request = |length: usize| {
            parse(&[&CANCEL.to_be_bytes()[..], &[0, 0, 0, 7], &vec![1; length]].concat())
        };
        for length in [1, 5, 31, 33, 256, 5000] {
            let Ok(Packet::Cancel(key)) = request(length) else { panic!("{length}") };
            assert!(key.short().is_none() && key.secret().is_empty());
        }
        assert!(request(0).is_err());
    }

    #[test]
    fn postgresqls_key_makes_the_same_request() {
        let key = SessionKey::mint(9, Protocol::V3_0).expect("random bytes");
        let own = key.short().expect("short").to_request();
        assert_eq!(own[4..], key.to_request().expect("a request"));
        assert_eq!(own[..4], 16u32.to_be_bytes());
    }
}
