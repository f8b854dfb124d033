//! Where Heroku's own CLI meets a one-off process: after its secret it sends and gets plain bytes,
//! which become frames here. The first line that it gets is not output; it waits for it to send.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use howdah_model::frame::{Decoder, Frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, split};
use tokio::time::timeout;
use uuid::Uuid;

use crate::streams::{Side, Streams};

/// What is said to whoever came with a good secret.
const WELCOME: &[u8] = b"rendezvous\r\n";

/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// How long a client may take to send the end of its input after the process has ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the client sends when its input has come to its end.
const END: u8 = 4;

/// The place. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rendezvous(pub(crate) Streams);

impl Rendezvous {
    /// Takes a client in who has said its secret. It is let go of when the secret opens nothing; the
    /// rest is done in the background.
    pub fn meet<S>(&self, secret: Uuid, client: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(expected) = self.0.expected(secret) else { return };
        let streams = self.0.clone();
        self.0.begin(async move {
            let (ours, theirs) = duplex(4 * CHUNK);
            let joined = streams.join(expected.app, secret, Side::Client, Box::new(theirs));
            let carried = async {
                let mut client = client;
                // On its own, so that no output comes with it.
                if client.write_all(WELCOME).await.is_ok() && client.flush().await.is_ok() {
                    carry(client, ours, expected.plain).await;
                }
            };
            tokio::join!(joined, carried);
        });
    }
}

/// Carries bytes to frames and back until the process has ended or either end is gone.
async fn carry<C, S>(client: C, stream: S, plain: bool)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (mut heard, mut said) = split(client);
    let (mut from, mut to) = split(stream);
    let has_ended = AtomicBool::new(false);
    let input = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = heard.read(&mut buffer).await {
            let bytes = &buffer[..read];
            has_ended.store(bytes.last() == Some(&END), Relaxed);
            // A terminal knows what this means; without one it is said in other words.
            let ended = plain && bytes.last() == Some(&END);
            let bytes = if ended { &bytes[..read - 1] } else { bytes };
            let mut frames = Frame::Data(bytes.to_vec()).encode();
            if ended {
                frames.extend(Frame::End.encode());
            }
            if to.write_all(&frames).await.is_err() {
                return;
            }
        }
    };
    let output = async {
        let (mut decoder, mut buffer) = (Decoder::default(), vec![0; CHUNK]);
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            decoder.push(&buffer[..read]);
            loop {
                let bytes = match decoder.take() {
                    Ok(Some(Frame::Data(bytes) | Frame::Error(bytes))) => bytes,
                    Ok(Some(Frame::Exit(_))) | Err(_) => return,
                    Ok(Some(_)) => continue,
                    Ok(None) => break,
                };
                if said.write_all(&bytes).await.is_err() || said.flush().await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = input => {}
        () = output => {}
    }
    // A client that sends the end of its input after we have closed fails at that.
    let mut buffer = vec![0; CHUNK];
    let farewell = async {
        while !has_ended.load(Relaxed)
            && let Ok(read @ 1..) = heard.read(&mut buffer).await
        {
            has_ended.store(buffer[..read].last() == Some(&END), Relaxed);
        }
    };
    let _ = timeout(FAREWELL, farewell).await;
    let _ = said.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn b27_bytes_become_frames_and_frames_bytes() {
        let (mut client, ours) = duplex(CHUNK);
        let (mut runner, theirs) = duplex(CHUNK);
        let client_and_runner = async {
            client.write_all(b"in\x04").await.expect("write");
            let mut frames = vec![0; 64];
            let read = runner.read(&mut frames).await.expect("read");
            let expected = [Frame::Data(b"in".to_vec()).encode(), Frame::End.encode()].concat();
            assert_eq!(frames[..read], expected);
            for frame in [Frame::Ping, Frame::Data(b"out".to_vec()), Frame::Exit(3)] {
                runner.write_all(&frame.encode()).await.expect("write");
            }
            let mut text = String::new();
            client.read_to_string(&mut text).await.expect("read");
            assert_eq!(text, "out");
        };
        tokio::join!(carry(ours, theirs, true), client_and_runner);
    }

    #[tokio::test]
    async fn a_secret_opens_once_and_a_wrong_one_nothing() {
        let streams = Streams::default();
        let (place, secret) = (Rendezvous(streams.clone()), Uuid::new_v4());
        streams.expect(secret, howdah_model::ids::AppId::new(), false);
        let (mut wrong, ours) = duplex(CHUNK);
        place.meet(Uuid::new_v4(), ours);
        let mut text = String::new();
        wrong.read_to_string(&mut text).await.expect("closed");
        assert_eq!(text, "");
        let (mut right, ours) = duplex(CHUNK);
        place.meet(secret, ours);
        let mut welcome = [0; WELCOME.len()];
        right.read_exact(&mut welcome).await.expect("welcome");
        assert_eq!(welcome, WELCOME);
        assert!(streams.expected(secret).is_none());
    }
}
