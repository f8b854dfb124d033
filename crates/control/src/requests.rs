//! What people can ask for: every write that the API makes, each in one transaction, with errors
//! for whoever asked. Nothing here waits for a machine longer than it is told to.

mod copies;
mod options;
mod password;

pub(crate) mod naming;

pub mod accounts;
pub mod addons;
pub mod answers;
pub mod apps;
pub mod attachments;
pub mod backup_plans;
pub mod backups;
pub mod collaborators;
pub mod config;
pub mod credentials;
pub mod databases;
pub mod diagnose;
pub mod downloads;
pub mod error;
pub mod following;
pub mod keys;
pub mod lineage;
pub mod links;
pub mod maintenance;
pub mod moves;
pub mod plans;
pub mod pools;
pub mod processes;
pub mod progress;
pub mod protection;
pub mod releases;
pub mod resolve;
pub mod restores;
pub mod schedules;
pub mod settings;
pub mod undelete;
pub mod uploads;

use howdah_store::Tx;
use howdah_store::operations::{self, New, NotAdmitted};
use jiff::Timestamp;

pub use error::{Error, Noun, Result};

/// A random number for invented names.
fn random() -> u64 {
    let mut bytes = [0; 8];
    crate::password::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Begins an operation on a database, by the name that people know it by.
async fn begin(tx: &mut Tx, asked: &New, addon: &str, now: Timestamp) -> Result<()> {
    operations::insert(tx, asked, now).await.map_err(|error| match error {
        NotAdmitted::Refused { why, .. } => Error::Conflict(format!(
            "{addon} cannot be changed now: {why}. Wait with `pg:wait {addon}`, then try again."
        )),
        NotAdmitted::Store(error) => error.into(),
    })
}
