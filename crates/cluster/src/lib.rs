//! One PostgreSQL cluster on this machine: its programs, directory, configuration and processes,
//! and the roles and databases in it. Knows no network and no control plane.

pub mod brake;
pub mod canary;
pub mod cluster;
pub mod commands;
pub mod connection;
pub mod control_data;
pub mod copy;
mod copy_running;
pub mod databases;
pub mod diagnose;
pub mod durable;
pub mod extension_share;
pub mod installed;
pub mod links;
mod log;
pub mod logical;
pub mod look;
pub mod mode;
pub mod ownership;
pub mod postmaster;
mod proven;
mod ready_copy;
pub mod replication;
pub mod reserve;
pub mod rewind;
pub mod rows;
pub mod run_as;
pub mod settings;
pub mod sound;
pub mod sql;
pub mod standing;
mod start;
pub mod system;
pub mod template;

pub use cluster::Cluster;
pub use connection::{Connection, SqlError};
pub use copy_running::{Copied, copy_running};
pub use mode::{Mode, Recovery, RecoveryTarget, Standby};
pub use postmaster::{Postmaster, StopMode};
pub use run_as::RunAs;
pub use standing::{Receiving, Standing};
pub use start::StartError;
pub use template::Template;
