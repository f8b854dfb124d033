//! A client's socket below TLS: what was read before TLS began comes first, and the handshake has
//! only so many bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// No limit.
const UNLIMITED: usize = usize::MAX;

/// A socket whose reader gets at most so many bytes until [`Metered::lift`].
#[derive(Debug)]
pub struct Metered {
    socket: TcpStream,
    /// What comes before the socket's next byte.
    before: Vec<u8>,
    /// How many bytes may still be read.
    left: usize,
}

impl Metered {
    /// Gives `before` and then what the socket gives, `limit` bytes in all.
    #[must_use]
    pub fn new(socket: TcpStream, before: Vec<u8>, limit: usize) -> Self {
        Self { socket, before, left: limit }
    }

    /// From now on there is no limit.
    pub fn lift(&mut self) {
        self.left = UNLIMITED;
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn take(&mut self, count: usize) {
        if self.left != UNLIMITED {
            self.left = self.left.saturating_sub(count);
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            let error = "the client's TLS handshake is too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        if !this.before.is_empty() {
            let count = this.before.len().min(buf.remaining());
            buf.put_slice(&this.before[..count]);
            this.before.drain(..count);
            if this.before.is_empty() {
                this.before = Vec::new();
            }
            this.take(count);
            return Poll::Ready(Ok(()));
        }
        let begun = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.take(buf.filled().len() - begun);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
