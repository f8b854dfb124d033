//! Real clusters in a directory of their own, made by the code that makes every other, with tenants
//! that connect to them, and a wire that can be cut at any statement.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use howdah_cluster::{Cluster, RunAs, Template, installed, postmaster};
use howdah_model::agent::{CredentialOf, CredentialSpec, DatabaseSpec, Incarnation, Installed};
use howdah_model::extension;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::permission::Permission;
use howdah_model::plan::Tier;
use nix::fcntl::{Flock, FlockArg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Every major version that is installed.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn majors() -> Vec<Installed> {
    let found = installed::find(&installed::default_dirs());
    assert!(!found.is_empty(), "install PostgreSQL: script/setup does it");
    found
}

/// Whom PostgreSQL runs as in tests.
///
/// # Panics
/// When this process is root and there is no user `postgres`.
#[must_use]
pub fn run_as() -> RunAs {
    let current = RunAs::current().expect("this process' user has a name");
    if current.uid() == 0 {
        RunAs::named("postgres").expect("root needs a user `postgres`")
    } else {
        current
    }
}

fn base() -> PathBuf {
    std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A directory as HOWDAH_HOME is. Every server in it is killed when this is dropped.
#[derive(Debug)]
pub struct Home {
    dir: tempfile::TempDir,
    /// Whom its servers run as.
    pub run_as: RunAs,
}

impl Home {
    /// A new, empty one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("howdah-").tempdir_in(base());
        let dir = dir.expect("make a directory for a test");
        let run_as = run_as();
        run_as.open_way(dir.path()).expect("let PostgreSQL pass");
        Self { dir, run_as }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A cluster in it by name; not made yet.
    #[must_use]
    pub fn cluster(&self, installed: &Installed, name: &str) -> Cluster {
        let home = self.path();
        Cluster {
            data: home.join("p").join(name).join("data"),
            socket_dir: home.join("s").join(name),
            log: home.join("p").join(name).join("log"),
            installed: installed.clone(),
            run_as: self.run_as.clone(),
        }
    }

    /// A cluster that is made and runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn running(&self, installed: &Installed, name: &str) -> Cluster {
        let cluster = self.cluster(installed, name);
        cluster.make(&template(installed).await).await.expect("make a cluster");
        cluster.configure(&small()).await.expect("configure a cluster");
        cluster.start(Duration::from_secs(60)).await.expect("start a cluster");
        cluster
    }

    /// The data directories in it.
    #[must_use]
    pub fn data_dirs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path().join("p")) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path().join("data")).collect()
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for data in self.data_dirs() {
            for _ in 0..1000 {
                let left = postmaster::processes(&data);
                if left.is_empty() {
                    break;
                }
                for pid in left {
                    let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

/// The template of a major, made once for all tests of this machine.
///
/// # Panics
/// When it cannot be made.
pub async fn template(installed: &Installed) -> Template {
    let templates = templates();
    let lock = std::fs::File::create(templates.join(format!("{}.lock", installed.version.major)));
    let lock = lock.expect("make the lock of the templates");
    let held = tokio::task::spawn_blocking(|| Flock::lock(lock, FlockArg::LockExclusive));
    let _held = held.await.expect("wait for the lock").map_err(|(_, errno)| errno).expect("lock");
    Template::ensure(&templates, installed, &run_as()).await.expect("make a template")
}

/// The directory of the templates that all tests share. Builds that make them otherwise have
/// another.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn templates() -> PathBuf {
    let name = format!("howdah-templates-{}-{}", howdah_cluster::template::FORMAT, run_as().name());
    let templates = base().join(name);
    std::fs::create_dir_all(&templates).expect("make the directory of the templates");
    templates
}

/// Settings that make a server small, and careless with the disk, which no test pulls the plug of.
#[must_use]
pub fn small() -> BTreeMap<String, String> {
    let allowed = extension::allowed(Tier::Standard);
    [("shared_buffers", "16MB"), ("max_connections", "40"), ("fsync", "off")]
        .into_iter()
        .chain(extension::SETTINGS.map(|name| (name, allowed.as_str())))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A tenant's database: its spec, and the password of its one credential.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The database.
    pub name: DatabaseName,
    /// What is wanted.
    pub spec: DatabaseSpec,
    /// The password of its credential.
    pub password: String,
}

impl Tenant {
    /// A tenant with database `d_NAME` and role `u_NAME`.
    ///
    /// # Panics
    /// When the name is not good for that.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let password = format!("secret of {name}");
        let role: RoleName = format!("u_{name}").parse().expect("a good role name");
        let credential = CredentialSpec {
            role: role.clone(),
            verifier: verifier(&password),
            connection_limit: 5,
            of: CredentialOf::Own,
            was: Vec::new(),
            permission: Permission::None,
        };
        Self {
            name: format!("d_{name}").parse().expect("a good database name"),
            spec: DatabaseSpec {
                incarnation: Incarnation(1),
                owner: role,
                credentials: vec![credential],
                settings: BTreeMap::new(),
                extensions: Vec::new(),
                adopts: None,
                filled: None,
                row_limit: None,
            },
            password,
        }
    }

    /// Opens a session of the tenant in a database.
    ///
    /// # Errors
    /// PostgreSQL's, or that of the socket.
    pub async fn connect_to(
        &self,
        socket_dir: &Path,
        database: &str,
    ) -> Result<Session, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(socket_dir)
            .user(self.spec.owner.as_str())
            .password(&self.password)
            .dbname(database)
            .connect_timeout(Duration::from_secs(10))
            .connect(tokio_postgres::NoTls)
            .await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Ok(Session { client, _driver: driver })
    }

    /// Opens a session in the tenant's own database.
    ///
    /// # Errors
    /// PostgreSQL's, or that of the socket.
    pub async fn connect(&self, socket_dir: &Path) -> Result<Session, tokio_postgres::Error> {
        self.connect_to(socket_dir, self.name.as_str()).await
    }
}

