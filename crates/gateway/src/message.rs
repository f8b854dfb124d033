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
}

impl Inbox {
    /// Begins with bytes that were read before.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { bytes }
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
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn take(&mut self, limit: usize) -> Result<Option<Message>, ReadError> {
        let Some((&[tag, a, b, c, d], rest)) = self.bytes.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let size = length.checked_sub(4).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size <= limit).ok_or(ReadError::Length)?;
        let Some(body) = rest.get(..size) else { return Ok(None) };
        let message = Message { tag, body: body.to_vec() };
        self.bytes.drain(..5 + size);
        Ok(Some(message))
    }

    /// What came after the last message.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        self.bytes
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
