//! What the platform does. [`Control`] is what the API and the executable hold; `engine` moves the
//! state machines; `participants`, `databases` and `operations` hold the `feel` and `perform` of
//! each; `servers` speaks to the agents; `requests` is what people can ask for.

pub mod clock;
mod compliance;
pub mod config;
mod control;
mod databases;
pub mod engine;
mod erasing;
mod former_logins;
pub mod gateway;
pub mod incidents;
mod key_check;
pub mod keyring;
mod links;
pub mod logs;
mod maintaining;
pub mod metrics;
mod news;
mod observations;
mod operations;
pub mod participants;
pub mod password;
pub mod pool;
pub mod processes;
pub mod requests;
pub mod retention;
mod routes;
mod run;
pub mod scram;
pub mod servers;
mod transfers;

pub use control::Control;
pub use key_check::check_key;
