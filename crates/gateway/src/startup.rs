//! The first packets of a connection: requests for encryption, for a cancel, and for a session.

use howdah_model::name::DatabaseName;

use crate::error::{ErrorKind, Fatal};
use crate::message::{Builder, take_cstr, take_u32};

pub use key::{CancelKey, SessionKey};

mod key;

/// The longest first packet, as in PostgreSQL.
pub const LONGEST_PACKET: usize = 10_000;
/// The most bytes of a name of PostgreSQL's.
const LONGEST_NAME: usize = 63;

const PROTOCOL_3_0: u32 = 3 << 16;
const PROTOCOL_3_2: u32 = PROTOCOL_3_0 | 2;
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
    Cancel(SessionKey),
    /// It asks for a session.
    Startup(Startup),
}

/// The protocol that a client is spoken to in. PostgreSQL itself is always spoken to in 3.0: its
/// only difference is the length of cancel keys, those of PostgreSQL never leave the machine, and a
/// session may have to go on at a server that knows no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// 3.0.
    V3_0,
    /// 3.2, with long cancel keys.
    V3_2,
}

impl Protocol {
    fn number(self) -> u32 {
        match self {
            Self::V3_0 => PROTOCOL_3_0,
            Self::V3_2 => PROTOCOL_3_2,
        }
    }
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// SQL.
    Queries,
    /// The write-ahead log or the files of the whole server; it has no database.
    PhysicalReplication,
    /// The changes of one database, and SQL.
    LogicalReplication,
}

/// A request for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The role.
    pub user: String,
    /// The database; the role's name when none was given.
    pub database: String,
    /// What the session is for.
    pub purpose: Purpose,
    /// The protocol that the client is spoken to in.
    pub protocol: Protocol,
    /// What else was given, in order, to be passed on.
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Protocol options that we do not know.
    unknown_options: Vec<Vec<u8>>,
    /// Whether a later protocol than those that we speak was asked for.
    beyond: bool,
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
        CANCEL => SessionKey::parse(body).map(Packet::Cancel).ok_or_else(malformed),
        version if version >> 16 == 3 => parse_startup(body, version).map(Packet::Startup),
        version => Err(Fatal::new(
            ErrorKind::Unsupported,
            format!(
                "unsupported frontend protocol {}.{}: server supports 3.0 to 3.2",
                version >> 16,
                version & 0xffff
            ),
        )),
    }
}

