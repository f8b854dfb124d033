//! This program's streams, carried to a one-off process and back.

use std::io::IsTerminal as _;

use howdah_model::frame::{Decoder, Frame};
use reqwest::Upgraded;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, WriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, interval, timeout};

use crate::exit::Exit;
use crate::failure::Failure;

/// How often a stream on which nothing is said shows that it is alive.
const ALIVE: Duration = Duration::from_secs(20);

/// How long the process may take to begin to speak: the runner comes within a minute, or never.
const PATIENCE: Duration = Duration::from_secs(75);

/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// The size of the terminal that standard output is: lines and characters of a line.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A terminal that hands every key on, until this goes out of scope.
struct Raw(Option<Termios>);

impl Raw {
    fn begin() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn lost() -> Failure {
    let message = "The connection to the process was lost. It was told to end.\n\
                   What became of it is in the app's log";
    Failure::new(Exit::Unreachable, "stream-lost", message)
}

fn nobody() -> Failure {
    let message = "The runner did not take the process within a minute. Is it still there?";
    Failure::new(Exit::TimedOut, "not-taken", message)
}

fn watch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(Exit::Failed, "no-signals", error.to_string()))
}

/// Carries the streams until the process has ended; answers its exit code.
pub(crate) async fn carry(stream: Upgraded, terminal: bool) -> Result<u8, Failure> {
    let raw = terminal.then(Raw::begin);
    let (mut from, to) = tokio::io::split(stream);
    let sending = send(to, terminal);
    let receiving = async {
        let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
        let (mut decoder, mut buffer) = (Decoder::default(), vec![0; CHUNK]);
        let mut has_begun = false;
        loop {
            while let Some(frame) = decoder.take().map_err(|_| lost())? {
                // Who does not read any more does not keep the process from ending.
                let _ = match frame {
                    Frame::Data(bytes) => all(&mut out, &bytes).await,
                    Frame::Error(bytes) => all(&mut err, &bytes).await,
                    Frame::Exit(code) => return Ok(code),
                    Frame::Ping | Frame::End | Frame::Interrupt | Frame::Resize { .. } => Ok(()),
                };
            }
            let reading = from.read(&mut buffer);
            let read = if has_begun {
                reading.await
            } else {
                timeout(PATIENCE, reading).await.map_err(|_| nobody())?
            };
            match read {
                Ok(0) | Err(_) if !has_begun => return Err(nobody()),
                Ok(0) | Err(_) => return Err(lost()),
                Ok(read) => decoder.push(&buffer[..read]),
            }
            has_begun = true;
        }
    };
    let code = tokio::select! {
        code = receiving => code,
        failure = sending => Err(failure),
    };
    drop(raw);
    code
}

async fn all(to: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Sends what is typed and what happens here. Ends only when there is no use in going on.
async fn send(mut to: WriteHalf<Upgraded>, terminal: bool) -> Failure {
    let signals = (watch(SignalKind::interrupt()), watch(SignalKind::window_change()));
    let (mut interrupt, mut resized) = match signals {
        (Ok(interrupt), Ok(resized)) => (interrupt, resized),
        (Err(failure), _) | (_, Err(failure)) => return failure,
    };
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; CHUNK];
    let mut alive = interval(ALIVE);
    // A terminal that is not the process' is not read: it is the shell's again afterwards.
    let mut open = terminal || !std::io::stdin().is_terminal();
    let mut interrupts = 0;
    loop {
        let frame = tokio::select! {
            read = input.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => { open = false; Frame::End }
                Ok(read) => Frame::Data(buffer[..read].to_vec()),
            },
            _ = alive.tick() => Frame::Ping,
            _ = interrupt.recv() => {
                interrupts += 1;
                if interrupts > 2 {
                    let message = "Left the process, which was told to end";
                    return Failure::new(Exit::Interrupted, "interrupted", message);
                }
                Frame::Interrupt
            }
            _ = resized.recv() => match size() {
                Some((rows, columns)) if terminal => Frame::Resize { rows, columns },
                _ => continue,
            },
        };
        let sent = async {
            to.write_all(&frame.encode()).await?;
            to.flush().await
        };
        if sent.await.is_err() {
            // What the process said before is still read.
            return std::future::pending().await;
        }
    }
}
