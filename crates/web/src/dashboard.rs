//! The dashboard: pages made here, which need no script and nothing from elsewhere. They ask for
//! the same things as the API, in the same way.

mod apps;
mod database;
mod pages;
mod session;

pub(crate) use apps::{add_database, create, index, show as app};
pub(crate) use database::{destroy, reset, reveal, show as database};
pub(crate) use pages::{style, to_pages};
pub(crate) use session::{log_in, log_out, login, sign_up, signup};
