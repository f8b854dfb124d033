//! The gateway as a role: in a process of its own (`howdah gateway`), or inside `howdah up` as long as
//! no other process does it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_gateway::admin::About;
use howdah_gateway::admin::client::{Client, Unanswered};
use howdah_gateway::handover::{self, End, RunDir, Station};
use howdah_gateway::{Gateway, tls};
use howdah_model::route::Mode;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::home::Home;
use crate::settings::{GatewayPlace, Settings};
use crate::{listening, notify, output, up};

/// How long another gateway of the home may take to let go, or to say who it is.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between looks whether a gateway outside has ended.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the gateway alone, in the foreground: takes over from the one that runs on the home, if one
/// does. SIGTERM and SIGINT end it and its sessions, SIGHUP reads the certificate again, SIGUSR2
/// starts the executable anew to take over from this one.
pub(crate) fn run(settings: &Settings) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!(" !    cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            format!("{error:#}").lines().for_each(|line| eprintln!(" !    {line}"));
            ExitCode::FAILURE
        }
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn serve(settings: &Settings) -> Result<()> {
    up::raise_open_files();
    let stop = CancellationToken::new();
    let home = Home::new(&settings.home)?;
    home.make()?;
    output::log_to(&home.join("log/gateway.log"), settings)?;
    let run = RunDir::new(home.join("run"));
    let station = Station::take(&run, PATIENCE).await?;
    let takes_over = station.has_elder();
    let (gateway, station) = bind(settings, &home, station).await?;
    let ready = {
        let gateway = gateway.clone();
        move || {
            up::say(&summary(&gateway, takes_over));
            notify::ready();
        }
    };
    let mut serving = std::pin::pin!(handover::serve(
        gateway.clone(),
        station,
        settings.gateway_drain,
        stop.clone(),
        ready
    ));
    let mut signals = Signals::new()?;
    loop {
        tokio::select! {
            end = &mut serving => return end.map(|end| tracing::info!("the gateway ends: {end:?}")),
            signal = signals.next() => match signal {
                Signal::SIGHUP => reload(&gateway),
                Signal::SIGUSR2 => succeed(),
                _ => stop.cancel(),
            },
        }
    }
}

/// The signals that mean something to a gateway.
struct Signals {
    streams: [(Signal, tokio::signal::unix::Signal); 4],
}

impl Signals {
    fn new() -> Result<Self> {
        let watch = |name: Signal, kind| {
            let stream = signal(kind).with_context(|| format!("watch for {name}"))?;
            anyhow::Ok((name, stream))
        };
        Ok(Self {
            streams: [
                watch(Signal::SIGINT, SignalKind::interrupt())?,
                watch(Signal::SIGTERM, SignalKind::terminate())?,
                watch(Signal::SIGHUP, SignalKind::hangup())?,
                watch(Signal::SIGUSR2, SignalKind::user_defined2())?,
            ],
        })
    }

    async fn next(&mut self) -> Signal {
        let [interrupt, terminate, hangup, second] = &mut self.streams;
        tokio::select! {
            _ = interrupt.1.recv() => interrupt.0,
            _ = terminate.1.recv() => terminate.0,
            _ = hangup.1.recv() => hangup.0,
            _ = second.1.recv() => second.0,
        }
    }
}

fn reload(gateway: &Gateway) {
    match gateway.reload() {
        Ok(()) => tracing::info!("the certificate was read again"),
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the certificate cannot be used; the one at hand stays"
            );
        }
    }
}

/// Starts the executable that now lies where this one came from. It takes over, and this one drains.
fn succeed() {
    let start = || -> Result<u32> {
        let path = std::env::current_exe().context("find the executable")?;
        // The kernel says so when the file was replaced by another one of the same name.
        let path = path.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
        let mut command = std::process::Command::new(&path);
        let child = command.arg("gateway").spawn().with_context(|| format!("run {path}"))?;
        Ok(child.id())
    };
    match start() {
        Ok(pid) => tracing::info!(pid, "started the executable again, to take over"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "nobody takes over"),
    }
}

fn summary(gateway: &Gateway, takes_over: bool) -> String {
    let what = if takes_over { "has taken over" } else { "is up" };
    let mut out = format!("The gateway {what} (process {}).\n", std::process::id());
    for port in gateway.listeners().ports() {
        let name = match port.mode {
            Mode::Session => "Gateway        ",
            Mode::Transaction => "Gateway's pools",
        };
        out.push_str(&format!("\n  {name}    {}", port.address));
    }
    out
}

/// The gateway of a station, with the certificate of the home.
async fn bind(
    settings: &Settings,
    home: &Home,
    mut station: Station,
) -> Result<(Arc<Gateway>, Station)> {
    let names = vec![settings.gateway_host.clone()];
    let authority = tls::ensure(&home.join("tls"), &names).context("make the certificate")?;
    let last = home.addresses();
    let (wanted, pool) = (settings.gateway_listen, settings.pool_listen);
    let again = |wanted, last: Option<SocketAddr>| {
        listening::again(wanted, last).filter(|last| listening::is_free(*last)).unwrap_or(wanted)
    };
    let config = howdah_gateway::Config {
        listen: again(wanted, last.map(|last| last.gateway)),
        pool_listen: Some(again(pool, last.and_then(|last| last.pool))),
        tls: authority.gateway,
        plaintext: settings.plaintext,
        routes: home.join("run/control.sock"),
        cache: home.join("routes.json"),
        threads: settings.gateway_threads.map_or(0, usize::from),
        capacity: howdah_gateway::Capacity::default(),
        commits: settings.gateway_commits,
        timeouts: howdah_gateway::Timeouts {
            hold: settings.gateway_hold,
            ..howdah_gateway::Timeouts::default()
        },
    };
    let gateway = Gateway::bind_with(config, station.take_sockets()).await.with_context(|| {
        if listening::is_free(wanted) && !listening::is_free(pool) {
            listening::in_use("gateway's pools", "HOWDAH_GATEWAY_POOL_LISTEN", pool)
        } else {
            listening::in_use("gateway", "HOWDAH_GATEWAY_LISTEN", wanted)
        }
    })?;
    Ok((Arc::new(gateway), station))
}

