//! The gateway before a real PostgreSQL, with real clients.

mod cluster;
mod rig;

mod certificates;
mod figures;
mod hostile;
mod limits;
mod login;
mod losing;
mod moving;
mod names;
mod pooling;
mod protocol;
mod raw;
mod relay;
mod replication;
mod routes;
