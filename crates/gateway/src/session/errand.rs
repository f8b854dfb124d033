//! What the gateway itself says to a server in the name of a session, while its client waits.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::message::{Inbox, Message};
use crate::stream::local::Local;

/// The longest message that is believed in an answer: what a session prepared comes back in one.
const LARGEST_MESSAGE: usize = 64 << 20;

/// What a server answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// What it said to the gateway, in order.
    pub messages: Vec<Message>,
    /// What is the client's: notifications, which come at any time.
    pub asides: Vec<Message>,
    /// What came after the last answer.
    pub rest: Vec<u8>,
}

/// Sends messages and reads what answers them, to the last of so many `ReadyForQuery`. `rest` is
/// what was read before and not looked at.
///
/// # Errors
/// When the server goes away or does not answer in time.
pub async fn run(
    stream: &mut Local,
    (bytes, ready): (&[u8], usize),
    rest: Vec<u8>,
    bound: Duration,
) -> io::Result<Answer> {
    if ready == 0 {
        return Ok(Answer { rest, ..Answer::default() });
    }
    let conversation = converse(stream, bytes, ready, rest);
    timeout(bound, conversation).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn converse(
    stream: &mut Local,
    bytes: &[u8],
    ready: usize,
    rest: Vec<u8>,
) -> io::Result<Answer> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut answer = Answer::default();
    // Both at once: a server that answers a long script does not read on while nobody reads.
    let send = async { writer.write_all(bytes).await };
    let receive = async {
        let mut inbox = Inbox::with(rest);
        let mut left = ready;
        while left > 0 {
            let message =
                inbox.next(&mut reader, LARGEST_MESSAGE).await.map_err(io::Error::other)?;
            match message.tag {
                b'A' => answer.asides.push(message),
                b'Z' => {
                    left -= 1;
                    answer.messages.push(message);
                }
                _ => answer.messages.push(message),
            }
        }
        answer.rest = inbox.into_rest();
        io::Result::Ok(())
    };
    let (sent, received) = futures_util::join!(send, receive);
    sent?;
    received?;
    Ok(answer)
}
