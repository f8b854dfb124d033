//! The router in process, over the real store on a throw-away PostgreSQL and the real engine; the
//! agent alone is simulated.

mod access;
mod addons;
mod admin;
mod agent;
mod apps;
mod backups;
mod copies;
mod credentials;
mod dashboard;
mod databases;
mod every_route;
mod ground;
mod maintenance;
mod metrics;
mod pooling;
mod processes;
mod repeated;
mod reports;
mod settings;
