//! Changing a database's plan by a follower that takes its place.

mod effects;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use howdah_model::agent::{InstanceState, ParticipantObservation, Role, Run, Wanted};
use howdah_model::ids::ParticipantId;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::change_plan::{
    Arguments, ChangePlan, Effect, Next, Old, Seen, Sessions, Stage, State,
};
use howdah_model::plan::{self, Plan};
use howdah_model::protection::{FollowingBy, Position};
use howdah_store::participants::Participant as Row;
use howdah_store::{Connection, Tx, participants, stages};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts as Asked, mark};
use crate::Control;
use crate::engine::{Fence, Supervised};
use crate::servers::sightings::Sighting;

/// What a follower may have to replay when sessions begin to wait, in bytes: a second's work.
const NEAR: u64 = 64 * 1024 * 1024;

/// What is known of a change of plan.
#[derive(Debug)]
pub(crate) struct Facts {
    asked: Asked,
    plan: &'static Plan,
    next_id: ParticipantId,
    /// The participant to come, once it was asked for.
    next: Option<Row>,
    /// Whether that one has stood still for too long while it was made.
    still: bool,
    /// The participant of before.
    old: Option<Row>,
    stage: Stage,
    sessions: Sessions,
    /// What the agent of both said the last time.
    last: Option<Arc<Sighting>>,
}

impl Facts {
    async fn new(control: &Control, asked: Asked) -> Result<Self> {
        let arguments: Arguments = serde_json::from_value(asked.asked.arguments.clone())
            .context("read which plan is asked for")?;
        let mut conn = control.reader().get().await?;
        let next = participants::get(&mut conn, arguments.next).await?;
        let old = old(&mut conn, &asked, &arguments, next.as_ref()).await?;
        let stage = stage(&mut conn, &asked, control.now()).await?;
        // The connection is not held while the gateway is spoken to.
        drop(conn);
        let holding = asked.asked.state == State::Holding.to_string() && stage == Stage::Held;
        let sessions = if holding { sessions(control, &asked).await } else { Sessions::Unknown };
        let server = old.as_ref().or(next.as_ref()).map(|row| row.server_id);
        Ok(Self {
            plan: plan::find(&arguments.plan)?,
            next_id: arguments.next,
            still: control.sightings().stands_still(arguments.next, control.now()),
            last: server.and_then(|server| control.sightings().last(server)),
            asked,
            next,
            old,
            stage,
            sessions,
        })
    }

    /// What the agent says of a participant, if that is about the newest that it was told.
    fn seen(&self, row: &Row) -> Option<&ParticipantObservation> {
        let seen = self.last.as_ref()?.participants.get(&row.id)?;
        let is_newest =
            seen.epoch == row.epoch && seen.applied.is_some_and(|applied| applied >= row.revision);
        is_newest.then_some(seen)
    }

    /// Where the old server's WAL ends, once it has ended in order.
    fn end(&self) -> Option<Position> {
        let row = self.old.as_ref().filter(|row| row.run == Run::Stopped)?;
        let seen = self.seen(row).filter(|seen| seen.instance == InstanceState::Down)?;
        seen.position
    }

    fn old_fares(&self) -> Old {
        match &self.old {
            Some(row) if row.wanted == Wanted::Present => match row.run {
                Run::Up => Old::Runs,
                Run::Stopped if self.end().is_some() => Old::Stopped,
                Run::Stopped => Old::Stopping,
            },
            Some(_) | None => Old::Leaving,
        }
    }

    fn next_fares(&self, now: Timestamp) -> Next {
        let Some(row) = &self.next else { return Next::Missing };
        if row.removed_at.is_some() {
            return Next::Gone;
        }
        if row.wanted == Wanted::Absent {
            return Next::Leaving;
        }
        let fresh = self.last.as_ref().is_some_and(|last| last.is_fresh(now));
        let Some(seen) = self.seen(row) else {
            return if self.still && fresh { Next::Stalled } else { Next::Making };
        };
        match (row.role, seen.instance, &seen.following) {
            (Role::Leader, InstanceState::Answering, None) => Next::Leads,
            (Role::Follower, InstanceState::Answering, Some(following)) if fresh => {
                self.has_come(seen.position, following.by)
            }
            _ => Next::Making,
        }
    }

    fn has_come(&self, own: Option<Position>, by: FollowingBy) -> Next {
        let Some(own) = own else { return Next::Behind };
        if let Some(end) = self.end() {
            let has_all = own.tli == end.tli && own.lsn > end.lsn;
            return if has_all { Next::Complete } else { Next::Near };
        }
        let leader =
            self.old.as_ref().and_then(|old| self.last.as_ref()?.participants.get(&old.id));
        match leader.and_then(|leader| leader.position) {
            Some(leader) if by == FollowingBy::Stream && leader.lsn.ahead_of(own.lsn) < NEAR => {
                Next::Near
            }
            Some(_) | None => Next::Behind,
        }
    }
}

/// The participant that the database is to leave: where it is before the move, and after that the
/// one that the next was made from.
async fn old(
    conn: &mut Connection,
    asked: &Asked,
    arguments: &Arguments,
    next: Option<&Row>,
) -> Result<Option<Row>> {
    let made_from = next.and_then(|next| next.source.as_ref()?.beside);
    let on = asked.database.placed.database.participant_id;
    let old = made_from.or(on).filter(|old| *old != arguments.next);
    Ok(match old {
        Some(id) => participants::get(conn, id).await?,
        None => None,
    })
}

async fn stage(conn: &mut Connection, asked: &Asked, now: Timestamp) -> Result<Stage> {
    let name = stages::named(conn, asked.asked.database_id, now).await?;
    Ok(match name.as_deref() {
        Some("prepare") => Stage::Prepared,
        Some(_) => Stage::Held,
        None => Stage::Open,
    })
}

/// What the gateway says of the sessions while clients wait: the sooner it is known, the shorter
/// they do. One that does not answer makes it as long as the grace.
async fn sessions(control: &Control, asked: &Asked) -> Sessions {
    match control.gateway().is_quiet(asked.asked.database_id).await {
        Ok(true) => Sessions::Quiet,
        Ok(false) => Sessions::Busy,
        Err(away) => {
            tracing::debug!("how sessions stand is not known: {away}");
            Sessions::Unknown
        }
    }
}

impl Supervised for ChangePlan {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        let mut all = Vec::new();
        for (id, asked) in super::feel(control, ids).await? {
            all.push((id, Facts::new(control, asked).await?));
        }
        Ok(all)
    }

    fn seen(facts: &Facts, _state: State, now: Timestamp) -> Seen {
        let database = &facts.asked.database.placed.database;
        Seen {
            wish: facts.asked.wish(),
            wanted: database.wanted,
            next: facts.next_fares(now),
            old: facts.old_fares(),
            stage: facts.stage,
            sessions: facts.sessions,
            moved: mark(database.participant_id == Some(facts.next_id)),
        }
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.last.as_ref()?.participants.get(&facts.next_id)?.error.clone()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        effects::perform(control, facts, fence, effect).await
    }

    async fn entered(
        tx: &mut Tx,
        facts: &Facts,
        _from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let outcome = match to {
            State::Requested
            | State::Following
            | State::Preparing
            | State::Holding
            | State::Fencing
            | State::Promoting
            | State::Removing
            | State::Undoing => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, &facts.asked, outcome, Self::is_over(to), now).await
    }
}
