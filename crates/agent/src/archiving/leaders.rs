//! The leaders of this server, for those that are made from their history.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_archive::{Expiry, Timeline};
use howdah_cluster::canary::Canary;
use howdah_model::agent::ParticipantSpec;
use howdah_model::ids::{ParticipantId, TimelineId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::clock;

/// How long it may take until what has been committed is in the archive.
const BOUND: Duration = Duration::from_secs(60);

/// For how long a history is kept: a restore that begins at the edge of the window has some hours to
/// fetch what it needs.
pub(crate) fn kept(spec: &ParticipantSpec) -> Duration {
    const SPARE: Duration = Duration::from_secs(6 * 3600);
    Duration::from_secs(spec.protection.keep).saturating_add(SPARE)
}

/// Where the answer goes: the commit, once it is in the archive.
pub(crate) type Answer = oneshot::Sender<Result<Canary, Unsecured>>;

/// Why it is not certain that all that was committed is in the archive.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unsecured {
    /// The leader does not commit.
    #[error("the source does not answer: {0}")]
    Silent(String),
    /// The archive does not take its WAL.
    #[error("the archive has not taken all WAL of the source within a minute")]
    Late,
}

/// How a leader is asked to send all that has been committed.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// Its participant.
    pub(crate) id: ParticipantId,
    pub(crate) secure: mpsc::Sender<Answer>,
    /// Its history in the archive, and how long that is kept.
    pub(crate) own: Timeline,
    pub(crate) wanted: watch::Receiver<Arc<ParticipantSpec>>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Leaders(Mutex<BTreeMap<TimelineId, Leader>>);

impl Leaders {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TimelineId, Leader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, timeline: TimelineId, leader: Leader) {
        self.lock().insert(timeline, leader);
    }

    /// Takes a leader out, if it is still the one.
    pub(crate) fn leave(&self, timeline: TimelineId, id: ParticipantId) {
        let mut all = self.lock();
        if all.get(&timeline).is_some_and(|leader| leader.id == id) {
            all.remove(&timeline);
        }
    }

    pub(crate) fn all(&self) -> Vec<Leader> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn of(&self, timeline: TimelineId) -> Option<Leader> {
        self.lock().get(&timeline).cloned()
    }
}

impl Leader {
    /// Makes a commit and waits until it is in the archive, so that all moments before it can be
    /// restored.
    ///
    /// # Errors
    /// See [`Unsecured`].
    pub(crate) async fn secure(&self) -> Result<Canary, Unsecured> {
        let gone = || Unsecured::Silent("it is not up".to_owned());
        let (answer, answered) = oneshot::channel();
        self.secure.send(answer).await.map_err(|_| gone())?;
        match timeout(BOUND, answered).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(Unsecured::Late),
        }
    }

    /// What of its history no restore needs any more.
    ///
    /// # Errors
    /// When the archive does not answer.
    pub(crate) async fn expiry(&self) -> Result<Expiry, howdah_archive::Error> {
        let keep = kept(&self.wanted.borrow());
        self.own.expiry(keep, clock::now()).await
    }
}
