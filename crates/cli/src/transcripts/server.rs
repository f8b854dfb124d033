//! A PostgreSQL of a test's own, which takes TLS connections only.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server of its own, ended when this goes out of scope.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts one of the oldest major version.
    pub(super) fn start() -> Self {
        Self::of(&howdah_testkit::clusters::majors().remove(0))
    }

    /// One of that version, with what the platform's servers have loaded and set.
    pub(super) fn of(installed: &howdah_model::agent::Installed) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let run_as = howdah_testkit::clusters::run_as();
        run_as.open_way(directory.path()).expect("opens the way");
        let data = directory.path().join("data");
        run_as.make_dir(&data).expect("makes");
        let bin = &installed.bindir;
        let password = directory.path().join("password");
        std::fs::write(&password, "p1").expect("writes");
        run_as.give(&password).expect("gives");
        let made = run_as
            .command(bin.join("initdb"))
            .into_std()
            .args(["--username=u1", "--auth=scram-sha-256", "--no-sync", "--no-locale", "-EUTF8"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        certify(&data);
        // Another process may take the port in between; then the next one is tried.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let port = free.expect("a port").port();
            let mut child = run_as
                .command(bin.join("postgres"))
                .into_std()
                .arg("-D")
                .arg(&data)
                .args(["-c", "ssl=on", "-c", "fsync=off", "-c", "unix_socket_directories="])
                .args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string()])
                .args(["-c", "shared_preload_libraries=pg_stat_statements"])
                .args(["-c", "extwlist.extensions=hstore, citext"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("postgres runs");
            let until = Instant::now() + Duration::from_secs(60);
            while child.try_wait().expect("is ours").is_none() {
                let server = std::fs::read_to_string(data.join("postmaster.pid"));
                if server.is_ok_and(|text| text.contains("ready")) {
                    return Self { child, port, _directory: directory };
                }
                assert!(Instant::now() < until, "PostgreSQL does not come up");
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
        panic!("PostgreSQL does not start");
    }

    /// Runs SQL as the superuser, and gives what psql prints.
    pub(super) fn sql(&self, database: &str, sql: &str) -> String {
        let output =
            self.psql(database).args(["-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).output();
        let output = output.expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// psql as the superuser.
    pub(super) fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q"])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .envs([("PGUSER", "u1"), ("PGPASSWORD", "p1"), ("PGDATABASE", database)]);
        psql
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown: it waits for its processes.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
    }
}

/// Gives a server a certificate, and lets in over TLS only.
fn certify(data: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let run_as = howdah_testkit::clusters::run_as();
    for (name, text) in [
        ("server.crt", made.cert.pem()),
        ("server.key", made.signing_key.serialize_pem()),
        ("pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n".to_owned()),
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = data.join(name);
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("sets");
        run_as.give(&path).expect("gives");
    }
}
