//! What is known of all participants, for whoever asks, and the waiting for a change of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_cluster::Cluster;
use howdah_cluster::rows::Seen;
use howdah_model::agent::{
    DatabaseLook, Epoch, Installed, InstanceState, ParticipantObservation, ParticipantSpec,
    Revision, ServerObservation,
};
use howdah_model::compliance::Compliance;
use howdah_model::ids::{ParticipantId, ServerId, TimelineId, TransferId};
use howdah_model::name::DatabaseName;
use howdah_model::protection::DiskStage;
use howdah_model::transfer::TransferObservation;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::{clock, memory};

/// The newest observation of every participant.
#[derive(Debug)]
pub(crate) struct Board {
    server: ServerId,
    installed: Vec<Installed>,
    home: PathBuf,
    memory: u64,
    participants: Mutex<BTreeMap<ParticipantId, ParticipantObservation>>,
    change: watch::Sender<u64>,
    /// Timelines that were removed from the archive.
    erased: Mutex<BTreeSet<TimelineId>>,
    disk: watch::Sender<DiskStage>,
    /// See [`Board::wants_look`].
    looks: Mutex<BTreeMap<ParticipantId, BTreeSet<DatabaseName>>>,
    look_wanted: Notify,
    /// See `transfers/board.rs`.
    pub(crate) transfers: Mutex<BTreeMap<TransferId, TransferObservation>>,
}

