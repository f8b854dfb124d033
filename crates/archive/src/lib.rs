//! The archive: WAL and base backups of every timeline in an object store (a directory, S3, Google
//! Cloud Storage, Azure). It knows no control plane and no running server: whoever has WAL puts it
//! here, whoever restores takes it from here. docs/archive.md has the layout.
//!
//! Three promises hold everything up. An object is never replaced by one with other content. What
//! was put is durable when the call returns. What is read back is what was put, or it is an error.

pub mod archive;
pub mod backup;
pub mod config;
pub mod dump;
mod envelope;
mod error;
pub mod expiry;
mod layout;
pub mod quiet;
pub mod restore;
mod store;
pub mod timeline;
pub mod wal;

pub use archive::{Archive, Checked};
pub use config::{BadConfig, Config, Credentials, Key, Location, Provider, Remote};
pub use error::Error;
pub use expiry::{Expired, Expiry};
pub use layout::{Generation, Piece};
pub use store::Stored;
pub use timeline::{About, Timeline};
pub use wal::index::{Gap, Line, WalIndex};
pub use wal::{Fetched, NotAWalName, SEGMENT_SIZE, Segment, Switch, WalName};
