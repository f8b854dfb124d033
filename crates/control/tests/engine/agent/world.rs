//! The server of an agent in memory: its disk, its processes, and what is under way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use howdah_model::agent::{
    DatabaseLook, DatabaseObservation, DatabaseSpec, Epoch, Incarnation, Installed, InstanceState,
    ParticipantObservation, ParticipantSpec, Refusal, Revision, Role, Run, ServerObservation,
    Source, Wanted,
};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId, TransferId};
use howdah_model::lsn::{Lsn, Tli};
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::protection::{Following, FollowingBy, Position};
use howdah_model::transfer::TransferSpec;
use howdah_model::version::{Major, Version};
use jiff::Timestamp;

use super::transfers::Transfers;

/// What happened on the disk of a server, for the invariants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: ParticipantId,
    pub(crate) name: DatabaseName,
    pub(crate) what: Happened,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Made,
    Emptied,
    /// What a transfer had filled took its place.
    Filled(TransferId),
    Dropped,
}

/// How often messages go astray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    Off,
    On,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) incarnation: Incarnation,
    pub(crate) roles: BTreeSet<RoleName>,
}

/// A participant on the disk of the server, and its process.
#[derive(Clone, Debug)]
pub(crate) struct Housed {
    pub(crate) spec: Arc<ParticipantSpec>,
    pub(crate) made: bool,
    pub(crate) instance: InstanceState,
    pub(crate) applied: Option<Revision>,
    pub(crate) restarts: i32,
    /// What it says stands in its way; it does nothing then.
    pub(crate) error: Option<String>,
    pub(crate) databases: BTreeMap<DatabaseName, Kept>,
    /// Whether it replays another's history.
    pub(crate) follows: bool,
    /// Where it is in its history.
    pub(crate) lsn: u64,
    /// Whether its server was stopped in order and not started since.
    pub(crate) in_order: bool,
    /// Databases whose owner was succeeded.
    pub(crate) adopted: BTreeSet<DatabaseName>,
}

