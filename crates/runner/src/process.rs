//! One process: started through its keeper, fed, read, signalled, waited for.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::keeper::{NO_TERMINAL, TERMINAL, WORD, code};

/// Where processes run, and how.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The executable that keeps them: see [`crate::keeper`].
    pub program: PathBuf,
    /// Their directory.
    pub directory: PathBuf,
    /// How long they get to end before they are killed.
    pub grace: Duration,
}

/// How a process is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It has no input; both outputs are one.
    Output,
    /// It has input and two outputs.
    Three,
    /// It has a terminal.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters of a line.
        columns: u16,
    },
}

/// Our ends of what a process is connected to.
#[derive(Debug)]
pub(crate) enum Ends {
    Output(pipe::Receiver),
    Three(ChildStdin, ChildStdout, ChildStderr),
    Terminal(OwnedFd),
}

/// How a process ended: the code that a shell would see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub u8);

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) pid: i32,
}

impl Process {
    /// Starts a command with exactly these variables.
    ///
    /// # Errors
    /// When the keeper cannot be started.
    pub(crate) fn start(
        setting: &Setting,
        command: &str,
        env: &BTreeMap<String, String>,
        streams: Streams,
    ) -> io::Result<(Self, Ends)> {
        let mut keeper = Command::new(&setting.program);
        let terminal =
            if matches!(streams, Streams::Terminal { .. }) { TERMINAL } else { NO_TERMINAL };
        keeper
            .arg(WORD)
            .arg(std::process::id().to_string())
            .arg(setting.grace.as_secs().to_string())
            .args([terminal, command])
            .env_clear()
            .envs(env)
            .current_dir(&setting.directory);
        let (child, ends) = match streams {
            Streams::Output => {
                let (reader, writer) = io::pipe()?;
                let both = writer.try_clone()?;
                keeper.stdin(Stdio::null()).stdout(writer).stderr(both);
                let child = keeper.spawn()?;
                (child, Ends::Output(pipe::Receiver::from_owned_fd(reader.into())?))
            }
            Streams::Three => {
                keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = keeper.spawn()?;
                let ends = (child.stdin.take(), child.stdout.take(), child.stderr.take());
                let (Some(input), Some(output), Some(error)) = ends else {
                    return Err(io::Error::other("the process has no pipes"));
                };
                (child, Ends::Three(input, output, error))
            }
            Streams::Terminal { rows, columns } => {
                let (ours, theirs) = terminal_pair(rows, columns)?;
                let (output, error) = (theirs.try_clone()?, theirs.try_clone()?);
                keeper.stdin(theirs).stdout(output).stderr(error);
                (keeper.spawn()?, Ends::Terminal(ours))
            }
        };
        // The command holds copies of what the process is connected to.
        drop(keeper);
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
        Ok((Self { child, pid }, ends))
    }

    /// Asks the process, and all that it started, to end; what does not is killed after the grace.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Interrupts the process, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    fn signal(&self, signal: Signal) {
        // None once it was waited for: its number may be another's.
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Waits for the end.
    pub(crate) async fn wait(&mut self) -> Ended {
        let Ok(status) = self.child.wait().await else { return Ended(u8::MAX) };
        if status.signal().is_some() {
            // Somebody has killed the keeper, which could not end its processes any more.
            let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
        Ended(code(status))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // At once: whoever lets go of a process does not wait for it.
        self.signal(Signal::SIGQUIT);
    }
}

/// A new terminal: our end, which does not block, and the process'.
fn terminal_pair(rows: u16, columns: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let name = rustix::pty::ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name, flags, rustix::fs::Mode::empty())?;
    resize(&ours, rows, columns)?;
    let status = rustix::fs::fcntl_getfl(&ours)?;
    rustix::fs::fcntl_setfl(&ours, status | OFlags::NONBLOCK)?;
    Ok((ours, theirs))
}

/// Gives a terminal another size; its processes are told.
pub(crate) fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// The variables of a process: the app's, and of the runner's own those without which nothing is
/// found.
pub(crate) fn variables(
    vars: &BTreeMap<String, String>,
    name: &str,
    port: Option<u16>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for own in ["PATH", "HOME"] {
        if let Ok(value) = std::env::var(own) {
            all.insert(own.to_owned(), value);
        }
    }
    all.extend(vars.iter().map(|(name, value)| (name.clone(), value.clone())));
    all.insert("DYNO".to_owned(), name.to_owned());
    all.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    all
}

/// A port that is free now.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
