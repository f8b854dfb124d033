//! A throw-away PostgreSQL for tests of the store.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, chown};

/// A cluster of its own, reached by a unix socket, without any care for the disk. It is stopped
/// and removed on drop. Should the test be killed, `data/postmaster.pid` in a directory named
/// `howdah-scratch-…` below HOWDAH_TEST_TMP (or the directory for temporary files) says whom to end.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    postmaster: Child,
}

/// How long a cluster may take to start on a machine that is busy.
const BOUND: Duration = Duration::from_secs(60);

impl Scratch {
    /// Starts a cluster: a copy of one that is initialised once for all tests.
    ///
    /// # Panics
    /// When it does not come up, with the reason and the server's log.
    pub async fn start() -> Self {
        Self::try_start().await.expect("start a throw-away PostgreSQL")
    }

    async fn try_start() -> Result<Self> {
        let programs = programs()?;
        let owner = owner()?;
        let template = template(&programs, owner)?;
        let base =
            std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
        let root = tempfile::Builder::new().prefix("howdah-scratch-").tempdir_in(base)?.keep();
        own(&root, owner)?;
        copy(&template, &root.join("data"))?;
        let postmaster = start(&programs, &root, owner)?;
        let mut scratch = Self { root, postmaster };
        scratch.wait_until_ready().await?;
        Ok(scratch)
    }

    /// The URL of the database `postgres` for its superuser.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.root.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/postgres")
    }

    /// The process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.postmaster.id()
    }

    /// Ends it at once and for good, as a crash of its machine would.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn kill(&self) {
        let pid = i32::try_from(self.postmaster.id()).map(Pid::from_raw).expect("a process id");
        kill(pid, Signal::SIGQUIT).expect("end the throw-away PostgreSQL");
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        // The eighth line of the file says how the server fares.
        let ready = |text: String| text.lines().nth(7).is_some_and(|line| line.trim() == "ready");
        while !fs::read_to_string(self.root.join("data/postmaster.pid")).is_ok_and(ready) {
            let ended = self.postmaster.try_wait()?;
            if ended.is_some() || begun.elapsed() > BOUND {
                let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
                bail!("it is not ready after {:?} ({ended:?}): {log}", begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let pid = i32::try_from(self.postmaster.id()).map(Pid::from_raw);
        if let Ok(pid) = pid {
            // An immediate shutdown: nothing of it is wanted any more.
            let _ = kill(pid, Signal::SIGQUIT);
        }
        let _ = self.postmaster.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The directory of PostgreSQL's programs: 15 where it is installed, else the newest.
fn programs() -> Result<PathBuf> {
    let mut all: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .context("no PostgreSQL in /usr/lib/postgresql: run script/setup")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    all.sort();
    let fifteen = all.iter().position(|bin| bin.ends_with("15/bin"));
    let chosen = fifteen.or(all.len().checked_sub(1)).context("no PostgreSQL: run script/setup")?;
    Ok(all.swap_remove(chosen))
}

/// PostgreSQL refuses to run as root; then it runs as `postgres`.
fn owner() -> Result<Option<(Uid, Gid)>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?.context("there is no user `postgres`")?;
    Ok(Some((user.uid, user.gid)))
}

fn own(dir: &Path, owner: Option<(Uid, Gid)>) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    if let Some((uid, gid)) = owner {
        chown(dir, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn as_owner(command: &mut Command, owner: Option<(Uid, Gid)>) -> &mut Command {
    if let Some((uid, gid)) = owner {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).current_dir("/")
}

/// The directory of an initialised cluster, made by whoever needs it first.
fn template(programs: &Path, owner: Option<(Uid, Gid)>) -> Result<PathBuf> {
    let major = programs.parent().and_then(Path::file_name).unwrap_or_default();
    let name = format!("howdah-template-{}-{}", major.display(), Uid::effective());
    let root = std::env::temp_dir().join(name);
    let lock = File::create(root.with_extension("lock"))?;
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let made = root.join("made");
    if made.exists() {
        return Ok(made);
    }
    let _ = fs::remove_dir_all(&root);
    fs::create_dir(&root)?;
    own(&root, owner)?;
    let output = as_owner(&mut Command::new(programs.join("initdb")), owner)
        .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "--wal-segsize=1"])
        .args(["--username=postgres", "--pgdata"])
        .arg(root.join("making"))
        .output()?;
    if !output.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::rename(root.join("making"), &made)?;
    Ok(made)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status()?;
    if !copied.success() {
        bail!("cp of {}: {copied}", from.display());
    }
    Ok(())
}

fn start(programs: &Path, root: &Path, owner: Option<(Uid, Gid)>) -> io::Result<Child> {
    let log = File::create(root.join("log"))?;
    let settings = [
        "listen_addresses=",
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=16MB",
        "max_connections=60",
        "wal_level=minimal",
        "max_wal_senders=0",
    ];
    let mut command = Command::new(programs.join("postgres"));
    as_owner(&mut command, owner).arg("-D").arg(root.join("data")).arg("-k").arg(root);
    for setting in settings {
        command.args(["-c", setting]);
    }
    // A Ctrl-C in the terminal is for the test alone; it stops the server by its drop.
    command.process_group(0).stdout(log.try_clone()?).stderr(log).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scratch_answers_and_leaves_nothing_behind() {
        let scratch = Scratch::start().await;
        let (root, pid) = (scratch.root.clone(), scratch.pid());
        let socket = root.join(".s.PGSQL.5432");
        assert!(std::os::unix::net::UnixStream::connect(socket).is_ok());
        drop(scratch);
        assert!(!root.exists());
        assert!(kill(Pid::from_raw(pid as i32), None).is_err());
    }
}
