//! Messages of the log-in, where whole messages are read and made. The relay does neither.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Makes messages, one after the other, in one buffer.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// Appends a message whose body `fill` writes.
    pub fn message(&mut self, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(tag);
        self.untagged(fill);
    }

    /// Appends a message without a type byte, as the first messages of a connection are.
    pub fn untagged(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        fill(&mut self.bytes);
        // Bodies are made of values that were limited to kilobytes when they were read.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Appends a message that was read elsewhere.
    pub fn copy(&mut self, message: &Message) {
        self.message(message.tag, |body| body.extend_from_slice(&message.body));
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What was made.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The type byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer closed, or the connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The length cannot be, or is above the limit.
    #[error("invalid message length")]
    Length,
}

/// Reads whole messages and keeps what came after them.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// How many of the bytes have been taken.
    taken: usize,
}

/// Room for one read; most messages of a log-in come in one.
const CHUNK: usize = 1024;

impl Inbox {
    /// Begins with bytes that were read before.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { bytes, taken: 0 }
    }

    /// The next message, with a body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError`]; an end of the stream is [`io::ErrorKind::UnexpectedEof`].
    pub async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limit: usize,
    ) -> Result<Message, ReadError> {
        loop {
            if let Some(message) = self.take(limit)? {
                return Ok(message);
            }
            self.fill(stream).await?;
        }
    }

    /// The next packet of the kind that has no type byte, without its length. `limit` is the
    /// longest, its length included, and the shortest has four bytes.
    ///
    /// # Errors
    /// [`ReadError`]; an end of the stream is [`io::ErrorKind::UnexpectedEof`].
    pub async fn packet(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limit: usize,
    ) -> Result<Vec<u8>, ReadError> {
        loop {
            if let Some(packet) = self.take_packet(limit)? {
                return Ok(packet);
            }
            self.fill(stream).await?;
        }
    }

    /// The first byte that has come and was not taken; waits for it.
    ///
    /// # Errors
    /// When there is none: an end of the stream is [`io::ErrorKind::UnexpectedEof`].
    pub async fn first(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u8> {
        loop {
            if let Some(byte) = self.bytes.get(self.taken) {
                return Ok(*byte);
            }
            self.fill(stream).await?;
        }
    }

    async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.reserve(CHUNK);
        match stream.read_buf(&mut self.bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, limit: usize) -> Result<Option<Message>, ReadError> {
        let Some((&[tag, a, b, c, d], rest)) = self.bytes[self.taken..].split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let size = length.checked_sub(4).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size <= limit).ok_or(ReadError::Length)?;
        let Some(body) = rest.get(..size) else { return Ok(None) };
        let message = Message { tag, body: body.to_vec() };
        self.taken += 5 + size;
        Ok(Some(message))
    }

    fn take_packet(&mut self, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let Some((length, rest)) = self.bytes[self.taken..].split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if !(8..=limit).contains(&length) {
            return Err(ReadError::Length);
        }
        let Some(body) = rest.get(..length - 4) else { return Ok(None) };
        let body = body.to_vec();
        self.taken += length;
        Ok(Some(body))
    }

    /// Whether everything that came was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// What came after the last message.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        // Not with the room that reading needed: it may be kept for long.
        self.bytes[self.taken..].to_vec()
    }
}

/// Takes a zero-terminated string off the front of a body.
#[must_use]
pub fn take_cstr<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let (text, rest) = body.split_at(end);
    *body = &rest[1..];
    Some(text)
}

/// Takes four bytes off the front of a body.
#[must_use]
pub fn take_u32(body: &mut &[u8]) -> Option<u32> {
    let (&value, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u32::from_be_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
    }

    #[test]
    fn messages_are_read_one_by_one_and_the_rest_is_kept() {
        let mut builder = Builder::default();
        builder.message(b'R', |body| body.extend_from_slice(&[0; 4]));
        builder.message(b'I', |_| {});
        builder.raw(b"rest");
        let bytes = builder.into_bytes();
        let mut stream = &bytes[..];
        let mut inbox = Inbox::default();
        block_on(async {
            let first = inbox.next(&mut stream, 100).await.expect("first");
            assert_eq!(first, Message { tag: b'R', body: vec![0; 4] });
            let second = inbox.next(&mut stream, 100).await.expect("second");
            assert_eq!(second, Message { tag: b'I', body: vec![] });
        });
        assert_eq!(inbox.into_rest(), b"rest");
    }

    /// Gives at most so many bytes at once.
    struct Slowly<'a>(&'a [u8], usize);

    impl AsyncRead for Slowly<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let (now, later) = self.0.split_at(self.0.len().min(self.1).min(buf.remaining()));
            buf.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn packets_and_messages_come_from_one_stream_in_any_pieces() {
        let mut builder = Builder::default();
        builder.untagged(|body| body.extend_from_slice(b"packet"));
        builder.message(b'p', |body| body.extend_from_slice(&[7; 3000]));
        let bytes = builder.into_bytes();
        for piece in [1, 3, 7, 1024, bytes.len()] {
            let mut stream = Slowly(&bytes, piece);
            let mut inbox = Inbox::default();
            block_on(async {
                assert_eq!(inbox.first(&mut stream).await.expect("first"), 0);
                assert_eq!(inbox.packet(&mut stream, 100).await.expect("packet"), b"packet");
                let message = inbox.next(&mut stream, 3000).await.expect("message");
                assert_eq!(message, Message { tag: b'p', body: vec![7; 3000] });
            });
            assert!(inbox.is_empty());
        }
    }

    #[test]
    fn packets_of_lengths_that_cannot_be_are_refused_at_once() {
        for length in [0u32, 7, 101, u32::MAX] {
            let bytes = length.to_be_bytes();
            let error = block_on(Inbox::default().packet(&mut &bytes[..], 100)).expect_err("bad");
            assert!(matches!(error, ReadError::Length), "{length}");
        }
    }

    #[test]
    fn a_message_above_the_limit_is_refused_before_it_is_read() {
        let mut stream = &b"p\x00\x00\xff\xff"[..];
        let error = block_on(Inbox::default().next(&mut stream, 1000)).expect_err("too long");
        assert!(matches!(error, ReadError::Length));
        let mut stream = &b"p\x00\x00\x00\x03"[..];
        let error = block_on(Inbox::default().next(&mut stream, 1000)).expect_err("too short");
        assert!(matches!(error, ReadError::Length));
    }
}
