//! The supervisor of a participant: what it sees, and what it does.

mod feel;
mod perform;
pub mod settings;
pub(crate) mod spec;
mod tuning;

use std::sync::Arc;

use anyhow::Result;
use howdah_model::participant::{Effect, Participant, Seen, State};
pub(crate) use perform::send_spec;

use howdah_store::participants::{self, Participant as Row};
use howdah_store::{Tx, routes, wakes};
use jiff::Timestamp;
use uuid::Uuid;

use crate::Control;
use crate::engine::{Fence, Supervised};
use crate::servers::sightings::Sighting;

/// What is known of a participant.
#[derive(Debug)]
pub(crate) struct Facts {
    row: Row,
    /// What its server's agent said the last time, however long ago.
    last: Option<Arc<Sighting>>,
}

impl Supervised for Participant {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        let mut conn = control.reader().get().await?;
        let rows = participants::list(&mut conn, ids).await?;
        let facts = |row: Row| {
            let last = control.sightings().last(row.server_id);
            (row.id.0, Facts { row, last })
        };
        Ok(rows.into_iter().map(facts).collect())
    }

    fn seen(facts: &Facts, state: State, now: Timestamp) -> Seen {
        feel::seen(&facts.row, facts.last.as_deref(), state, now)
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.last.as_ref()?.participants.get(&facts.row.id)?.error.clone()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::PushSpec => perform::push_spec(control, &facts.row, fence).await,
            Effect::Restart => perform::restart(control, &facts.row, fence).await,
        }
    }

    async fn entered(
        tx: &mut Tx,
        facts: &Facts,
        _from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        if to == State::Removed {
            participants::removed(tx, facts.row.id, now).await?;
            routes::changed(tx).await?;
        }
        wakes::insert_for_databases(tx, facts.row.id).await
    }
}
