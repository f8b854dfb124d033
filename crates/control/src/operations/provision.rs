//! Making a database.

use anyhow::{Context as _, Result};
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::provision::{Copied, Data, Effect, How, Provision, Seen, State};
use howdah_store::{Connection, Tx, databases, participants};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts as Asked, mark, place, publish, withdraw};
use crate::Control;
use crate::engine::{Fence, Supervised};

/// What is known of the making of a database.
#[derive(Debug)]
pub(crate) struct Facts {
    asked: Asked,
    /// Whether its participant has stood still for too long.
    still: bool,
    /// Whether the leader of a follower has the follower's role.
    role: bool,
}

impl Facts {
    async fn new(control: &Control, asked: Asked) -> Result<Self> {
        let participant = asked.database.placed.database.participant_id;
        let now = control.now();
        let still = participant.is_some_and(|id| control.sightings().stands_still(id, now));
        let role = match asked.copy {
            Some(Copied { how: How::Follow, source, .. }) => {
                leader_is_ready(control, &mut *control.reader().get().await?, source).await?
            }
            Some(_) | None => true,
        };
        Ok(Self { asked, still, role })
    }

    fn data(&self, now: Timestamp) -> Data {
        if self.asked.copy.is_none() {
            return Data::Empty;
        }
        let fresh = self.asked.database.last.as_ref().is_some_and(|last| last.is_fresh(now));
        if fresh && self.still { Data::StalledCopy } else { Data::Copy }
    }
}

/// Whether the leader has applied all that it was told: the follower's role is in that.
async fn leader_is_ready(
    control: &Control,
    conn: &mut Connection,
    leader: howdah_model::ids::DatabaseId,
) -> Result<bool> {
    let database = databases::get(conn, leader).await?.context("its leader is not there")?;
    let Some(id) = database.participant_id else {
        return Ok(false);
    };
    let row =
        participants::get(conn, id).await?.context("its leader's participant is not there")?;
    let last = control.sightings().last(row.server_id);
    let seen = last.as_ref().and_then(|last| last.participants.get(&id));
    Ok(seen.is_some_and(|seen| {
        seen.epoch == row.epoch && seen.applied.is_some_and(|applied| applied >= row.revision)
    }))
}

impl Supervised for Provision {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        let mut all = Vec::new();
        for (id, asked) in super::feel(control, ids).await? {
            all.push((id, Facts::new(control, asked).await?));
        }
        Ok(all)
    }

    fn seen(all: &Facts, _state: State, now: Timestamp) -> Seen {
        let facts = &all.asked;
        let database = &facts.database.placed.database;
        Seen {
            wish: facts.wish(),
            place: mark(database.participant_id.is_some()),
            data: all.data(now),
            role: mark(all.role),
            release: mark(facts.released),
            database: database.state,
            withdrawn: facts.withdrawn(),
        }
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.asked.database.hindrance()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        let facts = &facts.asked;
        match effect {
            Effect::Place => place::perform(control, facts, fence).await,
            Effect::Publish => publish::perform(control, facts, fence).await,
            Effect::Withdraw => withdraw::perform(control, facts, fence).await,
        }
    }

    async fn entered(
        tx: &mut Tx,
        facts: &Facts,
        _from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let outcome = match to {
            State::Placing
            | State::Making
            | State::Copying
            | State::Publishing
            | State::Undoing => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, &facts.asked, outcome, Self::is_over(to), now).await
    }
}
