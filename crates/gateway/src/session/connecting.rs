//! A server is opened for a client that has proved who it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use howdah_model::route::{Mode, Stage, Target};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::authenticating::authentication;
use super::leg::{self, Opened};
use super::pooling::{Claim, Seat};
use super::record::{Record, Reported, Tenure};
use super::relaying::{Identity, Relaying};
use super::{Context, Refused, Session, Shared};
use crate::error::{ErrorKind, Fatal};
use crate::limits::{Place, Slot};
use crate::message::{Builder, Message};
use crate::registry::{Cancellation, Registration};
use crate::routes::Entry;
use crate::scram::server::Proven;
use crate::server::{self, OpenError};
use crate::startup::Startup;
use crate::stream::Client;

/// Between two attempts at a server that does not take sessions yet.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

const SASL_FINAL: u32 = 12;
const AUTHENTICATION_OK: u32 = 0;

/// A client that has proved who it is.
#[derive(Debug)]
pub struct Connecting {
    /// What it works with.
    pub context: Context,
    /// Its connection.
    pub client: Client,
    /// How it comes by servers, unless its route says by transaction.
    pub mode: Mode,
    /// Its place among all clients.
    pub place: Place,
    /// What it asked for.
    pub startup: Startup,
    /// The route that it was checked against.
    pub entry: Arc<Entry>,
    /// What it proved.
    pub proven: Proven,
}

/// Why there is no session.
pub(crate) enum Obstacle {
    /// Told in our words.
    Fatal(Fatal),
    /// Told in PostgreSQL's words.
    Refused(Message),
    /// The same, as a whole message.
    Words(Vec<u8>),
}

impl From<Fatal> for Obstacle {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// What a session needs besides its client.
pub(crate) struct Ready {
    /// Its server, if it has one already.
    pub(crate) seat: Option<Seat>,
    /// What the client is told of it.
    pub(crate) greeting: Vec<Message>,
    /// What it has reported of its parameters.
    pub(crate) reported: Reported,
    /// What it said since.
    pub(crate) rest: Vec<u8>,
    /// Whose it is.
    pub(crate) tenure: Tenure,
    pub(crate) entry: Arc<Entry>,
    pub(crate) registration: Registration,
    pub(crate) claim: Claim,
}

impl Connecting {
    pub(super) async fn step(mut self) -> Session {
        let route = &self.entry.route;
        self.startup.settle(&route.database, route.known_as.as_ref());
        let identity =
            Identity { startup: self.startup.clone(), client_key: self.proven.client_key.clone() };
        let identity = Arc::new(identity);
        match self.open(&identity).await {
            Ok(ready) => self.greet(identity, ready).await,
            Err(Obstacle::Fatal(fatal)) => {
                self.count(fatal.kind);
                Refused::because(self.context, self.client, &fatal)
            }
            Err(Obstacle::Refused(message)) => {
                let mut builder = Builder::default();
                builder.copy(&message);
                self.refused(builder.into_bytes())
            }
            Err(Obstacle::Words(words)) => self.refused(words),
        }
    }

    /// Counts an error for the credential.
    fn count(&self, kind: ErrorKind) {
        let Self { context, entry, mode, .. } = self;
        let mode = if *mode == Mode::Transaction { *mode } else { entry.route.mode };
        context.shared.statistics.credential(&entry.route, mode).error(kind);
    }

    fn refused(self, words: Vec<u8>) -> Session {
        self.context.counters.error(ErrorKind::ServerRefused);
        self.count(ErrorKind::ServerRefused);
        Refused::with_words(self.context, self.client, words)
    }

    async fn open(&self, identity: &Identity) -> Result<Ready, Obstacle> {
        let route = &self.entry.route;
        if self.startup.database != route.database.as_str() {
            let message = format!("database \"{}\" does not exist", self.startup.database);
            return Err(Fatal::new(ErrorKind::WrongDatabase, message).into());
        }
        let by_transaction = self.mode == Mode::Transaction || route.mode == Mode::Transaction;
        if by_transaction && !self.startup.replication() {
            return self.enter(identity).await;
        }
        let (entry, slot, opened) = self.reach(identity).await?;
        let Opened { seat, reported, greeting, rest } = opened;
        let registration = self.register(&entry, seat.key.pid, Some(seat.cancellation()))?;
        let (seat, claim, tenure) = (Some(seat), Claim::Session(slot), Tenure::Own);
        Ok(Ready { seat, greeting, reported, rest, tenure, entry, registration, claim })
    }

    /// Enters the session among the others.
    pub(crate) fn register(
        &self,
        entry: &Arc<Entry>,
        pid: u32,
        cancellation: Option<Cancellation>,
    ) -> Result<Registration, Fatal> {
        let Shared { sessions, routes, .. } = &*self.context.shared;
        let registration = sessions
            .register(entry.clone(), pid, self.startup.protocol, cancellation)
            .map_err(|_| not_ready("the gateway has no random numbers"))?;
        let route = &self.entry.route;
        // A route that was taken away before the session could be found has ended nobody.
        if !routes.permits(route.role.as_str(), route.database_id) {
            return Err(Fatal::terminated(ErrorKind::Terminated));
        }
        Ok(registration)
    }

