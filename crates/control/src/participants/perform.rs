//! What the supervisor of a participant does.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::{ParticipantSpec, Refusal, Wanted};
use howdah_model::ids::ParticipantId;
use howdah_model::participant::State;
use howdah_store::participants::{self, Participant as Row};
use howdah_store::servers::{self, Server};

use super::spec;
use crate::Control;
use crate::engine::Fence;
use crate::servers::Failure;

/// Gives the agent the newest spec: one PUT. It needs no claim to be safe, as the agent refuses
/// what is older than it has.
pub(super) async fn push_spec(control: &Control, row: &Row, fence: Fence<State>) -> Result<()> {
    let server = server_of(control, row).await?;
    if control.sightings().fresh(server.id, control.now()).is_none() {
        // It would only take the time of others. When the server is seen again, all are woken.
        bail!("the agent of server `{}` does not answer", server.name);
    }
    match send_spec(control, &server, row.id).await {
        Ok(spec) if spec.wanted == Wanted::Absent => told(control, &server, &spec).await,
        Ok(_) => Ok(()),
        Err(error) => match error.downcast_ref() {
            Some(Failure::Refused(Refusal::Older { has, .. })) => {
                let mut tx = control.store().begin().await?;
                fence.check(&mut tx).await?;
                participants::outgrow(&mut tx, row.id, *has).await?;
                Ok(tx.commit().await?)
            }
            Some(Failure::Invalid(_) | Failure::Unreachable(_)) | None => Err(error),
        },
    }
}

async fn server_of(control: &Control, row: &Row) -> Result<Server> {
    let mut conn = control.reader().get().await?;
    servers::get(&mut conn, row.server_id).await?.context("its server is not registered")
}

/// Sends the newest spec of a participant, and answers it.
pub(crate) async fn send_spec(
    control: &Control,
    server: &Server,
    id: ParticipantId,
) -> Result<ParticipantSpec> {
    let mut snapshot = control.reader().snapshot().await?;
    let memory = control.sightings().last(server.id).map_or(0, |seen| seen.server.memory_total);
    let catalogue = control.config().catalogue;
    let spec = spec::build(&mut snapshot, id, memory, catalogue).await?;
    // The connection is not held while the agent is spoken to.
    drop(snapshot);
    control.servers().put(server, &spec).await?;
    Ok(spec)
}

/// Records a moment from which on the agent's observations know of the order to remove it.
async fn told(control: &Control, server: &Server, spec: &ParticipantSpec) -> Result<()> {
    let seen = control.servers().observe(server, None, Duration::ZERO).await?;
    let mut tx = control.store().begin().await?;
    participants::told(&mut tx, spec.id, spec.revision, seen.change).await?;
    tx.commit().await?;
    control.observed(seen).await
}

/// Asks for one restart: a new revision of the spec.
pub(super) async fn restart(control: &Control, row: &Row, fence: Fence<State>) -> Result<()> {
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    participants::restart(&mut tx, row.id, row.revision).await?;
    Ok(tx.commit().await?)
}
