//! The server process of a data directory: who it is, how it fares, its end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout};

/// What the server says of itself in `postmaster.pid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is there and does not accept sessions yet: it begins, or recovers.
    Starting,
    /// It accepts sessions, a standby such as only read.
    Ready,
    /// It is ending.
    Stopping,
}

/// A running server process, verified to be the one of its data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postmaster {
    /// Its process id.
    pub pid: Pid,
    /// How far it is.
    pub phase: Phase,
}

/// How a server is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions are ended, a checkpoint is made.
    Fast,
    /// All processes end at once; the next start recovers from WAL.
    Immediate,
}

impl StopMode {
    fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }
}

/// Processes of the data directory remain although they were killed.
#[derive(Debug, thiserror::Error)]
#[error("{count} PostgreSQL processes of {data} do not end, although they were killed")]
pub struct Undying {
    count: usize,
    data: PathBuf,
}

impl Postmaster {
    /// The server of a data directory, if one runs. A process id that was given to another process
    /// meanwhile is not taken for it: the process must be PostgreSQL's and work in this directory.
    #[must_use]
    pub fn find(data: &Path) -> Option<Self> {
        let content = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = content.lines();
        let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?)?;
        let phase = match lines.nth(6).map(str::trim) {
            Some("ready") => Phase::Ready,
            Some("stopping") => Phase::Stopping,
            // Also `standby`: it recovers, and is none that can be read.
            Some(_) | None => Phase::Starting,
        };
        works_in(pid, data).then_some(Self { pid, phase })
    }

    /// Whether the process is stopped (SIGSTOP) or traced, and so cannot answer anyone.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        matches!(state_of(self.pid), Some('T' | 't'))
    }

    /// Waits until the process has ended. Returns at once when it is not there any more.
    ///
    /// # Errors
    /// When the operating system cannot watch it.
    pub async fn ended(&self, data: &Path) -> io::Result<()> {
        let Some(fd) = self.pidfd(data)? else { return Ok(()) };
        #[expect(deprecated, reason = "its successor is unsafe; an owned descriptor is safe in it")]
        let fd = AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
        fd.readable().await?.retain_ready();
        Ok(())
    }

    /// A handle to the process that another one of the same id can never take over.
    fn pidfd(&self, data: &Path) -> io::Result<Option<rustix::fd::OwnedFd>> {
        match rustix::process::pidfd_open(self.pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => Ok(works_in(self.pid, data).then_some(fd)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn signal(&self, data: &Path, signal: Signal) {
        if let Ok(Some(fd)) = self.pidfd(data) {
            // The only failure is that it has just ended.
            let _ = rustix::process::pidfd_send_signal(fd, signal);
        }
    }
}

/// Ends the server of a data directory and every process that belongs to it: `fast` first when it
/// is asked for, then `immediate`, then by force. Each step has `patience`. Fine when none runs.
///
/// # Errors
/// [`Undying`] when a process survives being killed: it hangs in the kernel.
pub async fn stop(data: &Path, mode: StopMode, patience: Duration) -> Result<(), Undying> {
    let steps: &[StopMode] = match mode {
        StopMode::Fast => &[StopMode::Fast, StopMode::Immediate],
        StopMode::Immediate => &[StopMode::Immediate],
    };
    for step in steps {
        let Some(postmaster) = Postmaster::find(data) else { break };
        if postmaster.is_frozen() {
            break;
        }
        postmaster.signal(data, step.signal());
        if timeout(patience, gone(data, postmaster)).await.is_ok() {
            break;
        }
        tracing::warn!(data = %data.display(), "stop `{step:?}` took longer than {patience:?}");
    }
    clear(data).await
}

async fn gone(data: &Path, postmaster: Postmaster) {
    if postmaster.ended(data).await.is_ok() {
        return;
    }
    while Postmaster::find(data).is_some() {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Kills what is left of a server: itself, and sessions that outlive it. Returns when all are gone.
///
/// # Errors
/// [`Undying`] when one is still there after ten seconds.
pub async fn clear(data: &Path) -> Result<(), Undying> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut pause = Duration::from_millis(1);
    loop {
        let left = processes(data);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Undying { count: left.len(), data: data.to_owned() });
        }
        for pid in left {
            Postmaster { pid, phase: Phase::Stopping }.signal(data, Signal::KILL);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Puts a server behind what else the machine does (`nice`, 0 to 19), with all processes that it
/// has and will have: for restores that nobody waits for. It cannot be taken back by everyone.
pub fn step_back(data: &Path, nice: i32) {
    for pid in processes(data) {
        // The only failure that matters is that it has just ended.
        let _ = rustix::process::setpriority_process(Some(pid), nice);
    }
}

/// All processes of the server of a data directory. PostgreSQL's processes work in it, all others
/// that do (a shell that someone left there) are not PostgreSQL's.
#[must_use]
pub fn processes(data: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| works_in(*pid, data))
        .collect()
}

/// Whether a process is PostgreSQL's and works in a data directory. A process that has ended and
/// waits for its parent works nowhere.
fn works_in(pid: Pid, data: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let Ok(name) = std::fs::read_to_string(proc.join("comm")) else { return false };
    if !name.starts_with("postgres") {
        return false;
    }
    let Ok(dir) = std::fs::read_link(proc.join("cwd")) else { return false };
    if dir == data {
        return true;
    }
    // The directory may have been given by another name, or have been removed under the process.
    let removed = format!("{} (deleted)", data.display());
    dir.as_os_str() == removed.as_str() || data.canonicalize().is_ok_and(|data| dir == data)
}

fn state_of(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
