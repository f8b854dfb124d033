//! The server of an agent in memory: its disk, its processes, and what is under way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use howdah_model::agent::{
    DatabaseLook, DatabaseObservation, DatabaseSpec, Epoch, Incarnation, Installed, InstanceState,
    ParticipantObservation, ParticipantSpec, Refusal, Revision, ServerObservation, Wanted,
};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId};
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::version::{Major, Version};
use jiff::Timestamp;

/// What happened on the disk of a server, for the invariants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Made(DatabaseName),
    Emptied(DatabaseName),
    Dropped(DatabaseName),
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
    /// Timelines whose archive was erased.
    pub(crate) erased: Vec<TimelineId>,
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
            erased: Vec::new(),
            deaf: BTreeSet::new(),
        }
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

    pub(super) fn work(&mut self, id: ParticipantId) {
        let Some(one) = self.housed.get_mut(&id) else { return };
        self.change += 1;
        if one.spec.wanted == Wanted::Absent {
            if one.instance != InstanceState::Removing {
                one.instance = InstanceState::Removing;
                return;
            }
            let spec = Arc::clone(&one.spec);
            self.events.extend(one.databases.keys().cloned().map(Event::Dropped));
            self.housed.remove(&id);
            self.bury(&spec);
            return;
        }
        match one.instance {
            InstanceState::Making => {
                one.made = true;
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
            InstanceState::Answering => self.events.extend(one.converge()),
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
            participants: self.housed.values().map(|one| one.observation(now)).collect(),
        }
    }

    pub(super) fn erase(&mut self, timeline: TimelineId) {
        if !self.erased.contains(&timeline) {
            self.erased.push(timeline);
            self.change += 1;
        }
    }

    /// The database of that name, wherever it is.
    pub(crate) fn database(&self, name: &DatabaseName) -> Option<&Kept> {
        self.housed.values().find_map(|one| one.databases.get(name))
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
        }
    }

    pub(super) fn has_work(&self) -> bool {
        if self.error.is_some() {
            return false;
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

    /// Brings one database to the spec, or says that all are.
    fn converge(&mut self) -> Option<Event> {
        let roles = |spec: &DatabaseSpec| spec.credentials.iter().map(|c| c.role.clone()).collect();
        let spec = Arc::clone(&self.spec);
        for (name, wanted) in &spec.databases {
            let kept = Kept { incarnation: wanted.incarnation, roles: roles(wanted) };
            match self.databases.insert(name.clone(), kept.clone()) {
                None => return Some(Event::Made(name.clone())),
                Some(old) if old.incarnation < kept.incarnation => {
                    return Some(Event::Emptied(name.clone()));
                }
                Some(old) => assert_eq!(old.incarnation, kept.incarnation, "none goes back"),
            }
        }
        let unwanted = self.databases.keys().find(|name| !spec.databases.contains_key(*name));
        if let Some(name) = unwanted.cloned() {
            self.databases.remove(&name);
            return Some(Event::Dropped(name));
        }
        self.applied = Some(spec.revision);
        None
    }

    fn observation(&self, now: Timestamp) -> ParticipantObservation {
        let seen = |kept: &Kept| DatabaseObservation {
            incarnation: kept.incarnation,
            look: Some(look(now)),
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
            position: None,
            making: None,
            following: None,
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
