//! An agent that does in memory, and at once, what it is told.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use howdah_control::servers::{Answer, Chunks, Failure, Servers, Terminate};
use howdah_model::agent::{
    DatabaseLook, DatabaseObservation, Installed, InstanceState, ParticipantObservation,
    ParticipantSpec, Role, ServerObservation, Wanted,
};
use howdah_model::diagnosis::{Asked, Check, Finding, Name, Status};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId, TransferId};
use howdah_model::lsn::{Lsn, Tli};
use howdah_model::name::DatabaseName;
use howdah_model::protection::{
    BackupSeen, DiskStage, Following, FollowingBy, Making, MakingStep, Position, Protected,
};
use howdah_model::transfer::{
    LogLevel, LogLine, Made, TransferObservation, TransferSpec, TransferState,
};
use howdah_model::version::Version;
use howdah_store::servers::Server;
use jiff::Timestamp;
use tokio::sync::watch;

/// When everything happens.
pub(super) const AT: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// The simulated agent.
#[derive(Debug)]
pub(super) struct Agent {
    server: ServerId,
    specs: Mutex<HashMap<ParticipantId, ParticipantSpec>>,
    transfers: Mutex<BTreeMap<TransferId, TransferSpec>>,
    /// The dumps that it was told to erase.
    erased: Mutex<Vec<TransferId>>,
    /// Whether transfers go wrong.
    clumsy: AtomicBool,
    /// Whether transfers go on for ever.
    slow: AtomicBool,
    change: watch::Sender<u64>,
    stuck: AtomicBool,
    /// Whether servers run an older version until they are restarted.
    old: AtomicBool,
}

impl Agent {
    pub(super) fn new(server: ServerId) -> Self {
        let change = watch::Sender::new(1);
        Self {
            server,
            specs: Mutex::default(),
            transfers: Mutex::default(),
            erased: Mutex::default(),
            clumsy: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            change,
            stuck: AtomicBool::new(false),
            old: AtomicBool::new(false),
        }
    }

    /// From now on a newer version is installed than the one that servers were started with.
    pub(super) fn get_old(&self) {
        self.old.store(true, Ordering::SeqCst);
        self.change.send_modify(|change| *change += 1);
    }

    /// From now on it takes specs and does nothing about them.
    pub(super) fn get_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::SeqCst);
        self.change.send_modify(|change| *change += 1);
    }

    /// From now on transfers go wrong, or not.
    pub(super) fn be_clumsy(&self, clumsy: bool) {
        self.clumsy.store(clumsy, Ordering::SeqCst);
    }

    /// From now on transfers go on for ever, or not.
    pub(super) fn take_long(&self, slow: bool) {
        self.slow.store(slow, Ordering::SeqCst);
    }

    /// What it was told of transfers.
    pub(super) fn transfers(&self) -> Vec<TransferSpec> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The dumps that it has erased.
    pub(super) fn erased(&self) -> Vec<TransferId> {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn transfer(&self, spec: &TransferSpec) -> TransferObservation {
        let state = match spec.wanted {
            Wanted::Absent => TransferState::Absent,
            Wanted::Present if self.slow.load(Ordering::SeqCst) => TransferState::Running,
            Wanted::Present if self.clumsy.load(Ordering::SeqCst) => TransferState::Failed,
            Wanted::Present => TransferState::Done,
        };
        let made = Made {
            source_bytes: 6_710_886,
            dump_bytes: DUMP.len() as u64,
            tables: 9,
            warnings: 0,
            major: None,
        };
        let line = LogLine { at: AT, level: LogLevel::Info, message: "table a".to_owned() };
        TransferObservation {
            id: spec.id,
            state,
            step: "dumping".to_owned(),
            processed: 7,
            total: Some(14),
            error: (state == TransferState::Failed).then(|| "the disk is full".to_owned()),
            made: (state == TransferState::Done).then_some(made),
            log: vec![line],
        }
    }

    /// All that it was told and has not removed.
    pub(super) fn specs(&self) -> Vec<ParticipantSpec> {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.values().filter(|spec| spec.wanted == Wanted::Present).cloned().collect()
    }

    /// What it was told of the participant with a database of that name.
    pub(super) fn spec_of(&self, database: &str) -> Option<ParticipantSpec> {
        let has =
            |spec: &ParticipantSpec| spec.databases.keys().any(|one| one.as_str() == database);
        self.specs().into_iter().find(has)
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::SeqCst)
    }

    fn observation(&self) -> ServerObservation {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        let there = specs.values().filter(|spec| spec.wanted == Wanted::Present);
        ServerObservation {
            server: self.server,
            at: AT,
            change: *self.change.borrow(),
            installed: ["15.20", "18.6"].map(installed).into(),
            memory_total: 64 << 30,
            disk_total: 1 << 40,
            disk_free: 1 << 39,
            disk: DiskStage::Ample,
            erased: Vec::new(),
            transfers: self.transfers().iter().map(|spec| self.transfer(spec)).collect(),
            participants: there.map(|spec| self.participant(spec)).collect(),
        }
    }

    /// The version that runs.
    fn version(&self, spec: &ParticipantSpec) -> Version {
        let is_old = self.old.load(Ordering::SeqCst) && spec.restarts == 0;
        let version = match (spec.major.0, is_old) {
            (15, true) => "15.19",
            (15, false) => "15.20",
            (_, true) => "18.5",
            (_, false) => "18.6",
        };
        installed(version).version
    }

    fn participant(&self, spec: &ParticipantSpec) -> ParticipantObservation {
        let databases = spec.databases.iter().map(|(name, wanted)| {
            let seen = DatabaseObservation {
                incarnation: wanted.incarnation,
                look: None,
                compliance: None,
            };
            (name.clone(), seen)
        });
        let stuck = self.is_stuck();
        ParticipantObservation {
            id: spec.id,
            epoch: spec.epoch,
            revision: spec.revision,
            applied: (!stuck).then_some(spec.revision),
            instance: InstanceState::Answering,
            since: AT,
            restarts: spec.restarts,
            deaths: 0,
            socket_dir: "/nowhere".into(),
            version: Some(self.version(spec)),
            error: None,
            databases: if stuck { BTreeMap::new() } else { databases.collect() },
            position: Some(Position { at: AT, tli: Tli(1), lsn: Lsn(7 << 24), next_xid: 740 }),
            making: stuck.then_some(Making {
                step: MakingStep::Copying,
                done: 5,
                total: 10,
                note: None,
            }),
            following: (spec.role == Role::Follower).then_some(Following {
                by: FollowingBy::Stream,
                since: AT,
                why: None,
            }),
            protected: (spec.role == Role::Leader).then(|| protected(spec)),
        }
    }
}

