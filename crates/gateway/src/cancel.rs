//! Cancel requests: our key in, PostgreSQL's key out, to the server that the session has.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::registry::{Cancellation, Sessions};
use crate::startup::SessionKey;

/// How long PostgreSQL may take to read a cancel request.
const BOUND: Duration = Duration::from_secs(5);

/// What came of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A server has it.
    PassedOn,
    /// The session runs nothing now, or its server has gone.
    Nothing,
    /// Nobody here has the key.
    Unknown,
}

/// Passes on the request of a client. One with an unknown key is dropped without a word, as
/// PostgreSQL does.
pub async fn forward(sessions: &Sessions, key: SessionKey) -> Outcome {
    let Some(handle) = sessions.find(key) else { return Outcome::Unknown };
    // Until PostgreSQL has read the request the session keeps its server, so that it cannot reach
    // another that has that server later.
    match handle.cancel() {
        Some(cancelling) if send(&cancelling.cancellation).await => Outcome::PassedOn,
        Some(_) | None => Outcome::Nothing,
    }
}

/// Sends a request and waits until the postmaster has taken it, which it says by closing.
pub async fn send(cancellation: &Cancellation) -> bool {
    let exchange = async {
        let path = cancellation.socket_dir.join(crate::server::SOCKET);
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(&cancellation.key.to_request()).await?;
        stream.read(&mut [0; 1]).await
    };
    matches!(timeout(BOUND, exchange).await, Ok(Ok(_)))
}
