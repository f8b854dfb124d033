//! PostgreSQL as the gateway meets it: a socket, SCRAM for everybody but the superuser, and settings
//! as a test wants them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, chown};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a server may take to do anything, on a machine that is busy.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
/// Between two looks at something that is about to happen.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// What every server has: no care for the disk, which no test pulls the plug of.
const CARELESS: &[&str] = &["fsync=off", "full_page_writes=off", "log_min_messages=log"];
/// The superuser comes in by the socket as it is, everybody else by SCRAM.
const HBA: &str = "local all postgres trust\nlocal replication postgres trust\n\
    local all all scram-sha-256\nlocal replication all scram-sha-256\n\
    host all all 127.0.0.1/32 scram-sha-256\n";

/// The directory of the programs of a major.
#[must_use]
pub fn programs(major: u16) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// In order: sessions are told 57P01, a last checkpoint is written.
    Fast,
    /// As a machine that fails would end it.
    Immediate,
}

/// A server in a directory of its own. It is ended and removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    pub(crate) bin: PathBuf,
    dir: PathBuf,
    pub(crate) settings: Vec<String>,
    postmaster: Option<Child>,
}

impl Server {
    /// Starts a new server of that major with settings (`name=value`) beside the usual ones.
    ///
    /// # Panics
    /// When it does not come up; what it says is in the message.
    pub async fn start(major: u16, settings: &[&str]) -> Self {
        let mut server = Self::make(major, settings).expect("make a server");
        server.begin().await;
        server
    }

    /// A server that does not run yet.
    pub(crate) fn make(major: u16, settings: &[&str]) -> Result<Self> {
        let bin = programs(major);
        let template = template(&bin, major)?;
        let server = Self::empty(bin, settings)?;
        copy(&template, &server.data())?;
        Ok(server)
    }

    /// A place for a server, without data.
    pub(crate) fn empty(bin: PathBuf, settings: &[&str]) -> Result<Self> {
        let base =
            std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new().prefix("howdah-server-").tempdir_in(base)?.keep();
        own(&dir)?;
        let settings = CARELESS.iter().chain(settings).map(ToString::to_string).collect();
        Ok(Self { bin, dir, settings, postmaster: None })
    }

    /// Starts it again after [`Server::stop`] and waits until it takes sessions.
    ///
    /// # Panics
    /// When it runs already or does not come up.
    pub async fn begin(&mut self) {
        assert!(self.postmaster.is_none(), "it runs already");
        let log = File::create(self.dir.join("log")).expect("make a log");
        let mut command = Command::new(self.bin.join("postgres"));
        as_owner(&mut command).arg("-D").arg(self.data()).arg("-k").arg(&self.dir);
        for setting in std::iter::once("listen_addresses=").chain(self.settings()) {
            command.args(["-c", setting]);
        }
        // A Ctrl-C in the terminal is for the test alone; it ends the server by its drop.
        command.process_group(0).stdout(log.try_clone().expect("a log")).stderr(log);
        self.postmaster = Some(command.spawn().expect("start postgres"));
        let file = self.data().join("postmaster.pid");
        let begun = Instant::now();
        // The eighth line of the file says how the server fares.
        let ready = |text: String| text.lines().nth(7).is_some_and(|line| line.trim() == "ready");
        while !fs::read_to_string(&file).is_ok_and(ready) {
            let ended = self
                .postmaster
                .as_mut()
                .is_none_or(|child| child.try_wait().map_or(true, |status| status.is_some()));
            assert!(!ended && begun.elapsed() < BOUND, "it is not ready: {}", self.log());
            sleep(TICK).await;
        }
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn stop(&mut self, how: Shutdown) {
        self.signal(how);
        let Some(mut postmaster) = self.postmaster.take() else { return };
        let begun = Instant::now();
        while postmaster.try_wait().expect("wait for postgres").is_none() {
            assert!(begun.elapsed() < BOUND, "it does not end: {}", self.log());
            sleep(TICK).await;
        }
    }

    pub(crate) fn signal(&self, how: Shutdown) {
        let signal = match how {
            Shutdown::Fast => Signal::SIGINT,
            Shutdown::Immediate => Signal::SIGQUIT,
        };
        if let Some(postmaster) = &self.postmaster {
            let _ = kill(pid_of(postmaster), signal);
        }
    }

    /// Whether its last checkpoint is written, by what it keeps of its state.
    pub(crate) fn is_shut_down(&self) -> bool {
        const STATE: usize = 16;
        const SHUTDOWNED: [u8; 4] = 1_u32.to_ne_bytes();
        fs::read(self.data().join("global/pg_control"))
            .is_ok_and(|control| control.get(STATE..STATE + 4) == Some(&SHUTDOWNED[..]))
    }

    /// The directory of its socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The process id of its postmaster, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Child::id)
    }

