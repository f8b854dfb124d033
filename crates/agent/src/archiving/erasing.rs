//! Removes timelines from the archive whose time is over, as the control plane says.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use howdah_model::agent::Expired;
use howdah_model::ids::TimelineId;
use tokio::task::JoinSet;

use super::Archives;
use crate::board::Board;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Erasing {
    archives: Arc<Archives>,
    board: Arc<Board>,
    under_way: Arc<Mutex<BTreeSet<TimelineId>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Erasing {
    pub(crate) fn new(archives: Arc<Archives>, board: &Arc<Board>) -> Self {
        Self {
            archives,
            board: Arc::clone(board),
            under_way: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// What no restore needs any more, of the histories that have a leader here.
    ///
    /// # Errors
    /// When the archive does not answer.
    pub(crate) async fn expired(&self) -> Result<Vec<Expired>, howdah_archive::Error> {
        let mut all = Vec::new();
        for leader in self.archives.leaders.all() {
            all.extend(leader.expiry().await?.objects.iter().map(told));
        }
        Ok(all)
    }

    /// Removes what no restore needs any more, and says what that was.
    ///
    /// # Errors
    /// When the archive does not answer; a part may be gone then.
    pub(crate) async fn expire(&self) -> Result<Vec<Expired>, howdah_archive::Error> {
        let mut all = Vec::new();
        for leader in self.archives.leaders.all() {
            let expiry = leader.expiry().await?;
            leader.own.expire(&expiry).await?;
            all.extend(expiry.objects.iter().map(told));
        }
        Ok(all)
    }

    /// Begins to remove a timeline. It is on the board when it is gone; one that could not be removed
    /// is asked for again.
    ///
    /// # Errors
    /// When it has a leader here: nothing of a history that goes on is removed.
    pub(crate) fn begin(&self, timeline: TimelineId) -> Result<(), String> {
        if self.archives.leaders.of(timeline).is_some() {
            return Err(format!("timeline {timeline} has a leader: its archive stays"));
        }
        if !lock(&self.under_way).insert(timeline) {
            return Ok(());
        }
        let (archives, board) = (Arc::clone(&self.archives), Arc::clone(&self.board));
        let under_way = Arc::clone(&self.under_way);
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            match archives.archive.timeline(timeline).erase().await {
                Ok(()) => board.has_erased(timeline),
                Err(error) => tracing::warn!("timeline {timeline} is not erased: {error}"),
            }
            lock(&under_way).remove(&timeline);
        });
        Ok(())
    }
}

fn told(object: &howdah_archive::Expired) -> Expired {
    Expired { place: object.place().to_owned(), bytes: object.bytes, why: object.why.to_string() }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