/// The server: all that a test may look into.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) id: ServerId,
    pub(crate) change: u64,
    pub(crate) reachable: bool,
    pub(crate) faults: Faults,
    pub(crate) housed: BTreeMap<ParticipantId, Housed>,
    /// What was here and is gone; not every agent remembers.
    pub(crate) tombstones: BTreeMap<ParticipantId, (Epoch, Revision)>,
    pub(crate) forgetful: bool,
    /// PUTs that arrive later.
    pub(crate) late: Vec<ParticipantSpec>,
    pub(crate) events: Vec<Event>,
    /// How many PUTs were taken.
    pub(crate) puts: usize,
    /// What the leader of each timeline had the last time.
    pub(crate) archive: BTreeMap<TimelineId, BTreeMap<DatabaseName, Kept>>,
    /// Where the history of each timeline ends.
    pub(crate) ends: BTreeMap<TimelineId, u64>,
    /// Timelines whose archive was erased.
    pub(crate) erased: Vec<TimelineId>,
    /// Logical copies.
    pub(crate) transfers: Transfers,
    /// Whoever sends these a spec never gets an answer.
    pub(crate) deaf: BTreeSet<ParticipantId>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            id: ServerId(uuid::Uuid::from_u128(77)),
            change: 1,
            reachable: true,
            faults: Faults::Off,
            housed: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            forgetful: false,
            late: Vec::new(),
            events: Vec::new(),
            puts: 0,
            archive: BTreeMap::new(),
            ends: BTreeMap::new(),
            erased: Vec::new(),
            transfers: Transfers::default(),
            deaf: BTreeSet::new(),
        }
    }

    pub(super) fn take_transfer(&mut self, spec: &TransferSpec) {
        self.puts += 1;
        self.change += 1;
        self.transfers.take(spec);
    }

    /// Lets a transfer come one step on.
    pub(super) fn copy(&mut self, id: TransferId) {
        self.change += 1;
        let answers = |participant: &ParticipantId| {
            let there = self.housed.get(participant);
            there.is_some_and(|one| one.instance == InstanceState::Answering)
        };
        self.transfers.work(id, answers);
    }

    pub(super) fn take(&mut self, spec: &ParticipantSpec) -> Result<(), Refusal> {
        let has = match self.housed.get(&spec.id) {
            Some(one) => Some((one.spec.epoch, one.spec.revision)),
            None => self.tombstones.get(&spec.id).copied(),
        };
        let sent = (spec.epoch, spec.revision);
        if let Some((epoch, revision)) = has.filter(|has| sent < *has) {
            return Err(Refusal::Older { id: spec.id, epoch, has: revision });
        }
        self.puts += 1;
        self.change += 1;
        match self.housed.get_mut(&spec.id) {
            Some(one) if sent == (one.spec.epoch, one.spec.revision) => {
                assert_eq!(*one.spec, *spec, "one revision is always the same spec");
            }
            Some(one) => one.spec = Arc::new(spec.clone()),
            None if spec.wanted == Wanted::Absent => self.bury(spec),
            None => {
                self.tombstones.remove(&spec.id);
                self.housed.insert(spec.id, Housed::new(spec));
            }
        }
        Ok(())
    }

    fn bury(&mut self, spec: &ParticipantSpec) {
        if !self.forgetful {
            self.tombstones.insert(spec.id, (spec.epoch, spec.revision));
        }
    }

    /// The participants that have something to do.
    pub(crate) fn busy(&self) -> Vec<ParticipantId> {
        let has_work = |one: &Housed| one.has_work() || (one.error.is_none() && self.lags(one));
        self.housed.iter().filter(|(_, one)| has_work(one)).map(|(id, _)| *id).collect()
    }

    /// Whether a follower lacks what its leader has.
    fn lags(&self, one: &Housed) -> bool {
        one.spec.role == Role::Follower
            && one.instance == InstanceState::Answering
            && (self.archive.get(&one.spec.timeline).is_some_and(|there| *there != one.databases)
                || self.ends.get(&one.spec.timeline).is_some_and(|end| *end > one.lsn))
    }

    pub(super) fn work(&mut self, id: ParticipantId) {
        let Some(one) = self.housed.get(&id) else { return };
        let history = match &one.spec.source {
            Source::Empty => BTreeMap::new(),
            Source::Timeline(origin) => {
                self.archive.get(&origin.timeline).cloned().unwrap_or_default()
            }
        };
        self.step(id, history);
        let Some(one) = self.housed.get_mut(&id) else { return };
        if one.made && !one.follows && one.spec.role == Role::Leader && one.spec.run == Run::Up {
            one.lsn += 1;
            self.archive.insert(one.spec.timeline, one.databases.clone());
            self.ends.insert(one.spec.timeline, one.lsn);
        }
    }

    /// One step of a participant. `history` is what the history has that it is made from.
    fn step(&mut self, id: ParticipantId, history: BTreeMap<DatabaseName, Kept>) {
        let Some(one) = self.housed.get_mut(&id) else { return };
        self.change += 1;
        if one.spec.wanted == Wanted::Absent {
            if one.instance != InstanceState::Removing {
                one.instance = InstanceState::Removing;
                return;
            }
            let spec = Arc::clone(&one.spec);
            // What stands still has left its databases to another.
            if !one.follows && one.spec.run == Run::Up {
                let dropped = |name| Event { at: id, name, what: Happened::Dropped };
                self.events.extend(one.databases.keys().cloned().map(dropped));
            }
            self.housed.remove(&id);
            self.bury(&spec);
            return;
        }
        if one.spec.run == Run::Stopped {
            let timeline = one.spec.timeline;
            if let Some(end) = one.stand_still() {
                self.ends.insert(timeline, end);
            }
            return;
        }
        one.in_order = false;
        match one.instance {
            InstanceState::Making => {
                one.made = true;
                one.databases = history;
                one.follows = one.spec.role == Role::Follower;
                one.instance = InstanceState::Starting;
            }
            InstanceState::Starting => one.instance = InstanceState::Answering,
            InstanceState::Down if one.made => one.instance = InstanceState::Starting,
            InstanceState::Down => one.instance = InstanceState::Making,
            InstanceState::Answering | InstanceState::Silent
                if one.restarts < one.spec.restarts =>
            {
                one.restarts = one.spec.restarts;
                one.instance = InstanceState::Starting;
            }
            InstanceState::Answering if one.spec.role == Role::Follower => {
                one.databases = self.archive.get(&one.spec.timeline).cloned().unwrap_or_default();
                one.lsn = self.ends.get(&one.spec.timeline).copied().unwrap_or_default();
                one.applied = Some(one.spec.revision);
            }
            InstanceState::Answering if one.follows => one.follows = false,
            InstanceState::Answering => {
                self.events.extend(one.converge(&self.transfers.filled));
            }
            InstanceState::Silent | InstanceState::Removing => {}
        }
    }

    pub(crate) fn observation(&self, now: Timestamp) -> ServerObservation {
        let version = Version { major: Major(15), minor: 1 };
        ServerObservation {
            server: self.id,
            at: now,
            change: self.change,
            installed: vec![Installed { version, bindir: PathBuf::from("/pg/15") }],
            memory_total: 8 << 30,
            disk_total: 100 << 30,
            disk_free: 50 << 30,
            disk: howdah_model::protection::DiskStage::Ample,
            erased: self.erased.clone(),
            transfers: self.transfers.observations(),
            participants: self.housed.values().map(|one| one.observation(now)).collect(),
        }
    }

    pub(super) fn erase(&mut self, timeline: TimelineId) {
        let leads =
            |one: &&Housed| one.spec.timeline == timeline && one.spec.wanted == Wanted::Present;
        let leader = self.housed.values().find(leads);
        assert!(leader.is_none(), "the archive of a living history was erased: {leader:?}");
        self.archive.remove(&timeline);
        if !self.erased.contains(&timeline) {
            self.erased.push(timeline);
            self.change += 1;
        }
    }

    /// The database of that name in a participant.
    pub(crate) fn database(
        &self,
        participant: Option<ParticipantId>,
        name: &DatabaseName,
    ) -> Option<&Kept> {
        self.housed.get(&participant?)?.databases.get(name)
    }
}

