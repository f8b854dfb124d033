//! The server's leg: opening a session in PostgreSQL with the client's key.

use std::io;
use std::path::Path;

use tokio::io::AsyncWriteExt as _;

use crate::message::{Builder, Inbox, Message, ReadError, take_cstr, take_u32};
use crate::scram::client::{Exchange, Mismatch};
use crate::scram::{ClientKey, Keys, PLAIN, nonce};
use crate::startup::{CancelKey, Startup};
use crate::stream::local::Local;

/// The name of PostgreSQL's socket in its directory.
pub const SOCKET: &str = ".s.PGSQL.5432";

/// The largest message of a log-in that is believed.
const LARGEST_MESSAGE: usize = 64 * 1024;
/// The most that PostgreSQL may say before it is ready, notices included.
const LONGEST_GREETING: usize = 1024 * 1024;

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// PostgreSQL does not listen, or went away meanwhile.
    #[error(transparent)]
    Unreachable(#[from] io::Error),
    /// PostgreSQL said no; its answer is for the client.
    #[error("PostgreSQL refused the session")]
    Refused(Message),
    /// PostgreSQL has another password for the role.
    #[error("PostgreSQL has another password")]
    Drift,
    /// PostgreSQL does not speak as it should.
    #[error("PostgreSQL broke the protocol: {0}")]
    Protocol(&'static str),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Unreachable(error),
            ReadError::Length => Self::Protocol("invalid message length"),
        }
    }
}

/// A session in PostgreSQL that waits for its first query.
#[derive(Debug)]
pub struct Server {
    /// The connection.
    pub stream: Local,
    /// PostgreSQL's key for it.
    pub key: CancelKey,
    /// What the client has to be told, in order, `ReadyForQuery` not included.
    pub greeting: Vec<Message>,
    /// What came after `ReadyForQuery`.
    pub rest: Vec<u8>,
}

/// Opens a session.
///
/// # Errors
/// [`OpenError`].
pub async fn open(
    socket_dir: &Path,
    startup: &Startup,
    keys: &Keys,
    client_key: &ClientKey,
) -> Result<Server, OpenError> {
    let mut stream = Local::connect(&socket_dir.join(SOCKET))?;
    stream.write_all(&startup.to_packet()).await?;
    let mut inbox = Inbox::default();
    log_in(&mut stream, &mut inbox, keys, client_key).await?;
    let (key, greeting) = read_greeting(&mut stream, &mut inbox).await?;
    Ok(Server { stream, key, greeting, rest: inbox.into_rest() })
}

async fn log_in(
    stream: &mut Local,
    inbox: &mut Inbox,
    keys: &Keys,
    client_key: &ClientKey,
) -> Result<(), OpenError> {
    let offer = authentication(inbox, stream).await?;
    if !offers_scram(&offer) {
        return Err(OpenError::Protocol("it does not ask for SCRAM-SHA-256"));
    }
    let exchange = Exchange::new(nonce().map_err(|_| OpenError::Protocol("no random bytes"))?);
    stream.write_all(&password(&exchange.initial_response())).await?;
    let first = sasl(inbox, stream, SASL_CONTINUE).await?;
    let proved = exchange.prove(&first, keys, client_key)?;
    stream.write_all(&password(proved.client_final.as_bytes())).await?;
    let last = match sasl(inbox, stream, SASL_FINAL).await {
        // The salt is the same and the proof is right by the route's verifier.
        Err(OpenError::Refused(message)) if sqlstate(&message) == Some(b"28P01") => {
            return Err(OpenError::Drift);
        }
        other => other?,
    };
    proved.verify(&last)?;
    match authentication(inbox, stream).await?.as_slice() {
        [0, 0, 0, 0] => Ok(()),
        _ => Err(OpenError::Protocol("it wants more than SCRAM")),
    }
}

impl From<Mismatch> for OpenError {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::Verifier => Self::Drift,
            Mismatch::Server => Self::Protocol("its SCRAM message is wrong"),
        }
    }
}

