//! A PostgreSQL of its own for each test, as the platform sets them up: a unix socket, SCRAM for
//! tenants.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, chown};

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "max_connections=100",
    "max_wal_size=256MB",
    "min_wal_size=4MB",
    "log_min_messages=fatal",
];

/// A running PostgreSQL; it is ended and removed when dropped.
pub(crate) struct Cluster {
    bin: PathBuf,
    settings: Vec<String>,
    dir: tempfile::TempDir,
    postmaster: Mutex<Child>,
}

/// The directories of PostgreSQL's programs, one for each major.
pub(crate) fn majors() -> Vec<PathBuf> {
    let found = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let bins = found.map(|entry| entry.expect("entry").path().join("bin"));
    let mut bins: Vec<_> = bins.filter(|bin| bin.join("initdb").exists()).collect();
    bins.sort();
    assert!(!bins.is_empty(), "install PostgreSQL: script/setup does it");
    bins
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(&majors()[0]).await
    }

    pub(crate) async fn start_with(bin: &Path) -> Self {
        Self::start_set(bin, &[]).await.expect("it starts")
    }

    /// Starts it with further settings (`name=value`). `None` when it ends at once, as it does when
    /// it shall listen on a port that is taken.
    pub(crate) async fn start_set(bin: &Path, settings: &[String]) -> Option<Self> {
        let template = template(bin);
        let dir = tempfile::Builder::new().prefix("howdah-gw-").tempdir().expect("directory");
        own(dir.path());
        let other = dir.path().join("o");
        fs::create_dir(&other).expect("directory");
        own(&other);
        let status = Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(template)
            .arg(dir.path().join("data"))
            .status();
        assert!(status.expect("cp").success());
        let postmaster = Mutex::new(launch(bin, dir.path(), settings));
        let cluster = Self { bin: bin.to_owned(), settings: settings.to_vec(), dir, postmaster };
        cluster.until_ready().await.then_some(cluster)
    }

    /// Starts it again after [`Cluster::kill`].
    pub(crate) async fn restart(&self) {
        let postmaster = launch(&self.bin, self.dir.path(), &self.settings);
        *self.postmaster.lock().expect("lock") = postmaster;
        assert!(self.until_ready().await, "it ended");
    }

    /// The directory of its socket.
    pub(crate) fn socket_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The directory of another socket of the same server: to the gateway it is another server.
    pub(crate) fn other_dir(&self) -> PathBuf {
        self.dir.path().join("o")
    }

    /// Kills postmaster and backends as a machine that fails would.
    pub(crate) fn kill(&self) {
        let mut postmaster = self.postmaster.lock().expect("lock");
        let pid = Pid::from_raw(postmaster.id().try_into().expect("pid"));
        let _ = kill(pid, Signal::SIGQUIT);
        let _ = postmaster.wait();
    }

    /// Stops it in an orderly way, as a restart for maintenance does: sessions are told.
    pub(crate) async fn stop_fast(&self) {
        let pid = self.postmaster.lock().expect("lock").id().try_into().expect("pid");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("told");
        let begun = Instant::now();
        while self.postmaster.lock().expect("lock").try_wait().expect("its status").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Runs SQL as the superuser and returns what it prints.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        let output = tokio::process::Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                "postgres",
            ])
            .arg("-h")
            .arg(self.dir.path())
            .args(["-c", sql])
            .output()
            .await
            .expect("psql");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Whether it comes to be ready; otherwise it has ended.
    async fn until_ready(&self) -> bool {
        let begun = Instant::now();
        let file = self.dir.path().join("data/postmaster.pid");
        // The eighth line of the file says how the server fares.
        let ready = |text: String| {
            text.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
        };
        while !fs::read_to_string(&file).is_ok_and(ready) {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "it is not ready: {log}");
            if self.postmaster.lock().expect("lock").try_wait().expect("its status").is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// PostgreSQL refuses to run as root; then it runs as `postgres`.
fn owner() -> Option<(Uid, Gid)> {
    Uid::effective().is_root().then(|| {
        let user = User::from_name("postgres").expect("users").expect("a user `postgres`");
        (user.uid, user.gid)
    })
}

/// Gives a directory to the user that PostgreSQL runs as, and to nobody else.
pub(crate) fn own(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("permissions");
    if let Some((uid, gid)) = owner() {
        chown(dir, Some(uid), Some(gid)).expect("owner");
    }
}

fn as_owner(command: &mut Command) -> &mut Command {
    if let Some((uid, gid)) = owner() {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).current_dir("/")
}

/// An initialised cluster to copy, made by whoever needs it first.
fn template(bin: &Path) -> PathBuf {
    let major = bin.parent().and_then(Path::file_name).expect("a major").display().to_string();
    let root =
        std::env::temp_dir().join(format!("howdah-gw-template-2-{major}-{}", Uid::effective()));
    let lock = File::create(root.with_extension("lock")).expect("lock");
    let _held =
        Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("lock");
    let made = root.join("made");
    if made.exists() {
        return made;
    }
    let _ = fs::remove_dir_all(&root);
    fs::create_dir(&root).expect("directory");
    own(&root);
    let making = root.join("making");
    let output = as_owner(&mut Command::new(bin.join("initdb")))
        .args(["--no-sync", "--encoding=UTF8", "--no-locale", "--wal-segsize=1"])
        .args(["--username=postgres", "--pgdata"])
        .arg(&making)
        .output()
        .expect("initdb");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let hba = "local all postgres trust\nlocal all,replication all scram-sha-256\n";
    fs::write(making.join("pg_hba.conf"), hba).expect("pg_hba.conf");
    fs::rename(&making, &made).expect("rename");
    made
}

fn launch(bin: &Path, dir: &Path, settings: &[String]) -> Child {
    let log = File::create(dir.join("log")).expect("log");
    let mut command = Command::new(bin.join("postgres"));
    as_owner(&mut command).arg("-D").arg(dir.join("data")).arg("-k");
    command.arg(format!("{0},{0}/o", dir.display()));
    for setting in SETTINGS.iter().copied().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    // A Ctrl-C in the terminal is for the test alone; it ends the server by its drop.
    command
        .process_group(0)
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn()
        .expect("postgres")
}
