//! Heroku's data API: what the `pg:*` commands ask.

pub(crate) mod credentials;
pub(crate) mod databases;
pub(crate) mod downloads;
pub(crate) mod info;
pub(crate) mod links;
pub(crate) mod maintenance;
pub(crate) mod pooling;
pub(crate) mod protection;
pub(crate) mod reports;
pub(crate) mod schedules;
pub(crate) mod settings;
pub(crate) mod transfers;
pub(crate) mod uploads;
