//! Connections with TLS, sorted: Heroku's CLI comes for one-off processes to the same address as
//! for the API, but says a secret instead of a request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use howdah_web::Rendezvous;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::limited::Connection;

/// How long a client that does not say what it speaks may take to say its first line.
const FIRST: Duration = Duration::from_secs(10);

/// How long nothing may be said to and by a one-off process, as Heroku's CLI has it.
const IDLE: Duration = Duration::from_secs(3600);

/// The bytes of a secret and the end of its line.
const SECRET: usize = 36 + 2;

/// A connection of which a part was read already.
pub(crate) struct Sorted {
    first: Vec<u8>,
    taken: usize,
    stream: TlsStream<Connection>,
}

/// Hands a connection on when it comes for a one-off process; answers all others. Clients of HTTP
/// say so in their handshake, Heroku's CLI says nothing there: only such are looked into.
pub(crate) async fn sort(mut stream: TlsStream<Connection>, place: &Rendezvous) -> Option<Sorted> {
    let mut first = Vec::new();
    if stream.get_ref().1.alpn_protocol().is_none() {
        let reading = async {
            while first.len() < SECRET && !first.ends_with(b"\r\n") {
                let left = SECRET - first.len();
                if (&mut stream).take(left as u64).read_buf(&mut first).await? == 0 {
                    break;
                }
            }
            io::Result::Ok(())
        };
        timeout(FIRST, reading).await.ok()?.ok()?;
        let line = first.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
        if let Some(secret) = line.and_then(|line| line.parse().ok()) {
            stream.get_mut().0.may_idle(IDLE);
            place.meet(secret, stream);
            return None;
        }
    }
    Some(Sorted { first, taken: 0, stream })
}

impl AsyncRead for Sorted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken == self.first.len() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let end = self.first.len().min(self.taken + buffer.remaining());
        buffer.put_slice(&self.first[self.taken..end]);
        self.taken = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sorted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
