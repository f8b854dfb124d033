//! What is kept of a database that goes, so that it can be brought back.

use anyhow::{Context as _, Result};
use howdah_model::ids::DatabaseId;
use howdah_store::participants::Participant;
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
/// follower, which has nothing that its leader does not have. A participant does not go before its
/// first base backup; a database goes from a shared one at once.
pub(super) fn until(
    control: &Control,
    facts: &Facts,
    row: Option<&Participant>,
    published: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    let database = &facts.placed.database;
    let lost = row.is_none_or(|row| row.shared && !facts.has_backup());
    if !published || database.follows.is_some() || lost {
        return None;
    }
    let keep = database.plan.tier.protection(control.config().catalogue).keep;
    now.checked_add(std::time::Duration::from_secs(keep)).ok()
}
