//! Takes specs in and owns the task of every participant. One at a time, so that what is newer is
//! decided in one place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use howdah_cluster::databases;
use howdah_cluster::{Cluster, RunAs};
use howdah_model::agent::{
    Installed, InstanceState, ParticipantObservation, ParticipantSpec, Refusal, Wanted,
};
use howdah_model::ids::ParticipantId;
use howdah_model::version::Major;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::archiving::Archives;
use crate::board::Board;
use crate::layout::Layout;
use crate::participant::{Ended, Participant};
use crate::ready_copies::ReadyCopies;

/// Why a spec was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// A newer one was taken before.
    #[error(transparent)]
    Older(#[from] Refusal),
    /// No participant can be so; says why.
    #[error("{0}")]
    Invalid(String),
    /// It could not be kept.
    #[error("keep the spec: {0:#}")]
    Failed(anyhow::Error),
}

/// A spec, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) spec: ParticipantSpec,
    pub(crate) answer: oneshot::Sender<Result<ParticipantObservation, NotTaken>>,
}

/// How long a participant is left alone whose task has broken off.
const AFTER_A_BUG: Duration = Duration::from_secs(5);

/// See the module's text.
pub(crate) struct Manager {
    layout: Layout,
    installed: Vec<Installed>,
    run_as: RunAs,
    board: Arc<Board>,
    stop: CancellationToken,
    specs: BTreeMap<ParticipantId, Arc<ParticipantSpec>>,
    /// How those that have a task are told of a newer spec.
    running: BTreeMap<ParticipantId, watch::Sender<Arc<ParticipantSpec>>>,
    tasks: JoinSet<Ended>,
    ids: HashMap<task::Id, ParticipantId>,
    templates: Arc<tokio::sync::Mutex<()>>,
    copies: Arc<ReadyCopies>,
    archives: Option<Arc<Archives>>,
    row_grace: Duration,
}

impl Manager {
    pub(crate) fn new(
        layout: Layout,
        config: &Config,
        board: Arc<Board>,
        copies: Arc<ReadyCopies>,
        archives: Option<Arc<Archives>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            layout,
            installed: config.installed.clone(),
            run_as: config.run_as.clone(),
            board,
            stop,
            specs: BTreeMap::new(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
            templates: Arc::default(),
            copies,
            archives,
            row_grace: config.row_grace,
        }
    }

