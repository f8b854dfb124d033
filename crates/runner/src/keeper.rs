//! The keeper of one process: a process of ours that starts the command, is the parent of
//! everything that the command leaves behind, and ends all of it when the command ends, when it is
//! told to, or when the runner is gone, however that came. So nothing is ever left over.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid, setsid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// The word by which the executable knows that it is a keeper. Not for people.
pub(crate) const WORD: &str = "dyno-keeper";

/// The word for one whose command has a terminal.
pub(crate) const TERMINAL: &str = "terminal";

/// The word for one whose command has none.
pub(crate) const NO_TERMINAL: &str = "no-terminal";

/// What the exit code of a process that a signal ended begins with, as for a shell.
pub(crate) const SIGNALLED: i32 = 128;

/// How a keeper ends that could not start its command, as a shell does.
const NOT_STARTED: u8 = 127;

/// Between two looks for what is still there once everything is being killed.
const AGAIN: Duration = Duration::from_millis(500);

/// Runs a keeper, when the arguments (without the program's name) are those of one: the word, the
/// runner's process id, how many seconds the processes get to end, whether standard input is a
/// terminal that is to be theirs, and the command for a shell.
#[must_use]
pub fn keeper(arguments: &[OsString]) -> Option<ExitCode> {
    let (word, rest) = arguments.split_first()?;
    if word != WORD {
        return None;
    }
    let [runner, grace, terminal, command] = rest else { return Some(ExitCode::from(2)) };
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<i32>().ok());
    let (Some(runner), Some(grace)) = (number(runner), number(grace)) else {
        return Some(ExitCode::from(2));
    };
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0).max(1));
    let keeper = Keeper { grace, stage: Stage::Running, alarm: None };
    Some(match keeper.begin(Pid::from_raw(runner), terminal == TERMINAL, command) {
        Ok(status) => ExitCode::from(code(status)),
        Err(error) => {
            eprintln!("the command cannot be run: {error}");
            ExitCode::from(NOT_STARTED)
        }
    })
}

/// The exit code that a shell gives for how a process ended.
pub(crate) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

struct Keeper {
    grace: Duration,
    stage: Stage,
    /// When what is still there is killed.
    alarm: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The command does what it does.
    Running,
    /// All were told to end.
    Ending,
    /// All are being killed.
    Killing,
}

impl Keeper {
    fn begin(self, runner: Pid, terminal: bool, command: &OsStr) -> std::io::Result<ExitStatus> {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        prctl::set_child_subreaper(true)?;
        setsid()?;
        if terminal {
            rustix::process::ioctl_tiocsctty(std::io::stdin())?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.run(runner, command))
    }

    async fn run(mut self, runner: Pid, command: &OsStr) -> std::io::Result<ExitStatus> {
        // Caught and not blocked: what is blocked would be blocked for the command too.
        let mut child = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        // It may have gone before we asked to be told.
        if getppid() != runner {
            return Ok(ExitStatus::from_raw(Signal::SIGTERM as i32));
        }
        let main = Command::new("/bin/sh").arg("-c").arg(command).spawn()?;
        let main = Pid::from_raw(i32::try_from(main.id()).map_err(std::io::Error::other)?);
        let mut status = None;
        loop {
            let there_are_more = reap(main, &mut status);
            if !there_are_more {
                return Ok(status.unwrap_or_default());
            }
            // Whatever the command has left behind ends with it.
            if status.is_some() && self.stage == Stage::Running {
                self.kill_all();
            }
            let alarm = self.alarm;
            let rings = async {
                match alarm {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = child.recv() => {}
                _ = terminate.recv() => self.end_all(),
                _ = hangup.recv() => self.end_all(),
                _ = interrupt.recv() => signal_all(Signal::SIGINT),
                _ = quit.recv() => self.kill_all(),
                () = rings => self.kill_all(),
            }
        }
    }

    fn end_all(&mut self) {
        if self.stage == Stage::Running {
            self.stage = Stage::Ending;
            signal_all(Signal::SIGTERM);
            self.alarm = Some(Instant::now() + self.grace);
        }
    }

    fn kill_all(&mut self) {
        self.stage = Stage::Killing;
        signal_all(Signal::SIGKILL);
        self.alarm = Some(Instant::now() + AGAIN);
    }
}

/// Takes in those that have ended. `false` when there are no more.
fn reap(main: Pid, status: &mut Option<ExitStatus>) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                *status = Some(ExitStatus::from_raw(code << 8));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                *status = Some(ExitStatus::from_raw(signal as i32));
            }
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Sends a signal to every process that descends from this one.
fn signal_all(signal: Signal) {
    for pid in descendants(getpid()) {
        // It may have ended just now; until we reap it nobody else has its number.
        let _ = kill(pid, signal);
    }
}

/// The processes that descend from one.
fn descendants(of: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let all: Vec<(Pid, Pid)> = entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name, in parentheses, may hold anything.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((Pid::from_raw(pid), Pid::from_raw(parent.parse().ok()?)))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}
