//! A whole platform for a test: the real executable, in a directory and on ports of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A platform that runs, and that is stopped and removed on drop.
#[derive(Debug)]
pub struct Platform {
    binary: PathBuf,
    root: PathBuf,
    /// Settings beside the ones that every test platform has.
    extra: Vec<(String, String)>,
}

/// What a command of a test printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
}

impl Ran {
    /// The standard output of a command that succeeded.
    ///
    /// # Panics
    /// When it failed, with all that it printed.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

impl Platform {
    /// Starts a platform with the given executable and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(binary: &str, extra: &[(&str, &str)]) -> Self {
        let platform = Self::prepare(binary, extra);
        platform.up();
        platform
    }

    /// A platform that was not started yet.
    ///
    /// # Panics
    /// When no directory can be made for it.
    #[must_use]
    pub fn prepare(binary: &str, extra: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let base =
            std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
        let root = tempfile::Builder::new().prefix("p").tempdir_in(base).expect("make a directory");
        let root = root.keep();
        // PostgreSQL's user must pass through it.
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o711)).expect("open it");
        std::fs::create_dir(root.join("user")).expect("make the user's home");
        let extra = extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { binary: PathBuf::from(binary), root, extra }
    }

    /// Starts it, again or for the first time.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn up(&self) {
        self.howdah(&["up", "--detach"]).ok();
    }

    /// Stops it and its databases.
    ///
    /// # Panics
    /// When something did not stop.
    pub fn down(&self) {
        self.howdah(&["down"]).ok();
    }

    /// HOWDAH_HOME.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.join("h")
    }

    /// The home of the user who works with it.
    #[must_use]
    pub fn user(&self) -> PathBuf {
        self.root.join("user")
    }

    /// The process that serves the platform.
    ///
    /// # Panics
    /// When none was ever started.
    #[must_use]
    pub fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.home().join("run/howdah.pid")).expect("a pid file");
        text.trim().parse().expect("a pid")
    }

    /// Ends the platform's process at once, as a crash would. Its databases go on.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn kill(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill the platform");
        wait_until("the process is gone", || nix::sys::signal::kill(pid, None).is_err());
    }

    /// The address of the API, as `http://…`.
    ///
    /// # Panics
    /// When the platform was never up.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address("http"))
    }

    /// The address of the gateway.
    ///
    /// # Panics
    /// When the platform was never up.
    #[must_use]
    pub fn gateway(&self) -> String {
        self.address("gateway")
    }

    /// The address of the gateway's pools.
    ///
    /// # Panics
    /// When the platform was never up.
    #[must_use]
    pub fn pool(&self) -> String {
        self.address("pool")
    }

    fn address(&self, of: &str) -> String {
        let path = self.home().join("run/addresses.json");
        let text = std::fs::read_to_string(&path).expect("the platform's addresses");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json[of].as_str().expect("an address").to_owned()
    }

    /// Runs `howdah` with this platform's environment and no input.
    #[must_use]
    pub fn howdah(&self, arguments: &[&str]) -> Ran {
        self.run(self.command(&self.binary).args(arguments), None)
    }

    /// As [`Platform::howdah`], with something on standard input.
    #[must_use]
    pub fn howdah_with(&self, arguments: &[&str], input: &str) -> Ran {
        self.run(self.command(&self.binary).args(arguments), Some(input))
    }

    /// Runs `howdah` with the words of a line.
    #[must_use]
    pub fn say(&self, line: &str) -> Ran {
        self.howdah(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The value of an app's config var; empty when it is not set.
    ///
    /// # Panics
    /// When it cannot be asked for.
    #[must_use]
    pub fn config_var(&self, name: &str, app: &str) -> String {
        self.howdah(&["config:get", name, "-a", app]).ok().trim().to_owned()
    }

    /// Runs any program with this platform's environment.
    #[must_use]
    pub fn program(&self, program: &str, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = self.command(Path::new(program));
        self.run(command.args(arguments).envs(env.iter().copied()), None)
    }

    /// Runs one SQL text through the gateway with the real `psql`: unaligned rows without headers.
    #[must_use]
    pub fn psql(&self, url: &str, sql: &str) -> Ran {
        self.program("psql", &[url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql], &[])
    }

    /// A command with this platform's environment and nothing of the caller's but the search path.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let user = self.user();
        command.env_clear().current_dir(&user).env("HOME", &user).env("LANG", "C.UTF-8");
        for keep in ["PATH", "HOWDAH_PG_BINDIRS", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(keep) {
                command.env(keep, value);
            }
        }
        command
            .env("HOWDAH_HOME", self.home())
            .env("HOWDAH_LISTEN", "127.0.0.1:0")
            .env("HOWDAH_GATEWAY_LISTEN", "127.0.0.1:0")
            .envs(self.extra.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        if self.home().join("run/addresses.json").exists() {
            command.env("HOWDAH_URL", self.url());
        }
        command
    }

    fn run(&self, command: &mut Command, input: Option<&str>) -> Ran {
        use std::io::Write as _;
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("run {command:?}: {error}"));
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            // The program may have decided without reading all of it.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().expect("wait for the program").into()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log =
                std::fs::read_to_string(self.home().join("log/howdah.log")).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            for line in tail.iter().rev() {
                eprintln!("howdah.log: {line}");
            }
        }
        let down = self.howdah(&["down"]);
        if down.code != 0 {
            eprintln!("howdah down: {}{}", down.stdout, down.stderr);
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not within half a minute.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        #[expect(clippy::disallowed_methods, reason = "a test's thread may wait")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
