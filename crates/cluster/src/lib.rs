//! One PostgreSQL cluster on this machine: its programs, directory, configuration and processes,
//! and the roles and databases in it. Knows no network and no control plane.

pub mod cluster;
pub mod connection;
pub mod copy;
pub mod databases;
pub mod durable;
pub mod extension_share;
pub mod installed;
mod log;
pub mod look;
pub mod postmaster;
mod proven;
mod ready_copy;
pub mod run_as;
pub mod settings;
pub mod sql;
pub mod system;
pub mod template;

pub use cluster::{Cluster, StartError};
pub use connection::{Connection, SqlError};
pub use postmaster::{Postmaster, StopMode};
pub use run_as::RunAs;
pub use template::Template;
