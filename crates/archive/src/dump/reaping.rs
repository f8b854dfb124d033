//! What attempts have left that never came to an end.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::time::Duration;

use howdah_model::ids::TransferId;
use jiff::Timestamp;

use crate::archive::Archive;
use crate::error::Error;
use crate::layout::{DUMP, Place};
use crate::store::Listed;

/// What was not finished for so long never will be.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The attempts of one dump, each with the moment at which something was put last.
#[derive(Debug, Default)]
struct Found {
    is_complete: bool,
    attempts: BTreeMap<String, Timestamp>,
}

fn found(objects: &[Listed]) -> BTreeMap<TransferId, Found> {
    let mut all: BTreeMap<TransferId, Found> = BTreeMap::new();
    for object in objects {
        let Some((id, rest)) =
            object.place.below(&Place::dumps()).and_then(|name| name.split_once('/'))
        else {
            continue;
        };
        let Ok(id) = TransferId::from_str(id) else { continue };
        let one = all.entry(id).or_default();
        match rest.split_once('/') {
            None => one.is_complete |= rest == DUMP,
            Some((attempt, _)) => {
                let at = one.attempts.entry(attempt.to_owned()).or_insert(object.at);
                *at = object.at.max(*at);
            }
        }
    }
    all
}

impl Archive {
    /// Takes away what attempts at dumps have left that put nothing for a day, and says of how many.
    /// Complete dumps stay.
    ///
    /// # Errors
    /// When the store does not answer; some of it may be gone then.
    pub async fn reap_dumps(&self, now: Timestamp) -> Result<usize, Error> {
        let objects = self.store().list(&Place::dumps()).await?;
        let long_ago = |at: &Timestamp| now.checked_sub(ABANDONED).is_ok_and(|bound| *at < bound);
        let mut reaped = 0;
        for (id, one) in found(&objects) {
            // The parts of a complete dump are all of one attempt.
            if one.is_complete && one.attempts.len() <= 1 {
                continue;
            }
            let dump = self.dump(id);
            let kept = match one.is_complete {
                true => dump.description().await?.map(|known| known.attempt),
                false => None,
            };
            let old: BTreeSet<_> = one
                .attempts
                .iter()
                .filter(|(attempt, at)| Some(*attempt) != kept.as_ref() && long_ago(at))
                .map(|(attempt, _)| attempt.as_str())
                .collect();
            if !old.is_empty() {
                dump.delete_attempts(|attempt| old.contains(attempt)).await?;
                reaped += old.len();
            }
        }
        self.store().sweep(&Place::dumps(), ABANDONED).await?;
        Ok(reaped)
    }
}
