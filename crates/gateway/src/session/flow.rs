//! One direction of a session: bytes are read, looked at, and passed on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frame::{Edit, Frames, HEADER, Watcher};

/// Bytes that are read at once.
const SCRATCH: usize = 64 * 1024;
/// Reads in a row before another session of the thread gets its turn.
const ROUNDS: usize = 16;
/// The most that is held back; what is more goes on.
const MOST_HELD_BACK: usize = 64 * 1024;

/// Room that serves all sessions of a thread: a session that is idle has none of its own.
#[derive(Debug)]
pub struct Buffers {
    read: Box<[u8]>,
    edited: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        read: vec![0; SCRATCH].into_boxed_slice(),
        edited: Vec::new(),
    });
}

/// Works with the room of this thread.
pub fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    BUFFERS.with_borrow_mut(work)
}

/// Who looks at a direction.
pub trait Tap: Watcher {
    /// So many bytes were read, and seen message by message; so many bytes were passed on.
    fn moved(&mut self, read: &[u8], passed: usize);
}

/// One direction.
#[derive(Debug, Default)]
pub struct Flow {
    frames: Frames,
    /// What was read and not looked at: the beginning of a message, or what a tap left.
    unread: Vec<u8>,
    /// Whether whole messages may be among it.
    ripe: bool,
    /// What was looked at and is passed on when it has become true.
    held_back: Vec<u8>,
    /// What is to be written. While there is any, nothing is read.
    unsent: Vec<u8>,
    /// How much of that has been written since.
    sent: usize,
    /// Whether the writer may have bytes in its own buffer.
    unflushed: bool,
}

/// Why a direction does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The reader has no more.
    Ended,
    /// The writer takes no more.
    Broken,
    /// The reader's messages make no sense.
    Senseless,
    /// The tap stopped it.
    Stopped,
}

