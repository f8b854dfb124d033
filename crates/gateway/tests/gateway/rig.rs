//! A gateway with its PostgreSQL, a platform that knows routes and nothing else, and clients.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_gateway::{Capacity, Commits, Config, Gateway, Plaintext, Timeouts, tls};
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};
use howdah_model::scram::Verifier;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;

/// The platform's side of `GET /routes`.
#[derive(Clone)]
pub(crate) struct Platform {
    table: watch::Sender<RouteTable>,
}

#[derive(serde::Deserialize)]
struct Wanted {
    after: u64,
    wait_ms: u64,
}

impl Platform {
    fn new() -> Self {
        Self { table: watch::Sender::new(RouteTable { version: 1, routes: vec![] }) }
    }

    /// What the platform says after a restart from an older backup.
    pub(crate) fn set(&self, table: RouteTable) {
        self.table.send_replace(table);
    }

    pub(crate) fn current(&self) -> RouteTable {
        self.table.borrow().clone()
    }

    /// Changes the routes.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Route>)) {
        self.table.send_modify(|table| {
            table.version += 1;
            change(&mut table.routes);
        });
    }

    /// Sends the sessions of a role elsewhere.
    pub(crate) fn retarget(&self, role: &str, target: Target) {
        self.change(|routes| {
            let route = routes.iter_mut().find(|route| route.role.as_str() == role);
            route.expect("a route").target = target;
        });
    }

    /// Answers on a socket until dropped.
    pub(crate) fn serve(&self, socket: &Path) -> JoinSet<()> {
        let _ = std::fs::remove_file(socket);
        let listener = tokio::net::UnixListener::bind(socket).expect("listen");
        let app = axum::Router::new().route("/routes", get(answer)).with_state(self.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("serve") });
        tasks
    }
}

async fn answer(
    State(platform): State<Platform>,
    Query(wanted): Query<Wanted>,
) -> Json<RouteTable> {
    let mut table = platform.table.subscribe();
    let newer = table.wait_for(|table| table.version != wanted.after);
    let _ = timeout(Duration::from_millis(wanted.wait_ms), newer).await;
    let current = table.borrow().clone();
    Json(current)
}

/// A database with its credential.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) role: String,
    pub(crate) database: String,
    pub(crate) password: String,
    pub(crate) id: DatabaseId,
}

/// Everything together.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) platform: Platform,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
    running: JoinSet<()>,
}

/// A verifier of a few rounds: clients work long on PostgreSQL's 4096 without optimization.
pub(crate) fn verifier(password: &str) -> Verifier {
    verifier_of_rounds(password, 64)
}

