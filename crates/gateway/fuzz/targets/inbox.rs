//! Whole messages out of a stream.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use howdah_gateway::message::{Inbox, Message, ReadError};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Input, counted, message};

const LIMIT: usize = 300;

/// A stream that comes in pieces.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: &'a [u8],
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut sizes = Input(self.sizes);
        let size = usize::from(sizes.byte()) + 1;
        self.sizes = sizes.0;
        let mut bytes = Input(self.bytes);
        buf.put_slice(bytes.take(size.min(buf.remaining())));
        self.bytes = bytes.0;
        Poll::Ready(Ok(()))
    }
}

/// The future of something that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// The messages that are read, and whether a length ended them.
fn read(mut stream: Pieces<'_>) -> (Option<Vec<u8>>, Vec<Message>, bool) {
    let mut inbox = Inbox::default();
    let packet = match now(inbox.packet(&mut stream, LIMIT)) {
        Ok(packet) => packet,
        Err(error) => return (None, Vec::new(), matches!(error, ReadError::Length)),
    };
    assert!((4..=LIMIT - 4).contains(&packet.len()));
    let mut messages = Vec::new();
    loop {
        match now(inbox.next(&mut stream, LIMIT)) {
            Ok(message) => {
                assert!(message.body.len() <= LIMIT);
                messages.push(message);
            }
            Err(error) => return (Some(packet), messages, matches!(error, ReadError::Length)),
        }
    }
}

/// The same messages come out of a stream in any pieces.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let sizes = input.bytes();
    let bytes = input.0;
    let whole = read(Pieces { bytes, sizes: &[255; 64] });
    assert_eq!(read(Pieces { bytes, sizes }), whole);
    assert_eq!(read(Pieces { bytes, sizes: &[] }), whole);
}

/// Streams with sizes of pieces.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let stream = [
        b"\0\0\0\x12\0\x03\0\0user\0u\0\0\0".to_vec(),
        message(b'R', &[0; 4]),
        message(b'S', b"a\0b\0"),
        message(b'Z', b"I"),
    ];
    vec![[counted(&[0, 3, 9]), stream.concat()].concat()]
}
