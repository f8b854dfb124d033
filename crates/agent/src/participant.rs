//! The task of one participant: looks, asks the table what is next, does it, again and again.

mod feel;
mod follower;
mod origin;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use howdah_cluster::brake::Writes;
use howdah_cluster::databases::{Databases, Look};
use howdah_cluster::postmaster::Phase;
use howdah_cluster::settings::Settings;
use howdah_cluster::{Cluster, commands};
use howdah_model::agent::{
    DatabaseObservation, Incarnation, InstanceState, ParticipantObservation, ParticipantSpec,
    Revision, Role, Run, Source, Wanted,
};
use howdah_model::compliance::GRACE;
use howdah_model::ids::ParticipantId;
use howdah_model::machine::back_off;
use howdah_model::name::DatabaseName;
use howdah_model::protection::DiskStage;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::archiving::{Archives, Archiving, door};
use crate::board::Board;
use crate::layout::Layout;
use crate::looks::Looks;
use crate::ready_copies::ReadyCopies;
use crate::row_limits::RowLimits;
use crate::specs::Progress;
use crate::supervision::{Action, Data, Due, Pace, Process, Seen, Stands, next};

/// How a participant's task came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The participant is gone.
    Removed(ParticipantId),
    /// The agent ends; the participant goes on.
    LeftAlone,
}

