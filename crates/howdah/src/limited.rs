//! A listener that one client cannot exhaust: the API, the gateway and the databases' sessions share
//! one process' open files, and HTTP connections that nobody uses must not take them all.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The most connections at once; further ones wait in the kernel's queue.
const MOST: usize = 1000;

/// How long nothing may be read or written before a connection is closed. More than any request
/// takes: while one is carried out, nothing is.
const IDLE: Duration = Duration::from_secs(75);

/// The listener: see the module's text.
pub(crate) struct Limited {
    listener: TcpListener,
    free: Arc<Semaphore>,
    idle: Duration,
}

impl Limited {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self::with(listener, MOST, IDLE)
    }

    fn with(listener: TcpListener, most: usize, idle: Duration) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(most)), idle }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore; without a permit the connection would only not be counted.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            idle: self.idle,
            until: Box::pin(sleep(self.idle)),
            _permit: permit,
        };
        (connection, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that counts, and that ends when it is idle for long.
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Duration,
    until: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Lets nothing be said for longer: people think.
    pub(crate) fn may_idle(&mut self, idle: Duration) {
        self.idle = idle;
        self.until.as_mut().reset(Instant::now() + idle);
    }

    fn timed<T>(
        &mut self,
        done: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.until.as_mut().reset(Instant::now() + self.idle);
            return done;
        }
        self.until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.timed(done, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(done, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn idle_connections_give_way_to_those_that_ask() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let limited = Limited::with(listener, 3, Duration::from_millis(200));
        let app = axum::Router::new().route("/", axum::routing::get(async || "well"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(limited, app).await });
        let mut idle = Vec::new();
        for _ in 0..10 {
            let mut held = TcpStream::connect(address).await.expect("connect");
            held.write_all(b"GET / HTTP/1.1\r\nX-Slow:").await.expect("write");
            idle.push(held);
        }
        let asked = async {
            let mut client = TcpStream::connect(address).await.expect("connect");
            let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            client.write_all(request).await.expect("write");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("read");
            answer
        };
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("in time");
        assert!(answer.ends_with("well"), "{answer}");
    }
}
