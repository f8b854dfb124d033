//! A program of PostgreSQL's that runs, with all that it starts.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Failure;
use crate::RunAs;
use crate::settings::PORT;

/// A line of what a program says is cut to so many bytes.
const LINE: usize = 2_000;
/// Lines that may wait to be looked at.
const WAITING: usize = 1_000;

/// How libpq gets at a database: by environment variables, so that the password is in no argument.
#[derive(Clone)]
pub struct Place {
    variables: Vec<(&'static str, String)>,
}

impl Place {
    /// A database of a server on this machine, as a role.
    #[must_use]
    pub fn local(socket_dir: &Path, database: &str, role: &str, password: &str) -> Self {
        let socket_dir = socket_dir.display().to_string();
        let port = PORT.to_string();
        Self::new(&[
            ("PGHOST", &socket_dir),
            ("PGPORT", &port),
            ("PGDATABASE", database),
            ("PGUSER", role),
            ("PGPASSWORD", password),
            // These win over what the tenant has set for its database.
            ("PGOPTIONS", OPTIONS),
        ])
    }

    /// Whether it is a database of somebody else's server.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.variables.iter().any(|(name, _)| *name == "PGHOSTADDR")
    }

    /// Any database, by libpq's variables.
    #[must_use]
    pub fn new(variables: &[(&'static str, &str)]) -> Self {
        let given = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let ours = [
            ("PGAPPNAME", "howdah transfer"),
            ("PGCONNECT_TIMEOUT", "10"),
            ("PGPASSFILE", "/dev/null"),
            ("PGSERVICEFILE", "/dev/null"),
            ("PGGSSENCMODE", "disable"),
        ];
        let ours = ours.map(|(name, value)| (name, value.to_owned()));
        Self { variables: given.chain(ours).collect() }
    }
}

/// What a session starts with.
const OPTIONS: &str = "-c default_transaction_read_only=off -c statement_timeout=0 \
     -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 \
     -c local_preload_libraries= -c client_min_messages=warning";

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

/// See the module's text. When it is dropped, the program and all that it has started is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Option<Pid>,
    lines: mpsc::Receiver<String>,
    _reading: JoinSet<()>,
}

/// How a program's output is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// It is read by us.
    Read,
    /// It is nothing that anybody wants.
    Nowhere,
}

impl Process {
    /// Starts a program of a version as PostgreSQL's user.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        run_as: &RunAs,
        program: &Path,
        place: Option<&Place>,
        arguments: impl IntoIterator<Item = A>,
        output: Output,
    ) -> Result<Self, Failure> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command: Command = run_as.command(program);
        command.args(arguments);
        if let Some(place) = place {
            command.envs(place.variables.iter().map(|(name, value)| (name, value)));
        }
        let stdout = match output {
            Output::Read => Stdio::piped(),
            Output::Nowhere => Stdio::null(),
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            Failure::Cannot(format!("cannot start {}: {error}", program.display()))
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (sender, lines) = mpsc::channel(WAITING);
        let mut reading = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            reading.spawn(read(stderr, sender));
        }
        Ok(Self { name, child, group, lines, _reading: reading })
    }

    /// Its output. Once.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The next line that it says on its error output; none when there will be no more.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        let ended = self.child.wait().await;
        let status = ended.map_err(|error| Failure::Cannot(format!("{}: {error}", self.name)))?;
        if status.code().is_some() {
            // It has ended by itself, and with it what it started; the number may be another's soon.
            self.group = None;
        }
        Ok(status)
    }

    /// Reads all that it writes, up to a bound, and waits for its end.
    ///
    /// # Errors
    /// What it said, when it did not succeed.
    pub async fn text(mut self, most: usize) -> Result<String, Failure> {
        use tokio::io::AsyncReadExt as _;
        let mut said = Vec::new();
        let mut written = Vec::new();
        let output = self.output();
        let reading = async {
            if let Some(output) = output {
                output.take(most as u64 + 1).read_to_end(&mut written).await
            } else {
                Ok(0)
            }
        };
        let hearing = async {
            while let Some(line) = self.lines.recv().await {
                if said.len() < 20 {
                    said.push(line);
                }
            }
        };
        let (read, ()) = tokio::join!(reading, hearing);
        let bad = |why: String| Failure::Cannot(format!("{}: {why}", self.name));
        read.map_err(|error| bad(error.to_string()))?;
        if written.len() > most {
            return Err(bad("it writes too much".to_owned()));
        }
        let status = self.wait().await?;
        if !status.success() {
            let said = if said.is_empty() { status.to_string() } else { said.join("\n") };
            return Err(Failure::Said { said });
        }
        Ok(String::from_utf8_lossy(&written).into_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn read(stderr: ChildStderr, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match bounded_line(&mut reader, &mut line).await {
            Ok(true) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if lines.send(text).await.is_err() {
                    return;
                }
            }
            Ok(false) | Err(_) => return,
        }
    }
}

/// A line, of which only the beginning is kept when it is long. False at the end.
async fn bounded_line(
    reader: &mut BufReader<ChildStderr>,
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let mut any = false;
    loop {
        let there = reader.fill_buf().await?;
        if there.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = there.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(there.len(), |end| end + 1);
        let room = LINE.saturating_sub(line.len());
        line.extend_from_slice(&there[..length.min(room)]);
        reader.consume(length);
        if end.is_some() {
            return Ok(true);
        }
    }
}
