//! The server's side of a session, and how it is opened and filled.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use howdah_model::route::Target;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::Context;
use super::errand;
use super::pooling::Seat;
use super::record::{Reported, Script, Trouble};
use super::relaying::Identity;
use crate::message::Message;
use crate::registry::Cancellation;
use crate::routes::Entry;
use crate::server::{self, OpenError, SOCKET};
use crate::startup::CancelKey;
use crate::stream::local::Local;

/// A session in PostgreSQL.
#[derive(Debug)]
pub struct Leg {
    /// The connection.
    pub stream: Local,
    /// PostgreSQL's key for it.
    pub key: CancelKey,
    /// Where the server is.
    pub dir: Arc<Path>,
    /// Which start of the server it belongs to.
    pub birth: Option<Birth>,
    /// Whether it takes nothing any more; it may still say why.
    pub is_deaf: bool,
}

/// What tells one start of a server from the next: each makes its socket anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    inode: u64,
    made: (i64, i64),
}

impl Birth {
    /// Of the server that has its socket in a directory now.
    #[must_use]
    pub fn of(dir: &Path) -> Option<Self> {
        let socket = std::fs::metadata(dir.join(SOCKET)).ok()?;
        Some(Self { inode: socket.ino(), made: (socket.ctime(), socket.ctime_nsec()) })
    }
}

/// What comes with a new leg.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub seat: Seat,
    /// What the server has reported of its parameters.
    pub reported: Reported,
    /// What the client has to be told, `ReadyForQuery` not included.
    pub greeting: Vec<Message>,
    /// What the server said since.
    pub rest: Vec<u8>,
}

/// Opens a session by a route that leads to a server of this machine.
///
/// # Errors
/// [`OpenError`]; a server that takes too long is unreachable.
pub async fn open(
    identity: &Identity,
    entry: &Entry,
    dir: &Path,
    bound: Duration,
) -> Result<Opened, OpenError> {
    let birth = Birth::of(dir);
    let opening = server::open(dir, &identity.startup, &entry.keys, &identity.client_key);
    let server = timeout_at(Instant::now() + bound, opening)
        .await
        .map_err(|_| OpenError::Unreachable(std::io::ErrorKind::TimedOut.into()))??;
    let mut reported = Reported::default();
    for message in server.greeting.iter().filter(|message| message.tag == b'S') {
        reported.note(&message.body);
    }
    let leg =
        Leg { stream: server.stream, key: server.key, dir: dir.into(), birth, is_deaf: false };
    Ok(Opened { seat: Seat::Own(leg), reported, greeting: server.greeting, rest: server.rest })
}

impl Opened {
    /// Brings the server to a state. What it could not do and the session cannot be without is told.
    ///
    /// # Errors
    /// When the server goes away or does not answer in time.
    pub async fn bring(
        &mut self,
        script: &Script,
        bound: Duration,
    ) -> std::io::Result<Vec<Trouble>> {
        let answers = self.say((&script.bytes, script.ready), bound).await?;
        Ok(script.judge(&answers))
    }

    /// Says something to the server and hears its answer. What it reports is noted.
    ///
    /// # Errors
    /// When the server goes away or does not answer in time.
    pub async fn say(
        &mut self,
        script: (&[u8], usize),
        bound: Duration,
    ) -> std::io::Result<Vec<Message>> {
        let rest = std::mem::take(&mut self.rest);
        if script.1 > 0 {
            self.seat.overwritten();
        }
        let answer = errand::run(&mut self.seat.stream, script, rest, bound).await?;
        for message in answer.messages.iter().filter(|message| message.tag == b'S') {
            self.reported.note(&message.body);
        }
        self.rest = answer.rest;
        Ok(answer.messages)
    }
}

impl Leg {
    /// How its query is cancelled.
    #[must_use]
    pub fn cancellation(&self) -> Cancellation {
        Cancellation { socket_dir: self.dir.clone(), key: self.key }
    }

    /// Ends it. PostgreSQL hears of it when it next reads.
    pub fn leave(mut self) {
        // If it is not taken now, the end of the connection says the same.
        let _ = self.stream.write_all(b"X\0\0\0\x04").now_or_never();
    }
}

/// Where a route leads, if to a server of this machine.
#[must_use]
pub fn dir(entry: &Entry) -> Option<&PathBuf> {
    match &entry.route.target {
        Target::Local { socket_dir } => Some(socket_dir),
        Target::Unready { .. } | Target::Revoked => None,
    }
}

/// How long PostgreSQL may take for what the gateway asks it between two requests of a client.
#[must_use]
pub fn bound(context: &Context) -> Duration {
    context.shared.config.timeouts.server
}