/// What PostgreSQL keeps of a password.
///
/// # Panics
/// Never: what is made here is well formed.
#[must_use]
pub fn verifier(password: &str) -> howdah_model::scram::Verifier {
    let text = postgres_protocol::password::scram_sha_256(password.as_bytes());
    text.parse().expect("a verifier is well formed")
}

/// A session of a tenant; ends when dropped.
#[derive(Debug)]
pub struct Session {
    /// Its client.
    pub client: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl Session {
    /// Runs a statement and returns the first column of the first row as text.
    ///
    /// # Errors
    /// PostgreSQL's message with its SQLSTATE.
    pub async fn ask(&self, sql: &str) -> Result<String, String> {
        let messages =
            self.client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
                Some(db) => format!("{}: {}", db.code().code(), db.message()),
                None => error.to_string(),
            })?;
        let first = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(first.unwrap_or_default())
    }
}

/// Waits until a condition holds, and says what it was when it does not within a bound.
///
/// # Panics
/// When it does not hold within 30 seconds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "it did not come about that {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Stands before a server's socket, and cuts the wire when the n-th statement has gone to the
/// server and before its answer comes back.
#[derive(Debug)]
pub struct Cutter {
    /// The directory of its socket.
    pub socket_dir: PathBuf,
    seen: Arc<AtomicUsize>,
    nth: usize,
    _tasks: JoinSet<()>,
}

impl Cutter {
    /// Listens in a new directory. Statements are counted over all sessions, from 1.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn new(server: &Path, socket_dir: PathBuf, nth: usize) -> Self {
        std::fs::create_dir_all(&socket_dir).expect("make the cutter's directory");
        let listener = UnixListener::bind(socket_dir.join(".s.PGSQL.5432")).expect("listen");
        let seen = Arc::new(AtomicUsize::new(0));
        let server = server.join(".s.PGSQL.5432");
        let mut tasks = JoinSet::new();
        let counter = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&server).await else { continue };
                wires.spawn(wire(client, server, Arc::clone(&counter), nth));
            }
        });
        Self { socket_dir, seen, nth, _tasks: tasks }
    }

    /// Whether the n-th statement came.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.seen.load(Ordering::SeqCst) >= self.nth
    }
}

async fn wire(client: UnixStream, server: UnixStream, seen: Arc<AtomicUsize>, nth: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut back = JoinSet::new();
    back.spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut is_first = true;
    while let Ok(message) = message(&mut from_client, is_first).await {
        let is_statement = !is_first && matches!(message.first(), Some(b'Q' | b'E'));
        is_first = false;
        let is_last = is_statement && seen.fetch_add(1, Ordering::SeqCst) + 1 >= nth;
        if is_last {
            back.abort_all();
        }
        if to_server.write_all(&message).await.is_err() || is_last {
            return;
        }
    }
}

/// One message of a client, with its head. The first one has no type.
async fn message(
    from: &mut (impl AsyncReadExt + Unpin),
    is_first: bool,
) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; if is_first { 4 } else { 5 }];
    from.read_exact(&mut message).await?;
    let length = message[message.len() - 4..].try_into().map(u32::from_be_bytes).unwrap_or(4);
    let head = message.len();
    message.resize(head + length as usize - 4, 0);
    from.read_exact(&mut message[head..]).await?;
    Ok(message)
}
