//! The wire proxy in front of every database: it speaks PostgreSQL's protocol to clients over TLS,
//! checks their passwords against the routes of the platform, and carries their sessions to the
//! PostgreSQL that has their database.
//!
//! The life of a session is the enum [`session::Session`]; after its log-in only the headers of
//! messages are read ([`frame`]).

pub mod admin;
pub mod cancel;
pub mod config;
pub mod error;
pub mod frame;
mod gateway;
pub mod handover;
pub mod hold;
mod interner;
pub mod limits;
pub mod message;
pub mod pool;
pub mod prometheus;
pub mod registry;
pub mod routes;
pub mod scram;
pub mod server;
pub mod session;
pub mod startup;
pub mod statement;
pub mod stats;
pub mod stream;
pub mod tls;
pub mod worker;

pub use config::{Capacity, Commits, Config, Plaintext, Timeouts, TlsFiles};
pub use gateway::Gateway;