impl Flow {
    /// Whether all that was read and looked at has been passed on, to the end of a message.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.frames.at_boundary() && self.unsent.is_empty() && self.held_back.is_empty()
    }

    /// Whether the last message that was passed on, even in part, has ended.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.frames.at_boundary()
    }

    /// Whether the reader has sent something that was not looked at.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether as much of a message was read and not looked at as is needed to look at it.
    #[must_use]
    pub fn has_message(&self, needed: impl FnOnce(u8) -> u32) -> bool {
        let Some((&[tag, a, b, c, d], rest)) = self.unread.split_first_chunk::<HEADER>() else {
            return false;
        };
        let size = u32::from_be_bytes([a, b, c, d]).saturating_sub(4);
        rest.len() >= needed(tag).min(size) as usize
    }

    /// What was read and not looked at.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Puts bytes before what was not looked at, as if they had been read now.
    pub fn read_again(&mut self, bytes: &[u8]) {
        self.unread.splice(0..0, bytes.iter().copied());
        self.ripe = true;
    }

    /// Leaves out the first bytes of what was not looked at.
    pub fn discard(&mut self, bytes: usize) {
        self.unread.drain(..bytes);
        self.ripe = true;
    }

    /// Bytes to write before all that comes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// What was read and not passed on, at the end of all.
    pub fn take_unsent(&mut self) -> Vec<u8> {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.drain(..std::mem::take(&mut self.sent));
        unsent
    }

    /// Forgets what was on its way to a writer that has gone.
    pub fn forget_writer(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        *self = Self { ripe: !unread.is_empty(), unread, ..Self::default() };
    }

    /// Forgets what came from a reader that has gone and was not passed on yet.
    pub fn forget_reader(&mut self) {
        let Self { unsent, sent, unflushed, .. } = std::mem::take(self);
        *self = Self { unsent, sent, unflushed, ..Self::default() };
    }

    /// Reads what comes next, to look at it later. Whether the reader has not gone.
    pub async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> bool {
        poll_fn(|cx| with_buffers(|buffers| self.poll_fill(cx, from, buffers))).await.is_ok()
    }

    /// Reads what has come, to look at it later.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        buffers: &mut Buffers,
    ) -> Poll<Result<(), Stop>> {
        let mut read = ReadBuf::new(&mut buffers.read);
        match ready!(Pin::new(from).poll_read(cx, &mut read)) {
            Ok(()) if !read.filled().is_empty() => {}
            Ok(()) | Err(_) => return Poll::Ready(Err(Stop::Ended)),
        }
        self.unread.extend_from_slice(read.filled());
        self.ripe = true;
        Poll::Ready(Ok(()))
    }

    /// Moves what can be moved now.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        buffers: &mut Buffers,
        tap: &mut impl Tap,
    ) -> Poll<Stop> {
        for _ in 0..ROUNDS {
            if ready!(self.poll_send(cx, to)).is_err() {
                return Poll::Ready(Stop::Broken);
            }
            let done = if self.ripe {
                self.digest_unread(cx, to, &mut buffers.edited, tap)
            } else {
                match ready!(self.poll_read(cx, from, buffers)) {
                    Err(stop) => return Poll::Ready(stop),
                    Ok(length) if self.unread.is_empty() => {
                        let Buffers { read, edited } = &mut *buffers;
                        self.digest(cx, to, &read[..length], edited, tap)
                    }
                    Ok(length) => {
                        self.unread.extend_from_slice(&buffers.read[..length]);
                        self.digest_unread(cx, to, &mut buffers.edited, tap)
                    }
                }
            };
            if let Err(stop) = done {
                return Poll::Ready(stop);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        buffers: &mut Buffers,
    ) -> Poll<Result<usize, Stop>> {
        let mut read = ReadBuf::new(&mut buffers.read);
        Poll::Ready(match ready!(Pin::new(from).poll_read(cx, &mut read)) {
            Ok(()) if !read.filled().is_empty() => Ok(read.filled().len()),
            Ok(()) | Err(_) => Err(Stop::Ended),
        })
    }

    fn digest_unread(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        edited: &mut Vec<u8>,
        tap: &mut impl Tap,
    ) -> Result<(), Stop> {
        let chunk = std::mem::take(&mut self.unread);
        self.digest(cx, to, &chunk, edited, tap)
    }

    /// Looks at a chunk and passes on what can be.
    #[inline]
    fn digest(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        chunk: &[u8],
        spare: &mut Vec<u8>,
        tap: &mut impl Tap,
    ) -> Result<(), Stop> {
        let mut edit = Edit::new(chunk, spare, !self.held_back.is_empty());
        let scanned = self.frames.scan(chunk, tap, &mut edit).map_err(|_| Stop::Senseless)?;
        let edited = edit.finish(scanned.bytes);
        let passed = self.pass(cx, to, edited.bytes, edited.cut).map_err(|_| Stop::Broken)?;
        tap.moved(&chunk[..scanned.bytes], passed);
        if scanned.bytes < chunk.len() {
            self.unread.extend_from_slice(&chunk[scanned.bytes..]);
        }
        self.ripe = scanned.stopped;
        if scanned.stopped { Err(Stop::Stopped) } else { Ok(()) }
    }

    /// Passes on what is not held back, and says how much that was.
    #[inline]
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
        cut: Option<usize>,
    ) -> io::Result<usize> {
        let Some(cut) = cut.filter(|cut| {
            // What is held back has a bound: rows without end must not fill the memory.
            self.held_back.len() + (bytes.len() - cut) <= MOST_HELD_BACK
        }) else {
            return self.pass_all(cx, to, bytes);
        };
        let passed = if cut > 0 { self.pass_all(cx, to, &bytes[..cut])? } else { 0 };
        self.held_back.extend_from_slice(&bytes[cut..]);
        Ok(passed)
    }

    #[inline]
    fn pass_all(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
    ) -> io::Result<usize> {
        if self.held_back.is_empty() {
            self.write(cx, to, bytes)?;
            return Ok(bytes.len());
        }
        let mut held_back = std::mem::take(&mut self.held_back);
        held_back.extend_from_slice(bytes);
        self.write(cx, to, &held_back)?;
        Ok(held_back.len())
    }

    /// Writes; only what does not go through is kept.
    #[inline]
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        mut bytes: &[u8],
    ) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
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
            self.unflushed = true;
        }
        Ok(())
    }

    /// Writes what is left over from before, and what the writer holds itself.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
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
}
