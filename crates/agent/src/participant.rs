//! The task of one participant: looks, asks the table what is next, does it, again and again.

mod feel;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use howdah_cluster::Cluster;
use howdah_cluster::databases::{Databases, Look};
use howdah_cluster::postmaster::Phase;
use howdah_cluster::settings::Settings;
use howdah_model::agent::{InstanceState, ParticipantSpec, Revision, Wanted};
use howdah_model::ids::ParticipantId;
use howdah_model::machine::back_off;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::layout::Layout;
use crate::looks::Looks;
use crate::ready_copies::ReadyCopies;
use crate::specs::Progress;
use crate::supervision::{Action, Data, Due, Pace, Process, Seen, next};

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
    progress: Progress,
    databases: Option<Databases>,
    looks: Looks,
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
    ) -> Self {
        let id = wanted.borrow().id;
        // A spec that comes with a number of restarts for something new asks for none.
        let restarts = wanted.borrow().restarts;
        let progress = layout.read_progress(id).unwrap_or(Progress { restarts, deaths: 0 });
        Self {
            id,
            layout,
            board,
            cluster,
            wanted,
            templates,
            copies,
            progress,
            databases: None,
            looks: Looks::default(),
            settings: None,
            converged: None,
            spare: Due::Not,
            ready_since: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// Runs until the participant is gone or the agent is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Ended {
        while !stop.is_cancelled() {
            let spec = Arc::clone(&self.wanted.borrow_and_update());
            let action = next(&self.see(&spec));
            tracing::debug!(participant.id = %self.id, "next: {action:?}");
            let mut wanted = self.wanted.clone();
            let done = match action {
                Action::Finish => match self.layout.bury(&spec) {
                    Ok(()) => return Ended::Removed(self.id),
                    Err(error) => Err(error),
                },
                // These work on files in a thread of their own, which nothing breaks off.
                Action::Make | Action::Remove => self.perform(action, &spec).await,
                Action::Start
                | Action::AwaitReady
                | Action::Restart
                | Action::Configure
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
        let written = self.settings.as_ref().is_some_and(|(known, _)| *known == spec.settings);
        let converged = self.converged.is_some_and(|(known, _)| known == spec.revision);
        Seen {
            wanted: spec.wanted,
            data: if self.cluster.is_made() { Data::Made } else { Data::Missing },
            process,
            restart: due(spec.restarts > self.progress.restarts),
            settings: due(!written),
            databases: due(!converged || self.databases.is_none()),
            pace: match self.retry_at {
                Some(at) if Instant::now() < at => Pace::Held,
                Some(_) | None => Pace::Free,
            },
        }
    }

    /// A server that was ready and has no process any more has died.
    fn note_death(&mut self, spec: &ParticipantSpec) {
        let Some(since) = self.ready_since.take() else { return };
        self.forget();
        if spec.wanted == Wanted::Absent {
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
            Action::Make => self.make().await,
            Action::Start => self.start(spec).await,
            Action::AwaitReady => self.await_ready().await,
            Action::Restart => self.restart(spec).await,
            Action::Configure => self.configure(spec).await,
            Action::Converge => self.converge(spec, Look::Differences).await,
            Action::Watch => self.watch().await,
            Action::Remove => self.remove().await,
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
        let applied = self.converged.is_some_and(|(known, _)| known == spec.revision)
            && self.settings.as_ref().is_some_and(|(known, _)| *known == spec.settings)
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

/// Waits until the spec is such that what is going on for the old one shall be broken off: the
/// participant is not wanted any more, or is to be restarted.
async fn overtaken(wanted: &mut watch::Receiver<Arc<ParticipantSpec>>, old: &ParticipantSpec) {
    let overtakes = |new: &Arc<ParticipantSpec>| {
        new.restarts > old.restarts || (new.wanted, old.wanted) == (Wanted::Absent, Wanted::Present)
    };
    if wanted.wait_for(overtakes).await.is_err() {
        // The manager is gone, so the agent ends.
        sleep(Duration::MAX).await;
    }
}
