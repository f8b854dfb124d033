//! An agent in memory, with a disk that outlives its restarts. It takes specs, converges step by
//! step when it is told to, and loses, delays and doubles messages when faults are on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_control::servers::{Answer, Failure, Servers, Terminate};
use howdah_model::agent::{
    DatabaseLook, DatabaseObservation, DatabaseSpec, Epoch, Incarnation, Installed, InstanceState,
    ParticipantObservation, ParticipantSpec, Refusal, Revision, ServerObservation, Wanted,
};
use howdah_model::ids::{ParticipantId, ServerId};
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::version::{Major, Version};
use howdah_store::servers::Server;
use jiff::Timestamp;

use crate::chance::Chance;
use crate::stage::Stage;

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
    /// Whoever sends these a spec never gets an answer.
    pub(crate) deaf: BTreeSet<ParticipantId>,
}

#[derive(Clone)]
pub(crate) struct Agent {
    world: Arc<Mutex<World>>,
    chance: Chance,
    stage: Stage,
}

impl Agent {
    pub(crate) fn new(chance: Chance, stage: Stage) -> Self {
        let world = World {
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
            deaf: BTreeSet::new(),
        };
        Self { world: Arc::new(Mutex::new(world)), chance, stage }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers one PUT that was under way. Answers whether there was one.
    pub(crate) fn deliver_late(&self) -> bool {
        let mut world = self.world();
        if world.late.is_empty() {
            return false;
        }
        let index = self.chance.below(world.late.len());
        let spec = world.late.remove(index);
        let _ = world.take(&spec);
        true
    }

    /// Lets the agent do one thing. Answers whether there was one to do.
    pub(crate) fn step(&self) -> bool {
        let mut world = self.world();
        let busy: Vec<_> =
            world.housed.iter().filter(|(_, one)| one.has_work()).map(|(id, _)| *id).collect();
        let Some(id) = self.chance.pick(&busy).copied() else {
            return false;
        };
        world.work(id);
        true
    }

    /// An instance dies or hangs.
    pub(crate) fn disturb(&self) {
        let mut world = self.world();
        let all: Vec<_> = world.housed.keys().copied().collect();
        let Some(id) = self.chance.pick(&all).copied() else { return };
        let dies = self.chance.per_mille(600);
        let Some(one) = world.housed.get_mut(&id) else { return };
        if one.instance == InstanceState::Answering {
            one.instance = if dies { InstanceState::Down } else { InstanceState::Silent };
            world.change += 1;
        }
    }

    /// Instances that hang answer again by themselves.
    pub(crate) fn relieve(&self) {
        let mut world = self.world();
        for one in world.housed.values_mut() {
            if one.instance == InstanceState::Silent {
                one.instance = InstanceState::Answering;
            }
        }
        world.change += 1;
    }

    /// The agent's process ends and begins anew: its numbers go on from a higher one.
    pub(crate) fn restart(&self) {
        self.world().change += 1000;
    }

    pub(crate) fn observation(&self, now: Timestamp) -> ServerObservation {
        self.world().observation(now)
    }
}

impl World {
    fn take(&mut self, spec: &ParticipantSpec) -> Result<(), Refusal> {
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

    fn work(&mut self, id: ParticipantId) {
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
            participants: self.housed.values().map(|one| one.observation(now)).collect(),
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
            databases: BTreeMap::new(),
        }
    }

    fn has_work(&self) -> bool {
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
            error: None,
            databases: self.databases.iter().map(|(n, kept)| (n.clone(), seen(kept))).collect(),
        }
    }
}

fn look(at: Timestamp) -> DatabaseLook {
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

fn lost() -> Failure {
    Failure::Unreachable("the message was lost".to_owned())
}

impl Servers for Agent {
    fn put<'a>(&'a self, _server: &'a Server, spec: &'a ParticipantSpec) -> Answer<'a, ()> {
        Box::pin(async move {
            self.stage.on_the_wire().await;
            if self.world().deaf.contains(&spec.id) {
                std::future::pending::<()>().await;
            }
            let answer = {
                let mut world = self.world();
                if !world.reachable {
                    return Err(lost());
                }
                let faults = world.faults == Faults::On;
                let fate = if faults { self.chance.below(100) } else { 100 };
                match fate {
                    0..8 => return Err(lost()),
                    8..16 => {
                        world.late.push(spec.clone());
                        return Err(lost());
                    }
                    16..24 => {
                        let _ = world.take(spec);
                        return Err(lost());
                    }
                    24..30 => world.late.push(spec.clone()),
                    _ => {}
                }
                world.take(spec)
            };
            self.stage.on_the_wire().await;
            Ok(answer?)
        })
    }

    fn observe<'a>(
        &'a self,
        _server: &'a Server,
        after: Option<u64>,
        wait: Duration,
    ) -> Answer<'a, ServerObservation> {
        Box::pin(async move {
            self.stage.on_the_wire().await;
            let until = tokio::time::Instant::now() + wait;
            while after == Some(self.world().change) && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let seen = {
                let world = self.world();
                let faults = world.faults == Faults::On;
                if !world.reachable || (faults && self.chance.below(100) < 8) {
                    return Err(lost());
                }
                world.observation(self.stage.now())
            };
            self.stage.on_the_wire().await;
            Ok(seen)
        })
    }

    fn look<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
    ) -> Answer<'a, DatabaseLook> {
        Box::pin(async move { Ok(look(self.stage.now())) })
    }

    fn reset_statistics<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
    ) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn terminate<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
        _which: Terminate,
    ) -> Answer<'a, u32> {
        Box::pin(async move { Ok(0) })
    }
}
