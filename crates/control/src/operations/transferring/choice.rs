//! What is read, what is filled, and by whose agent.

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::InstanceState;
use howdah_model::database::State;
use howdah_model::ids::{DatabaseId, ParticipantId, ServerId};
use howdah_model::protection::FollowingBy;
use howdah_store::databases::Placed;
use howdah_store::transfers::{self, Choice, SourceIs};
use howdah_store::{Connection, databases, lineage};
use std::fmt::Display;

use super::Facts;
use crate::Control;
use crate::engine::Fence;

/// How far behind its leader a follower may be that is read in its place, in bytes of WAL.
const NEAR: u64 = 16 * 1024 * 1024;

/// Where something is.
type Place = (ParticipantId, ServerId);

/// Chooses what is read for a backup: a follower when a healthy one is there (E7), else the database.
pub(crate) async fn choose_capture<S: Display>(
    control: &Control,
    facts: &Facts,
    fence: Fence<S>,
) -> Result<()> {
    let mut conn = control.reader().get().await?;
    let (from, server) = readable(control, &mut conn, facts.row.database_id).await?;
    drop(conn);
    write(control, facts, fence, Choice { from: Some(from), into: None, server }).await
}

/// Chooses what is filled, and what is read when that is of this platform.
pub(crate) async fn choose_restore<S: Display>(
    control: &Control,
    facts: &Facts,
    fence: Fence<S>,
) -> Result<()> {
    let mut conn = control.reader().get().await?;
    let target = placed(&mut conn, facts.row.database_id).await?;
    let (into, server) = place(&target)?;
    let from = match facts.row.source_is {
        SourceIs::Database => {
            let source = facts.row.source_id.context("it is not known what is copied")?;
            let (from, other) = readable(control, &mut conn, source).await?;
            if other != server {
                bail!("the two databases are on different servers");
            }
            Some(from)
        }
        SourceIs::Dump | SourceIs::Web | SourceIs::Foreign => None,
    };
    drop(conn);
    write(control, facts, fence, Choice { from, into: Some(into), server }).await
}

async fn write<S: Display>(
    control: &Control,
    facts: &Facts,
    fence: Fence<S>,
    choice: Choice,
) -> Result<()> {
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    transfers::choose(&mut tx, facts.row.id, &choice).await?;
    Ok(tx.commit().await?)
}

async fn placed(conn: &mut Connection, id: DatabaseId) -> Result<Placed> {
    let found = databases::list_placed(conn, &[id.0]).await?.pop();
    let found = found.context("the database is not there")?;
    if found.database.state != State::Available {
        bail!("{} is not available", found.database.addon_name);
    }
    Ok(found)
}

fn place(placed: &Placed) -> Result<Place> {
    let found = placed.database.participant_id.zip(placed.server_id);
    found.with_context(|| format!("{} has not been placed", placed.database.addon_name))
}

async fn readable(control: &Control, conn: &mut Connection, id: DatabaseId) -> Result<Place> {
    let own = placed(conn, id).await?;
    let leader = place(&own)?;
    for follower in lineage::followers(conn, id).await? {
        if let Some(place) = near(control, leader, &follower) {
            return Ok(place);
        }
    }
    Ok(leader)
}

/// Where a follower is, if it streams and has nearly all.
fn near(control: &Control, leader: Place, follower: &Placed) -> Option<Place> {
    let there = place(follower).ok()?;
    if follower.database.state != State::Available || there.1 != leader.1 {
        return None;
    }
    let sighting = control.sightings().fresh(there.1, control.now())?;
    let seen = sighting.participants.get(&there.0)?;
    let streams = seen.following.as_ref().is_some_and(|how| how.by == FollowingBy::Stream);
    let (own, ahead) = (seen.position?, sighting.participants.get(&leader.0)?.position?);
    let answers = seen.instance == InstanceState::Answering;
    let is_near = own.tli == ahead.tli && ahead.lsn.ahead_of(own.lsn) < NEAR;
    (answers && streams && is_near).then_some(there)
}
