//! The client's side of PostgreSQL's replication protocol, as far as base backups need it.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{ErrorFields, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long the server may take to let us in, or to take a statement.
const CONNECT: Duration = Duration::from_secs(20);
/// How many warnings are kept for people.
const WARNINGS: usize = 5;
/// What is read of the socket at once, at most.
const INBOX: usize = 1 << 18;

/// The server could not be talked with, or refused.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection was not made or broke off.
    #[error("the connection to PostgreSQL at {at} broke off: {source}")]
    Broken {
        /// Its socket.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// It said nothing for too long.
    #[error("PostgreSQL said nothing for {0:?} while {1}")]
    Silent(Duration, &'static str),
    /// It wants a password.
    #[error(
        "PostgreSQL wants a password of {0}; it must let this role in by `peer` for replication"
    )]
    Password(String),
    /// It refused.
    #[error("PostgreSQL: {message} ({code})")]
    Refused {
        /// What it said, with what it warned of before.
        message: String,
        /// The SQLSTATE.
        code: String,
    },
    /// It said what was not expected.
    #[error("PostgreSQL sent {0} while {1}")]
    Unexpected(&'static str, &'static str),
}

/// A row of text; NULL is none.
pub(super) type Row = Vec<Option<String>>;

/// What the server says within a copy, or at its end.
pub(super) enum Copied {
    /// A message of it.
    Data(Bytes),
    /// That was all.
    Done,
}

/// A session for replication.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    inbox: BytesMut,
    at: String,
    warnings: Vec<String>,
    process: Option<i32>,
}

impl Wire {
    /// Opens a session of a role. The server must let it in without a password.
    pub(super) async fn connect(socket_dir: &Path, user: &str) -> Result<Self, WireError> {
        let path = socket_dir.join(".s.PGSQL.5432");
        let at = path.display().to_string();
        let opening = async {
            let stream = UnixStream::connect(&path)
                .await
                .map_err(|source| WireError::Broken { at: at.clone(), source })?;
            let mut wire = Self {
                stream,
                inbox: BytesMut::with_capacity(INBOX),
                at: at.clone(),
                warnings: Vec::new(),
                process: None,
            };
            wire.log_in(user).await?;
            Ok(wire)
        };
        timeout(CONNECT, opening).await.map_err(|_| WireError::Silent(CONNECT, "letting us in"))?
    }

    async fn log_in(&mut self, user: &str) -> Result<(), WireError> {
        let parameters = [
            ("user", user),
            ("replication", "true"),
            ("application_name", "howdah_backup"),
            ("client_encoding", "UTF8"),
        ];
        let mut outbox = BytesMut::new();
        frontend::startup_message(parameters, &mut outbox).map_err(|error| self.broken(error))?;
        self.send(&outbox).await?;
        loop {
            match self.message(CONNECT, "letting us in").await? {
                Message::AuthenticationOk => {}
                Message::BackendKeyData(body) => self.process = Some(body.process_id()),
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(WireError::Password(user.to_owned())),
            }
        }
    }

    /// The process of the server that serves this session.
    pub(super) fn process(&self) -> Option<i32> {
        self.process
    }

    /// Sends a statement.
    pub(super) async fn query(&mut self, text: &str) -> Result<(), WireError> {
        let mut outbox = BytesMut::new();
        frontend::query(text, &mut outbox).map_err(|error| self.broken(error))?;
        self.send(&outbox).await
    }

    /// Runs a statement with one result.
    pub(super) async fn ask(&mut self, text: &str) -> Result<Vec<Row>, WireError> {
        self.query(text).await?;
        let rows = self.rows(CONNECT).await?;
        self.ready(CONNECT).await?;
        Ok(rows)
    }

    /// The rows of the next result. The first message may take `patience`, as may every other.
    pub(super) async fn rows(&mut self, patience: Duration) -> Result<Vec<Row>, WireError> {
        const WHILE: &str = "answering";
        let mut rows = Vec::new();
        loop {
            match self.message(patience, WHILE).await? {
                Message::RowDescription(_) => {}
                Message::DataRow(body) => {
                    let ranges: Vec<_> =
                        body.ranges().collect().map_err(|error| self.broken(error))?;
                    let text = |range| String::from_utf8_lossy(&body.buffer()[range]).into_owned();
                    rows.push(ranges.into_iter().map(|range| range.map(text)).collect());
                }
                Message::CommandComplete(_) => return Ok(rows),
                other => return Err(WireError::Unexpected(name_of(&other), WHILE)),
            }
        }
    }

