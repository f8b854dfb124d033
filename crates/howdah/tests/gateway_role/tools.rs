//! What the tests work with: gateways, sessions and clients that are processes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use howdah_testkit::platform::{Platform, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) const HOWDAH: &str = env!("CARGO_BIN_EXE_howdah");

/// `SSLRequest`: whoever serves answers with one letter.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A platform with an app that has a database, reachable without TLS, which costs much without
/// optimization.
pub(crate) fn platform(extra: &[(&str, &str)]) -> (Platform, String) {
    let mut settings = vec![("HOWDAH_POOL_SIZE", "0"), ("HOWDAH_GATEWAY_PLAINTEXT", "loopback")];
    settings.extend(extra);
    let platform = Platform::start(HOWDAH, &settings);
    let _ = platform.say("apps:create demo --no-remote").ok();
    platform.say("addons:create heroku-postgresql:hobby-dev --wait -a demo").ok();
    let url = format!("{}?sslmode=disable", platform.config_var("DATABASE_URL", "demo"));
    wait_until("the gateway routes", || platform.psql(&url, "select 1").code == 0);
    (platform, url)
}

/// A `howdah gateway` that serves; ended when dropped.
pub(crate) struct Role {
    child: Child,
    /// What it prints later is nobody's.
    said: BufReader<ChildStdout>,
}

impl Role {
    /// Starts one and waits until it serves.
    pub(crate) fn start(platform: &Platform) -> Self {
        let mut role = Self::spawn(platform);
        let mut first = String::new();
        role.said.read_line(&mut first).expect("its words");
        assert!(first.starts_with("The gateway "), "{first}: {:?}", role.rest());
        role
    }

    pub(crate) fn spawn(platform: &Platform) -> Self {
        let mut command = platform.command(Path::new(HOWDAH));
        let command = command.arg("gateway").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        kill(pid, signal).expect("signalled");
    }

    /// Waits for its end; whether it was a good one.
    pub(crate) fn end(&mut self) -> bool {
        let mut status = None;
        wait_until("the gateway ends", || {
            status = self.child.try_wait().expect("waited");
            status.is_some()
        });
        status.is_some_and(|status| status.success())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("waited").is_some()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }

    /// What it says on its way out.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A psql that stays: one session.
pub(crate) struct Session {
    pub(crate) child: Child,
    asked: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn open(platform: &Platform, url: &str) -> Self {
        let mut session = Self::try_open(platform, url);
        assert_eq!(session.ask("select 'in'").as_deref(), Some("in"));
        session
    }

    pub(crate) fn try_open(platform: &Platform, url: &str) -> Self {
        let mut command = platform.command(Path::new("psql"));
        let mut child = command
            .args([url, "-XAtq", "-v", "VERBOSITY=sqlstate"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        let asked = child.stdin.take().expect("piped");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, asked, said }
    }

    /// The one line that a statement answers; none when the session is over.
    pub(crate) fn ask(&mut self, sql: &str) -> Option<String> {
        self.send(sql);
        self.line()
    }

    pub(crate) fn send(&mut self, sql: &str) {
        // One that has ended takes nothing more, and says nothing.
        let _ = writeln!(self.asked, "{sql};");
    }

    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("its words");
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }

    /// Ends it; what it said of errors.
    pub(crate) fn close(mut self) -> String {
        drop(self.asked);
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut text).expect("its words");
        self.child.wait().expect("waited");
        text
    }
}

/// Asks the gateway that accepts clients, over its admin socket.
pub(crate) fn admin(platform: &Platform, method: &str, path: &str) -> serde_json::Value {
    let socket = platform.home().join("run/gateway.sock");
    let mut stream = UnixStream::connect(socket).expect("connected");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
    serde_json::from_str(body).unwrap_or_default()
}

pub(crate) fn current_pid(platform: &Platform) -> u64 {
    admin(platform, "GET", "/about")["pid"].as_u64().expect("a pid")
}

/// Looks at a port again and again: it must never be refused.
pub(crate) struct Knocker {
    address: SocketAddr,
    pub(crate) done: AtomicBool,
    answered: AtomicU64,
    /// The longest that an answer took, in microseconds.
    pub(crate) longest: AtomicU64,
    /// Connections that were taken and then broke: a gateway that was killed had them.
    pub(crate) broken: AtomicU64,
}

impl Knocker {
    pub(crate) fn new(platform: &Platform) -> Self {
        let address = platform.gateway().parse().expect("an address");
        let (done, answered, longest, broken) = Default::default();
        Self { address, done, answered, longest, broken }
    }

    pub(crate) fn knock(&self) {
        while !self.done.load(Ordering::Relaxed) {
            let began = Instant::now();
            let mut stream = TcpStream::connect(self.address).expect("it is never refused");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound");
            let answer = stream.write_all(&SSL_REQUEST).and_then(|()| {
                let mut letter = [0];
                stream.read_exact(&mut letter).map(|()| letter[0])
            });
            let took = u64::try_from(began.elapsed().as_micros()).expect("short");
            self.longest.fetch_max(took, Ordering::Relaxed);
            match answer {
                Ok(b'S') => self.answered.fetch_add(1, Ordering::Relaxed),
                Ok(other) => panic!("answered {other}"),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nobody answers: {error}")
                }
                Err(_) => self.broken.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Stops the knocking also when the test fails.
pub(crate) struct Stop<'a>(pub(crate) &'a Knocker);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn pgbench(platform: &Platform, url: &str, script: &str, options: &[&str]) -> Command {
    let path = platform.home().with_file_name("user").join("script.sql");
    std::fs::write(&path, script).expect("a script");
    let mut command = platform.command(Path::new("/usr/lib/postgresql/15/bin/pgbench"));
    command.args(["-n", "-f"]).arg(path).args(options).arg(url);
    command
}

/// The transactions that pgbench counted, none of which failed.
pub(crate) fn processed(output: &Output) -> u64 {
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(said.contains("number of failed transactions: 0 "), "{said}{complaints}");
    let line = "number of transactions actually processed: ";
    let rest = said.split_once(line).expect("a number").1;
    rest.split(['/', '\n']).next().expect("a number").parse().expect("a number")
}

/// The sessions of tenants that PostgreSQL has, asked past the gateway.
pub(crate) fn sessions_of_tenants(platform: &Platform) -> u32 {
    let sql = "select count(*) from pg_stat_activity where backend_type = 'client backend' \
        and usename !~ '^howdah'";
    let sockets = std::fs::read_dir(platform.home().join("s")).expect("sockets");
    let count = |dir: std::fs::DirEntry| {
        let dir = dir.path().display().to_string();
        let ran =
            platform.program("psql", &["-XAtqc", sql, "-h", &dir, "-U", "howdah", "postgres"], &[]);
        ran.ok().trim().parse::<u32>().expect("a number")
    };
    sockets.flatten().map(count).sum()
}
