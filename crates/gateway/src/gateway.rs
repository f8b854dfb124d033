//! The gateway as a whole: the listener, its threads, and the task that keeps the routes new.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest;
use howdah_model::ids::DatabaseId;
use howdah_model::route::Mode;
use rustix::process::Resource;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{Capacity, Config};
use crate::error::{ErrorKind, Fatal};
use crate::handover::Listeners;
use crate::handover::elders::Elders;
use crate::handover::figures::Figures;
use crate::handover::station::Socket;
use crate::hold;
use crate::limits::Limits;
use crate::registry::{Order, Sessions};
use crate::routes::fetch::Fetcher;
use crate::routes::{Move, Routes, cache};
use crate::session::Shared;
use crate::session::losing::Shutdowns;
use crate::session::openings::Openings;
use crate::session::pooling::Servers;
use crate::stats::report::report;
use crate::stats::{Counters, Statistics, Stats};
use crate::tls::Tls;
use crate::worker::{Arrival, Worker};

/// How long nothing is accepted when the system has no room for another connection.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);

/// The wire proxy in front of every database.
#[derive(Debug)]
pub struct Gateway {
    listeners: Listeners,
    pub(crate) shared: Arc<Shared>,
    /// Of each thread; the last are those of the listener.
    counters: Vec<Arc<Counters>>,
}

