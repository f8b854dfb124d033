//! HTTP: Heroku's Platform API and data API, the dashboard, and the gateway's routes. Handlers parse,
//! authorize, make one call and render; what is asked for is done by `howdah_control::requests`.

mod auth;
mod body;
mod dashboard;
mod data;
mod error;
mod howdah;
mod internal;
mod metrics;
mod not_offered;
mod object;
mod observe;
mod platform;
mod range;
mod rendezvous;
mod repeat;
mod router;
mod runner;
mod streams;
mod web;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use internal::internal_router;
pub use rendezvous::Rendezvous;
pub use router::router;
pub use web::App;

use web::Web;
