//! The gateway as a whole: the listener, its threads, and the task that keeps the routes new.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest;
use howdah_model::route::Mode;
use rustix::process::Resource;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{Capacity, Config};
use crate::error::{ErrorKind, Fatal};
use crate::hold;
use crate::limits::Limits;
use crate::registry::{Order, Sessions};
use crate::routes::fetch::Fetcher;
use crate::routes::{Routes, cache};
use crate::session::Shared;
use crate::session::losing::Shutdowns;
use crate::session::openings::Openings;
use crate::stats::{Counters, Statistics, Stats};
use crate::tls::Tls;
use crate::worker::{Arrival, Worker};

/// How long nothing is accepted when the system has no room for another connection.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The wire proxy in front of every database.
#[derive(Debug)]
pub struct Gateway {
    /// The usual one first.
    doors: Vec<Door>,
    pub(crate) shared: Arc<Shared>,
    /// Of each thread; the last are those of the listener.
    counters: Vec<Arc<Counters>>,
}

/// A port, and how those who come by it are served.
#[derive(Debug)]
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    mode: Mode,
}

impl Door {
    fn open(address: SocketAddr, mode: Mode) -> anyhow::Result<Self> {
        let listener = listen(address)
            .with_context(|| format!("listen on {address} for clients of databases"))?;
        let address = listener.local_addr().context("read the gateway's address")?;
        Ok(Self { listener, address, mode })
    }
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
        let tls = Tls::load(&config.tls)?;
        let mock_secret = mock_secret(&config)?;
        let kept = cache::load(&config.cache).unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "starting without the kept routes");
            howdah_model::route::RouteTable::default()
        });
        let mut doors = vec![Door::open(config.listen, Mode::Session)?];
        if let Some(address) = config.pool_listen {
            doors.push(Door::open(address, Mode::Transaction)?);
        }
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let limits = Limits::new(possible(config.capacity));
        let shared = Shared {
            config,
            tls,
            routes: Arc::new(Routes::new(kept)),
            sessions: Arc::default(),
            limits,
            statistics: Statistics::default(),
            openings: Openings::default(),
            shutdowns: Shutdowns::default(),
            shelf: Arc::default(),
            mock_secret,
        };
        let counters = (0..=threads).map(|_| Arc::default()).collect();
        Ok(Self { doors, shared: Arc::new(shared), counters })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.doors[0].address
    }

    /// The address that clients connect to who take a server for each transaction, if there is one.
    #[must_use]
    pub fn pool_addr(&self) -> Option<SocketAddr> {
        self.doors.get(1).map(|door| door.address)
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
        let mut workers = Vec::new();
        for (number, counters) in self.counters.iter().skip(1).enumerate() {
            workers.push(Worker::start(number, self.shared.clone(), counters.clone())?);
        }
        tracing::info!(threads = workers.len(), "the gateway listens on {}", self.local_addr());
        let result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = self.accept_all(&workers) => result,
            ended = tasks.join_next() => Err(anyhow::anyhow!("a task of the gateway ended: {ended:?}")),
        };
        tasks.shutdown().await;
        self.shared.sessions.order(Order::Shutdown, |_| true);
        let ends = workers.into_iter().map(Worker::stop).collect::<Vec<_>>();
        let joined = tokio::task::spawn_blocking(move || {
            ends.into_iter().map(std::thread::JoinHandle::join).all(|end| end.is_ok())
        });
        anyhow::ensure!(joined.await.unwrap_or(false), "a thread of the gateway panicked");
        result
    }

    async fn accept_all(&self, workers: &[Worker]) -> anyhow::Result<()> {
        let doors = self.doors.iter().map(|door| self.accept(door, workers));
        futures_util::future::try_join_all(doors).await.map(|_| ())
    }

    async fn accept(&self, door: &Door, workers: &[Worker]) -> anyhow::Result<()> {
        let mut is_told = false;
        loop {
            match door.listener.accept().await {
                Ok((socket, peer)) => {
                    is_told = false;
                    self.hand_over(workers, socket, peer, door.mode)?;
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

    fn hand_over(
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

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // So that a restart is not refused because of connections that are closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