impl Board {
    pub(crate) fn new(server: ServerId, installed: Vec<Installed>, home: &Path) -> Self {
        // Microseconds since 1970: more than any change of an agent before us can have counted to.
        let start = u64::try_from(clock::now().as_microsecond()).unwrap_or(1);
        Self {
            server,
            installed,
            home: home.to_owned(),
            memory: memory::total(),
            participants: Mutex::default(),
            change: watch::Sender::new(start),
            erased: Mutex::default(),
            disk: watch::Sender::new(DiskStage::Ample),
            looks: Mutex::default(),
            look_wanted: Notify::new(),
            transfers: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ParticipantId, ParticipantObservation>> {
        self.participants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn erased(&self) -> MutexGuard<'_, BTreeSet<TimelineId>> {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How full the disk is.
    pub(crate) fn disk(&self) -> DiskStage {
        *self.disk.borrow()
    }

    /// Tells of every change of that.
    pub(crate) fn watch_disk(&self) -> watch::Receiver<DiskStage> {
        self.disk.subscribe()
    }

    pub(crate) fn set_disk(&self, stage: DiskStage) {
        self.disk.send_replace(stage);
        self.changed();
    }

    /// Takes note of a timeline that is not in the archive any more.
    pub(crate) fn has_erased(&self, timeline: TimelineId) {
        self.erased().insert(timeline);
        self.changed();
    }

    pub(crate) fn changed(&self) {
        self.change.send_modify(|change| *change += 1);
    }

    /// Takes note of a newer spec; a participant that is new comes onto the board.
    pub(crate) fn has_spec(&self, spec: &ParticipantSpec, socket_dir: PathBuf) {
        let mut all = self.lock();
        let one = all.entry(spec.id).or_insert_with(|| blank(spec.id, socket_dir));
        (one.epoch, one.revision) = (spec.epoch, spec.revision);
        drop(all);
        self.changed();
    }

    /// Takes note of a participant that is there and whose spec is lost: it has the oldest revision
    /// there can be, so that the control plane sends it again. Left out it would count as gone.
    pub(crate) fn lacks_spec(&self, id: ParticipantId, socket_dir: PathBuf) {
        let mut one = blank(id, socket_dir);
        one.error = Some("its spec cannot be read; it waits for the spec to be sent again".into());
        self.lock().insert(id, one);
        self.changed();
    }

    /// Changes what is known of a participant. Whoever waits is woken when that made a difference
    /// in anything but counters.
    pub(crate) fn update(&self, id: ParticipantId, f: impl FnOnce(&mut ParticipantObservation)) {
        let mut all = self.lock();
        let Some(one) = all.get_mut(&id) else { return };
        let before = one.clone();
        f(one);
        if one.instance != before.instance {
            one.since = clock::now();
        }
        let differs = without_looks(one) != without_looks(&before);
        drop(all);
        if differs {
            self.changed();
        }
    }

    /// Keeps a look. Wakes nobody.
    pub(crate) fn looked(&self, id: ParticipantId, database: &DatabaseName, look: DatabaseLook) {
        self.update(id, |one| {
            if let Some(database) = one.databases.get_mut(database) {
                database.look = Some(look);
            }
        });
    }

    /// Keeps a count of rows, or that there is no limit of them. Returns how it stood before.
    pub(crate) fn counted(
        &self,
        id: ParticipantId,
        database: &DatabaseName,
        seen: Option<&Seen>,
    ) -> Option<Compliance> {
        let mut before = None;
        self.update(id, |one| {
            if let Some(database) = one.databases.get_mut(database) {
                before = database.compliance;
                database.compliance = seen.map(|seen| seen.compliance);
                if let (Some(look), Some(seen)) = (&mut database.look, seen) {
                    look.row_count = i64::try_from(seen.rows).unwrap_or(i64::MAX);
                }
            }
        });
        before
    }

    /// Takes note that somebody wants to know now how a database fares.
    pub(crate) fn wants_look(&self, id: ParticipantId, database: &DatabaseName) {
        let mut wanted = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.entry(id).or_default().insert(database.clone());
        drop(wanted);
        self.look_wanted.notify_waiters();
    }

    /// Returns when somebody wants to know of a database of a participant.
    pub(crate) async fn look_is_wanted(&self, id: ParticipantId) {
        loop {
            let wanted = self.look_wanted.notified();
            if self.looks.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
                return;
            }
            wanted.await;
        }
    }

    /// The databases of a participant that somebody wanted to know of since this was asked last.
    pub(crate) fn wanted_looks(&self, id: ParticipantId) -> BTreeSet<DatabaseName> {
        let mut wanted = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.remove(&id).unwrap_or_default()
    }

    pub(crate) fn remove(&self, id: ParticipantId) {
        if self.lock().remove(&id).is_some() {
            self.changed();
        }
    }

    pub(crate) fn one(&self, id: ParticipantId) -> Option<ParticipantObservation> {
        self.lock().get(&id).cloned()
    }

    /// Everything, once it differs from change `after`, at the latest when `wait` is over.
    pub(crate) async fn observe(&self, after: Option<u64>, wait: Duration) -> ServerObservation {
        if let Some(after) = after {
            let mut changes = self.change.subscribe();
            // When the time is over, what is there is the answer.
            let _ = timeout(wait, changes.wait_for(|change| *change != after)).await;
        }
        self.now()
    }

    fn now(&self) -> ServerObservation {
        let (disk_free, disk_total) = Cluster::disk(&self.home).unwrap_or_default();
        // Read first: a change that comes in between is told again rather than never.
        let change = *self.change.borrow();
        ServerObservation {
            server: self.server,
            at: clock::now(),
            change,
            installed: self.installed.clone(),
            memory_total: self.memory,
            disk_total,
            disk_free,
            disk: self.disk(),
            erased: self.erased().iter().copied().collect(),
            transfers: self.all_transfers(),
            participants: self.lock().values().cloned().collect(),
        }
    }
}

fn blank(id: ParticipantId, socket_dir: PathBuf) -> ParticipantObservation {
    ParticipantObservation {
        id,
        epoch: Epoch(0),
        revision: Revision(0),
        applied: None,
        instance: InstanceState::Down,
        since: clock::now(),
        restarts: 0,
        deaths: 0,
        socket_dir,
        version: None,
        error: None,
        databases: BTreeMap::new(),
        position: None,
        making: None,
        following: None,
        protected: None,
    }
}

fn without_looks(one: &ParticipantObservation) -> ParticipantObservation {
    let mut one = one.clone();
    one.databases.values_mut().for_each(|database| database.look = None);
    one.position = None;
    if let Some(protected) = &mut one.protected {
        // Whoever looks at these looks now and then.
        (protected.archived, protected.archived_at, protected.lag_bytes) = Default::default();
        protected.backing_up = None;
    }
    if let Some(making) = &mut one.making {
        (making.done, making.total) = (0, 0);
    }
    one
}
