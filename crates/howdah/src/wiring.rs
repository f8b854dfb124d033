//! The roles of one machine, wired together.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_cli::credentials::{self, Stored};
use howdah_cluster::{RunAs, Template};
use howdah_control::Control;
use howdah_control::clock::SystemClock;
use howdah_control::keyring::Keyring;
use howdah_control::requests::accounts;
use howdah_gateway::{Gateway, tls};
use howdah_model::agent::Installed;
use howdah_model::ids::ServerId;
use howdah_model::secret::Secret;
use howdah_store::Store;
use howdah_store::servers::Server;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::home::{Addresses, Held, Home};
use crate::settings::Settings;
use crate::system::System;

/// The account that a new platform has.
const OWNER: &str = "owner@localhost";

/// The region of the one machine that `howdah up` runs on.
const REGION: &str = "us";

/// How long the roles get to end their work when the platform stops.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long a platform may take until everything answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// A platform that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) addresses: Addresses,
    pub(crate) first_account: FirstAccount,
    roles: JoinSet<(&'static str, Result<()>)>,
}

/// The account that the first start made, or what is known of it.
#[derive(Debug)]
pub(crate) struct FirstAccount {
    pub(crate) email: String,
    /// Its key, only at the start that made it.
    pub(crate) key: Option<Secret>,
    pub(crate) file: PathBuf,
}

impl Running {
    /// Waits until a role ends, which none does by itself, and says which.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match self.roles.join_next().await {
            Some(Ok((role, Err(error)))) => error.context(format!("the {role} ended")),
            Some(Ok((role, Ok(())))) => anyhow::anyhow!("the {role} ended"),
            Some(Err(panic)) => anyhow::anyhow!("a role ended: {panic}"),
            None => anyhow::anyhow!("no role runs"),
        }
    }

    /// Waits for the roles after they were told to stop, within a bound.
    pub(crate) async fn finish(mut self) {
        let all = async { while self.roles.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("a role did not stop within {} s", FAREWELL.as_secs());
        }
    }

    fn role(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.roles.spawn(async move { (name, work.await) });
    }
}