const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

fn offers_scram(mut offer: &[u8]) -> bool {
    if take_u32(&mut offer) != Some(SASL) {
        return false;
    }
    while let Some(mechanism) = take_cstr(&mut offer) {
        if mechanism == PLAIN.as_bytes() {
            return true;
        }
    }
    false
}

/// The text of the next authentication message, which must be of that kind.
async fn sasl(inbox: &mut Inbox, stream: &mut Local, kind: u32) -> Result<String, OpenError> {
    let body = authentication(inbox, stream).await?;
    let mut rest = body.as_slice();
    if take_u32(&mut rest) != Some(kind) {
        return Err(OpenError::Protocol("its SASL message is out of order"));
    }
    String::from_utf8(rest.to_vec()).map_err(|_| OpenError::Protocol("its SCRAM is not text"))
}

/// The body of the next authentication message.
async fn authentication(inbox: &mut Inbox, stream: &mut Local) -> Result<Vec<u8>, OpenError> {
    loop {
        let message = inbox.next(stream, LARGEST_MESSAGE).await?;
        match message.tag {
            b'R' => return Ok(message.body),
            b'E' => return Err(OpenError::Refused(message)),
            b'N' => {}
            _ => return Err(OpenError::Protocol("unexpected message in the log-in")),
        }
    }
}

async fn read_greeting(
    stream: &mut Local,
    inbox: &mut Inbox,
) -> Result<(CancelKey, Vec<Message>), OpenError> {
    let (mut key, mut greeting, mut size) = (None, Vec::new(), 0);
    loop {
        let message = inbox.next(stream, LARGEST_MESSAGE).await?;
        size += message.body.len();
        if size > LONGEST_GREETING {
            return Err(OpenError::Protocol("its greeting has no end"));
        }
        match message.tag {
            b'K' => key = Some(parse_key(&message.body)?),
            b'Z' => {
                let key = key.ok_or(OpenError::Protocol("it gave no cancel key"))?;
                return Ok((key, greeting));
            }
            b'E' => return Err(OpenError::Refused(message)),
            b'S' | b'N' | b'A' => greeting.push(message),
            _ => return Err(OpenError::Protocol("unexpected message before it was ready")),
        }
    }
}

fn parse_key(mut body: &[u8]) -> Result<CancelKey, OpenError> {
    match (take_u32(&mut body), take_u32(&mut body), body) {
        (Some(pid), Some(secret), []) => Ok(CancelKey { pid, secret }),
        _ => Err(OpenError::Protocol("its cancel key has an unknown form")),
    }
}

fn password(body: &[u8]) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.message(b'p', |bytes| bytes.extend_from_slice(body));
    builder.into_bytes()
}

/// The SQLSTATE in an `ErrorResponse`.
#[must_use]
pub fn sqlstate(error: &Message) -> Option<&[u8]> {
    let mut body = error.body.as_slice();
    loop {
        let field = take_cstr(&mut body)?;
        match field.split_first() {
            Some((b'C', code)) => return Some(code),
            Some(_) => {}
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fatal;

    #[test]
    fn the_sqlstate_is_found_among_the_fields() {
        let body = Fatal::invalid_password("x").to_bytes()[5..].to_vec();
        assert_eq!(sqlstate(&Message { tag: b'E', body }), Some(&b"28P01"[..]));
        assert_eq!(sqlstate(&Message { tag: b'E', body: b"Sx\0\0".to_vec() }), None);
        assert_eq!(sqlstate(&Message { tag: b'E', body: vec![] }), None);
    }

    #[test]
    fn scram_is_found_among_the_mechanisms() {
        let offer = |text: &str| [&SASL.to_be_bytes()[..], text.as_bytes()].concat();
        assert!(offers_scram(&offer("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")));
        assert!(!offers_scram(&offer("SCRAM-SHA-256-PLUS\0\0")));
        assert!(!offers_scram(&[0, 0, 0, 0]));
    }
}