fn parse_startup(mut body: &[u8], version: u32) -> Result<Startup, Fatal> {
    let malformed =
        || Fatal::protocol("invalid startup packet layout: expected terminator as last byte");
    let (mut user, mut database, mut purpose) = (None, None, Purpose::Queries);
    let (mut parameters, mut unknown_options) = (Vec::new(), Vec::new());
    loop {
        let name = take_cstr(&mut body).ok_or_else(malformed)?;
        if name.is_empty() {
            break;
        }
        let value = take_cstr(&mut body).ok_or_else(malformed)?;
        match name {
            b"user" => user = Some(object_name(value)?),
            b"database" => database = Some(object_name(value)?),
            b"replication" => purpose = parse_purpose(value)?,
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
    // There was no 3.1; who asks for it gets what came before.
    let protocol = if version >= PROTOCOL_3_2 { Protocol::V3_2 } else { Protocol::V3_0 };
    let beyond = version > PROTOCOL_3_2;
    Ok(Startup { user, database, purpose, protocol, parameters, unknown_options, beyond })
}

/// The name of a role or database, cut as PostgreSQL cuts it.
fn object_name(value: &[u8]) -> Result<String, Fatal> {
    let mut name = String::from_utf8(value.to_vec()).map_err(|_| {
        Fatal::protocol("invalid byte sequence for encoding \"UTF8\" in startup packet")
    })?;
    name.truncate(name.floor_char_boundary(LONGEST_NAME));
    Ok(name)
}

/// PostgreSQL's booleans in all spellings, and `database`.
fn parse_purpose(value: &[u8]) -> Result<Purpose, Fatal> {
    if value == b"database" {
        return Ok(Purpose::LogicalReplication);
    }
    let lower = value.to_ascii_lowercase();
    let begins = |word: &[u8], least: usize| lower.len() >= least && word.starts_with(&lower);
    if begins(b"true", 1) || begins(b"yes", 1) || begins(b"on", 2) || lower == b"1" {
        Ok(Purpose::PhysicalReplication)
    } else if begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) || lower == b"0" {
        Ok(Purpose::Queries)
    } else {
        let value = String::from_utf8_lossy(value);
        let message = format!("invalid value for parameter \"replication\": \"{value}\"");
        Err(Fatal::new(ErrorKind::InvalidParameter, message)
            .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."))
    }
}

impl Startup {
    /// Whether it is a replication connection: one that is a stream without transactions once
    /// `CopyBothResponse` has come, and that can neither be pooled nor be moved.
    #[must_use]
    pub fn replication(&self) -> bool {
        self.purpose != Purpose::Queries
    }

    /// Takes the credential's database for the name that its clients know it by, and for what has
    /// none itself: PostgreSQL does not look at the name when the whole server is replicated, and
    /// clients put anything there.
    pub fn settle(&mut self, database: &DatabaseName, known_as: Option<&DatabaseName>) {
        let is_it = known_as.is_some_and(|name| name.as_str() == self.database);
        if is_it || self.purpose == Purpose::PhysicalReplication {
            self.database = database.to_string();
        }
    }

    /// What was given besides role, database and purpose, in order: names and values.
    #[must_use]
    pub fn parameters(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.parameters
    }

    /// The same role and database and nothing else, as for a server that several clients share.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self {
            user: self.user.clone(),
            database: self.database.clone(),
            purpose: Purpose::Queries,
            protocol: Protocol::V3_0,
            parameters: Vec::new(),
            unknown_options: Vec::new(),
            beyond: false,
        }
    }

    /// The packet for the server: protocol 3.0, the same role, and all other parameters.
    #[must_use]
    pub fn to_packet(&self) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.untagged(|body| {
            body.extend_from_slice(&Protocol::V3_0.number().to_be_bytes());
            let mut put = |name: &[u8], value: &[u8]| {
                for text in [name, value] {
                    body.extend_from_slice(text);
                    body.push(0);
                }
            };
            put(b"user", self.user.as_bytes());
            put(b"database", self.database.as_bytes());
            match self.purpose {
                Purpose::Queries => {}
                Purpose::PhysicalReplication => put(b"replication", b"true"),
                Purpose::LogicalReplication => put(b"replication", b"database"),
            }
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
        if !self.beyond && self.unknown_options.is_empty() {
            return None;
        }
        let mut builder = Builder::default();
        builder.message(b'v', |body| {
            body.extend_from_slice(&self.protocol.number().to_be_bytes());
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
    fn long_names_are_cut_as_in_postgresql() {
        let name = "\u{e4}".repeat(40);
        let startup = startup(PROTOCOL_3_0, &[("user", &name)]).expect("good");
        assert_eq!((startup.user.len(), startup.database.len()), (62, 62));
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
        let negotiated = |minor: u32, pairs: &[(&str, &str)]| {
            let all = [&[("user", "u")], pairs].concat();
            let startup = startup(PROTOCOL_3_0 + minor, &all).expect("good");
            let wanted = packet(PROTOCOL_3_0, &[("user", "u"), ("database", "u")]);
            assert_eq!(startup.to_packet()[4..], wanted);
            (startup.protocol, startup.negotiation())
        };
        let grease = [("_pq_.test_protocol_negotiation", "")];
        assert_eq!(negotiated(0, &[]), (Protocol::V3_0, None));
        assert_eq!(negotiated(1, &[]), (Protocol::V3_0, None));
        assert_eq!(negotiated(2, &[]), (Protocol::V3_2, None));
        let name = b"_pq_.test_protocol_negotiation\0";
        let told = [&b"v\0\0\0\x2b\0\x03\0\x02\0\0\0\x01"[..], name].concat();
        assert_eq!(negotiated(9999, &grease), (Protocol::V3_2, Some(told)));
        let told = [&b"v\0\0\0\x2b\0\x03\0\0\0\0\0\x01"[..], name].concat();
        assert_eq!(negotiated(0, &grease), (Protocol::V3_0, Some(told)));
        let told = b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0".to_vec();
        assert_eq!(negotiated(3, &[]), (Protocol::V3_2, Some(told)));
    }

    #[test]
    fn replication_is_told_apart_in_all_spellings_of_postgresql() {
        let purpose = |value| {
            startup(PROTOCOL_3_0, &[("user", "u"), ("replication", value)]).map(|s| s.purpose)
        };
        for value in ["true", "T", "on", "yes", "y", "1", "tRu"] {
            assert_eq!(purpose(value), Ok(Purpose::PhysicalReplication), "{value}");
        }
        for value in ["false", "OFF", "of", "no", "0", "f"] {
            assert_eq!(purpose(value), Ok(Purpose::Queries), "{value}");
        }
        assert_eq!(purpose("database"), Ok(Purpose::LogicalReplication));
        for value in ["", "o", "2", "truee", "DATABASE"] {
            assert_eq!(purpose(value).expect_err(value).kind, ErrorKind::InvalidParameter);
        }
    }

    #[test]
    fn d5_a_database_is_opened_by_the_name_that_its_clients_know_and_by_its_own() {
        let (own, known): (DatabaseName, DatabaseName) =
            ("d1".parse().expect("a name"), "f1".parse().expect("a name"));
        for (given, settled) in [("f1", "d1"), ("d1", "d1"), ("f2", "f2")] {
            let pairs = [("user", "u"), ("database", given)];
            let mut startup = startup(PROTOCOL_3_0, &pairs).expect("good");
            startup.settle(&own, Some(&known));
            assert_eq!(startup.database, settled);
        }
    }

    #[test]
    fn physical_replication_has_no_database() {
        let pairs = [("user", "u"), ("database", "replication"), ("replication", "true")];
        let mut physical = startup(PROTOCOL_3_0, &pairs).expect("good");
        assert_eq!(physical.to_packet()[4..], packet(PROTOCOL_3_0, &pairs));
        physical.settle(&"d".parse().expect("a name"), None);
        assert_eq!((physical.database.as_str(), physical.replication()), ("d", true));
        let pairs = [("user", "u"), ("database", "x"), ("replication", "database")];
        let mut logical = startup(PROTOCOL_3_0, &pairs).expect("good");
        logical.settle(&"d".parse().expect("a name"), None);
        assert_eq!((logical.database.as_str(), logical.replication()), ("x", true));
    }

    #[test]
    fn bad_packets_are_refused_in_postgresqls_words() {
        let message = |result: Result<Startup, Fatal>| result.expect_err("bad").message;
        assert_eq!(
            message(startup(2 << 16, &[])),
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
        );
        assert_eq!(
            message(startup(PROTOCOL_3_0, &[])),
            "no PostgreSQL user name specified in startup packet"
        );
    }

    proptest! {
        #[test]
        fn garbage_is_never_more_than_an_error(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&garbage);
            let _ = parse(&[&PROTOCOL_3_0.to_be_bytes()[..], &garbage].concat());
        }
    }
}
