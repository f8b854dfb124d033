//! One client's way through the gateway: an enum of states, one struct each. A step takes a state
//! and gives the next; what a state holds is what can be done in it.

mod asking;
pub mod authenticating;
pub mod commits;
pub mod connecting;
pub mod errand;
pub mod flow;
pub mod hello;
mod hindrance;
pub mod inflight;
pub mod leg;
pub mod losing;
pub mod lost;
mod moving;
pub mod names;
mod next;
pub mod openings;
pub mod parting;
pub mod pooling;
pub mod progress;
pub mod record;
pub mod relaying;
pub mod request;
pub mod taps;

use std::sync::Arc;

use crate::config::Config;
use crate::error::{ErrorKind, Fatal};
use crate::handover::elders::Elders;
use crate::limits::Limits;
use crate::pool::Shard;
use crate::registry::Sessions;
use crate::routes::Routes;
use crate::stats::{Counters, Statistics};
use crate::stream::Client;
use crate::tls::Tls;

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// The gateway's settings.
    pub config: Config,
    /// What clients are shown.
    pub tls: Tls,
    /// Where sessions go.
    pub routes: Arc<Routes>,
    /// The sessions that are open.
    pub sessions: Arc<Sessions>,
    /// What may be taken on.
    pub limits: Arc<Limits>,
    /// What the sessions of each credential have done.
    pub statistics: Statistics,
    /// How many are opened again at one time.
    pub openings: openings::Openings,
    /// Servers that are known to have been shut down.
    pub shutdowns: losing::Shutdowns,
    /// Servers that sessions take for a transaction.
    pub servers: pooling::Servers,
    /// What the records of sessions have in common.
    pub shelf: Arc<record::Shelf>,
    /// The gateways that this one has taken over from.
    pub elders: Elders,
    /// From which the exchange with an unknown role is made.
    pub mock_secret: Vec<u8>,
}

/// What a session works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// What all sessions share.
    pub shared: Arc<Shared>,
    /// The counters of this thread.
    pub counters: Arc<Counters>,
    /// The number of this thread.
    pub shard: Shard,
}

/// Where a session is.
#[derive(Debug)]
pub enum Session {
    /// The client says what it wants.
    Hello(Box<hello::Hello>),
    /// The client proves who it is.
    Authenticating(Box<authenticating::Authenticating>),
    /// A server is being opened for it.
    Connecting(Box<connecting::Connecting>),
    /// Client and server talk.
    Relaying(Box<relaying::Relaying>),
    /// The session is over for the client; PostgreSQL ends it.
    Parting(Box<parting::Parting>),
    /// The client is told why it goes no further.
    Refused(Box<Refused>),
    /// Nothing is left.
    Over,
}

impl Session {
    /// Goes through all states.
    pub async fn run(mut self) {
        loop {
            self = match self {
                Self::Over => return,
                state => state.step().await,
            };
        }
    }

    /// One step. Those before the relay are boxed, so that the memory that they need is given back
    /// for the long time that a session then lasts.
    async fn step(self) -> Self {
        match self {
            Self::Hello(state) => Box::pin(state.step()).await,
            Self::Authenticating(state) => Box::pin(state.step()).await,
            Self::Connecting(state) => Box::pin(state.step()).await,
            Self::Relaying(state) => state.step().await,
            Self::Parting(state) => Box::pin(state.step()).await,
            Self::Refused(state) => Box::pin(state.step()).await,
            Self::Over => Self::Over,
        }
    }
}

/// Why a step does not lead on.
#[derive(Debug)]
pub enum Failure {
    /// The client has gone; there is nobody to tell.
    Gone,
    /// The client is told.
    Fatal(Fatal),
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// A client that is being sent away.
#[derive(Debug)]
pub struct Refused {
    context: Context,
    client: Client,
    words: Vec<u8>,
}

impl Refused {
    /// Tells a client what is wrong, and counts it.
    #[must_use]
    pub fn because(context: Context, client: Client, fatal: &Fatal) -> Session {
        context.counters.error(fatal.kind);
        match fatal.kind {
            // Whoever scans ports shall not fill the log.
            ErrorKind::Protocol => tracing::debug!(kind = %fatal.kind, "refused: {fatal}"),
            kind => tracing::info!(kind = %kind, "refused: {fatal}"),
        }
        Self::with_words(context, client, fatal.to_bytes())
    }

    /// Gives a client last words that were made or counted elsewhere.
    #[must_use]
    pub fn with_words(context: Context, client: Client, words: Vec<u8>) -> Session {
        Session::Refused(Box::new(Self { context, client, words }))
    }

    async fn step(self) -> Session {
        let bound = self.context.shared.config.timeouts.farewell;
        self.client.say_goodbye(&self.words, bound).await;
        Session::Over
    }
}
