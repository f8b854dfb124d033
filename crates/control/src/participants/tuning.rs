//! What people have set of databases, in the spec of their participant.

use anyhow::Result;
use howdah_model::agent::ParticipantSpec;
use howdah_model::database_setting::{Changed, of_database, of_server};
use howdah_store::participants::Participant as Row;
use howdah_store::{Connection, database_settings};

/// Adds the settings of the databases, and those of the server that a database has for itself.
pub(super) async fn tune(
    snapshot: &mut Connection,
    row: &Row,
    spec: &mut ParticipantSpec,
) -> Result<()> {
    let (all, none) =
        (database_settings::list_of_participant(snapshot, row.id).await?, Changed::new());
    for (name, database) in &mut spec.databases {
        let changed = all.get(name).unwrap_or(&none);
        database.settings = of_database(changed, row.plan.tier);
        if !row.shared {
            spec.settings.extend(of_server(changed, row.plan.tier));
        }
    }
    Ok(())
}