    pub(crate) async fn run(mut self, mut received: mpsc::Receiver<Put>) -> Result<()> {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(put) = received.recv() => {
                    let taken = self.take(put.spec).await;
                    // Whoever asked may have gone; the spec is kept all the same.
                    let _ = put.answer.send(taken);
                }
                Some(ended) = self.tasks.join_next_with_id() => match ended {
                    Ok((task, ended)) => self.ended(task, &ended)?,
                    Err(panic) => self.broke_off(&panic)?,
                },
            }
        }
        // Each ends at the same token, in the middle of whatever it does.
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Takes up what the disk says is wanted.
    ///
    /// # Errors
    /// When the directory of the specs cannot be read.
    pub(crate) fn read(&mut self) -> Result<()> {
        let specs = self.layout.read_specs().context("read the specs")?;
        for (id, spec) in specs.gone {
            self.specs.insert(id, Arc::new(spec));
        }
        for id in specs.unreadable {
            self.board.lacks_spec(id, self.layout.socket_dir(id));
        }
        for (id, spec) in specs.wanted {
            let spec = Arc::new(spec);
            self.specs.insert(id, Arc::clone(&spec));
            self.supervise(&spec, Duration::ZERO);
        }
        Ok(())
    }

    async fn take(&mut self, spec: ParticipantSpec) -> Result<ParticipantObservation, NotTaken> {
        let id = spec.id;
        if let Some(has) = self.specs.get(&id) {
            if (spec.epoch, spec.revision) < (has.epoch, has.revision) {
                return Err(Refusal::Older { id, epoch: has.epoch, has: has.revision }.into());
            }
            if **has == spec {
                return Ok(self.observation(&spec));
            }
        }
        self.check(&spec).map_err(NotTaken::Invalid)?;
        let spec = Arc::new(spec);
        self.keep(Arc::clone(&spec)).await.map_err(NotTaken::Failed)?;
        self.specs.insert(id, Arc::clone(&spec));
        self.supervise(&spec, Duration::ZERO);
        Ok(self.observation(&spec))
    }

    async fn keep(&self, spec: Arc<ParticipantSpec>) -> Result<()> {
        let layout = self.layout.clone();
        let is_running = self.running.contains_key(&spec.id);
        let write = move || match spec.wanted {
            // Of what was never here, or is gone, only the tombstone is kept.
            Wanted::Absent if !is_running => layout.bury(&spec),
            Wanted::Absent => layout.write_spec(&spec),
            Wanted::Present => {
                layout.write_spec(&spec)?;
                layout.unbury(spec.id)
            }
        };
        task::spawn_blocking(write).await.context("wait for the disk")?
    }

    fn check(&self, spec: &ParticipantSpec) -> Result<(), String> {
        if spec.wanted == Wanted::Absent {
            return Ok(());
        }
        databases::check(&spec.databases).map_err(|error| error.to_string())?;
        let known = self.specs.get(&spec.id).filter(|known| known.wanted == Wanted::Present);
        if let Some(known) = known.filter(|known| known.major != spec.major) {
            return Err(format!(
                "participant {} has PostgreSQL {} and cannot become {} in place",
                spec.id, known.major, spec.major
            ));
        }
        self.programs(spec.major).map(|_| ())
    }

    fn programs(&self, major: Major) -> Result<&Installed, String> {
        self.installed.iter().find(|one| one.version.major == major).ok_or_else(|| {
            let have: Vec<_> =
                self.installed.iter().map(|one| one.version.major.to_string()).collect();
            format!("PostgreSQL {major} is not installed here; there is {}", have.join(", "))
        })
    }

    /// Tells the participant's task of its spec, and starts the task when there is none, after a
    /// pause.
    fn supervise(&mut self, spec: &Arc<ParticipantSpec>, pause: Duration) {
        let id = spec.id;
        if let Some(task) = self.running.get(&id) {
            self.board.has_spec(spec, self.layout.socket_dir(id));
            task.send_replace(Arc::clone(spec));
            return;
        }
        if spec.wanted == Wanted::Absent && !self.layout.participant(id).exists() {
            return;
        }
        self.board.has_spec(spec, self.layout.socket_dir(id));
        let cluster = self.cluster(spec);
        let (sender, wanted) = watch::channel(Arc::clone(spec));
        let participant = Participant::new(
            self.layout.clone(),
            Arc::clone(&self.board),
            cluster,
            wanted,
            Arc::clone(&self.templates),
            Arc::clone(&self.copies),
            self.archives.clone(),
        );
        let participant = participant.with_row_grace(self.row_grace);
        let stop = self.stop.clone();
        let task = self.tasks.spawn(async move {
            sleep(pause).await;
            participant.run(stop).await
        });
        self.ids.insert(task.id(), id);
        self.running.insert(id, sender);
    }

    /// A cluster whose programs were uninstalled can still be stopped and removed; a start of it
    /// says what is missing.
    fn cluster(&self, spec: &ParticipantSpec) -> Cluster {
        let missing = || Installed {
            version: howdah_model::version::Version { major: spec.major, minor: 0 },
            bindir: format!("/usr/lib/postgresql/{}/bin", spec.major).into(),
        };
        let installed = self.programs(spec.major).cloned().unwrap_or_else(|_| missing());
        self.layout.cluster(spec.id, &installed, &self.run_as)
    }

    fn ended(&mut self, task: task::Id, ended: &Ended) -> Result<()> {
        self.ids.remove(&task);
        let Ended::Removed(id) = *ended else { return Ok(()) };
        self.running.remove(&id);
        let Some(spec) = self.specs.get(&id).cloned() else { return Ok(()) };
        match spec.wanted {
            Wanted::Absent => self.board.remove(id),
            // A newer spec came while the last files were removed.
            Wanted::Present => {
                self.layout.write_spec(&spec)?;
                self.layout.unbury(id)?;
                self.supervise(&spec, Duration::ZERO);
            }
        }
        Ok(())
    }

    /// A bug met one participant; the others go on, and it is tried again a little later.
    fn broke_off(&mut self, panic: &JoinError) -> Result<()> {
        let id = self.ids.remove(&panic.id()).context("every task has a participant")?;
        tracing::error!(participant.id = %id, "the task of participant {id} broke off: {panic}");
        self.running.remove(&id);
        if let Some(spec) = self.specs.get(&id).cloned() {
            self.supervise(&spec, AFTER_A_BUG);
        }
        Ok(())
    }

    fn observation(&self, spec: &ParticipantSpec) -> ParticipantObservation {
        self.board.one(spec.id).unwrap_or_else(|| ParticipantObservation {
            id: spec.id,
            epoch: spec.epoch,
            revision: spec.revision,
            applied: Some(spec.revision),
            instance: InstanceState::Down,
            since: crate::clock::now(),
            restarts: spec.restarts,
            deaths: 0,
            socket_dir: self.layout.socket_dir(spec.id),
            version: None,
            error: None,
            databases: BTreeMap::new(),
            position: None,
            making: None,
            following: None,
            protected: None,
        })
    }
}
