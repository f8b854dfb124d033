//! What is kept of a database that goes, so that it can be brought back.

use anyhow::{Context as _, Result};
use howdah_model::ids::DatabaseId;
use howdah_store::{Connection, attachments};
use jiff::Timestamp;
use serde_json::Value;

use crate::Control;
use crate::databases::Facts;
use crate::requests::undelete::KeptName;

/// The attachments of a database, as they are kept.
pub(super) async fn names(conn: &mut Connection, database: DatabaseId) -> Result<Value> {
    let all = attachments::list_by_database(conn, database).await?;
    let names: Vec<_> = all
        .into_iter()
        .map(|one| KeptName { app: one.app_id, name: one.name, namespace: one.namespace })
        .collect();
    serde_json::to_value(names).context("write the names of a database")
}

/// Until when a database can be brought back. One that nobody was ever given is not kept, nor is a
/// follower, which has nothing that its leader does not have; and there is nothing to begin with
/// before the first base backup.
pub(super) fn until(
    control: &Control,
    database: &Facts,
    published: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    let has_backup = database.has_backup();
    let database = &database.placed.database;
    if !published || database.follows.is_some() || !has_backup {
        return None;
    }
    let keep = database.plan.tier.protection(control.config().catalogue).keep;
    now.checked_add(std::time::Duration::from_secs(keep)).ok()
}
