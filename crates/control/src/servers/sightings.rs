//! The newest observation of every server, in memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use howdah_model::agent::{InstanceState, ParticipantObservation, ServerObservation};
use howdah_model::ids::{ParticipantId, ServerId, TransferId};
use howdah_model::protection::{FollowingBy, MakingStep};
use howdah_model::transfer::{TransferObservation, TransferState};
use howdah_store::wakes::Changed;
use jiff::Timestamp;

/// An observation that is older than this says nothing about now.
pub const FRESH: Duration = Duration::from_secs(10);

/// What was seen of one server the last time.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When it came, by our clock.
    pub received: Timestamp,
    /// The whole observation but for the participants.
    pub server: ServerObservation,
    /// The participants, by id.
    pub participants: HashMap<ParticipantId, ParticipantObservation>,
}

impl Sighting {
    fn new(mut server: ServerObservation, received: Timestamp) -> Self {
        let all = std::mem::take(&mut server.participants);
        let participants = all.into_iter().map(|one| (one.id, one)).collect();
        Self { received, server, participants }
    }

    /// What was said of a transfer.
    #[must_use]
    pub fn transfer(&self, id: TransferId) -> Option<&TransferObservation> {
        self.server.transfers.iter().find(|one| one.id == id)
    }

    /// Whether a transfer is at work.
    #[must_use]
    pub fn is_copying(&self) -> bool {
        self.server.transfers.iter().any(|one| one.state == TransferState::Running)
    }

    /// Whether it still says something about `now`.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.received).unsigned_abs() <= FRESH
    }
}

/// The newest observation of every server.
#[derive(Debug, Default)]
pub struct Sightings {
    by_server: RwLock<HashMap<ServerId, Arc<Sighting>>>,
    /// What has changed and could not be told to the store yet.
    untold: Mutex<HashMap<ServerId, Changed>>,
    /// Servers whose last observation was found to be too old.
    silent: Mutex<HashSet<ServerId>>,
    /// How far each participant is with what it is made from, and since when.
    progress: Mutex<HashMap<ParticipantId, (Progress, Timestamp)>>,
    /// The same of each transfer.
    transfers: Mutex<HashMap<TransferId, (Copied, Timestamp)>>,
}

/// What changes while a transfer is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Copied {
    state: TransferState,
    step: String,
    processed: u64,
}

/// What changes while a participant is made: when nothing of it does, it stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    instance: InstanceState,
    made: Option<(MakingStep, u64)>,
    following: Option<FollowingBy>,
    applied: bool,
    databases: usize,
}

/// How long a participant may stand still while it is made, before that counts.
const PATIENCE: Duration = Duration::from_secs(600);
/// The same while nothing tells how far it is: PostgreSQL replays and does not answer.
const BLIND_PATIENCE: Duration = Duration::from_secs(6 * 3600);

impl Progress {
    fn patience(&self) -> Duration {
        let replays = matches!(self.made, Some((MakingStep::Replaying, 0)));
        let starts = self.made.is_none() && self.instance == InstanceState::Starting;
        if replays || starts { BLIND_PATIENCE } else { PATIENCE }
    }

    fn of(seen: &ParticipantObservation) -> Self {
        Self {
            instance: seen.instance,
            made: seen.making.as_ref().map(|making| (making.step, making.done)),
            following: seen.following.as_ref().map(|following| following.by),
            applied: seen.applied.is_some(),
            databases: seen.databases.len(),
        }
    }
}

