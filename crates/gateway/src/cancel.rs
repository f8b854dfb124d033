//! Cancel requests: our key in, PostgreSQL's key out, to the server that the session has.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::registry::{Cancellation, Sessions};
use crate::startup::SessionKey;

/// How long PostgreSQL may take to read a cancel request.
const BOUND: Duration = Duration::from_secs(5);

/// Passes on the request of a client. One with an unknown key is dropped without a word, as
/// PostgreSQL does. Whether it was passed on.
pub async fn forward(sessions: &Sessions, key: SessionKey) -> bool {
    // The handle is held until PostgreSQL has read the request, and a server belongs to one
    // session for its whole life, so it cannot reach a session that came later.
    let Some(handle) = sessions.find(key) else { return false };
    let Some(cancellation) = handle.cancellation() else { return false };
    send(&cancellation).await
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
