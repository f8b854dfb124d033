//! Where a database with another's data goes: into a participant of its own, on the server that has
//! the data when that can be.

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::{Role, Wanted};
use howdah_model::ids::{ParticipantId, ServerId};
use howdah_model::operation::provision::{Copied, How};
use howdah_model::protection::{Origin, Until};
use howdah_store::Tx;
use howdah_store::databases::{self, Database};
use howdah_store::participants::{self, New, Participant};

use crate::Control;

pub(super) async fn find(
    control: &Control,
    tx: &mut Tx,
    region: &str,
    database: &Database,
    copied: &Copied,
) -> Result<ParticipantId> {
    let source = databases::get(tx, copied.source).await?.context("the source is not there")?;
    let there = match source.participant_id {
        Some(id) => participants::get(tx, id).await?,
        None => None,
    };
    let there = there.with_context(|| format!("{} has no data yet", source.addon_name))?;
    let server = super::server(control, tx, region, database, Some(there.server_id)).await?;
    let living = is_living(&source, &there, copied);
    match copied.how {
        How::Follow if living => follow(control, tx, database, server, &there, copied).await,
        How::Follow => bail!("{} cannot be followed any more", source.addon_name),
        How::Fork | How::Rollback | How::Undelete => {
            copy(control, tx, database, server, &there, living, copied).await
        }
    }
}

/// Whether the participant still leads the history that the data is in.
fn is_living(source: &Database, there: &Participant, copied: &Copied) -> bool {
    source.wanted == Wanted::Present
        && (there.wanted, there.role) == (Wanted::Present, Role::Leader)
        && there.timeline_id == copied.timeline
}

fn new(database: &Database, server: ServerId) -> New {
    New {
        id: ParticipantId::new(),
        server_id: server,
        major: database.major,
        plan: database.plan,
        shared: false,
        pooled: false,
    }
}

async fn follow(
    control: &Control,
    tx: &mut Tx,
    database: &Database,
    server: ServerId,
    leader: &Participant,
    copied: &Copied,
) -> Result<ParticipantId> {
    // The leader makes the follower's role, which comes by replication.
    participants::raise(tx, leader.id).await?;
    let new = new(database, server);
    let beside = (leader.server_id == server).then_some(leader.id);
    let origin = Origin { timeline: copied.timeline, beside, until: copied.until };
    let why = format!("{} is to follow another", database.addon_name);
    participants::insert_follower(tx, &new, &origin, leader.id, &why, control.now()).await?;
    Ok(new.id)
}

async fn copy(
    control: &Control,
    tx: &mut Tx,
    database: &Database,
    server: ServerId,
    there: &Participant,
    living: bool,
    copied: &Copied,
) -> Result<ParticipantId> {
    let new = new(database, server);
    let now = matches!(copied.until, Until::Now { .. });
    let beside = (living && now && there.server_id == server).then_some(there.id);
    let origin = Origin { timeline: copied.timeline, beside, until: copied.until };
    let why = format!("{} is to have another's data", database.addon_name);
    participants::insert_copy(tx, &new, &origin, &why, control.now()).await?;
    Ok(new.id)
}
