//! What a gateway is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of one gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Where clients connect that take a server for each transaction; port 0 takes any that is free.
    /// Without it there is no such port.
    pub pool_listen: Option<SocketAddr>,
    /// The certificate that clients see.
    pub tls: TlsFiles,
    /// Who may connect without TLS.
    pub plaintext: Plaintext,
    /// The unix socket of the platform's internal HTTP, which answers `GET /routes`.
    pub routes: PathBuf,
    /// The file that keeps the last routes for a start while the platform is away.
    pub cache: PathBuf,
    /// Threads that carry sessions; 0 is one for each processor.
    pub threads: usize,
    /// How much is taken on.
    pub capacity: Capacity,
    /// What is done for commits whose server may go away.
    pub commits: Commits,
    /// How long is waited.
    pub timeouts: Timeouts,
}

/// What is done for commits whose server may go away in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commits {
    /// The number of each transaction that was begun by `BEGIN` is asked for with its commit, so
    /// that the next server can be asked what became of it. Costs PostgreSQL one small query more
    /// for each of them.
    #[default]
    Resolve,
    /// The client is told that the outcome is not known.
    Tell,
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and then the chain to (not including) the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may connect without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// Nobody.
    Refused,
    /// Clients of this machine, by their loopback address.
    Loopback,
}

/// How much a gateway takes on. Each session needs two file descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// The most clients at one time.
    pub clients: usize,
    /// The most of them that have not finished their log-in.
    pub handshakes: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { clients: 20_000, handshakes: 2_000 }
    }
}

/// How long a gateway waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a client to say who it is and to prove it.
    pub handshake: Duration,
    /// For newer routes when a role is not among those at hand.
    pub route: Duration,
    /// For a database that is about to be ready.
    pub ready: Duration,
    /// For PostgreSQL to open the session.
    pub server: Duration,
    /// For a server when that of a session has gone, or when its database is held for a move.
    pub hold: Duration,
    /// For a server of the pool when all of them are at work.
    pub queue: Duration,
    /// For sessions to end when the gateway stops, and for a client to read its last message.
    pub farewell: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            route: Duration::from_secs(1),
            ready: Duration::from_secs(2),
            server: Duration::from_secs(10),
            hold: Duration::from_secs(30),
            queue: Duration::from_secs(30),
            farewell: Duration::from_secs(2),
        }
    }
}
