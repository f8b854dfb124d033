//! Making a follower a database of its own.

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::{InstanceState, ParticipantObservation, Role};
use howdah_model::ids::TimelineId;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::unfollow::{Effect, Seen, State, Unfollow};
use howdah_store::participants::Participant as Row;
use howdah_store::{
    Tx, database_settings, databases, lineage, logins, operations, participants, routes, timelines,
    wakes,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts as Asked, mark};
use crate::Control;
use crate::engine::{Fence, Supervised};

/// What is known of an unfollowing.
#[derive(Debug)]
pub(crate) struct Facts {
    asked: Asked,
    /// The participant of the follower.
    row: Option<Row>,
}

impl Facts {
    fn seen(&self) -> Option<&ParticipantObservation> {
        self.asked.database.last.as_ref()?.participants.get(&self.row.as_ref()?.id)
    }

    /// Whether the agent says that it leads, and has made the database its own.
    fn leads(&self) -> bool {
        let (Some(row), Some(seen)) = (&self.row, self.seen()) else {
            return false;
        };
        row.role == Role::Leader
            && seen.instance == InstanceState::Answering
            && seen.epoch == row.epoch
            && seen.applied.is_some_and(|applied| applied >= row.revision)
    }
}

impl Supervised for Unfollow {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        let mut all = Vec::new();
        for (id, asked) in super::feel(control, ids).await? {
            let row = match asked.database.placed.database.participant_id {
                Some(there) => {
                    participants::get(&mut *control.reader().get().await?, there).await?
                }
                None => None,
            };
            all.push((id, Facts { asked, row }));
        }
        Ok(all)
    }

    fn seen(facts: &Facts, _state: State, _now: Timestamp) -> Seen {
        let database = &facts.asked.database.placed.database;
        Seen {
            wish: facts.asked.wish(),
            leader: mark(facts.row.as_ref().is_some_and(|row| row.role == Role::Leader)),
            leads: mark(facts.leads()),
            parted: mark(database.follows.is_none()),
            database: database.state,
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
        match effect {
            Effect::Lead => lead(control, facts, fence).await,
            Effect::Part => part(control, facts, fence).await,
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
            State::Requested | State::Promoting | State::Parting => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, &facts.asked, outcome, Self::is_over(to), now).await
    }
}

/// One write: from here on it leads a timeline of its own, with its own role as the owner.
async fn lead(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let asked = &facts.asked.asked;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let database = databases::lock(&mut tx, asked.database_id).await?;
    let now = operations::get(&mut tx, asked.id).await?.context("the operation is not there")?;
    let Some(id) = database.participant_id else {
        bail!("{} has not been placed yet", database.addon_name);
    };
    let row = participants::get(&mut tx, id).await?.context("its participant is not there")?;
    if row.role == Role::Leader || now.cancelled_at.is_some() {
        return Ok(());
    }
    let position = facts.seen().and_then(|seen| seen.position);
    let (timeline, time) = (TimelineId::new(), control.now());
    let branch = position.map(|position| position.lsn);
    timelines::branch(&mut tx, timeline, row.timeline_id, branch, row.major, time).await?;
    lineage::lead(&mut tx, database.id, facts.asked.database.incarnation()).await?;
    // Who logs in by a former name acts as an owner that is another's from here on.
    logins::revoke_of_database(&mut tx, database.id, time).await?;
    routes::changed(&mut tx).await?;
    participants::lead(&mut tx, id, timeline).await?;
    wakes::insert(&mut tx, &[database.id.0]).await?;
    Ok(tx.commit().await?)
}

/// One write: the leader of before is told to forget the role.
async fn part(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let database = databases::lock(&mut tx, facts.asked.asked.database_id).await?;
    let Some(leader) = database.follows else {
        return Ok(());
    };
    database_settings::inherit(&mut tx, database.id, leader).await?;
    lineage::part(&mut tx, database.id).await?;
    let leader = databases::get(&mut tx, leader).await?.context("its leader is not there")?;
    if let Some(there) = leader.participant_id {
        participants::raise(&mut tx, there).await?;
    }
    wakes::insert(&mut tx, &[database.id.0]).await?;
    routes::changed(&mut tx).await?;
    Ok(tx.commit().await?)
}
