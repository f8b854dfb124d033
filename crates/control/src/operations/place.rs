//! The effect that gives a database its participant.

mod copy;

use anyhow::{Result, bail};
use howdah_model::agent::Wanted;
use howdah_model::ids::{ParticipantId, ServerId};
use howdah_model::operation::provision::State;
use howdah_model::plan;
use howdah_store::databases::Database;
use howdah_store::participants::New;
use howdah_store::{Tx, databases, participants, placement, routes, servers, wakes};

use super::Facts;
use crate::engine::Fence;
use crate::participants::settings;
use crate::{Control, pool};

/// The most databases that one shared participant takes.
const MOST_SHARED: i64 = 500;

pub(super) async fn perform(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let database = databases::lock(&mut tx, facts.asked.database_id).await?;
    if database.participant_id.is_some() || database.wanted == Wanted::Absent {
        return Ok(());
    }
    let region = placement::region(&mut tx, database.app_id).await?;
    let housed = match &facts.copy {
        Some(copied) => copy::find(control, &mut tx, &region, &database, copied).await?,
        None => find(control, &mut tx, &region, &database).await?,
    };
    let revision = participants::raise(&mut tx, housed).await?;
    placement::place(&mut tx, database.id, housed, revision).await?;
    wakes::insert(&mut tx, &[database.id.0]).await?;
    routes::changed(&mut tx).await?;
    tx.commit().await?;
    control.news().pool.notify_one();
    Ok(())
}

/// A participant on the server with the fewest of those that have the version.
async fn find(
    control: &Control,
    tx: &mut Tx,
    region: &str,
    database: &Database,
) -> Result<ParticipantId> {
    let server = server(control, tx, region, database, None).await?;
    let there = if database.plan.shares_participant() {
        placement::shared(tx, server, database.major, MOST_SHARED).await?
    } else {
        pooled(tx, server, database).await?
    };
    match there {
        Some(there) => Ok(there),
        None => make(control, tx, server, database).await,
    }
}

/// Of the servers of a region that answer and have the version, the preferred one, else the one with
/// the fewest participants.
async fn server(
    control: &Control,
    tx: &mut Tx,
    region: &str,
    database: &Database,
    preferred: Option<ServerId>,
) -> Result<ServerId> {
    let ordered = servers::lock_region(tx, region).await?;
    let able = |server: &&ServerId| {
        let seen = control.sightings().fresh(**server, control.now());
        seen.is_some_and(|seen| {
            seen.server.installed.iter().any(|there| there.version.major == database.major)
        })
    };
    let first = ordered.iter().filter(|server| Some(**server) == preferred);
    match first.chain(&ordered).find(able) {
        Some(server) => Ok(*server),
        None => bail!(
            "none of the {} servers of region `{region}` answers and has PostgreSQL {}",
            ordered.len(),
            database.major
        ),
    }
}

async fn pooled(
    tx: &mut Tx,
    server: ServerId,
    database: &Database,
) -> Result<Option<ParticipantId>> {
    let made_for = plan::find(pool::PLAN)?;
    if !settings::same(made_for, database.plan) {
        return Ok(None);
    }
    Ok(placement::take_pooled(tx, server, database.major, database.plan).await?)
}

async fn make(
    control: &Control,
    tx: &mut Tx,
    server: ServerId,
    database: &Database,
) -> Result<ParticipantId> {
    let new = New {
        id: ParticipantId::new(),
        server_id: server,
        major: database.major,
        plan: database.plan,
        shared: database.plan.shares_participant(),
        pooled: false,
    };
    let why = format!("{} needs a participant", database.addon_name);
    participants::insert(tx, &new, &why, control.now()).await?;
    Ok(new.id)
}