/// Where the gateway of a platform runs.
#[derive(Debug)]
pub(crate) enum Post {
    /// In this process.
    Inside(Arc<Gateway>, Box<Station>),
    /// In another one, which answers.
    Outside(About),
    /// In another one, which does not run at the moment.
    Awaited,
}

/// The clients' addresses of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) gateway: SocketAddr,
    pub(crate) pool: Option<SocketAddr>,
}

impl Post {
    /// Finds out where the gateway runs, and prepares it where it is to run here.
    pub(crate) async fn find(settings: &Settings, home: &Home) -> Result<Self> {
        let run = RunDir::new(home.join("run"));
        let answers = async {
            loop {
                if settings.gateway == GatewayPlace::Auto
                    && let Some(station) = Station::free(&run)?
                {
                    let (gateway, station) = bind(settings, home, station).await?;
                    return Ok(Self::Inside(gateway, Box::new(station)));
                }
                match Client::new(run.current())?.about().await {
                    Ok(about) => return Ok(Self::Outside(about)),
                    Err(Unanswered::Gone) if settings.gateway == GatewayPlace::External => {
                        return Ok(Self::Awaited);
                    }
                    // It is starting or ending.
                    Err(Unanswered::Gone) => sleep(Duration::from_millis(100)).await,
                    Err(Unanswered::Failed(error)) => return Err(error),
                }
            }
        };
        let waited = timeout(PATIENCE, answers).await;
        waited.context("a gateway runs on this home, and does not answer on run/gateway.sock")?
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// When that cannot be known before the gateway runs.
    pub(crate) fn ports(&self, settings: &Settings, home: &Home) -> Result<Ports> {
        let of = |ports: &[howdah_gateway::admin::Port]| {
            let find = |mode| ports.iter().find(|port| port.mode == mode).map(|port| port.address);
            let gateway = find(Mode::Session).context("the gateway has no port")?;
            Ok(Ports { gateway, pool: find(Mode::Transaction) })
        };
        match self {
            Self::Inside(gateway, _) => of(gateway.listeners().ports()),
            Self::Outside(about) => of(&about.ports),
            Self::Awaited => match (settings.gateway_listen.port(), home.addresses()) {
                (0, Some(last)) => Ok(Ports { gateway: last.gateway, pool: last.pool }),
                (0, None) => bail!(
                    "HOWDAH_GATEWAY is `external`, and its port is not known yet\n\
                     Run `howdah gateway` first, or give HOWDAH_GATEWAY_LISTEN a port"
                ),
                _ => {
                    Ok(Ports { gateway: settings.gateway_listen, pool: Some(settings.pool_listen) })
                }
            },
        }
    }

    /// What `howdah up` says of it, beside the address.
    pub(crate) fn remark(&self) -> String {
        match self {
            Self::Inside(..) => String::new(),
            Self::Outside(about) => format!("  (a process of its own: {})", about.pid),
            Self::Awaited => "  (not running: start `howdah gateway`)".to_owned(),
        }
    }

    /// Sees that there is a gateway until `stop` is cancelled: serves here as long as no other process
    /// does, and hands on to one that comes.
    pub(crate) async fn keep(
        self,
        settings: Arc<Settings>,
        home: Home,
        stop: CancellationToken,
    ) -> Result<()> {
        let run = RunDir::new(home.join("run"));
        let mut post = self;
        loop {
            if let Self::Inside(gateway, station) = post {
                let drain = settings.gateway_drain;
                let served = handover::serve(gateway, *station, drain, stop.clone(), || ());
                match served.await? {
                    End::Stopped => return Ok(()),
                    End::HandedOn => tracing::info!("a gateway outside has taken over"),
                }
            }
            post = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = Self::when_free(&settings, &home, &run) => next,
            };
        }
    }

    /// Waits until this process has to serve.
    async fn when_free(settings: &Settings, home: &Home, run: &RunDir) -> Self {
        if settings.gateway == GatewayPlace::External {
            return std::future::pending().await;
        }
        let mut is_told = false;
        loop {
            sleep(LOOK).await;
            let bound = match Station::free(run) {
                Ok(None) => continue,
                Ok(Some(station)) => bind(settings, home, station).await,
                Err(error) => Err(error),
            };
            match bound {
                Ok((gateway, station)) => {
                    tracing::info!("no gateway runs outside any more; serving here");
                    return Self::Inside(gateway, Box::new(station));
                }
                Err(error) if !std::mem::replace(&mut is_told, true) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "no gateway runs, and none can here"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// The gateway that runs on a home in a process of its own, if one answers.
pub(crate) async fn outside(home: &Home) -> Option<About> {
    let client = Client::new(RunDir::new(home.join("run")).current()).ok()?;
    client.about().await.ok()
}
