//! Heroku's data API: what the `pg:*` commands ask.

pub(crate) mod credentials;
pub(crate) mod databases;
pub(crate) mod info;
pub(crate) mod pooling;
pub(crate) mod protection;
