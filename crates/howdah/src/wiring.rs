//! The roles of one machine, wired together.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_cluster::{RunAs, Template};
use howdah_control::Control;
use howdah_control::clock::SystemClock;
use howdah_control::keyring::Keyring;
use howdah_control::metrics;
use howdah_model::agent::Installed;
use howdah_model::ids::ServerId;
use howdah_store::Store;
use howdah_store::servers::Server;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::first_account::FirstAccount;
use crate::gateway_role::Post;
use crate::hold::keep_hold;
use crate::home::{Addresses, Held, Home};
use crate::listening::{self, serve_tcp, serve_tls, serve_unix};
use crate::settings::Settings;
use crate::system::System;
use crate::{archive, first_account, https, output};

/// The region of the one machine that `howdah up` runs on.
const REGION: &str = "us";

/// How long the roles get to end their work when the platform stops.
const FAREWELL: Duration = Duration::from_secs(10);

/// A platform that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) addresses: Addresses,
    /// What there is to say about the gateway.
    pub(crate) gateway_remark: String,
    pub(crate) first_account: FirstAccount,
    /// Where the archive is, and whether that is a good place.
    pub(crate) archive: String,
    roles: JoinSet<(&'static str, Result<()>)>,
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
    settings: &Arc<Settings>,
    held: &Held,
    stop: CancellationToken,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Running> {
    let home = &held.home;
    output::log_to(&home.join("log/howdah.log"), settings)?;
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

    let http = listening::http(settings, home).await?;
    let gateway = Post::find(settings, home).await?;
    let ports = gateway.ports(settings, home)?;
    let https = https::listen(settings, home, http.local_addr()?).await?;
    let addresses = Addresses {
        http: http.local_addr()?,
        gateway: ports.gateway,
        pool: ports.pool,
        tls: Some(https.local_addr()?),
    };

    let control = make_control(settings, held, store.clone(), &addresses)?;
    howdah_control::check_key(&control).await?;
    control.take_over().await?;
    let agent = home.join("run/agent.sock");
    let server = held.platform()?.server;
    control.register_server(&this_server(server, &agent, control.now())).await?;
    let first_account = first_account::ensure(&control, addresses.http).await?;

    let internal = listening::private(&home.join("run/control.sock"))?;
    let gateway_remark = gateway.remark();
    let archive = archive::open(settings, home, &run_as).await?;
    let mut running = Running {
        addresses,
        gateway_remark,
        first_account,
        archive: archive::remark(settings, &archive),
        roles: JoinSet::new(),
    };
    if let Some(system) = system {
        running.role("platform's own PostgreSQL", system.keep(stop.clone()));
    }
    running.role("hold on the state", keep_hold(store, exclusive, stop.clone()));
    let agent = howdah_agent::Config {
        server,
        home: home.path.clone(),
        socket: agent,
        installed,
        run_as,
        archive: Some(archive),
        transfer_allow: settings.transfer_allow.clone(),
        row_grace: settings.row_grace,
    };
    running.role("agent", howdah_agent::run(agent, stop.clone()));
    let (worker, cancel) = (control.clone(), stop.clone());
    running.role("control plane", async move { worker.run(cancel).await });
    let routes = howdah_web::internal_router(control.clone());
    running.role("internal API", serve_unix(internal, routes, stop.clone()));
    serve_api(&mut running, control, settings, held, (http, https), &stop)?;
    running.role("gateway", gateway.keep(settings.clone(), home.clone(), stop));
    tokio::select! {
        answers = listening::until_it_answers(addresses.http) => answers?,
        ended = running.ended() => return Err(ended),
    }
    held.write_addresses(addresses)?;
    Ok(running)
}

/// Serves the API and the dashboard on both of their addresses: without TLS and with it.
fn serve_api(
    running: &mut Running,
    control: Control,
    settings: &Settings,
    held: &Held,
    (http, https): (TcpListener, TcpListener),
    stop: &CancellationToken,
) -> Result<()> {
    let metrics = held.metrics_token(settings.metrics_token.clone(), metrics::Token::generate)?;
    let app = howdah_web::App::new(control).with_metrics(metrics::Token::new(metrics));
    let https = https::Secured::new(https, settings, &held.home, app.rendezvous())?;
    let api = howdah_web::router(app);
    running.role("API with TLS", serve_tls(https, api.clone(), stop.clone()));
    running.role("API", serve_tcp(http, api, stop.clone()));
    Ok(())
}

/// Stops every database of a home, the platform's own last.
pub(crate) async fn stop_databases(
    settings: &Settings,
    home: &Home,
    say: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let run_as = run_as(settings)?;
    // Without it they are stopped as well.
    let archive = archive::open(settings, home, &run_as).await.ok();
    let stopped = howdah_agent::stop_all(&home.path, &run_as, archive).await?;
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
    addresses: &Addresses,
) -> Result<Control> {
    let key = held.secret_key(settings.secret_key.clone(), Keyring::generate)?;
    let keyring = Keyring::from_base64(&key).context("read the key that encrypts secrets")?;
    let config = howdah_control::config::Config {
        pool_size: settings.pool_size,
        var_prefix: settings.var_prefix.clone(),
        gateway_host: settings.gateway_host.clone(),
        gateway_port: addresses.gateway.port(),
        pool_port: addresses.pool.unwrap_or(settings.pool_listen).port(),
        rotation_settle: settings.rotation_settle,
        gateway_socket: Some(held.home.join("run/gateway.sock")),
        catalogue: settings.plans,
        public_origin: addresses.tls.map(|tls| https::origin(settings, tls)),
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
