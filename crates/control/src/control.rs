//! What the API and the executable hold of the control plane.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_model::agent::{DatabaseLook, ParticipantObservation};
use howdah_model::diagnosis::{Asked, Check};
use howdah_model::ids::{DatabaseId, OperationId};
use howdah_model::operation::Outcome;
use howdah_model::route::RouteTable;
use howdah_model::version::Version;
use howdah_store::databases::Placed;
use howdah_store::servers::Server;
use howdah_store::{Reader, Store, databases, machines, operations, servers};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::GatewayAdmin;
use crate::keyring::Keyring;
use crate::logs::Logs;
use crate::news::News;
use crate::processes::Processes;
use crate::routes::Making;
use crate::servers::http::HttpServers;
use crate::servers::sightings::{Sighting, Sightings};
use crate::servers::{Servers, Terminate};

/// The control plane. Cheap to clone: clones are the same.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keyring: Keyring,
    config: Config,
    clock: Arc<dyn Clock>,
    servers: Arc<dyn Servers>,
    gateway: GatewayAdmin,
    sightings: Sightings,
    routes: watch::Sender<Arc<RouteTable>>,
    making_routes: Making,
    news: News,
    logs: Logs,
    processes: Processes,
}

impl Control {
    /// A control plane on a store that has been migrated. It does nothing by itself before
    /// [`Control::run`].
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, config: Config, clock: Arc<dyn Clock>) -> Self {
        Self::with_servers(store, keyring, config, clock, Arc::new(HttpServers::default()))
    }

    /// A control plane that reaches agents in its own way.
    #[must_use]
    pub fn with_servers(
        store: Store,
        keyring: Keyring,
        config: Config,
        clock: Arc<dyn Clock>,
        servers: Arc<dyn Servers>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                keyring,
                gateway: GatewayAdmin::new(config.gateway_socket.as_deref()),
                config,
                logs: Logs::new(clock.clone()),
                processes: Processes::new(clock.clone()),
                clock,
                servers,
                sightings: Sightings::default(),
                routes: watch::Sender::default(),
                making_routes: Making::default(),
                news: News::default(),
            }),
        }
    }

    /// The platform's database, to write.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The platform's database, to read.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.inner.store.reader()
    }

    /// What encrypts secrets at rest.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The time, by the clock that it was made with.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn random(&self) -> u64 {
        self.inner.clock.random()
    }

    pub(crate) fn servers(&self) -> &dyn Servers {
        &*self.inner.servers
    }

    /// The gateway, to be asked for its figures.
    #[must_use]
    pub fn gateway(&self) -> &GatewayAdmin {
        &self.inner.gateway
    }

    /// The newest observations of the servers.
    #[must_use]
    pub fn sightings(&self) -> &Sightings {
        &self.inner.sightings
    }

    /// Where the gateway sends sessions, newest first value at once. Its version is 0 before the
    /// first table was made.
    #[must_use]
    pub fn routes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.inner.routes.subscribe()
    }

    pub(crate) fn routes_sender(&self) -> &watch::Sender<Arc<RouteTable>> {
        &self.inner.routes
    }

    pub(crate) fn making_routes(&self) -> &Making {
        &self.inner.making_routes
    }

    /// The log streams of the apps.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.inner.logs
    }

    /// What is known of the apps' processes.
    #[must_use]
    pub fn processes(&self) -> &Processes {
        &self.inner.processes
    }

    pub(crate) fn news(&self) -> &News {
        &self.inner.news
    }

    /// Takes over from a control plane that was killed, at once instead of after its claims have run
    /// out. Only for the one that holds the store alone (`Store::hold`), before it runs.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_over(&self) -> Result<()> {
        let mut tx = self.store().begin().await?;
        machines::free_all(&mut tx, self.now()).await?;
        tx.commit().await.context("free the claims of the last control plane")
    }

    /// Stores a server, or what has changed of it, and begins to watch it.
    ///
    /// # Errors
    /// When the store does not answer, or another server has its name.
    pub async fn register_server(&self, server: &Server) -> Result<()> {
        let mut tx = self.store().begin().await?;
        servers::register(&mut tx, server).await?;
        tx.commit().await.context("register a server")?;
        self.news().server.notify_one();
        Ok(())
    }

    /// The versions of PostgreSQL that are installed on servers that answer, lowest first. Waits a
    /// moment for the first answer when there was none yet.
    ///
    /// # Errors
    /// None today; callers treat it as a question to the world.
    pub async fn installed(&self) -> Result<Vec<Version>> {
        const BOUND: Duration = Duration::from_secs(5);
        let bound = Instant::now() + BOUND;
        loop {
            let fresh = self.sightings().all_fresh(self.now());
            if !fresh.is_empty() || Instant::now() >= bound {
                let there = fresh.iter().flat_map(|(_, seen)| &seen.server.installed);
                let mut versions: Vec<_> = there.map(|there| there.version).collect();
                versions.sort_by_key(|version| (version.major, version.minor));
                versions.dedup();
                return Ok(versions);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How an operation stands, as soon as it is not running any more, at the latest after
    /// `bound`.
    ///
    /// # Errors
    /// When the store does not answer, or there is no such operation.
    pub async fn wait_for_operation(&self, id: OperationId, bound: Duration) -> Result<Outcome> {
        const POLL: Duration = Duration::from_secs(1);
        let until = Instant::now() + bound;
        let mut outcomes = self.news().outcomes.subscribe();
        loop {
            let mut conn = self.reader().get().await?;
            let asked = operations::get(&mut conn, id).await?;
            drop(conn);
            let outcome = asked.context("there is no such operation")?.outcome;
            let left = until.saturating_duration_since(Instant::now());
            if outcome != Outcome::Running || left.is_zero() {
                return Ok(outcome);
            }
            let told = async {
                // An error means that some were missed: look.
                while outcomes.recv().await.is_ok_and(|told| told != id) {}
            };
            // The bound runs out, or a notification was lost: look once more.
            let _ = tokio::time::timeout(left.min(POLL), told).await;
        }
    }

    /// What the agent of its server said of the participant of a database the last time, with the
    /// whole sighting. None before it was placed or seen.
    #[must_use]
    pub fn seen_of(&self, placed: &Placed) -> Option<(Arc<Sighting>, ParticipantObservation)> {
        let sighting = self.sightings().last(placed.server_id?)?;
        let participant = sighting.participants.get(&placed.database.participant_id?)?.clone();
        Some((sighting, participant))
    }

    /// Looks into a database now.
    ///
    /// # Errors
    /// When it has not been placed, or its agent does not answer.
    pub async fn look(&self, database: DatabaseId) -> Result<DatabaseLook> {
        let (placed, server) = self.house_of(database).await?;
        let participant = placed.database.participant_id.context("it has not been placed yet")?;
        let look = self.servers().look(&server, participant, &placed.database.name);
        Ok(look.await?)
    }

    /// Ends sessions of a database, or only their statements. Answers how many.
    ///
    /// # Errors
    /// When it has not been placed, or its agent does not answer.
    pub async fn terminate(&self, database: DatabaseId, which: Terminate) -> Result<u32> {
        let (placed, server) = self.house_of(database).await?;
        let participant = placed.database.participant_id.context("it has not been placed yet")?;
        let ended = self.servers().terminate(&server, participant, &placed.database.name, which);
        Ok(ended.await?)
    }

    /// Sets PostgreSQL's statistics of a database back to zero.
    ///
    /// # Errors
    /// When it has not been placed, or its agent does not answer.
    pub async fn reset_statistics(&self, database: DatabaseId) -> Result<()> {
        let (placed, server) = self.house_of(database).await?;
        let participant = placed.database.participant_id.context("it has not been placed yet")?;
        let name = &placed.database.name;
        Ok(self.servers().reset_statistics(&server, participant, name).await?)
    }

    /// Gives the default credential of a database all rights on everything in it.
    ///
    /// # Errors
    /// When it has not been placed, or its agent does not do it.
    pub async fn repair_default(&self, database: DatabaseId) -> Result<()> {
        let (placed, server) = self.house_of(database).await?;
        let participant = placed.database.participant_id.context("it has not been placed yet")?;
        let name = &placed.database.name;
        Ok(self.servers().repair_default(&server, participant, name).await?)
    }

    /// Makes the checks of a database that its server can answer.
    ///
    /// # Errors
    /// When it has not been placed, or its agent does not answer.
    pub(crate) async fn diagnose(&self, database: DatabaseId, asked: Asked) -> Result<Vec<Check>> {
        let (placed, server) = self.house_of(database).await?;
        let participant = placed.database.participant_id.context("it has not been placed yet")?;
        let name = &placed.database.name;
        Ok(self.servers().diagnose(&server, participant, name, asked).await?)
    }

    pub(crate) async fn house_of(&self, database: DatabaseId) -> Result<(Placed, Server)> {
        let mut conn = self.reader().get().await?;
        let placed = databases::list_placed(&mut conn, &[database.0]).await?.pop();
        let placed = placed.context("the database is not there")?;
        let server = placed.server_id.context("it has not been placed yet")?;
        let server = servers::get(&mut conn, server).await?.context("its server is not there")?;
        Ok((placed, server))
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