/// What PostgreSQL would make of a password.
pub(crate) fn verifier_of_rounds(password: &str, rounds: u32) -> Verifier {
    let (mut salt, mut salted) = ([0; 16], [0; 32]);
    aws_lc_rs::rand::fill(&mut salt).expect("random bytes");
    let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
    let iterations = NonZeroU32::new(rounds).expect("not zero");
    aws_lc_rs::pbkdf2::derive(algorithm, iterations, &salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    Verifier {
        iterations: rounds,
        salt: STANDARD.encode(salt),
        stored_key: STANDARD.encode(stored),
        server_key: STANDARD.encode(hmac::sign(&key, b"Server Key")),
    }
}

/// Settings of a gateway in a directory.
pub(crate) fn config(dir: &Path) -> Config {
    let tls = tls::ensure(&dir.join("tls"), &[]).expect("certificates");
    Config {
        listen: "127.0.0.1:0".parse().expect("address"),
        pool_listen: None,
        tls: tls.gateway,
        plaintext: Plaintext::Loopback,
        routes: dir.join("control.sock"),
        cache: dir.join("routes.json"),
        threads: 2,
        capacity: Capacity::default(),
        commits: Commits::default(),
        timeouts: Timeouts::default(),
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Cluster::start().await, |_| {}).await
    }

    pub(crate) async fn with(cluster: Cluster, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::Builder::new().prefix("howdah-rig-").tempdir().expect("directory");
        let platform = Platform::new();
        let serving = platform.serve(&dir.path().join("control.sock"));
        let mut config = config(dir.path());
        change(&mut config);
        let gateway = Arc::new(Gateway::bind(config).await.expect("bind"));
        let (address, stop) = (gateway.local_addr(), CancellationToken::new());
        let mut running = JoinSet::new();
        let (runs, until) = (gateway.clone(), stop.clone());
        running.spawn(async move { runs.run(until).await.expect("run") });
        Self { cluster, platform, gateway, address, dir, stop, serving, running }
    }

    /// Stops the gateway and waits for its end.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        let ended = timeout(Duration::from_secs(20), self.running.join_next()).await;
        ended.expect("it ends in time").expect("it ran").expect("it did not panic");
    }

    /// Makes role and database, without a route.
    pub(crate) async fn make(&self, name: &str) -> (Tenant, Route) {
        self.make_with(name, format!("secret of {name}"), 64).await
    }

    /// The same with a verifier of so many rounds.
    pub(crate) async fn make_with(
        &self,
        name: &str,
        password: String,
        rounds: u32,
    ) -> (Tenant, Route) {
        let (role, database) = (format!("u_{name}"), format!("d_{name}"));
        let verifier = verifier_of_rounds(&password, rounds);
        self.cluster.sql(&format!("create role {role} login password '{verifier}'")).await;
        self.cluster.sql(&format!("create database {database} owner {role}")).await;
        let tenant = Tenant { role, database, password, id: DatabaseId::new() };
        let route = Route {
            known_as: None,
            role: tenant.role.parse().expect("role"),
            database: tenant.database.parse().expect("database"),
            database_id: tenant.id,
            verifier,
            connection_limit: 50,
            mode: Mode::default(),
            replication: Replication::default(),
            stage: Stage::default(),
            target: self.target(),
        };
        (tenant, route)
    }

    /// Makes role, database and route.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let (tenant, route) = self.make(name).await;
        self.platform.change(|routes| routes.push(route));
        tenant
    }

    pub(crate) fn target(&self) -> Target {
        Target::Local { socket_dir: self.cluster.socket_dir() }
    }

    /// One of PostgreSQL's programs as a client of the gateway. `options` are libpq's.
    pub(crate) fn program(&self, program: &str, tenant: &Tenant, options: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/lib/postgresql/15/bin:/usr/bin:/bin")
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env("PGPASSWORD", &tenant.password)
            .kill_on_drop(true)
            .arg(format!(
                "host=localhost hostaddr=127.0.0.1 port={} user={} dbname={} {options}",
                self.address.port(),
                tenant.role,
                tenant.database
            ));
        command
    }

    pub(crate) fn psql(&self, tenant: &Tenant, options: &str) -> Command {
        let mut command = self.program("psql", tenant, options);
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        command
    }

    /// Runs SQL with psql; what it says, good or bad.
    pub(crate) async fn ask(
        &self,
        tenant: &Tenant,
        options: &str,
        sql: &str,
    ) -> Result<String, String> {
        let output = self.psql(tenant, options).args(["-c", sql]).output().await.expect("psql");
        said(&output)
    }

    /// A session without TLS.
    pub(crate) async fn connect(&self, tenant: &Tenant) -> Result<Session, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.address.port())
            .user(&tenant.role)
            .password(&tenant.password)
            .dbname(&tenant.database);
        Session::open(&config).await
    }
}

pub(crate) fn said(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A client's session; it ends when dropped.
pub(crate) struct Session {
    pub(crate) client: tokio_postgres::Client,
    pub(crate) notifications: tokio::sync::mpsc::UnboundedReceiver<tokio_postgres::Notification>,
    /// Yields how the connection ended.
    pub(crate) driver: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Session {
    pub(crate) async fn open(
        config: &tokio_postgres::Config,
    ) -> Result<Self, tokio_postgres::Error> {
        let (client, mut connection) = config.connect(tokio_postgres::NoTls).await?;
        let (sender, notifications) = tokio::sync::mpsc::unbounded_channel();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let tokio_postgres::AsyncMessage::Notification(notification) = message? {
                    let _ = sender.send(notification);
                }
            }
            Ok(())
        });
        Ok(Self { client, notifications, driver })
    }

    /// The first column of the only row.
    pub(crate) async fn one(&self, sql: &str) -> String {
        let row = self.client.query_one(sql, &[]).await.expect(sql);
        row.get(0)
    }

    /// The same as a simple query, which leaves nothing behind in the session.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let answer = self.client.simple_query(sql).await.expect(sql);
        let row = answer.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        row.expect("a row")
    }

    /// The SQLSTATE with which the connection ends.
    pub(crate) async fn end(&mut self) -> Option<String> {
        let ended = timeout(Duration::from_secs(10), self.driver.join_next()).await;
        let result = ended.expect("it ends in time").expect("a driver").expect("no panic");
        result.err().and_then(|error| error.code().map(|code| code.code().to_owned()))
    }
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come about that {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