    /// Waits until the server takes the next statement.
    pub(super) async fn ready(&mut self, patience: Duration) -> Result<(), WireError> {
        loop {
            match self.message(patience, "ending a statement").await? {
                Message::CommandComplete(_) => {}
                Message::ReadyForQuery(_) => return Ok(()),
                other => {
                    return Err(WireError::Unexpected(name_of(&other), "ending a statement"));
                }
            }
        }
    }

    /// Waits for the beginning of a copy to us.
    pub(super) async fn copy_begins(&mut self, patience: Duration) -> Result<(), WireError> {
        match self.message(patience, "beginning a copy").await? {
            Message::CopyOutResponse(_) => Ok(()),
            other => Err(WireError::Unexpected(name_of(&other), "beginning a copy")),
        }
    }

    /// The next message of a copy to us.
    pub(super) async fn copied(&mut self, patience: Duration) -> Result<Copied, WireError> {
        match self.message(patience, "sending the cluster").await? {
            Message::CopyData(body) => Ok(Copied::Data(body.into_bytes())),
            Message::CopyDone => Ok(Copied::Done),
            other => Err(WireError::Unexpected(name_of(&other), "sending the cluster")),
        }
    }

    /// Runs a statement that takes a copy from us.
    pub(super) async fn copy_in(&mut self, text: &str, content: &[u8]) -> Result<(), WireError> {
        self.query(text).await?;
        match self.message(CONNECT, "taking a copy").await? {
            Message::CopyInResponse(_) => {}
            other => return Err(WireError::Unexpected(name_of(&other), "taking a copy")),
        }
        for chunk in content.chunks(INBOX) {
            let mut outbox = BytesMut::with_capacity(chunk.len() + 8);
            let data = frontend::CopyData::new(chunk).map_err(|error| self.broken(error))?;
            data.write(&mut outbox);
            self.send(&outbox).await?;
        }
        let mut outbox = BytesMut::new();
        frontend::copy_done(&mut outbox);
        self.send(&outbox).await?;
        self.ready(CONNECT).await
    }

    async fn send(&mut self, content: &[u8]) -> Result<(), WireError> {
        match timeout(CONNECT, self.stream.write_all(content)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(WireError::Silent(CONNECT, "being sent to")),
        }
    }

    /// The next message that answers us: warnings are kept, and what the server tells of its
    /// settings, at any time, is passed over. What it refuses is an error.
    async fn message(
        &mut self,
        patience: Duration,
        doing: &'static str,
    ) -> Result<Message, WireError> {
        loop {
            match Message::parse(&mut self.inbox).map_err(|error| self.broken(error))? {
                Some(Message::ParameterStatus(_)) => {}
                Some(Message::NoticeResponse(body)) => {
                    if self.warnings.len() < WARNINGS {
                        self.warnings.push(said(body.fields()).0);
                    }
                }
                Some(Message::ErrorResponse(body)) => {
                    let (message, code) = said(body.fields());
                    let before = self.warnings.iter().map(String::as_str);
                    let message = std::iter::once(message.as_str()).chain(before);
                    let message = message.collect::<Vec<_>>().join("; ");
                    return Err(WireError::Refused { message, code });
                }
                Some(message) => return Ok(message),
                None => self.fill(patience, doing).await?,
            }
        }
    }

    async fn fill(&mut self, patience: Duration, doing: &'static str) -> Result<(), WireError> {
        if self.inbox.capacity() - self.inbox.len() < INBOX / 2 {
            self.inbox.reserve(INBOX);
        }
        match timeout(patience, self.stream.read_buf(&mut self.inbox)).await {
            Ok(Ok(0)) => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(WireError::Silent(patience, doing)),
        }
    }

    fn broken(&self, source: io::Error) -> WireError {
        WireError::Broken { at: self.at.clone(), source }
    }
}

/// The message of an error or a warning, and its SQLSTATE.
fn said(mut fields: ErrorFields<'_>) -> (String, String) {
    let (mut message, mut code) = (String::new(), String::new());
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes());
        match field.type_() {
            b'M' => message = value.into_owned(),
            b'C' => code = value.into_owned(),
            b'D' | b'H' if !message.is_empty() => message = format!("{message}: {value}"),
            _ => {}
        }
    }
    (message, code)
}

fn name_of(message: &Message) -> &'static str {
    match message {
        Message::CopyData(_) => "data of a copy",
        Message::CopyDone => "the end of a copy",
        Message::CopyInResponse(_) | Message::CopyOutResponse(_) => "the beginning of a copy",
        Message::CommandComplete(_) => "the end of a command",
        Message::ReadyForQuery(_) => "that it is ready",
        Message::RowDescription(_) | Message::DataRow(_) => "a row",
        _ => "something else",
    }
}