impl Housed {
    fn new(spec: &ParticipantSpec) -> Self {
        Self {
            spec: Arc::new(spec.clone()),
            made: false,
            instance: InstanceState::Making,
            applied: None,
            restarts: spec.restarts,
            error: None,
            databases: BTreeMap::new(),
            follows: false,
            lsn: 0,
            in_order: false,
            adopted: BTreeSet::new(),
        }
    }

    pub(super) fn has_work(&self) -> bool {
        if self.error.is_some() {
            return false;
        }
        if self.spec.run == Run::Stopped && self.spec.wanted == Wanted::Present {
            return self.instance != InstanceState::Down || !self.is_applied();
        }
        match self.instance {
            InstanceState::Silent => {
                self.restarts < self.spec.restarts || self.spec.wanted == Wanted::Absent
            }
            InstanceState::Answering => {
                self.applied != Some(self.spec.revision) || self.spec.wanted == Wanted::Absent
            }
            InstanceState::Making
            | InstanceState::Starting
            | InstanceState::Down
            | InstanceState::Removing => true,
        }
    }

    fn is_applied(&self) -> bool {
        self.applied == Some(self.spec.revision)
    }

    /// Stops, or says that it has. Answers where its history ends if it stops in order.
    fn stand_still(&mut self) -> Option<u64> {
        if self.instance == InstanceState::Down {
            self.applied = Some(self.spec.revision);
            return None;
        }
        self.in_order = self.instance == InstanceState::Answering;
        self.instance = InstanceState::Down;
        self.lsn += 1;
        // The last checkpoint is the last record; it ends a little later than it begins.
        self.in_order.then_some(self.lsn + 1)
    }

