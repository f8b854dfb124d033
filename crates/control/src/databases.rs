//! The supervisor of a database. It only observes.

use std::sync::Arc;

use anyhow::Result;
use howdah_model::agent::{Incarnation, InstanceState, Wanted};
use howdah_model::database::{Database, Effect, Presence, Seen, State};
use howdah_model::protection::FollowingBy;
use howdah_store::databases::{self, Placed};
use howdah_store::observations::{self, Observation};
use howdah_store::{Tx, routes, wakes};
use jiff::Timestamp;
use uuid::Uuid;

use crate::Control;
use crate::engine::{Fence, Supervised};
use crate::servers::sightings::Sighting;

/// What is known of a database.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) placed: Placed,
    /// What its server's agent said the last time, however long ago.
    pub(crate) last: Option<Arc<Sighting>>,
}

impl Facts {
    pub(crate) fn new(control: &Control, placed: Placed) -> Self {
        let last = placed.server_id.and_then(|server| control.sightings().last(server));
        Self { placed, last }
    }

    /// What stands in the way of its participant. Of a shared one that is nobody's business.
    pub(crate) fn hindrance(&self) -> Option<String> {
        let database = &self.placed.database;
        let participant =
            database.participant_id.filter(|_| !database.plan.shares_participant())?;
        self.last.as_ref()?.participants.get(&participant)?.error.clone()
    }

    /// Whether its history had a complete base backup the last time.
    pub(crate) fn has_backup(&self) -> bool {
        let participant = self.placed.database.participant_id;
        let seen = self.last.as_ref().zip(participant);
        let seen = seen.and_then(|(last, id)| last.participants.get(&id));
        let protected = seen.and_then(|seen| seen.protected.as_ref());
        protected.is_some_and(|protected| protected.backup.is_some())
    }

    /// The incarnation that was there the last time.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        let database = &self.placed.database;
        let participant = self.last.as_ref()?.participants.get(&database.participant_id?)?;
        participant.databases.get(&database.name).map(|seen| seen.incarnation)
    }

    /// What its participant says of the database.
    pub(crate) fn presence(&self, now: Timestamp) -> Presence {
        presence(&self.placed, self.last.as_deref().filter(|last| last.is_fresh(now)))
    }
}

fn presence(placed: &Placed, fresh: Option<&Sighting>) -> Presence {
    let database = &placed.database;
    let Some(participant) = database.participant_id else {
        return Presence::Absent;
    };
    if placed.participant_removed {
        return Presence::Absent;
    }
    let Some(sighting) = fresh else {
        return Presence::Unknown;
    };
    let Some(participant) = sighting.participants.get(&participant) else {
        return match database.wanted {
            Wanted::Present => Presence::Absent,
            // The participant's supervisor finds out whether it is gone for good.
            Wanted::Absent => Presence::Unknown,
        };
    };
    if participant.instance != InstanceState::Answering {
        return Presence::Unknown;
    }
    if let Some(following) = participant.following.as_ref().filter(|_| database.follows.is_some()) {
        return match following.by {
            FollowingBy::Stream | FollowingBy::Archive => Presence::Ready,
            // It is being repaired.
            FollowingBy::Rewind | FollowingBy::Clone => Presence::Unknown,
        };
    }
    match participant.databases.get(&database.name) {
        Some(seen) if seen.incarnation < database.incarnation => Presence::Outdated,
        Some(_) => Presence::Ready,
        None if database.wanted == Wanted::Present => Presence::Absent,
        // An older spec may still be at work; with this one applied it is gone with its roles.
        None if participant.applied.is_some_and(|applied| applied >= database.revision) => {
            Presence::Absent
        }
        None => Presence::Unknown,
    }
}

impl Supervised for Database {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        let mut conn = control.reader().get().await?;
        let rows = databases::list_placed(&mut conn, ids).await?;
        Ok(rows.into_iter().map(|row| (row.database.id.0, Facts::new(control, row))).collect())
    }

    fn seen(facts: &Facts, _state: State, now: Timestamp) -> Seen {
        Seen { wanted: facts.placed.database.wanted, presence: facts.presence(now) }
    }

    async fn perform(
        _control: &Control,
        _facts: &Facts,
        _fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {}
    }

    async fn entered(
        tx: &mut Tx,
        facts: &Facts,
        from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let id = facts.placed.database.id;
        let available = |state| state == State::Available;
        if available(from) != available(to) {
            let seen = if available(to) {
                Observation::new(id, now, None)
            } else {
                Observation::unavailable(id, now)
            };
            observations::insert(tx, &[seen]).await?;
        }
        if to == State::Removed {
            databases::removed(tx, id, now).await?;
        }
        routes::changed(tx).await?;
        wakes::insert_for_operations(tx, id).await
    }
}