/// A server that lived shorter than this before it died is not started again at once.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// See the module's text.
pub(crate) struct Participant {
    id: ParticipantId,
    layout: Layout,
    board: Arc<Board>,
    cluster: Cluster,
    wanted: watch::Receiver<Arc<ParticipantSpec>>,
    /// Held while a template is made, so that two participants do not make the same one.
    templates: Arc<Mutex<()>>,
    copies: Arc<ReadyCopies>,
    /// None where the platform has no archive: tests of something else.
    archives: Option<Arc<Archives>>,
    archiving: Option<Archiving>,
    progress: Progress,
    /// Whether the server that runs writes; none when it was not asked since its start.
    standing: Option<Stands>,
    progressing: follower::Progressing,
    /// The revision for which it stands still.
    rests: Option<Revision>,
    /// Since when it is being removed.
    removing: Option<Instant>,
    databases: Option<Databases>,
    looks: Looks,
    rows: RowLimits,
    /// The settings that were written last, and what PostgreSQL had against them.
    settings: Option<(Settings, Option<String>)>,
    /// The revision whose databases are there, and when all was looked at.
    converged: Option<(Revision, Instant)>,
    /// Whether the spare database may be gone, and another would be of use.
    spare: Due,
    /// Since when the server is known to be ready.
    ready_since: Option<Instant>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Participant {
    pub(crate) fn new(
        layout: Layout,
        board: Arc<Board>,
        cluster: Cluster,
        wanted: watch::Receiver<Arc<ParticipantSpec>>,
        templates: Arc<Mutex<()>>,
        copies: Arc<ReadyCopies>,
        archives: Option<Arc<Archives>>,
    ) -> Self {
        let id = wanted.borrow().id;
        // A spec that comes with a number of restarts for something new asks for none.
        let restarts = wanted.borrow().restarts;
        let progress =
            layout.read_progress(id).unwrap_or(Progress { restarts, ..Progress::default() });
        Self {
            id,
            layout,
            board,
            cluster,
            wanted,
            templates,
            copies,
            archives,
            archiving: None,
            progress,
            standing: None,
            progressing: follower::Progressing::default(),
            rests: None,
            removing: None,
            databases: None,
            looks: Looks::default(),
            rows: RowLimits::new(GRACE),
            settings: None,
            converged: None,
            spare: Due::Not,
            ready_since: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// Gives databases another time to have more rows than their limit.
    pub(crate) fn with_row_grace(self, grace: Duration) -> Self {
        Self { rows: RowLimits::new(grace), ..self }
    }

    /// Runs until the participant is gone or the agent is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Ended {
        while !stop.is_cancelled() {
            let spec = Arc::clone(&self.wanted.borrow_and_update());
            if let Err(error) = self.open_archiving(&spec).and_then(|()| self.brake(&spec)) {
                self.failed(&error);
            }
            let action = next(&self.see(&spec));
            tracing::debug!(participant.id = %self.id, "next: {action:?}");
            let mut wanted = self.wanted.clone();
            let done = match action {
                Action::Finish => match self.layout.bury(&spec) {
                    Ok(()) => return Ended::Removed(self.id),
                    Err(error) => Err(error),
                },
                // These work on files in a thread of their own, which nothing breaks off.
                Action::Make if spec.source == Source::Empty => self.perform(action, &spec).await,
                Action::Remove => self.perform(action, &spec).await,
                Action::Make
                | Action::Start
                | Action::AwaitReady
                | Action::Restart
                | Action::Stop
                | Action::Rest
                | Action::Configure
                | Action::Ask
                | Action::Promote
                | Action::Follow
                | Action::Converge
                | Action::Watch
                | Action::Pause => tokio::select! {
                    done = self.perform(action, &spec) => done,
                    () = overtaken(&mut wanted, &spec) => {
                        self.forget();
                        Ok(())
                    }
                    () = stop.cancelled() => break,
                },
            };
            if let Err(error) = done {
                self.failed(&error);
            }
            if self.wanted.has_changed().unwrap_or(false) {
                self.retry_at = None;
            }
            self.tell(&spec);
        }
        Ended::LeftAlone
    }

    /// What was going on may have been left in the middle, so nothing is known to be there.
    fn forget(&mut self) {
        self.databases = None;
        self.converged = None;
    }

    /// Opens the door to the archive, for what the participant is now.
    fn open_archiving(&mut self, spec: &ParticipantSpec) -> Result<()> {
        let Some(archives) = &self.archives else { return Ok(()) };
        let is_gone = spec.wanted == Wanted::Absent && !self.cluster.is_made();
        if is_gone || self.archiving.as_ref().is_some_and(|open| open.fits(spec)) {
            return Ok(());
        }
        // The old one goes first: there is one socket.
        self.archiving = None;
        self.archiving = Some(Archiving::open(archives, &self.board, &self.cluster, &self.wanted)?);
        Ok(())
    }

    /// On a disk that is nearly full tenants only read; a reload of the settings follows.
    fn brake(&mut self, spec: &ParticipantSpec) -> Result<()> {
        if spec.wanted == Wanted::Absent || !self.cluster.is_configured() {
            return Ok(());
        }
        let writes = match self.board.disk() {
            DiskStage::ReadOnly => Writes::Refused,
            DiskStage::Ample | DiskStage::Warn | DiskStage::Throttle => Writes::Allowed,
        };
        if self.cluster.braked() != writes {
            self.cluster.brake(writes)?;
            self.settings = None;
        }
        Ok(())
    }

    fn see(&mut self, spec: &ParticipantSpec) -> Seen {
        let process = match self.cluster.postmaster().map(|found| found.phase) {
            None => Process::Gone,
            Some(Phase::Ready) => Process::Ready,
            Some(Phase::Starting | Phase::Stopping) => Process::Busy,
        };
        if process == Process::Gone {
            self.note_death(spec);
        }
        let due = |is_due: bool| if is_due { Due::Now } else { Due::Not };
        let wanted = self.wanted_settings(spec);
        let written = self.settings.as_ref().is_some_and(|(known, _)| *known == wanted);
        let converged = self.converged.is_some_and(|(known, _)| known == spec.revision);
        Seen {
            wanted: spec.wanted,
            run: spec.run,
            data: if self.cluster.is_made() { Data::Made } else { Data::Missing },
            process,
            role: spec.role,
            stands: self.stands(spec),
            restart: due(spec.restarts > self.progress.restarts),
            settings: due(!written),
            databases: due(!converged || (spec.role == Role::Leader && self.databases.is_none())),
            pace: match self.retry_at {
                Some(at) if Instant::now() < at => Pace::Held,
                Some(_) | None => Pace::Free,
            },
        }
    }

    /// The spec's settings, and those by which the server gives its WAL away.
    fn wanted_settings(&self, spec: &ParticipantSpec) -> Settings {
        let mut settings = spec.settings.clone();
        if let Some(archives) = &self.archives {
            let socket = door::path(&self.cluster.socket_dir);
            match commands::archive_settings(&archives.program, &socket) {
                Ok(own) => settings.extend(own),
                Err(error) => tracing::error!(participant.id = %self.id, "no archive: {error}"),
            }
        }
        settings
    }

    /// What is made empty has never been anything but one that writes.
    fn stands(&self, spec: &ParticipantSpec) -> Stands {
        match (self.standing, spec.role, &spec.source) {
            (Some(known), _, _) => known,
            (None, Role::Leader, Source::Empty) => Stands::Writes,
            (None, _, _) => Stands::Unknown,
        }
    }

    /// A server that was ready and has no process any more has died.
    fn note_death(&mut self, spec: &ParticipantSpec) {
        self.standing = None;
        let Some(since) = self.ready_since.take() else { return };
        self.forget();
        if spec.wanted == Wanted::Absent {
            return;
        }
        if spec.run == Run::Stopped {
            return;
        }
        self.progress.deaths += 1;
        tracing::warn!(participant.id = %self.id, "the postmaster of {} has died", self.id);
        self.show(InstanceState::Down);
        if let Err(error) = self.layout.write_progress(self.id, self.progress) {
            tracing::warn!(participant.id = %self.id, "{error:#}");
        }
        if since.elapsed() < SHORT_LIFE && self.progress.deaths > 1 {
            self.hold_back();
        }
    }

    fn failed(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        tracing::warn!(participant.id = %self.id, "{text}");
        self.board.update(self.id, |one| one.error = Some(text));
        self.hold_back();
    }

    fn hold_back(&mut self) {
        let spread = f64::from(self.id.0.as_bytes()[15]) / 255.0;
        self.retry_at = Some(Instant::now() + back_off(self.failures, spread));
        self.failures = self.failures.saturating_add(1);
    }

    async fn perform(&mut self, action: Action, spec: &ParticipantSpec) -> Result<()> {
        match action {
            Action::Make => match &spec.source {
                Source::Empty => self.make().await,
                Source::Timeline(origin) => self.make_from(origin, spec).await,
            },
            Action::Ask => self.ask_standing().await,
            Action::Promote => self.promote().await,
            Action::Follow => self.follow(spec).await,
            Action::Start => self.start(spec).await,
            Action::AwaitReady => self.await_ready().await,
            Action::Restart => self.restart(spec).await,
            Action::Stop => self.stand_still().await,
            Action::Rest => self.rest(spec).await,
            Action::Configure => self.configure(spec).await,
            Action::Converge => self.converge(spec, Look::Differences).await,
            Action::Watch => self.watch().await,
            Action::Remove => self.remove(spec).await,
            Action::Finish => Ok(()),
            Action::Pause => {
                self.pause().await;
                Ok(())
            }
        }
    }

    async fn pause(&mut self) {
        let until = self.retry_at.unwrap_or_else(Instant::now);
        tokio::select! {
            () = sleep_until(until) => {}
            _ = self.wanted.changed() => self.retry_at = None,
        }
    }

    fn show(&self, instance: InstanceState) {
        self.board.update(self.id, |one| one.instance = instance);
    }

    /// Tells what has been reached.
    fn tell(&self, spec: &ParticipantSpec) {
        let complaint = self.settings.as_ref().and_then(|(_, complaint)| complaint.clone());
        let is_at_rest = spec.run == Run::Stopped && self.rests == Some(spec.revision);
        let applied = is_at_rest
            || self.converged.is_some_and(|(known, _)| known == spec.revision)
                && self
                    .settings
                    .as_ref()
                    .is_some_and(|(known, _)| *known == self.wanted_settings(spec))
                && complaint.is_none()
                && spec.restarts <= self.progress.restarts;
        self.board.update(self.id, |one| {
            one.restarts = self.progress.restarts;
            one.deaths = self.progress.deaths;
            if applied {
                one.applied = Some(spec.revision);
                one.error = None;
            } else if complaint.is_some() {
                one.error = complaint;
            }
        });
    }
}

/// The databases that are there.
type Present = BTreeMap<DatabaseName, Incarnation>;

/// Takes note of the databases that are there, with the looks that are known of them.
fn observed(one: &mut ParticipantObservation, present: &Present) {
    let old = std::mem::take(&mut one.databases);
    let observed = |(name, incarnation): (&_, &_)| {
        let old = old.get(name);
        let look = old.and_then(|old: &DatabaseObservation| old.look.clone());
        let compliance = old.and_then(|old| old.compliance);
        (Clone::clone(name), DatabaseObservation { incarnation: *incarnation, look, compliance })
    };
    one.databases = present.iter().map(observed).collect();
}

/// Waits until the spec is such that what is going on for the old one shall be broken off: the
/// participant is not wanted any more, or is to be restarted.
async fn overtaken(wanted: &mut watch::Receiver<Arc<ParticipantSpec>>, old: &ParticipantSpec) {
    let overtakes = |new: &Arc<ParticipantSpec>| {
        new.restarts > old.restarts
            || (new.wanted, old.wanted) == (Wanted::Absent, Wanted::Present)
            || (new.run, old.run) == (Run::Stopped, Run::Up)
    };
    if wanted.wait_for(overtakes).await.is_err() {
        // The manager is gone, so the agent ends.
        sleep(Duration::MAX).await;
    }
}