    fn position(&self, at: Timestamp) -> Option<Position> {
        let stands = self.spec.run == Run::Stopped;
        (self.made && (!stands || self.in_order)).then_some(Position {
            at,
            tli: Tli(1),
            lsn: Lsn(self.lsn),
            next_xid: 0,
        })
    }

    /// Lets a database of the data be the one that the spec wants, if it is not yet.
    fn adopt(&mut self, name: &DatabaseName, wanted: &DatabaseSpec, roles: BTreeSet<RoleName>) {
        let Some(from) = &wanted.adopts else { return };
        let new = Kept { incarnation: wanted.incarnation, roles };
        if from != name && !self.databases.contains_key(name) {
            assert!(self.databases.remove(from).is_some(), "there is no {from} to adopt");
            self.databases.insert(name.clone(), new);
        } else if from == name
            && self.databases.get(name).is_some_and(|kept| !kept.roles.is_subset(&new.roles))
            && self.adopted.insert(name.clone())
        {
            self.databases.insert(name.clone(), new);
        }
    }

    /// Brings one database to the spec, or says that all are.
    fn converge(&mut self, filled: &BTreeSet<TransferId>) -> Option<Event> {
        let roles = |spec: &DatabaseSpec| spec.credentials.iter().map(|c| c.role.clone()).collect();
        let spec = Arc::clone(&self.spec);
        let at = spec.id;
        for (name, wanted) in &spec.databases {
            self.adopt(name, wanted, roles(wanted));
            let kept = Kept { incarnation: wanted.incarnation, roles: roles(wanted) };
            match self.databases.insert(name.clone(), kept.clone()) {
                None => return Some(Event { at, name: name.clone(), what: Happened::Made }),
                Some(old) if old.incarnation < kept.incarnation => {
                    let what = match wanted.filled {
                        None => Happened::Emptied,
                        Some(by) => {
                            assert!(filled.contains(&by), "{name} takes what is not complete");
                            Happened::Filled(by)
                        }
                    };
                    return Some(Event { at, name: name.clone(), what });
                }
                Some(old) => assert_eq!(old.incarnation, kept.incarnation, "none goes back"),
            }
        }
        let unwanted = self.databases.keys().find(|name| !spec.databases.contains_key(*name));
        if let Some(name) = unwanted.cloned() {
            self.databases.remove(&name);
            return Some(Event { at, name, what: Happened::Dropped });
        }
        self.applied = Some(spec.revision);
        None
    }

    fn observation(&self, now: Timestamp) -> ParticipantObservation {
        let seen = |kept: &Kept| DatabaseObservation {
            incarnation: kept.incarnation,
            look: Some(look(now)),
            compliance: None,
        };
        ParticipantObservation {
            id: self.spec.id,
            epoch: self.spec.epoch,
            revision: self.spec.revision,
            applied: self.applied,
            instance: self.instance,
            since: now,
            restarts: self.restarts,
            deaths: 0,
            socket_dir: PathBuf::from(format!("/s/{}", self.spec.id)),
            version: Some(Version { major: Major(15), minor: 1 }),
            error: self.error.clone(),
            databases: self.databases.iter().map(|(n, kept)| (n.clone(), seen(kept))).collect(),
            position: self.position(now),
            making: None,
            following: self.follows.then_some(Following {
                by: FollowingBy::Stream,
                since: now,
                why: None,
            }),
            protected: None,
        }
    }
}

pub(super) fn look(at: Timestamp) -> DatabaseLook {
    DatabaseLook {
        at,
        connections: 1,
        size_bytes: 8_000_000,
        row_count: 10,
        table_count: 2,
        seq_scans: 3,
        index_scans: 4,
    }
}
