//! The platform's own database: migrations and every SQL statement, one file per table.
//!
//! Functions are named noun first, by module (`store::machines::claim`). Those that read take a
//! [`Connection`], those that write take a [`Tx`], which only [`Store::begin`] gives; whoever has
//! only a [`Reader`] cannot write. Time is handed in, never SQL's `now()`.
//!
//! Locks are taken in this order, so that transactions do not wait for each other in a circle: the
//! own machine, apps, databases, servers, participants; within a table in the order of the ids.
//! Rows are locked with `for no key update`, which lets others insert rows that refer to them. To
//! wake a machine takes no lock (see [`wakes`]).

mod column;
mod connection;
mod error;
mod exclusive;

pub mod accounts;
pub mod addons;
pub mod answered_requests;
pub mod apps;
pub mod attachments;
pub mod backup_plans;
pub mod collaborators;
pub mod config_vars;
pub mod credentials;
pub mod database_settings;
pub mod databases;
pub mod figures;
pub mod formation;
pub mod incidents;
pub mod lineage;
pub mod links;
pub mod logins;
pub mod machines;
pub mod maintenances;
pub mod observations;
pub mod operations;
pub mod participants;
pub mod placement;
pub mod releases;
pub mod reports;
pub mod routes;
pub mod schedules;
pub mod servers;
pub mod ssh_keys;
pub mod stages;
pub mod succession;
pub mod timelines;
pub mod tokens;
pub mod transfers;
pub mod transitions;
pub mod uploads;
pub mod wakes;

pub use column::{Named, Sealed};
pub use connection::{Connection, ReadConnection, Reader, Snapshot, Store, Tx};
pub use error::{Error, Result};
pub use exclusive::Exclusive;
pub use sqlx::postgres::PgConnectOptions as ConnectOptions;
