//! Between a one-off process and the stream to whoever asked for it: frames one way, frames the
//! other, at the pace of the slower.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use howdah_model::frame::{Decoder, Frame};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use crate::process::{Ended, Ends, Process, resize};

/// How often a stream on which nothing is said shows that it is alive.
const ALIVE: Duration = Duration::from_secs(20);

/// How long what a process has left in its outputs is carried after its end.
const REST: Duration = Duration::from_secs(10);

/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// Somebody pressed Ctrl-C.
struct Interrupted;

/// Carries a process to its end. It is told to end when whoever asked goes away, and on `told`.
pub(crate) async fn carry<S>(
    mut process: Process,
    ends: Ends,
    stream: S,
    told: impl Future<Output = ()> + Send,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (from, to) = tokio::io::split(stream);
    let (input, output) = halves(ends);
    let (interrupts, mut interrupted) = mpsc::channel(1);
    let (exit, exited) = oneshot::channel();
    let mut inbound = pin!(receive(from, input, interrupts));
    let mut outbound = pin!(send(to, output, exited));
    let mut told = pin!(told);
    let (mut receives, mut sends, mut waits) = (true, true, true);
    let ended = loop {
        tokio::select! {
            ended = process.wait() => break ended,
            Some(Interrupted) = interrupted.recv() => process.interrupt(),
            () = &mut inbound, if receives => { receives = false; process.terminate(); }
            () = &mut outbound, if sends => { sends = false; process.terminate(); }
            () = &mut told, if waits => { waits = false; process.terminate(); }
        }
    };
    let _ = exit.send(ended.0);
    if sends {
        // Who does not read it in time goes without.
        let _ = timeout(REST, outbound).await;
    }
    ended
}

/// Hands on what comes, until the other end is gone.
async fn receive<R>(mut from: R, mut input: Input, interrupts: mpsc::Sender<Interrupted>)
where
    R: AsyncRead + Unpin,
{
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; CHUNK];
    loop {
        loop {
            match decoder.take() {
                Ok(Some(Frame::Data(bytes))) => input.feed(&bytes).await,
                Ok(Some(Frame::End)) => input.close().await,
                Ok(Some(Frame::Interrupt)) => {
                    // Pressed twice it is the same.
                    let _ = interrupts.try_send(Interrupted);
                }
                Ok(Some(Frame::Resize { rows, columns })) => input.resize(rows, columns),
                Ok(Some(Frame::Ping | Frame::Error(_) | Frame::Exit(_))) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => decoder.push(&buffer[..read]),
        }
    }
}

/// Sends what the process says, and at last its exit code. Returns before only when the other end
/// is gone.
async fn send<W>(mut to: W, mut output: Output, mut exited: oneshot::Receiver<u8>)
where
    W: AsyncWrite + Unpin,
{
    let mut alive = interval(ALIVE);
    let mut open = true;
    let code = loop {
        let frame = tokio::select! {
            frame = output.read(), if open => match frame {
                Some(frame) => frame,
                None => { open = false; continue; }
            },
            _ = alive.tick() => Frame::Ping,
            code = &mut exited => break code,
        };
        if put(&mut to, &frame).await.is_err() {
            return;
        }
    };
    // All that could write has ended: this comes to its end.
    while let Some(frame) = output.read().await {
        if put(&mut to, &frame).await.is_err() {
            return;
        }
    }
    if let Ok(code) = code
        && put(&mut to, &Frame::Exit(code)).await.is_ok()
    {
        let _ = to.shutdown().await;
    }
}

async fn put<W: AsyncWrite + Unpin>(to: &mut W, frame: &Frame) -> io::Result<()> {
    to.write_all(&frame.encode()).await?;
    to.flush().await
}

type Terminal = Option<Arc<AsyncFd<OwnedFd>>>;

fn halves(ends: Ends) -> (Input, Output) {
    match ends {
        Ends::Three(input, output, error) => {
            (Input::Pipe(Some(input)), Output::Pipes(Some(output), Some(error)))
        }
        Ends::Terminal(terminal) => {
            #[expect(deprecated, reason = "it owns the descriptor, which nobody else closes")]
            let terminal = AsyncFd::new(terminal).ok().map(Arc::new);
            (Input::Terminal(terminal.clone()), Output::Terminal(terminal))
        }
        Ends::Output(_) => (Input::Terminal(None), Output::Terminal(None)),
    }
}

/// Where the input of a process goes.
enum Input {
    Pipe(Option<ChildStdin>),
    Terminal(Terminal),
}

impl Input {
    /// Input. It is left out once the process has closed its end.
    async fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Pipe(pipe) => {
                let Some(open) = pipe else { return };
                if open.write_all(bytes).await.is_err() {
                    *pipe = None;
                }
            }
            Self::Terminal(Some(terminal)) => {
                let _ = write_all(terminal, bytes).await;
            }
            Self::Terminal(None) => {}
        }
    }

    /// The end of the input.
    async fn close(&mut self) {
        match self {
            Self::Pipe(pipe) => *pipe = None,
            // What Ctrl-D sends.
            Self::Terminal(Some(terminal)) => {
                let _ = write_all(terminal, b"\x04").await;
            }
            Self::Terminal(None) => {}
        }
    }

    fn resize(&self, rows: u16, columns: u16) {
        if let Self::Terminal(Some(terminal)) = self {
            let _ = resize(terminal.get_ref(), rows, columns);
        }
    }
}

/// Where the output of a process comes from.
enum Output {
    Pipes(Option<ChildStdout>, Option<ChildStderr>),
    Terminal(Terminal),
}

impl Output {
    /// What the process says next; none when it says nothing any more. Can be given up at any
    /// moment.
    async fn read(&mut self) -> Option<Frame> {
        match self {
            Self::Pipes(output, error) => loop {
                let (mut said, mut complained) = (vec![0; CHUNK], vec![0; CHUNK]);
                tokio::select! {
                    read = read_some(output, &mut said), if output.is_some() => match read {
                        Some(read) => { said.truncate(read); return Some(Frame::Data(said)); }
                        None => *output = None,
                    },
                    read = read_some(error, &mut complained), if error.is_some() => match read {
                        Some(read) => {
                            complained.truncate(read);
                            return Some(Frame::Error(complained));
                        }
                        None => *error = None,
                    },
                    else => return None,
                }
            },
            Self::Terminal(terminal) => {
                let open = terminal.as_ref()?;
                let mut bytes = vec![0; CHUNK];
                let read = open
                    .async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut bytes)?))
                    .await;
                // Linux says EIO when the last process has closed the terminal.
                let Some(read) = read.ok().filter(|read| *read > 0) else {
                    *terminal = None;
                    return None;
                };
                bytes.truncate(read);
                Some(Frame::Data(bytes))
            }
        }
    }
}

async fn read_some<R: AsyncRead + Unpin>(from: &mut Option<R>, to: &mut [u8]) -> Option<usize> {
    from.as_mut()?.read(to).await.ok().filter(|read| *read > 0)
}

async fn write_all(terminal: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written =
            terminal.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}