/// Starts everything, in the order in which one needs the other, and returns when all answers.
pub(crate) async fn start(
    settings: &Settings,
    held: &Held,
    stop: CancellationToken,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Running> {
    let home = &held.home;
    log_to(home, settings)?;
    let run_as = run_as(settings)?;
    run_as.open_way(&home.path)?;
    let installed = howdah_cluster::installed::find(&settings.bindirs);
    prepare_templates(home, &installed, &run_as, say).await?;

    let (store, system) = open_store(settings, home, &installed, &run_as, say).await?;
    let Some(exclusive) = store.hold().await? else {
        bail!(
            "another platform runs on the same state (HOWDAH_DATABASE_URL)\n\
             Stop it, or give this one a database of its own"
        );
    };
    store.migrate().await?;

    let http = bind(settings.listen, home.addresses().map(|last| last.http))
        .await
        .with_context(|| in_use("HTTP", "HOWDAH_LISTEN", settings.listen))?;
    let gateway = bind_gateway(settings, home).await?;
    let addresses = Addresses { http: http.local_addr()?, gateway: gateway.local_addr() };

    let control = make_control(settings, held, store.clone(), addresses.gateway)?;
    control.take_over().await?;
    let agent = home.join("run/agent.sock");
    let server = held.platform()?.server;
    control.register_server(&this_server(server, &agent, control.now())).await?;
    let first_account = first_account(&control, addresses.http).await?;

    let internal = internal_socket(&home.join("run/control.sock"))?;
    let mut running = Running { addresses, first_account, roles: JoinSet::new() };
    if let Some(system) = system {
        running.role("platform's own PostgreSQL", system.keep(stop.clone()));
    }
    running.role("hold on the state", keep_hold(store, exclusive, stop.clone()));
    let agent =
        howdah_agent::Config { server, home: home.path.clone(), socket: agent, installed, run_as };
    running.role("agent", howdah_agent::run(agent, stop.clone()));
    let (worker, cancel) = (control.clone(), stop.clone());
    running.role("control plane", async move { worker.run(cancel).await });
    let routes = howdah_web::internal_router(control.clone());
    running.role("internal API", serve_unix(internal, routes, stop.clone()));
    let api = howdah_web::router(howdah_web::App::new(control));
    running.role("API", serve_tcp(http, api, stop.clone()));
    running.role("gateway", async move { gateway.run(stop).await });
    wait_until_it_answers(&mut running).await?;
    held.write_addresses(addresses)?;
    Ok(running)
}

/// Stops every database of a home, the platform's own last.
pub(crate) async fn stop_databases(
    settings: &Settings,
    home: &Home,
    say: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let run_as = run_as(settings)?;
    let stopped = howdah_agent::stop_all(&home.path, &run_as).await?;
    if stopped > 0 {
        let what = if stopped == 1 { "database cluster" } else { "database clusters" };
        say(&format!("Stopped {stopped} {what}"));
    }
    System::stop(home).await
}

/// The operating system user of the PostgreSQL processes.
pub(crate) fn run_as(settings: &Settings) -> Result<RunAs> {
    Ok(match &settings.run_as {
        Some(name) => RunAs::named(name)?,
        None if nix::unistd::geteuid().is_root() => RunAs::named("postgres")?,
        None => RunAs::current()?,
    })
}

/// Sends what this process may still print to nowhere, after the reader of its output has gone.
pub(crate) fn quiet_output() -> Result<()> {
    let null = std::fs::File::options().write(true).open("/dev/null").context("open /dev/null")?;
    nix::unistd::dup2_stdout(&null).context("let go of the output")?;
    nix::unistd::dup2_stderr(&null).context("let go of the output")
}

fn log_to(home: &Home, settings: &Settings) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = home.join("log/howdah.log");
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)
        .with_context(|| format!("read HOWDAH_LOG=`{}`", settings.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(true)
        .with_writer(Arc::new(file))
        .try_init()
        .map_err(|error| anyhow::anyhow!("start the log: {error}"))
}

/// One initialised cluster for each version that databases can be made of, so that the first
/// database of a version is as fast as the next.
async fn prepare_templates(
    home: &Home,
    installed: &[Installed],
    run_as: &RunAs,
    say: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let dir = home.join("templates");
    for one in installed {
        if !dir.join(one.version.major.to_string()).exists() {
            say(&format!("Preparing PostgreSQL {}", one.version));
        }
        Template::ensure(&dir, one, run_as).await?;
    }
    Ok(())
}

/// The platform's own state: where it was told to keep it, or in a cluster that it makes.
async fn open_store(
    settings: &Settings,
    home: &Home,
    installed: &[Installed],
    run_as: &RunAs,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(Store, Option<System>)> {
    const SESSIONS: u32 = 16;
    if let Some(url) = &settings.database_url {
        let store = Store::connect(url.reveal(), SESSIONS)
            .await
            .context("reach the database of HOWDAH_DATABASE_URL")?;
        return Ok((store, None));
    }
    let system = System::new(home, installed, run_as)?;
    if !system.is_running() {
        say("Starting the platform's own PostgreSQL");
    }
    let options = system.start().await?;
    Ok((Store::connect_with(options, SESSIONS).await?, Some(system)))
}

fn make_control(
    settings: &Settings,
    held: &Held,
    store: Store,
    gateway: SocketAddr,
) -> Result<Control> {
    let key = held.secret_key(settings.secret_key.clone(), Keyring::generate)?;
    let keyring = Keyring::from_base64(&key).context("read the key that encrypts secrets")?;
    let config = howdah_control::config::Config {
        pool_size: settings.pool_size,
        var_prefix: settings.var_prefix.clone(),
        gateway_host: settings.gateway_host.clone(),
        gateway_port: gateway.port(),
    };
    Ok(Control::new(store, keyring, config, Arc::new(SystemClock)))
}

/// This machine as the control plane knows it. Its name carries the end of its id, as a machine may
/// have several platforms.
fn this_server(id: ServerId, agent: &Path, now: jiff::Timestamp) -> Server {
    let machine = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned());
    let id_text = id.to_string();
    Server {
        id,
        name: format!("{machine}-{}", &id_text[id_text.len() - 4..]),
        region: REGION.to_owned(),
        agent: agent.display().to_string(),
        created_at: now,
    }
}

async fn bind_gateway(settings: &Settings, home: &Home) -> Result<Gateway> {
    let names = vec![settings.gateway_host.clone()];
    let authority = tls::ensure(&home.join("tls"), &names).context("make the certificate")?;
    let config = |listen| howdah_gateway::Config {
        listen,
        tls: authority.gateway.clone(),
        plaintext: settings.plaintext,
        routes: home.join("run/control.sock"),
        cache: home.join("routes.json"),
        threads: 0,
        capacity: howdah_gateway::Capacity::default(),
        timeouts: howdah_gateway::Timeouts::default(),
    };
    let last = home.addresses().map(|last| last.gateway);
    if let Some(last) = again(settings.gateway_listen, last)
        && let Ok(gateway) = Gateway::bind(config(last)).await
    {
        return Ok(gateway);
    }
    Gateway::bind(config(settings.gateway_listen))
        .await
        .with_context(|| in_use("gateway", "HOWDAH_GATEWAY_LISTEN", settings.gateway_listen))
}

async fn bind(listen: SocketAddr, last: Option<SocketAddr>) -> std::io::Result<TcpListener> {
    if let Some(last) = again(listen, last)
        && let Ok(listener) = TcpListener::bind(last).await
    {
        return Ok(listener);
    }
    TcpListener::bind(listen).await
}

/// Port 0 means any: then the one of the last time, as URLs in use name it.
fn again(listen: SocketAddr, last: Option<SocketAddr>) -> Option<SocketAddr> {
    last.filter(|last| listen.port() == 0 && last.ip() == listen.ip())
}

fn in_use(what: &str, setting: &str, address: SocketAddr) -> String {
    format!(
        "listen on {address} for the {what}\n\
         Stop what listens there, or set {setting} to another address"
    )
}

/// Binds a unix socket for this user only, in place of what a platform that was killed has left.
fn internal_socket(path: &Path) -> Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes the first account of a new platform, and sees that this user's key works for it.
async fn first_account(control: &Control, http: SocketAddr) -> Result<FirstAccount> {
    let url = format!("http://{http}");
    let file = credentials::path();
    let known = credentials::load(&url);
    if let Some(known) = &known
        && accounts::bearer(control, &known.token).await.is_ok()
    {
        return Ok(FirstAccount { email: known.email.clone(), key: None, file });
    }
    let email = OWNER.to_owned();
    let mut reader = control.reader().get().await?;
    let account = match howdah_store::accounts::find_by_email(&mut reader, OWNER).await? {
        Some(account) => account,
        None => accounts::create(control, OWNER, None).await?,
    };
    drop(reader);
    let (_, key) =
        accounts::issue_token(control, account.id, "key of the first account", None).await?;
    credentials::store(&url, &Stored { email: email.clone(), token: key.clone() })?;
    Ok(FirstAccount { email, key: Some(key), file })
}

async fn keep_hold(
    store: Store,
    mut hold: howdah_store::Exclusive,
    stop: CancellationToken,
) -> Result<()> {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
        if hold.check().await.is_ok() {
            continue;
        }
        // The database was away. Whoever takes the state first now goes on with it.
        match store.hold().await {
            Ok(Some(again)) => hold = again,
            Ok(None) => bail!("another platform has taken over the state"),
            Err(error) => tracing::warn!("the platform's database does not answer: {error}"),
        }
    }
}

async fn serve_tcp(
    listener: TcpListener,
    app: axum::Router,
    stop: CancellationToken,
) -> Result<()> {
    let app = app.into_make_service();
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

async fn serve_unix(
    listener: UnixListener,
    app: axum::Router,
    stop: CancellationToken,
) -> Result<()> {
    let app = app.into_make_service();
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

/// Asks the API for its health until it is well, so that what is said to be up is up.
async fn wait_until_it_answers(running: &mut Running) -> Result<()> {
    let url = format!("http://{}/health", running.addresses.http);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let healthy = async {
        loop {
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = healthy => Ok(()),
        ended = running.ended() => Err(ended),
        () = tokio::time::sleep(PATIENCE) => {
            bail!("{url} does not answer after {} s", PATIENCE.as_secs())
        }
    }
}
