//! The programs: how each is run, and where its driver is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::servers::Door;
use crate::with_tokio_postgres;

/// The longest that a program may take.
const BOUND: Duration = Duration::from_secs(200);

/// Debian's `libpostgresql-jdbc-java`.
const JAR: &str = "/usr/share/java/postgresql.jar";

/// A program that uses a driver.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// One of its own.
    Outside(Outside),
    /// A part of this one.
    TokioPostgres,
}

/// A program of its own.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    executable: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// The programs' sources.
fn source(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/drivers/programs")
        .join(name)
        .display()
        .to_string()
}

/// Where `script/setup --test` puts drivers; `HOWDAH_TEST_DRIVERS` names another place.
fn installed(name: &str) -> PathBuf {
    let cache = || {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache");
        cache.unwrap_or_else(home).join("howdah/drivers")
    };
    let path = env::var_os("HOWDAH_TEST_DRIVERS").map_or_else(cache, PathBuf::from).join(name);
    assert!(path.exists(), "no {}: script/setup --test installs it", path.display());
    path
}

fn postgresql(major: &str) -> PathBuf {
    Path::new("/usr/lib/postgresql").join(major)
}

impl Program {
    /// PostgreSQL's own client of a major version, with its own libpq.
    pub(crate) fn psql(major: &str) -> Self {
        Self::outside(postgresql(major).join("bin/psql"), &["-X", "-a", "-f", &source("psql.sql")])
    }

    /// psycopg 3 over the libpq of a major version.
    pub(crate) fn psycopg(major: &str) -> Self {
        let mut environment = vec![("PSYCOPG_IMPL", "python".into())];
        let libpq = postgresql(major).join("lib");
        // The machine's own libpq is Debian's, of version 15.
        if libpq.join("libpq.so.5").exists() {
            environment.push(("LD_LIBRARY_PATH", libpq.display().to_string()));
        }
        Self::python("with_psycopg.py").with(environment)
    }

    /// asyncpg.
    pub(crate) fn asyncpg() -> Self {
        Self::python("with_asyncpg.py")
    }

    /// node-postgres.
    pub(crate) fn node_postgres() -> Self {
        let modules = installed("node/node_modules").display().to_string();
        let environment = vec![("NODE_PATH", modules), ("NODE_NO_WARNINGS", "1".into())];
        Self::outside("node".into(), &[&source("with_pg.js")]).with(environment)
    }

    /// PostgreSQL's driver for Java, from Debian's package.
    pub(crate) fn jdbc() -> Self {
        let arguments = [
            "-XX:TieredStopAtLevel=1",
            "-Duser.timezone=UTC",
            "-cp",
            JAR,
            &source("WithJdbc.java"),
        ];
        Self::outside("java".into(), &arguments)
    }

    /// tokio-postgres.
    pub(crate) fn tokio_postgres() -> Self {
        Self::TokioPostgres
    }

    fn python(program: &str) -> Self {
        Self::outside(installed("python/bin/python3"), &["-B", "-u", &source(program)])
    }

    fn outside(executable: PathBuf, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().copied().map(Into::into).collect();
        Self::Outside(Outside { executable, arguments, environment: vec![] })
    }

    fn with(mut self, environment: Vec<(&'static str, String)>) -> Self {
        if let Self::Outside(outside) = &mut self {
            outside.environment = environment;
        }
        self
    }

    /// Runs it, and gives what it says.
    pub(crate) async fn run(&self, door: &Door) -> String {
        match self {
            Self::Outside(outside) => outside.run(door).await,
            Self::TokioPostgres => {
                timeout(BOUND, with_tokio_postgres::script(door)).await.expect("in time")
            }
        }
    }
}

impl Outside {
    async fn run(&self, door: &Door) -> String {
        let Door { port, ca, tenant } = door;
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("PGHOST", "localhost")
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", &tenant.role)
            .env("PGPASSWORD", &tenant.password)
            .env("PGDATABASE", &tenant.database)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", ca)
            .env("PGCONNECT_TIMEOUT", "20")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = timeout(BOUND, command.output()).await.expect("in time").expect("it runs");
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&format!("port {port}"), "port PORT");
            without_processes(&text)
        };
        let said = format!("{}\n--- errors\n{}", text(&output.stdout), text(&output.stderr));
        let last: Vec<&str> = said.lines().rev().take(60).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        assert!(output.status.success(), "port {port}: {}: {last}", output.status);
        said
    }
}

/// Takes away the numbers of processes that psql tells with notifications.
fn without_processes(text: &str) -> String {
    let mut parts = text.split("with PID ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| {
        whole + "with PID N" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}
