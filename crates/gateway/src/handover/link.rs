//! The connection between an elder and the younger gateway that takes over from it: words as JSON
//! with their length before them, and descriptors beside the first byte.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use howdah_model::ids::DatabaseId;
use howdah_model::route::Mode;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use super::Held;
use crate::routes::Move;

/// The most descriptors of a word: the listening sockets and the lock.
const MOST_DESCRIPTORS: usize = 8;
/// The longest word in bytes; one has a number for each database with sessions.
const LONGEST: u32 = 64 << 20;

/// What the two say to each other.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub(super) enum Word {
    /// Elder: here is what you need. Its descriptors are a listening socket for each port, in order,
    /// and the lock.
    Offer {
        /// What each port is for.
        ports: Vec<Mode>,
    },
    /// Younger: I can serve.
    Ready,
    /// Elder: serve; I accept nobody any more.
    Serve {
        /// The sessions that I have and may have again.
        held: Held,
        /// The moves that I was told of, and not by the platform.
        #[serde(default)]
        moves: HashMap<DatabaseId, Move>,
    },
    /// Younger: I have handed on in my turn; do not come back when I am gone.
    HandedOn,
}

/// One end of the connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// Says a word.
    pub(super) async fn say(&mut self, word: &Word) -> io::Result<()> {
        self.say_with(word, &[]).await
    }

    /// Says a word with descriptors, which are the other's as well from then on.
    pub(super) async fn say_with(
        &mut self,
        word: &Word,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let body = serde_json::to_vec(word)?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = length.to_be_bytes();
        let sent = self.stream.async_io(Interest::WRITABLE, || {
            let mut space = space();
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty()
                && !control.push(SendAncillaryMessage::ScmRights(descriptors))
            {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let parts = [IoSlice::new(&length)];
            Ok(sendmsg(self.stream.as_fd(), &parts, &mut control, SendFlags::NOSIGNAL)?)
        });
        let sent = sent.await?;
        self.stream.write_all(&length[sent..]).await?;
        self.stream.write_all(&body).await
    }

    /// Waits for a word; `None` when the other end has gone. Not to be given up half way.
    pub(super) async fn hear(&mut self) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
        let mut length = [0; 4];
        let (read, descriptors) = self
            .stream
            .async_io(Interest::READABLE, || {
                let mut space = space();
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut parts = [IoSliceMut::new(&mut length)];
                let got = recvmsg(
                    self.stream.as_fd(),
                    &mut parts,
                    &mut control,
                    RecvFlags::CMSG_CLOEXEC,
                )?;
                let descriptors: Vec<OwnedFd> = control
                    .drain()
                    .filter_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                if got.flags.contains(ReturnFlags::CTRUNC) {
                    return Err(io::Error::other("too many descriptors, or no room for them"));
                }
                Ok((got.bytes, descriptors))
            })
            .await?;
        if read == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut length[read..]).await?;
        let length = u32::from_be_bytes(length);
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.stream.read_exact(&mut body).await?;
        Ok(Some((serde_json::from_slice(&body)?, descriptors)))
    }
}

fn space() -> [MaybeUninit<u8>; rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))] {
    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use howdah_model::route::Stage;

    #[tokio::test]
    async fn words_come_whole_with_their_descriptors() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (mut elder, mut younger) = (Link::new(one), Link::new(other));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let offer = Word::Offer { ports: vec![Mode::Session] };
        elder.say_with(&offer, &[listener.as_fd()]).await.expect("said");
        let (word, mut descriptors) = younger.hear().await.expect("heard").expect("a word");
        assert_eq!((word, descriptors.len()), (offer, 1));
        let taken = std::net::TcpListener::from(descriptors.remove(0));
        assert_eq!(
            taken.local_addr().expect("an address"),
            listener.local_addr().expect("an address")
        );
        let held: Held = (0..5000).map(|number| (DatabaseId::new(), number)).collect();
        let moves = HashMap::from([(DatabaseId::new(), Move { stage: Stage::Open, target: None })]);
        let serve = Word::Serve { held, moves };
        let (said, heard) = tokio::join!(elder.say(&serve), younger.hear());
        said.expect("said");
        assert_eq!(heard.expect("heard").expect("a word").0, serve);
        drop(elder);
        assert!(younger.hear().await.expect("the end").is_none());
    }

    #[tokio::test]
    async fn what_is_no_word_is_an_error() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0\0\x09{}"] {
            let (mut one, other) = UnixStream::pair().expect("a pair");
            one.write_all(bytes).await.expect("written");
            drop(one);
            Link::new(other).hear().await.expect_err("no word");
        }
    }
}
