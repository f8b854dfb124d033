//! What goes wrong for a client, in PostgreSQL's words and with PostgreSQL's SQLSTATEs.

use std::fmt::Write as _;

use crate::message::Builder;

/// Why a session was refused or ended by the gateway. The name is also the label in statistics.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumCount, strum::EnumIter,
)]
#[strum(serialize_all = "snake_case")]
#[repr(usize)]
pub enum ErrorKind {
    /// A client outside this machine came without TLS.
    NoEncryption,
    /// The password is wrong, or there is no such role; the client is not told which.
    InvalidPassword,
    /// The role may not log in any more.
    Revoked,
    /// The role may not open the database that it named.
    WrongDatabase,
    /// The database has all the sessions that its plan allows.
    TooManyConnections,
    /// The gateway has all the clients that it can hold.
    GatewayFull,
    /// The client's address has all the unfinished log-ins that one address may have.
    TooManyUnfinished,
    /// The database cannot be reached now.
    NotReady,
    /// PostgreSQL has another password for the role than the platform.
    CredentialDrift,
    /// The client broke the protocol.
    Protocol,
    /// The client asked for something that the gateway does not do.
    Unsupported,
    /// A parameter of the client's first packet has a value that it cannot have.
    InvalidParameter,
    /// The credential may not open replication connections.
    ReplicationRefused,
    /// The client did not finish its log-in in time.
    HandshakeTimeout,
    /// PostgreSQL refused the session itself; the client was given its answer.
    ServerRefused,
    /// The connection to PostgreSQL broke in the middle of a session.
    ServerLost,
    /// The session was ended because its credential was removed.
    Terminated,
    /// The session was ended because it stood in the way of a move, or could not be moved.
    Evicted,
    /// The session waited for its server for longer than the gateway waits.
    HoldTimeout,
    /// No server of the pool came free in time.
    QueueTimeout,
    /// The session was ended because the gateway stops.
    Shutdown,
}

impl ErrorKind {
    /// The SQLSTATE that the client is told. [`ErrorKind::ServerRefused`] has PostgreSQL's own.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoEncryption | Self::Revoked => "28000",
            Self::InvalidPassword => "28P01",
            Self::WrongDatabase => "3D000",
            Self::TooManyConnections | Self::GatewayFull | Self::TooManyUnfinished => "53300",
            Self::NotReady | Self::HoldTimeout | Self::QueueTimeout | Self::CredentialDrift => {
                "57P03"
            }
            Self::Protocol | Self::HandshakeTimeout => "08P01",
            Self::Unsupported => "0A000",
            Self::InvalidParameter => "22023",
            Self::ReplicationRefused => "42501",
            Self::ServerRefused | Self::ServerLost => "08006",
            Self::Terminated | Self::Evicted | Self::Shutdown => "57P01",
        }
    }
}

/// An error that ends the session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fatal {
    /// What it is.
    pub kind: ErrorKind,
    /// One line in PostgreSQL's style.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl Fatal {
    /// An error without a hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// The client broke the protocol.
    #[must_use]
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    /// PostgreSQL's words for a wrong password and for an unknown role alike.
    #[must_use]
    pub fn invalid_password(role: &str) -> Self {
        let message = format!("password authentication failed for user \"{role}\"");
        Self::new(ErrorKind::InvalidPassword, message)
    }

    /// PostgreSQL's words for the end of a session by `pg_terminate_backend`.
    #[must_use]
    pub fn terminated(kind: ErrorKind) -> Self {
        Self::new(kind, "terminating connection due to administrator command")
    }

    /// The `ErrorResponse` message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = String::new();
        // Writing to a string cannot fail.
        let _ =
            write!(fields, "SFATAL\0VFATAL\0C{}\0M{}\0", self.kind.code(), clean(&self.message));
        if let Some(hint) = self.hint {
            let _ = write!(fields, "H{hint}\0");
        }
        let mut builder = Builder::default();
        builder.message(b'E', |body| {
            body.extend_from_slice(fields.as_bytes());
            body.push(0);
        });
        builder.into_bytes()
    }
}

/// Names come from the client: a zero byte would end the field.
fn clean(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_has_its_fields_in_order() {
        let bytes = Fatal::invalid_password("x\0y").hint("Try again.").to_bytes();
        let text = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"xy\"\0HTry again.\0\0";
        assert_eq!(bytes[0], b'E');
        assert_eq!(bytes[1..5], u32::try_from(text.len() + 4).expect("small").to_be_bytes());
        assert_eq!(&bytes[5..], text);
    }
}
