//! The first packets of a connection: requests for encryption, for a cancel, and for a session.

use crate::error::{ErrorKind, Fatal};
use crate::message::{Builder, take_cstr, take_u32};

/// The longest first packet, as in PostgreSQL.
pub const LONGEST_PACKET: usize = 10_000;

const PROTOCOL_3_0: u32 = 3 << 16;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// What a client can send first.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// It asks for TLS.
    Ssl,
    /// It asks for encryption by GSSAPI.
    GssEnc,
    /// It asks to cancel the query of another session.
    Cancel(CancelKey),
    /// It asks for a session.
    Startup(Startup),
}

/// What `BackendKeyData` tells a client, and what it sends to cancel.
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

/// A request for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The role.
    pub user: String,
    /// The database; the role's name when none was given.
    pub database: String,
    /// What else was given, in order, to be passed on.
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Protocol options that we do not know.
    unknown_options: Vec<Vec<u8>>,
    /// Whether a later minor version than 3.0 was asked for.
    later_minor: bool,
}

/// Reads a first packet, without its length.
///
/// # Errors
/// What the client is told.
pub fn parse(mut body: &[u8]) -> Result<Packet, Fatal> {
    let malformed = || Fatal::protocol("invalid length of startup packet");
    match take_u32(&mut body).ok_or_else(malformed)? {
        SSL => Ok(Packet::Ssl),
        GSSENC => Ok(Packet::GssEnc),
        CANCEL => {
            let pid = take_u32(&mut body).ok_or_else(malformed)?;
            let secret = take_u32(&mut body).ok_or_else(malformed)?;
            Ok(Packet::Cancel(CancelKey { pid, secret }))
        }
        version if version >> 16 == 3 => {
            parse_startup(body, version > PROTOCOL_3_0).map(Packet::Startup)
        }
        version => Err(Fatal::new(
            ErrorKind::Unsupported,
            format!(
                "unsupported frontend protocol {}.{}: server supports 3.0 to 3.0",
                version >> 16,
                version & 0xffff
            ),
        )),
    }
}

fn parse_startup(mut body: &[u8], later_minor: bool) -> Result<Startup, Fatal> {
    let malformed =
        || Fatal::protocol("invalid startup packet layout: expected terminator as last byte");
    let (mut user, mut database) = (None, None);
    let (mut parameters, mut unknown_options) = (Vec::new(), Vec::new());
    loop {
        let name = take_cstr(&mut body).ok_or_else(malformed)?;
        if name.is_empty() {
            break;
        }
        let value = take_cstr(&mut body).ok_or_else(malformed)?;
        match name {
            b"user" => user = Some(text(value)?),
            b"database" => database = Some(text(value)?),
            b"replication" => refuse_replication(value)?,
            _ if name.starts_with(b"_pq_.") => unknown_options.push(name.to_vec()),
            _ => parameters.push((name.to_vec(), value.to_vec())),
        }
    }
    if !body.is_empty() {
        return Err(malformed());
    }
    let user: String = user
        .filter(|user: &String| !user.is_empty())
        .ok_or_else(|| Fatal::protocol("no PostgreSQL user name specified in startup packet"))?;
    let database =
        database.filter(|name: &String| !name.is_empty()).unwrap_or_else(|| user.clone());
    Ok(Startup { user, database, parameters, unknown_options, later_minor })
}

fn text(value: &[u8]) -> Result<String, Fatal> {
    String::from_utf8(value.to_vec()).map_err(|_| {
        Fatal::protocol("invalid byte sequence for encoding \"UTF8\" in startup packet")
    })
}

fn refuse_replication(value: &[u8]) -> Result<(), Fatal> {
    match value.to_ascii_lowercase().as_slice() {
        b"false" | b"off" | b"no" | b"0" | b"f" | b"n" => Ok(()),
        _ => Err(Fatal::new(
            ErrorKind::Unsupported,
            "replication connections are not supported by the gateway",
        )
        .hint("Take a dump with pg_dump, which needs no replication connection.")),
    }
}

impl Startup {
    /// The packet for the server: protocol 3.0, the same role, and all other parameters.
    #[must_use]
    pub fn to_packet(&self) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.untagged(|body| {
            body.extend_from_slice(&PROTOCOL_3_0.to_be_bytes());
            let mut put = |name: &[u8], value: &[u8]| {
                for text in [name, value] {
                    body.extend_from_slice(text);
                    body.push(0);
                }
            };
            put(b"user", self.user.as_bytes());
            put(b"database", self.database.as_bytes());
            for (name, value) in &self.parameters {
                put(name, value);
            }
            body.push(0);
        });
        builder.into_bytes()
    }

    /// `NegotiateProtocolVersion`, when the client asked for more than we speak.
    #[must_use]
    pub fn negotiation(&self) -> Option<Vec<u8>> {
        if !self.later_minor && self.unknown_options.is_empty() {
            return None;
        }
        let mut builder = Builder::default();
        builder.message(b'v', |body| {
            body.extend_from_slice(&PROTOCOL_3_0.to_be_bytes());
            // At most 10 kB of options came.
            let count = u32::try_from(self.unknown_options.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&count.to_be_bytes());
            for option in &self.unknown_options {
                body.extend_from_slice(option);
                body.push(0);
            }
        });
        Some(builder.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(version: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        for (name, value) in pairs {
            body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        body.push(0);
        body
    }

    fn startup(version: u32, pairs: &[(&str, &str)]) -> Result<Startup, Fatal> {
        match parse(&packet(version, pairs))? {
            Packet::Startup(startup) => Ok(startup),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_are_passed_on_and_the_database_defaults_to_the_role() {
        let pairs = [("user", "u1"), ("options", "-c a=b"), ("application_name", "psql")];
        let startup = startup(PROTOCOL_3_0, &pairs).expect("good");
        assert_eq!((startup.user.as_str(), startup.database.as_str()), ("u1", "u1"));
        let wanted = [("user", "u1"), ("database", "u1"), pairs[1], pairs[2]];
        assert_eq!(startup.to_packet()[4..], packet(PROTOCOL_3_0, &wanted));
        assert_eq!(startup.negotiation(), None);
    }

    #[test]
    fn later_minors_and_unknown_options_are_negotiated_away() {
        let options = [("user", "u"), ("_pq_.grease", "1")];
        let startup = startup(PROTOCOL_3_0 + 2, &options).expect("good");
        let wanted = b"v\0\0\0\x18\0\x03\0\0\0\0\0\x01_pq_.grease\0";
        assert_eq!(startup.negotiation().as_deref(), Some(&wanted[..]));
        assert_eq!(
            startup.to_packet()[4..],
            packet(PROTOCOL_3_0, &[("user", "u"), ("database", "u")])
        );
    }

    #[test]
    fn bad_packets_are_refused_in_postgresqls_words() {
        let message = |result: Result<Startup, Fatal>| result.expect_err("bad").message;
        assert_eq!(
            message(startup(2 << 16, &[])),
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.0"
        );
        assert_eq!(
            message(startup(PROTOCOL_3_0, &[])),
            "no PostgreSQL user name specified in startup packet"
        );
        let replication = startup(PROTOCOL_3_0, &[("user", "u"), ("replication", "database")]);
        assert_eq!(replication.expect_err("refused").kind.code(), "0A000");
        assert!(startup(PROTOCOL_3_0, &[("user", "u"), ("replication", "off")]).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_is_never_more_than_an_error(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&garbage);
            let _ = parse(&[&PROTOCOL_3_0.to_be_bytes()[..], &garbage].concat());
        }
    }
}
