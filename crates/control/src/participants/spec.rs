//! The whole desired state of a participant, from the store.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use howdah_model::agent::{CredentialOf, CredentialSpec, DatabaseSpec, ParticipantSpec, Source};
use howdah_model::ids::ParticipantId;
use howdah_model::protection::Protection;
use howdah_store::credentials::Credential;
use howdah_store::databases::Database;
use howdah_store::participants::{self, Participant as Row};
use howdah_store::{Connection, credentials, databases};

use super::settings;

/// Reads the spec of a participant. All statements must see the same moment, so that one revision
/// is always the same spec; whatever changes it raises the revision in the same transaction.
///
/// # Errors
/// When there is no such participant, a database has no credential, or the store does not answer.
pub(crate) async fn build(
    snapshot: &mut Connection,
    id: ParticipantId,
    server_memory: u64,
) -> Result<ParticipantSpec> {
    let row = participants::get(snapshot, id).await?.context("the participant is not there")?;
    let wanted = databases::list_wanted(snapshot, id).await?;
    let all = credentials::list_of_participant(snapshot, id).await?;
    let mut specs = BTreeMap::new();
    for database in wanted {
        let own: Vec<_> = all.iter().filter(|one| one.database_id == database.id).collect();
        specs.insert(database.name.clone(), of_database(&database, &own)?);
    }
    Ok(spec(&row, specs, server_memory))
}

fn spec(
    row: &Row,
    databases: BTreeMap<howdah_model::name::DatabaseName, DatabaseSpec>,
    server_memory: u64,
) -> ParticipantSpec {
    ParticipantSpec {
        id: row.id,
        timeline: row.timeline_id,
        epoch: row.epoch,
        revision: row.revision,
        wanted: row.wanted,
        role: row.role,
        source: Source::Empty,
        leader: None,
        protection: Protection::default(),
        major: row.major,
        restarts: row.restarts,
        settings: settings::of(row.plan, row.shared, server_memory),
        databases,
    }
}

fn of_database(database: &Database, credentials: &[&Credential]) -> Result<DatabaseSpec> {
    let owner = credentials
        .iter()
        .find(|one| one.name == credentials::DEFAULT)
        .with_context(|| format!("{} has no default credential", database.addon_name))?;
    let spec = |one: &&Credential| CredentialSpec {
        role: one.role.clone(),
        verifier: one.verifier.clone(),
        connection_limit: database.plan.connections,
        of: CredentialOf::Own,
    };
    Ok(DatabaseSpec {
        incarnation: database.incarnation,
        owner: owner.role.clone(),
        credentials: credentials.iter().map(spec).collect(),
        settings: BTreeMap::new(),
        extensions: database.extensions.clone(),
        adopts: None,
    })
}