/// The archive has everything since long ago, and all that was asked for is done.
fn protected(spec: &ParticipantSpec) -> Protected {
    Protected {
        archived: Lsn(7 << 24),
        archived_at: Some(AT),
        lag_bytes: 0,
        trouble: None,
        gap: None,
        earliest: Some(AT),
        backup: Some(BackupSeen { id: "b".to_owned(), ended_at: AT, bytes: 9, stored: 3 }),
        backing_up: None,
        backups: spec.protection.backups,
        drill: None,
        drills: spec.protection.drills,
    }
}

fn installed(version: &str) -> Installed {
    Installed { version: version.parse().expect("a version"), bindir: "/nowhere".into() }
}

/// What is in every dump.
pub(super) const DUMP: &[u8] = b"PGDMP, and what follows it";

/// What a look into any database finds.
const LOOK: DatabaseLook = DatabaseLook {
    at: AT,
    connections: 1,
    size_bytes: 6_710_886,
    row_count: 23,
    table_count: 9,
    seq_scans: 4,
    index_scans: 2,
};

impl Servers for Agent {
    fn put<'a>(&'a self, _: &'a Server, spec: &'a ParticipantSpec) -> Answer<'a, ()> {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.insert(spec.id, spec.clone());
        self.change.send_modify(|change| *change += 1);
        Box::pin(async { Ok(()) })
    }

    fn observe<'a>(
        &'a self,
        _: &'a Server,
        after: Option<u64>,
        wait: Duration,
    ) -> Answer<'a, ServerObservation> {
        Box::pin(async move {
            let mut change = self.change.subscribe();
            let differs = change.wait_for(|change| Some(*change) != after);
            let _ = tokio::time::timeout(wait, differs).await;
            Ok(self.observation())
        })
    }

    fn erase<'a>(&'a self, _: &'a Server, _: TimelineId) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn put_transfer<'a>(&'a self, _: &'a Server, spec: &'a TransferSpec) -> Answer<'a, ()> {
        let mut all = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(spec.id, spec.clone());
        self.change.send_modify(|change| *change += 1);
        Box::pin(async { Ok(()) })
    }

    fn delete_dump<'a>(&'a self, _: &'a Server, dump: TransferId) -> Answer<'a, ()> {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner).push(dump);
        Box::pin(async { Ok(()) })
    }

    fn read_dump<'a>(
        &'a self,
        _: &'a Server,
        _: TransferId,
        range: RangeInclusive<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async move {
            let at = |index: u64| usize::try_from(index).expect("a small number");
            let bytes = DUMP[at(*range.start())..=at(*range.end())].chunks(5);
            let chunks: Vec<_> = bytes.map(|chunk| Ok(chunk.into())).collect();
            Ok(Box::pin(futures_util::stream::iter(chunks)) as Chunks)
        })
    }

    fn look<'a>(
        &'a self,
        _: &'a Server,
        _: ParticipantId,
        _: &'a DatabaseName,
    ) -> Answer<'a, DatabaseLook> {
        Box::pin(async move {
            if self.is_stuck() {
                return Err(Failure::Unreachable("it is stuck".into()));
            }
            Ok(LOOK)
        })
    }

    fn reset_statistics<'a>(
        &'a self,
        _: &'a Server,
        _: ParticipantId,
        _: &'a DatabaseName,
    ) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn diagnose<'a>(
        &'a self,
        _: &'a Server,
        _: ParticipantId,
        _: &'a DatabaseName,
        asked: Asked,
    ) -> Answer<'a, Vec<Check>> {
        Box::pin(async move {
            if self.is_stuck() {
                return Err(Failure::Unreachable("it is stuck".into()));
            }
            let found = [("connections".to_owned(), asked.connections.into())];
            Ok(vec![
                Check::skipped(Name::HitRate, "nothing was read"),
                Check::new(Name::Load, Status::Green, Vec::new()),
                Check::new(Name::ConnectionCount, Status::Red, vec![Finding::from_iter(found)]),
            ])
        })
    }

    fn terminate<'a>(
        &'a self,
        _: &'a Server,
        _: ParticipantId,
        _: &'a DatabaseName,
        _: Terminate,
    ) -> Answer<'a, u32> {
        Box::pin(async { Ok(2) })
    }
}
