//! A connection to a server of this machine, by its unix socket.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Writes in a row that found room at once, after which nobody waits for room any more.
const CALM: u8 = 16;

/// A server's connection. The reactor is asked for what can be read only: a unix socket tells its
/// writer each time the peer has read something, so a thread that also asked for room would be
/// woken once for nothing in every transaction. Room is asked for while a write waits for it.
#[derive(Debug)]
pub struct Local {
    readable: AsyncFd<UnixStream>,
    room: Option<Room>,
}

#[derive(Debug)]
struct Room {
    /// The same socket under another number, as one number has one registration.
    writable: AsyncFd<OwnedFd>,
    /// Writes in a row that did not wait.
    calm: u8,
}

impl Local {
    /// Connects to the socket at `path`. It does not wait: a server whose queue is full is
    /// [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// When nobody listens there, or there are too many open files. Outside a runtime it panics.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::STREAM;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self::new(UnixStream::from(socket))
    }

    /// Takes a connected socket, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not take it. Outside a runtime it panics.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { readable: register(socket, Interest::READABLE)?, room: None })
    }

    /// Takes it off its reactor.
    #[must_use]
    pub fn into_socket(self) -> UnixStream {
        self.readable.into_inner()
    }

    /// Whether the server has said nothing and is still there, as far as is known without waiting.
    /// What it has said is lost.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(ready) = self.readable.poll_read_ready(&mut context) {
            let Ok(mut ready) = ready else { return false };
            if ready.try_io(|socket| socket.get_ref().read(&mut [0])).is_ok() {
                return false;
            }
        }
        true
    }

    fn socket(&self) -> &UnixStream {
        self.readable.get_ref()
    }

    /// Writes once there is room.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { readable, room } = self;
        let room = match room {
            Some(room) => room,
            None => {
                let other = OwnedFd::from(readable.get_ref().try_clone()?);
                let writable = register(other, Interest::WRITABLE)?;
                room.insert(Room { writable, calm: 0 })
            }
        };
        loop {
            let Poll::Ready(ready) = room.writable.poll_write_ready(cx) else {
                room.calm = 0;
                return Poll::Pending;
            };
            let mut socket = readable.get_ref();
            if let Ok(result) = ready?.try_io(|_| socket.write(bytes)) {
                room.calm += 1;
                if room.calm >= CALM {
                    self.room = None;
                }
                return Poll::Ready(result);
            }
        }
    }
}

#[allow(deprecated, reason = "what replaces it is unsafe; these types do own the number they tell")]
fn register<T: AsRawFd>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}

impl AsyncRead for Local {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.readable.poll_read_ready(cx))?;
            let unfilled = buf.initialize_unfilled();
            let wanted = unfilled.len();
            let Ok(read) = ready.try_io(|socket| socket.get_ref().read(unfilled)) else { continue };
            let count = read?;
            if 0 < count && count < wanted {
                // That was all; the next read would only find that there is nothing.
                ready.clear_ready();
            }
            buf.advance(count);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Local {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.room.is_none() {
            match this.socket().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        this.poll_room(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "threads of the other side, which have no runtime"
    )]

    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    fn pair() -> (Local, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        ours.set_nonblocking(true).expect("a mode");
        (Local::new(ours).expect("registered"), theirs)
    }

    #[tokio::test]
    async fn what_is_written_arrives_however_slowly_it_is_read() {
        const TOTAL: usize = 8 << 20;
        let (mut ours, mut theirs) = pair();
        let reader = std::thread::spawn(move || {
            let (mut sum, mut total, mut buffer) = (0u64, 0, vec![0; 1 << 20]);
            loop {
                match theirs.read(&mut buffer).expect("read") {
                    0 => return (sum, total),
                    count => {
                        total += count;
                        sum += buffer[..count].iter().map(|byte| u64::from(*byte)).sum::<u64>();
                        if total % 3 == 0 {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                }
            }
        });
        let bytes: Vec<u8> = (0..TOTAL).map(|i| (i % 251) as u8).collect();
        timeout(Duration::from_secs(20), ours.write_all(&bytes))
            .await
            .expect("in time")
            .expect("sent");
        assert!(ours.room.is_some(), "it had to wait");
        ours.shutdown().await.expect("closed");
        let wanted = bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        assert_eq!(reader.join().expect("read"), (wanted, TOTAL));
    }

    #[tokio::test]
    async fn room_is_asked_for_no_longer_than_it_is_needed() {
        let (mut ours, mut theirs) = pair();
        let sent = timeout(Duration::from_millis(50), async {
            loop {
                ours.write_all(&[7; 65536]).await.expect("sent");
            }
        });
        assert!(sent.await.is_err() && ours.room.is_some());
        let mut sink = vec![0; 1 << 22];
        for _ in 0..=CALM {
            let _ = theirs.read(&mut sink).expect("read");
            ours.write_all(b"x").await.expect("sent");
        }
        assert!(ours.room.is_none());
    }

    #[tokio::test]
    async fn an_end_is_seen_after_the_last_bytes_and_also_by_who_waits() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"last").expect("sent");
        drop(theirs);
        let mut read = Vec::new();
        ours.read_to_end(&mut read).await.expect("an end");
        assert_eq!(read, b"last");

        let (mut ours, mut theirs) = pair();
        let mut buffer = [0; 64];
        theirs.write_all(b"a").expect("sent");
        assert_eq!(ours.read(&mut buffer).await.expect("read"), 1);
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(theirs);
        });
        let end = timeout(Duration::from_secs(5), ours.read(&mut buffer)).await;
        assert_eq!(end.expect("in time").expect("an end"), 0);
        later.join().expect("closed");
    }

    #[tokio::test]
    async fn a_connection_is_there_at_once_or_is_refused() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("s");
        let missing = Local::connect(&path).expect_err("nobody");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("listen");
        let mut ours = Local::connect(&path).expect("connected");
        ours.write_all(b"hello").await.expect("sent");
        let mut read = [0; 5];
        listener.accept().expect("accepted").0.read_exact(&mut read).expect("read");
        assert_eq!(&read, b"hello");
        drop(listener);
        let gone = Local::connect(&path).expect_err("nobody");
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    }
}