impl Sightings {
    /// What was seen of a server the last time, however long ago.
    #[must_use]
    pub fn last(&self, server: ServerId) -> Option<Arc<Sighting>> {
        let all = self.by_server.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&server).cloned()
    }

    /// What was seen of a server, unless that is too long ago.
    #[must_use]
    pub fn fresh(&self, server: ServerId, now: Timestamp) -> Option<Arc<Sighting>> {
        self.last(server).filter(|sighting| sighting.is_fresh(now))
    }

    /// The sightings of all servers that are fresh.
    #[must_use]
    pub fn all_fresh(&self, now: Timestamp) -> Vec<(ServerId, Arc<Sighting>)> {
        let all = self.by_server.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = all.iter().filter(|(_, sighting)| sighting.is_fresh(now));
        let mut fresh: Vec<_> = fresh.map(|(id, sighting)| (*id, sighting.clone())).collect();
        fresh.sort_by_key(|(id, _)| *id);
        fresh
    }

    /// Takes an observation and answers what differs from the last one. One that is older than
    /// the last is left out: an agent's numbers grow for ever.
    pub fn take(&self, observation: ServerObservation, now: Timestamp) -> Changed {
        let server = observation.server;
        let last = self.last(server);
        if last.as_ref().is_some_and(|last| last.server.change > observation.change) {
            return Changed::default();
        }
        let next = Arc::new(Sighting::new(observation, now));
        self.note_progress(last.as_deref(), &next);
        self.note_transfers(last.as_deref(), &next);
        let mut changed = difference(last.filter(|last| last.is_fresh(now)).as_deref(), &next);
        if let Some(untold) = locked(&self.untold).remove(&server) {
            changed.add(untold);
        }
        locked(&self.silent).remove(&server);
        let mut all = self.by_server.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(server, next);
        changed
    }

    fn note_progress(&self, last: Option<&Sighting>, next: &Sighting) {
        let mut all = locked(&self.progress);
        let before = last.iter().flat_map(|last| last.participants.keys());
        for gone in before.filter(|id| !next.participants.contains_key(id)) {
            all.remove(gone);
        }
        for (id, seen) in &next.participants {
            let progress = Progress::of(seen);
            if all.get(id).is_none_or(|(known, _)| *known != progress) {
                all.insert(*id, (progress, next.received));
            }
        }
    }

    /// Whether a participant that is being made has stood still for too long.
    #[must_use]
    pub fn stands_still(&self, participant: ParticipantId, now: Timestamp) -> bool {
        locked(&self.progress).get(&participant).is_some_and(|(progress, since)| {
            let still = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
            still >= progress.patience()
        })
    }

    fn note_transfers(&self, last: Option<&Sighting>, next: &Sighting) {
        let mut all = locked(&self.transfers);
        for gone in last.iter().flat_map(|last| &last.server.transfers) {
            if next.transfer(gone.id).is_none() {
                all.remove(&gone.id);
            }
        }
        for TransferObservation { id, state, step, processed, .. } in &next.server.transfers {
            let copied = Copied { state: *state, step: step.clone(), processed: *processed };
            if all.get(id).is_none_or(|(known, _)| *known != copied) {
                all.insert(*id, (copied, next.received));
            }
        }
    }

    /// Whether a transfer that is at work has stood still for too long, or has not been heard of.
    #[must_use]
    pub fn transfer_stands_still(&self, transfer: TransferId, now: Timestamp) -> bool {
        locked(&self.transfers).get(&transfer).is_some_and(|(copied, since)| {
            let still = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
            copied.state == TransferState::Running && still >= PATIENCE
        })
    }

    /// Keeps a change that could not be told to the store, for the next time.
    pub(crate) fn not_told(&self, server: ServerId, changed: Changed) {
        locked(&self.untold).entry(server).or_default().add(changed);
    }

    /// Whether the last observation of a server has become too old since this was asked the last
    /// time.
    pub(crate) fn became_old(&self, server: ServerId, now: Timestamp) -> bool {
        let old = self.last(server).is_some_and(|last| !last.is_fresh(now));
        old && locked(&self.silent).insert(server)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What differs. When nothing was known before, all does.
fn difference(last: Option<&Sighting>, next: &Sighting) -> Changed {
    let Some(last) = last else {
        return Changed { servers: vec![next.server.server], ..Changed::default() };
    };
    let mut changed = Changed::default();
    for (id, now) in &next.participants {
        match last.participants.get(id) {
            None => everything(&mut changed, *id),
            Some(then) => compare(&mut changed, then, now),
        }
    }
    for id in last.participants.keys().filter(|id| !next.participants.contains_key(id)) {
        everything(&mut changed, *id);
    }
    changed.transfers = differing_transfers(last, next);
    changed
}

/// The transfers that have come, gone or got into another state.
fn differing_transfers(last: &Sighting, next: &Sighting) -> Vec<TransferId> {
    let state = |sighting: &Sighting, id| sighting.transfer(id).map(|one| one.state);
    let all = last.server.transfers.iter().chain(&next.server.transfers).map(|one| one.id);
    let all: BTreeSet<_> = all.collect();
    all.into_iter().filter(|id| state(last, *id) != state(next, *id)).collect()
}

fn everything(changed: &mut Changed, id: ParticipantId) {
    changed.participants.push(id);
    changed.with_databases.push(id);
}

fn compare(changed: &mut Changed, then: &ParticipantObservation, now: &ParticipantObservation) {
    let answers = |one: &ParticipantObservation| one.instance == InstanceState::Answering;
    let of_participant = |one: &ParticipantObservation| {
        (one.epoch, one.revision, one.applied, one.instance, one.restarts, one.socket_dir.clone())
    };
    if of_participant(then) != of_participant(now) {
        changed.participants.push(now.id);
    }
    let follows = |one: &ParticipantObservation| one.following.as_ref().map(|how| how.by);
    if (answers(then), follows(then)) != (answers(now), follows(now)) {
        changed.with_databases.push(now.id);
        return;
    }
    if then.applied != now.applied {
        changed.applied.push(now.id);
    }
    let incarnation = |one: &ParticipantObservation, name| {
        one.databases.get(name).map(|database| database.incarnation)
    };
    let names: BTreeSet<_> = then.databases.keys().chain(now.databases.keys()).collect();
    let other = names.into_iter().filter(|name| incarnation(then, name) != incarnation(now, name));
    changed.databases.extend(other.cloned());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use howdah_model::agent::{DatabaseObservation, Epoch, Incarnation, Revision};
    use howdah_model::protection::DiskStage;

    use super::*;

    fn observation(change: u64, participants: Vec<ParticipantObservation>) -> ServerObservation {
        ServerObservation {
            server: ServerId(uuid::Uuid::from_u128(1)),
            at: Timestamp::UNIX_EPOCH,
            change,
            installed: Vec::new(),
            memory_total: 0,
            disk_total: 0,
            disk_free: 0,
            disk: DiskStage::Ample,
            erased: Vec::new(),
            transfers: Vec::new(),
            participants,
        }
    }

    fn participant() -> ParticipantObservation {
        ParticipantObservation {
            id: ParticipantId(uuid::Uuid::from_u128(2)),
            epoch: Epoch(1),
            revision: Revision(3),
            applied: Some(Revision(3)),
            instance: InstanceState::Answering,
            since: Timestamp::UNIX_EPOCH,
            restarts: 0,
            deaths: 0,
            socket_dir: PathBuf::from("/s"),
            version: None,
            error: None,
            databases: BTreeMap::new(),
            position: None,
            making: None,
            following: None,
            protected: None,
        }
    }

    #[test]
    fn only_what_differs_is_woken_and_everything_when_nothing_was_known() {
        let (sightings, now) = (Sightings::default(), Timestamp::UNIX_EPOCH);
        let one = participant();
        let changed = sightings.take(observation(1, vec![one.clone()]), now);
        assert_eq!(changed.servers.len(), 1);
        assert_eq!(sightings.take(observation(1, vec![one.clone()]), now), Changed::default());

        let name: howdah_model::name::DatabaseName = "d1".parse().expect("a name");
        let seen =
            DatabaseObservation { incarnation: Incarnation(1), look: None, compliance: None };
        let mut two = one.clone();
        two.databases.insert(name.clone(), seen);
        let changed = sightings.take(observation(2, vec![two.clone()]), now);
        assert_eq!((changed.participants.len(), changed.databases), (0, vec![name]));

        let down = ParticipantObservation { instance: InstanceState::Down, ..two.clone() };
        let changed = sightings.take(observation(3, vec![down]), now);
        assert_eq!((changed.participants.len(), changed.with_databases.len()), (1, 1));
        let older = sightings.take(observation(2, vec![two]), now);
        assert_eq!(older, Changed::default(), "an older observation is left out");
        let gone = sightings.take(observation(4, vec![]), now);
        assert_eq!((gone.participants.len(), gone.with_databases.len()), (1, 1));
    }

    #[test]
    fn g11_what_stands_still_is_told_from_what_comes_on_and_from_what_cannot_be_seen() {
        use howdah_model::protection::Making;
        let (sightings, mut now) = (Sightings::default(), Timestamp::UNIX_EPOCH);
        let mut change = 0;
        let mut see = |step, done, now| {
            change += 1;
            let making = Some(Making { step, done, total: 0, note: None });
            let seen = ParticipantObservation { making, ..participant() };
            sightings.take(observation(change, vec![seen]), now);
        };
        let id = participant().id;
        for done in 1..5 {
            see(MakingStep::Copying, done, now);
            now += PATIENCE - Duration::from_secs(1);
            assert!(!sightings.stands_still(id, now), "it comes on");
        }
        see(MakingStep::Copying, 4, now);
        assert!(sightings.stands_still(id, now + Duration::from_secs(1)));
        see(MakingStep::Replaying, 0, now);
        assert!(!sightings.stands_still(id, now + PATIENCE), "PostgreSQL does not tell");
        assert!(sightings.stands_still(id, now + BLIND_PATIENCE));
    }

    #[test]
    fn an_observation_says_nothing_when_it_is_too_old() {
        let sightings = Sightings::default();
        let server = ServerId(uuid::Uuid::from_u128(1));
        let then = Timestamp::UNIX_EPOCH;
        sightings.take(observation(1, vec![]), then);
        assert!(sightings.fresh(server, then + FRESH).is_some());
        let later = then + FRESH + Duration::from_millis(1);
        assert!(sightings.fresh(server, later).is_none());
        assert!(sightings.last(server).is_some());
        let changed = sightings.take(observation(1, vec![]), later);
        assert_eq!(changed.servers, [server], "it is known again: all is looked at");
    }
}