    /// Opens the server, and waits for one that is away for a moment, or held.
    async fn reach(&self, identity: &Identity) -> Result<(Arc<Entry>, Slot, Opened), Obstacle> {
        let timeouts = &self.context.shared.config.timeouts;
        let until = Instant::now() + timeouts.hold;
        loop {
            let entry = self.ready_route(until).await?;
            let Target::Local { socket_dir } = &entry.route.target else {
                return Err(not_ready("the database system is not accepting connections").into());
            };
            let slot = self.take_slot(&entry)?;
            let error = match leg::open(identity, &entry, socket_dir, timeouts.server).await {
                Ok(opened) => return Ok((entry, slot, opened)),
                Err(error) => error,
            };
            // It holds nothing while it waits.
            drop(slot);
            self.judge(error, &entry, until)?;
            sleep(PAUSE).await;
        }
    }

    /// The route once it leads to a server.
    pub(crate) async fn ready_route(&self, until: Instant) -> Result<Arc<Entry>, Obstacle> {
        let routes = &self.context.shared.routes;
        let mut replaced = routes.subscribe();
        let soon = Instant::now() + self.context.shared.config.timeouts.ready;
        loop {
            replaced.mark_unchanged();
            let role = &self.startup.user;
            let found = routes.find(role);
            let same = |entry: &Arc<Entry>| {
                entry.route.database_id == self.entry.route.database_id
                    && entry.route.target != Target::Revoked
            };
            let Some(entry) = found.filter(same) else {
                let message = format!("role \"{role}\" is not permitted to log in");
                return Err(Fatal::new(ErrorKind::Revoked, message).into());
            };
            let (why, until) = match (&entry.route.stage, &entry.route.target) {
                (Stage::Hold { .. }, _) => {
                    ("the database system is not accepting connections", until)
                }
                // That takes its time, and whoever made the database waits for it elsewhere.
                (_, Target::Unready { why }) => (why.as_str(), until.min(soon)),
                (Stage::Open | Stage::Prepare { .. }, _) => return Ok(entry),
            };
            let waited = timeout_at(until, async {
                routes.refreshed(self.context.shared.config.timeouts.route).await;
                if routes.find(role).is_some_and(|newer| Arc::ptr_eq(&newer, &entry)) {
                    // The sender lives as long as the gateway.
                    let _ = replaced.changed().await;
                }
            });
            if waited.await.is_err() {
                return Err(not_ready(why).into());
            }
        }
    }

    fn take_slot(&self, entry: &Entry) -> Result<Slot, Fatal> {
        let route = &entry.route;
        let Shared { limits, servers, .. } = &*self.context.shared;
        let take = || limits.take(route.database_id, route.connection_limit);
        // A server of a pool that nobody needs makes room.
        let slot = take().or_else(|| servers.pools.make_room(route.database_id).then(take)?);
        slot.ok_or_else(|| {
            let message = format!("too many connections for role \"{}\"", route.role);
            Fatal::new(ErrorKind::TooManyConnections, message)
        })
    }

    /// Whether a failure may pass by itself in time.
    fn judge(&self, error: OpenError, entry: &Entry, until: Instant) -> Result<(), Obstacle> {
        let in_time = Instant::now() + PAUSE < until;
        match error {
            OpenError::Unreachable(_) if in_time => Ok(()),
            OpenError::Unreachable(error) => {
                tracing::debug!(role = %entry.route.role, error = %error, "PostgreSQL cannot be reached");
                Err(not_ready("the database system is not accepting connections").into())
            }
            OpenError::Refused(message)
                if server::sqlstate(&message) == Some(b"57P03") && in_time =>
            {
                Ok(())
            }
            OpenError::Refused(message) => Err(Obstacle::Refused(message)),
            OpenError::Drift => Err(drift(entry).into()),
            OpenError::Protocol(what) => {
                tracing::error!(role = %entry.route.role, "PostgreSQL of `{}` broke the protocol: {what}", entry.route.role);
                Err(not_ready("the database system cannot be talked to").into())
            }
        }
    }

    /// Tells the client that it is in.
    async fn greet(self, identity: Arc<Identity>, ready: Ready) -> Session {
        let Self { context, mut client, place, proven, .. } = self;
        let Ready { seat, greeting, reported, rest, tenure, entry, registration, claim } = ready;
        let mut builder = Builder::default();
        builder.raw(&authentication(SASL_FINAL, proven.server_final.as_bytes()));
        builder.raw(&authentication(AUTHENTICATION_OK, &[]));
        for message in &greeting {
            builder.copy(message);
        }
        registration.key().put(&mut builder);
        builder.message(b'Z', |body| body.push(b'I'));
        let greeting = builder.into_bytes();
        let bound = Instant::now() + context.shared.config.timeouts.server;
        let told = timeout_at(bound, async {
            client.write_all(&greeting).await?;
            client.flush().await
        });
        let record = Record::new(context.shared.shelf.clone(), &identity.startup, tenure, reported);
        match told.await {
            Ok(Ok(())) => Session::Relaying(Box::new(Relaying::new(
                context,
                client,
                (seat, rest),
                (identity, entry, record),
                super::relaying::Holds { registration, claim, place },
            ))),
            Ok(Err(_)) | Err(_) => Session::Over,
        }
    }
}

pub(crate) fn not_ready(why: &str) -> Fatal {
    Fatal::new(ErrorKind::NotReady, why)
}

fn drift(entry: &Entry) -> Fatal {
    let role = &entry.route.role;
    if !entry.drift_logged.swap(true, Ordering::Relaxed) {
        tracing::warn!(role = %role, "PostgreSQL has another password for `{role}` than the platform");
    }
    let message = format!("the password of role \"{role}\" was changed outside the platform");
    Fatal::new(ErrorKind::CredentialDrift, message)
        .hint("The platform sets it again within a minute. Try again then.")
}
