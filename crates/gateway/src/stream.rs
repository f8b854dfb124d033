//! A client's connection, with or without TLS.

pub mod local;
pub mod metered;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tls::Secured;

/// Silence after which the system asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer after which it is gone.
const KEEPALIVE_COUNT: u32 = 6;
/// The most that is read from a client that is being sent away.
const MOST_DISCARDED: usize = 1 << 20;

/// A client's connection.
#[derive(Debug)]
pub enum Client {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS. Boxed, as it is much larger.
    Tls(Box<Secured>),
}

/// Sets what every client's socket needs: no delay, and the detection of peers that are gone.
/// Sockets have what the listener had that accepted them, so it is best set there, once; one that
/// has it is left alone.
///
/// There is no bound on how long sent bytes may wait (`TCP_USER_TIMEOUT`), as Linux would also end a
/// client that is alive and takes its time to read. A client that vanishes with bytes on the way
/// to it is given up by the system when it has sent them fifteen times (a quarter of an hour).
///
/// # Errors
/// When the socket is already broken.
pub fn prepare(socket: impl AsFd) -> io::Result<()> {
    if sockopt::tcp_nodelay(&socket)? {
        return Ok(());
    }
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_COUNT)?;
    Ok(sockopt::set_tcp_nodelay(&socket, true)?)
}

impl Client {
    /// The host that the client meant to reach, when it said so (SNI).
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(secured) => secured.server_name(),
        }
    }

    /// The `tls-server-end-point` of the certificate that this client was shown.
    #[must_use]
    pub fn end_point(&self) -> Option<&std::sync::Arc<[u8]>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(secured) => secured.end_point(),
        }
    }

    /// Sends last words and closes so that they arrive: a socket that is closed with unread bytes
    /// resets the connection, and the client may lose what it has not read yet.
    pub async fn say_goodbye(mut self, words: &[u8], bound: Duration) {
        let goodbye = async {
            self.write_all(words).await?;
            self.shutdown().await?;
            let mut sink = [0; 4096];
            let mut discarded = 0;
            while discarded < MOST_DISCARDED {
                match self.read(&mut sink).await? {
                    0 => break,
                    count => discarded += count,
                }
            }
            io::Result::Ok(())
        };
        // It goes in any case.
        let _ = timeout(bound, goodbye).await;
    }
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(secured) => Pin::new(secured.stream()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(secured) => Pin::new(secured.stream()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(secured) => Pin::new(secured.stream()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(secured) => Pin::new(secured.stream()).poll_shutdown(cx),
        }
    }
}
