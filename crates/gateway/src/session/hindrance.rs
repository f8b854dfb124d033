//! Why a session does not come to a server.

use std::io;

use super::record::Trouble;
use crate::message::Builder;
use crate::pool::WaitError;
use crate::server::{self, OpenError};

/// Why a session does not come to a server.
#[derive(Debug)]
pub(crate) enum Hindrance {
    /// It may pass.
    NotNow(io::Error),
    /// It has state that the new server does not take.
    State(String),
    /// The server says no, in these words.
    Refused(Vec<u8>),
    /// All servers of its pool are at work, and it has waited long enough.
    Queue(WaitError),
}

impl From<io::Error> for Hindrance {
    fn from(error: io::Error) -> Self {
        Self::NotNow(error)
    }
}

impl From<OpenError> for Hindrance {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unreachable(error) => Self::NotNow(error),
            OpenError::Refused(message) if server::sqlstate(&message) != Some(b"57P03") => {
                let mut builder = Builder::default();
                builder.copy(&message);
                Self::Refused(builder.into_bytes())
            }
            OpenError::Refused(_) | OpenError::Drift | OpenError::Protocol(_) => {
                Self::NotNow(io::ErrorKind::ConnectionRefused.into())
            }
        }
    }
}

/// Without what is vital the session cannot go on.
pub(crate) fn judge(troubles: &[Trouble]) -> Result<(), Hindrance> {
    match troubles.iter().find(|trouble| trouble.step.is_vital()) {
        Some(trouble) => Err(Hindrance::State(trouble.to_string())),
        None => Ok(()),
    }
}