    /// Runs SQL as the superuser in the database `postgres`, and returns the first column of the
    /// first row.
    ///
    /// # Panics
    /// When that fails.
    pub async fn sql(&self, sql: &str) -> String {
        self.sql_in("postgres", sql).await
    }

    /// The same in another database.
    ///
    /// # Panics
    /// When that fails.
    pub async fn sql_in(&self, database: &str, sql: &str) -> String {
        match self.try_sql(database, sql).await {
            Ok(value) => value,
            Err(error) => panic!("`{sql}`: {error:#}; {}", self.log()),
        }
    }

    async fn try_sql(&self, database: &str, sql: &str) -> Result<String> {
        self.session(database).await?.ask(sql).await
    }

    /// Opens a session of the superuser.
    ///
    /// # Errors
    /// PostgreSQL's, or that of the socket.
    pub async fn session(&self, database: &str) -> Result<Session> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(&self.dir)
            .user("postgres")
            .dbname(database)
            .connect_timeout(BOUND)
            .connect(tokio_postgres::NoTls)
            .await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its end is noticed by whoever asks next.
            let _ = connection.await;
        });
        Ok(Session { client, _driver: driver })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn settings(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(String::as_str)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            // Nothing of it is wanted any more.
            let _ = kill(pid_of(&postmaster), Signal::SIGQUIT);
            let _ = postmaster.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A session of the superuser.
#[derive(Debug)]
pub struct Session {
    client: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl Session {
    /// Runs SQL and returns the first column of the first row.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn ask(&self, sql: &str) -> Result<String> {
        let messages = self.client.simple_query(sql).await?;
        let first = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(first.unwrap_or_default())
    }
}

fn pid_of(postmaster: &Child) -> Pid {
    Pid::from_raw(postmaster.id().try_into().expect("a process id is small"))
}

/// PostgreSQL refuses to run as root; then it runs as `postgres`.
fn owner() -> Result<Option<(Uid, Gid)>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?.context("there is no user `postgres`")?;
    Ok(Some((user.uid, user.gid)))
}

fn own(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    own_file(dir)
}

pub(crate) fn own_file(path: &Path) -> Result<()> {
    if let Some((uid, gid)) = owner()? {
        chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

pub(crate) fn as_owner(command: &mut Command) -> &mut Command {
    if let Ok(Some((uid, gid))) = owner() {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).current_dir("/")
}

/// An initialised cluster to copy, made by whoever needs it first.
fn template(bin: &Path, major: u16) -> Result<PathBuf> {
    let name = format!("howdah-server-template-{major}-{}", Uid::effective());
    let root = std::env::temp_dir().join(name);
    let lock = File::create(root.with_extension("lock"))?;
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let made = root.join("made");
    if made.exists() {
        return Ok(made);
    }
    let _ = fs::remove_dir_all(&root);
    fs::create_dir(&root)?;
    own(&root)?;
    let making = root.join("making");
    let output = as_owner(&mut Command::new(bin.join("initdb")))
        .args(["--no-sync", "--encoding=UTF8", "--no-locale", "--wal-segsize=1"])
        .args(["--username=postgres", "--pgdata"])
        .arg(&making)
        .output()?;
    if !output.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(making.join("pg_hba.conf"), HBA)?;
    fs::rename(&making, &made)?;
    Ok(made)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status()?;
    if !copied.success() {
        bail!("cp of {}: {copied}", from.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_leaves_nothing_behind() {
        let server = Server::start(15, &["shared_buffers=16MB"]).await;
        let (dir, pid) = (server.dir.clone(), server.pid().expect("it runs"));
        drop(server);
        assert!(!dir.exists());
        assert!(kill(Pid::from_raw(pid as i32), None).is_err());
    }
}
