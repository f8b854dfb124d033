//! Takes away what transfers have left that ended without their end: with the agent, or while their
//! server or the archive was away.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use howdah_cluster::logical::{fill, role};
use howdah_model::agent::{InstanceState, ParticipantSpec, Role as Part};
use howdah_model::ids::{ParticipantId, TransferId};
use howdah_model::transfer::TransferState;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Shared, lock};
use crate::clock;

/// How often it is looked for servers that were not tidied yet.
const EVERY: Duration = Duration::from_secs(5);
/// How often one is tidied in which nothing is known to be left.
const AGAIN: Duration = Duration::from_secs(3600);
/// How often it is looked for dumps in the archive that were never completed.
const REAPING: Duration = Duration::from_secs(6 * 3600);

/// Goes on until it is told to stop.
pub(super) async fn keep(shared: &Shared, stop: &CancellationToken) {
    let mut tidied: BTreeMap<ParticipantId, Instant> = BTreeMap::new();
    let mut reaped: Option<Instant> = None;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = round(shared, &mut tidied) => {}
        }
        if reaped.is_none_or(|at| at.elapsed() > REAPING) {
            reaped = Some(Instant::now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = reap(shared) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn reap(shared: &Shared) {
    let Some(archive) = &shared.archive else { return };
    match archive.reap_dumps(clock::now()).await {
        Ok(0) => {}
        Ok(attempts) => tracing::info!("removed {attempts} attempts at dumps that had no end"),
        Err(error) => tracing::warn!("what is left of dumps stays for now: {error}"),
    }
}

async fn round(shared: &Shared, tidied: &mut BTreeMap<ParticipantId, Instant>) {
    let Ok(specs) = shared.layout.read_specs() else { return };
    tidied.retain(|id, _| specs.wanted.contains_key(id));
    for (id, spec) in specs.wanted.iter().filter(|(_, spec)| spec.role == Part::Leader) {
        let left = lock(&shared.left).remove(id);
        let is_due = left || tidied.get(id).is_none_or(|at| at.elapsed() > AGAIN);
        let answers =
            shared.board.one(*id).is_some_and(|one| one.instance == InstanceState::Answering);
        if is_due && answers {
            match tidy(shared, spec).await {
                Ok(()) => {
                    tidied.insert(*id, Instant::now());
                    continue;
                }
                Err(error) => tracing::warn!(participant.id = %id, "tidy up: {error:#}"),
            }
        }
        if left {
            lock(&shared.left).insert(*id);
        }
    }
}

async fn tidy(shared: &Shared, spec: &ParticipantSpec) -> Result<()> {
    let (_, cluster) = shared.participant(spec.id)?;
    let is_wanted = |id: TransferId| {
        let spec = shared.layout.read_spec(spec.id);
        // A spec that cannot be read now may want all of them.
        spec.map_or(true, |spec| spec.databases.values().any(|one| one.filled == Some(id)))
    };
    let is_under_way = |id: TransferId| {
        shared
            .board
            .transfer(id)
            .is_some_and(|one| matches!(one.state, TransferState::Waiting | TransferState::Running))
    };
    fill::remove_others(&cluster, |id| is_under_way(id) || is_wanted(id)).await?;
    role::remove_others(&cluster, |name| lock(&shared.living).contains(name)).await?;
    Ok(())
}
