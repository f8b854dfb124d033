//! The dashboard: pages made here, which need no script and nothing from elsewhere. They ask for
//! the same things as the API, in the same way.

mod activity;
mod apps;
mod browser;
mod change;
mod database;
mod pages;
mod pools;
mod session;
mod snapshots;

pub(crate) use apps::{add_database, create, index, show as app};
pub(crate) use browser::{icon, style, to_pages};
pub(crate) use change::{destroy, promote, reset};
pub(crate) use database::{reveal, show as database};
pub(crate) use session::{log_in, log_out, login, sign_up, signup};
pub(crate) use snapshots::{delete as delete_snapshot, download, set_plan, take as snapshot};