impl Gateway {
    /// Reads certificate and kept routes, and takes the address. Clients are served by [`run`].
    ///
    /// # Errors
    /// When the certificate cannot be used or the address cannot be taken. Routes on disk that
    /// cannot be read are logged and left.
    ///
    /// [`run`]: Gateway::run
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        Self::bind_with(config, Vec::new()).await
    }

    /// The same with the listening sockets of the gateway that this one takes over from.
    ///
    /// # Errors
    /// As [`bind`](Gateway::bind).
    pub async fn bind_with(config: Config, given: Vec<Socket>) -> anyhow::Result<Self> {
        let tls = Tls::load(&config.tls)?;
        let mock_secret = mock_secret(&config)?;
        let kept = cache::load(&config.cache).unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "starting without the kept routes");
            howdah_model::route::RouteTable::default()
        });
        let pool = config.pool_listen.map(|address| (Mode::Transaction, address));
        let wanted: Vec<_> = [(Mode::Session, config.listen)].into_iter().chain(pool).collect();
        let listeners = Listeners::open(&wanted, given)?;
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let limits = Arc::new(Limits::new(possible(config.capacity)));
        let servers = Servers::new(threads, limits.clone());
        let shared = Shared {
            config,
            tls,
            routes: Arc::new(Routes::new(kept)),
            sessions: Arc::default(),
            limits,
            statistics: Statistics::default(),
            elders: Elders::default(),
            servers,
            openings: Openings::default(),
            shutdowns: Shutdowns::default(),
            shelf: Arc::default(),
            mock_secret,
        };
        let counters = (0..=threads).map(|_| Arc::default()).collect();
        Ok(Self { listeners, shared: Arc::new(shared), counters })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        // There is always one, and it comes first.
        self.listeners.ports()[0].address
    }

    /// The address that clients connect to who take a server for each transaction, if there is one.
    #[must_use]
    pub fn pool_addr(&self) -> Option<SocketAddr> {
        self.listeners.address(Mode::Transaction)
    }

    /// The listening sockets.
    #[must_use]
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Clients that are connected, those that are being parted from included.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.limits.clients()
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.counters.iter().map(AsRef::as_ref))
    }

    /// What the sessions of each credential have done.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.shared.statistics
    }

    /// All figures of this process.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let shared = self.shared.servers.pools.stats();
        let pools = report(&self.shared.statistics, &self.shared.routes, &shared);
        Figures { pools, stats: self.stats() }
    }

    /// The moves that this gateway was told of directly.
    #[must_use]
    pub fn moves(&self) -> HashMap<DatabaseId, Move> {
        self.shared.routes.moves()
    }

    /// Reads the certificate again, for clients that come from now on.
    ///
    /// # Errors
    /// When it cannot be used; the one at hand is then shown as before.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.shared.tls.reload()
    }

    /// The sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.shared.sessions
    }

    /// Serves clients until `stop` is cancelled; then tells all sessions (57P01) and ends. Meant
    /// to be called once.
    ///
    /// # Errors
    /// When a thread cannot be started or ends by itself.
    pub async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let config = &self.shared.config;
        let fetcher = Fetcher::new(
            config.routes.clone(),
            config.cache.clone(),
            self.shared.routes.clone(),
            self.shared.sessions.clone(),
        )?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { fetcher.run().await });
        let (routes, sessions) = (self.shared.routes.clone(), self.shared.sessions.clone());
        tasks.spawn(async move { hold::keep(&routes, &sessions).await });
        let shared = self.shared.clone();
        tasks.spawn(async move { shared.servers.keep(&shared.routes, &shared.statistics).await });
        let mut workers = Vec::new();
        for (number, counters) in self.counters.iter().skip(1).enumerate() {
            workers.push(Worker::start(number, self.shared.clone(), counters.clone())?);
        }
        tracing::info!(threads = workers.len(), "the gateway listens on {}", self.local_addr());
        let result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = self.accept(&workers) => result,
            ended = tasks.join_next() => Err(anyhow::anyhow!("a task of the gateway ended: {ended:?}")),
        };
        tasks.shutdown().await;
        self.shared.sessions.order(Order::Shutdown, |_| true);
        let ends = workers.into_iter().map(Worker::stop).collect::<Vec<_>>();
        self.shared.servers.pools.keep(|_| false);
        let joined = tokio::task::spawn_blocking(move || {
            ends.into_iter().map(std::thread::JoinHandle::join).all(|end| end.is_ok())
        });
        anyhow::ensure!(joined.await.unwrap_or(false), "a thread of the gateway panicked");
        result
    }

    async fn accept(&self, workers: &[Worker]) -> anyhow::Result<()> {
        let mut is_told = false;
        loop {
            match self.listeners.accept().await {
                Ok((mode, socket, peer)) => {
                    is_told = false;
                    self.give(workers, socket, peer, mode)?;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::error!(error = %error, "the gateway cannot accept connections");
                    }
                    sleep(NO_ROOM_PAUSE).await;
                }
            }
        }
    }

    fn give(
        &self,
        workers: &[Worker],
        socket: TcpStream,
        peer: SocketAddr,
        mode: Mode,
    ) -> anyhow::Result<()> {
        let Some((place, handshake)) = self.shared.limits.admit() else {
            self.counters[0].error(ErrorKind::GatewayFull);
            let fatal = Fatal::new(ErrorKind::GatewayFull, "sorry, too many clients already");
            // There is room for it in a fresh socket's buffer, or it is not told.
            let _ = socket.try_write(&fatal.to_bytes());
            return Ok(());
        };
        // A socket that cannot change hands is broken already.
        let Ok(socket) = socket.into_std() else { return Ok(()) };
        let idlest = workers.iter().min_by_key(|worker| worker.load());
        let worker = idlest.context("the gateway has no threads")?;
        worker.give(Arrival { socket, peer, mode, place, handshake })
    }
}

/// The capacity as far as file descriptors reach: two for each client, and some for the rest.
fn possible(wanted: Capacity) -> Capacity {
    const FOR_THE_REST: usize = 128;
    let most = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(FOR_THE_REST) / 2;
    if most >= wanted.clients {
        return wanted;
    }
    tracing::warn!(
        "open files are limited (`ulimit -n`): the gateway takes {most} clients instead of {}",
        wanted.clients
    );
    Capacity { clients: most, handshakes: wanted.handshakes.min(most) }
}

/// Errors that say something about the peer and nothing about us.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A secret that stays the same over restarts and renewals, made from the private key.
fn mock_secret(config: &Config) -> anyhow::Result<Vec<u8>> {
    let key = std::fs::read(&config.tls.key)
        .with_context(|| format!("read the private key `{}`", config.tls.key.display()))?;
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"exchange with unknown roles\0");
    context.update(&key);
    Ok(context.finish().as_ref().to_vec())
}
