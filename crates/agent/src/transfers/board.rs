//! What is known of transfers, on the board.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use howdah_model::ids::TransferId;
use howdah_model::transfer::{LOG_LINES, LogLine, TransferObservation, TransferState};

use crate::board::Board;
use crate::clock;

impl Board {
    fn of_transfers(&self) -> MutexGuard<'_, BTreeMap<TransferId, TransferObservation>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all_transfers(&self) -> Vec<TransferObservation> {
        self.of_transfers().values().cloned().collect()
    }

    pub(crate) fn transfer(&self, id: TransferId) -> Option<TransferObservation> {
        self.of_transfers().get(&id).cloned()
    }

    /// Takes note of a transfer that begins; what was known of an earlier attempt goes, but its log.
    pub(crate) fn put_transfer(&self, mut one: TransferObservation) {
        let mut all = self.of_transfers();
        if let Some(before) = all.remove(&one.id) {
            one.log = before.log;
        }
        all.insert(one.id, one);
        drop(all);
        self.changed();
    }

    /// Changes what is known of a transfer; whoever waits is woken.
    pub(crate) fn change_transfer(
        &self,
        id: TransferId,
        change: impl FnOnce(&mut TransferObservation),
    ) {
        if let Some(one) = self.of_transfers().get_mut(&id) {
            change(one);
        }
        self.changed();
    }

    /// Counts. Wakes nobody.
    pub(crate) fn count_transfer(&self, id: TransferId, processed: u64) {
        if let Some(one) = self.of_transfers().get_mut(&id) {
            one.processed = processed;
        }
    }

    /// Adds a line to the log of a transfer; the oldest goes when there are too many.
    pub(crate) fn log_transfer(&self, id: TransferId, line: LogLine) {
        self.change_transfer(id, |one| {
            one.log.push(line);
            let over = one.log.len().saturating_sub(LOG_LINES);
            one.log.drain(..over);
        });
    }

    /// Forgets a transfer whose end is so long ago; says whether it did.
    pub(crate) fn forget_transfer(&self, id: TransferId, after: Duration) -> bool {
        let mut all = self.of_transfers();
        let Some(one) = all.get(&id) else { return true };
        let has_ended = match one.state {
            TransferState::Done | TransferState::Failed | TransferState::Absent => true,
            TransferState::Waiting | TransferState::Running => false,
        };
        // The last line of a log is of the end.
        let bound = clock::now().checked_sub(after).ok();
        let long_ago = one.log.last().is_none_or(|line| bound.is_some_and(|bound| line.at < bound));
        let goes = has_ended && long_ago;
        if goes {
            all.remove(&id);
        }
        goes
    }
}
