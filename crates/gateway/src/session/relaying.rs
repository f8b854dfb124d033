//! Client and server talk; the gateway reads the headers as they go by.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::parting::Parting;
use super::progress::Progress;
use super::{Context, Session};
use crate::error::{ErrorKind, Fatal};
use crate::frame::{Head, Scanner};
use crate::limits::{Place, Slot};
use crate::registry::{Order, Registration};
use crate::server::Server;
use crate::stream::Client;

/// Bytes that are read at once. One buffer serves all sessions of a thread: a session that is
/// idle has none.
const SCRATCH: usize = 64 * 1024;
/// Reads in a row before another session of the thread gets its turn.
const ROUNDS: usize = 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// What a session holds for as long as it lasts.
#[derive(Debug)]
pub struct Holds {
    /// Its place among the sessions.
    pub registration: Registration,
    /// Its place among those of its database.
    pub slot: Slot,
    /// Its place among all clients.
    pub place: Place,
}

/// A session that is open.
#[derive(Debug)]
pub struct Relaying {
    context: Context,
    client: Client,
    server: UnixStream,
    up: Flow,
    down: Flow,
    progress: Progress,
    holds: Holds,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    scanner: Scanner,
    /// What was read and could not be written yet. While there is any, nothing is read.
    unsent: Vec<u8>,
    /// How much of that has been written since.
    sent: usize,
    /// Whether the writer may have bytes in its own buffer.
    unflushed: bool,
    /// Whether the writer takes nothing any more.
    broken: bool,
}

/// Why a direction ended.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The reader has no more.
    Ended,
    /// The writer takes no more.
    Broken,
    /// The reader's messages make no sense.
    Senseless,
}

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    ClientLeft,
    ClientSenseless,
    ServerLost,
    Ordered(Order),
}

impl Relaying {
    /// A session whose client was just told that it is in.
    #[must_use]
    pub fn new(context: Context, client: Client, server: Server, holds: Holds) -> Self {
        context.counters.sessions.add(1);
        let mut relay = Self {
            context,
            client,
            server: server.stream,
            up: Flow::default(),
            down: Flow::default(),
            progress: Progress::default(),
            holds,
        };
        let progress = &mut relay.progress;
        // A length that cannot be is met again when the next bytes come.
        let _ = relay.down.scanner.scan(&server.rest, |head| progress.from_server(head));
        relay.down.unsent = server.rest;
        relay
    }

    pub(super) async fn step(mut self) -> Session {
        let end = poll_fn(|cx| self.poll(cx)).await;
        self.context.counters.sessions_ended.add(1);
        self.part(end)
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<End> {
        if let Some(order) = self.holds.registration.handle.poll_order(cx) {
            return Poll::Ready(End::Ordered(order));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let down = self.poll_down(cx, buffer);
            if down.is_ready() {
                return down;
            }
            self.poll_up(cx, buffer)
        })
    }

    fn poll_down(&mut self, cx: &mut TaskContext<'_>, buffer: &mut [u8]) -> Poll<End> {
        let Self { client, server, down, progress, context, .. } = self;
        let count = |bytes| context.counters.bytes_to_client.add(bytes);
        let stop = ready!(down.poll(cx, server, client, buffer, count, |head| {
            progress.from_server(head);
        }));
        Poll::Ready(match stop {
            Stop::Ended | Stop::Senseless => End::ServerLost,
            Stop::Broken => End::ClientLeft,
        })
    }

    fn poll_up(&mut self, cx: &mut TaskContext<'_>, buffer: &mut [u8]) -> Poll<End> {
        if self.up.broken {
            return Poll::Pending;
        }
        let Self { client, server, up, progress, context, .. } = self;
        let count = |bytes| context.counters.bytes_to_server.add(bytes);
        let stop = ready!(up.poll(cx, client, server, buffer, count, |head| {
            progress.from_client(head);
        }));
        match stop {
            Stop::Ended => Poll::Ready(End::ClientLeft),
            Stop::Senseless => Poll::Ready(End::ClientSenseless),
            // It may have said why; that is read until its end.
            Stop::Broken => {
                self.up.broken = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn part(self, end: End) -> Session {
        let fatal = match end {
            End::ClientLeft => None,
            End::ClientSenseless => Some(Fatal::protocol("invalid message length")),
            End::Ordered(Order::Terminate) => Some(Fatal::terminated(ErrorKind::Terminated)),
            End::Ordered(Order::Shutdown) => Some(Fatal::terminated(ErrorKind::Shutdown)),
            End::ServerLost => self.obituary(),
        };
        let Self { context, client, server, mut down, progress, holds, .. } = self;
        let Holds { registration, slot, place } = holds;
        // A query whose client said good-bye is carried out, as PostgreSQL does.
        let abandoned = !progress.is_quiet() && !progress.is_terminated();
        let cancellation = registration.handle.cancellation().filter(|_| abandoned);
        // From here on its key is nobody's.
        drop(registration);
        let mut words = Vec::new();
        // Words in the middle of a message would be taken for a part of it.
        if down.scanner.at_boundary() {
            words = down.take_unsent();
            words.extend(fatal.iter().flat_map(Fatal::to_bytes));
        }
        if let Some(fatal) = fatal {
            context.counters.error(fatal.kind);
        }
        Session::Parting(Box::new(Parting {
            context,
            client: (end != End::ClientLeft).then_some((client, words)),
            server: (end != End::ServerLost).then_some(server),
            cancellation,
            slot,
            place,
        }))
    }

    /// What a client is told whose server has gone, unless that was expected or explained.
    fn obituary(&self) -> Option<Fatal> {
        if self.progress.is_terminated() || self.progress.ended_by_error() {
            return None;
        }
        let message = "the connection to the database was lost";
        Some(Fatal::new(ErrorKind::ServerLost, message).hint("Connect again."))
    }
}

impl Flow {
    /// Moves what can be moved now.
    fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        buffer: &mut [u8],
        count: impl Fn(u64),
        mut seen: impl FnMut(Head),
    ) -> Poll<Stop> {
        for _ in 0..ROUNDS {
            if ready!(self.poll_send(cx, to)).is_err() {
                return Poll::Ready(Stop::Broken);
            }
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut *from).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Stop::Ended),
            }
            let bytes = read.filled();
            count(bytes.len() as u64);
            if self.scanner.scan(bytes, &mut seen).is_err() {
                return Poll::Ready(Stop::Senseless);
            }
            if self.forward(cx, to, bytes).is_err() {
                return Poll::Ready(Stop::Broken);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes out of the common buffer; only what does not go through is kept.
    fn forward(
        &mut self,
        cx: &mut TaskContext<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        mut bytes: &[u8],
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => bytes = &bytes[written..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.unsent.extend_from_slice(bytes);
                    break;
                }
            }
        }
        self.unflushed = true;
        Ok(())
    }

    /// Writes what is left over from before, and what the writer holds itself.
    fn poll_send(
        &mut self,
        cx: &mut TaskContext<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.unsent[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
            self.unflushed = true;
        }
        if self.sent > 0 {
            // An idle session keeps no memory for this.
            (self.unsent, self.sent) = (Vec::new(), 0);
        }
        if self.unflushed {
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What was read and not written.
    fn take_unsent(&mut self) -> Vec<u8> {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.drain(..std::mem::take(&mut self.sent));
        unsent
    }
}
