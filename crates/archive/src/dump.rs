//! Dumps: logical copies of databases as `pg_dump` wrote them, cut into parts.
//!
//! An attempt at a dump puts its parts under a name of its own, so a second attempt after a crash
//! meets nothing of the first. `dump.json` comes last and says which attempt it is: it is put where
//! none is, so one attempt makes the dump, whoever else still writes. What the others have put goes.

mod reading;
mod reaping;
mod writing;

use std::str::FromStr as _;

use howdah_model::ids::TransferId;
use howdah_model::transfer::Made;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::error::Error;
use crate::layout::{DUMP, Place};
use crate::store::Store;

pub use writing::Writer;

/// Bytes of every part but the last.
const PART: u32 = 8 << 20;

/// What a dump is, as `dump.json` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The attempt that made it: the directory of its parts.
    pub attempt: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole, in hexadecimal.
    pub sha256: String,
    /// Bytes of every part but the last.
    pub part_bytes: u32,
    /// How many parts there are.
    pub parts: u32,
    /// When it was complete.
    pub at: Timestamp,
    /// What was dumped.
    pub made: Made,
}

/// One dump of an archive, there or not.
#[derive(Clone, Debug)]
pub struct Dump {
    store: Store,
    id: TransferId,
}

impl Archive {
    /// The dump of a transfer, whether there is anything of it or not.
    #[must_use]
    pub fn dump(&self, id: TransferId) -> Dump {
        Dump { store: self.store().clone(), id }
    }

    /// The dumps that anything is there of, also of those that are not complete.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn dumps(&self) -> Result<Vec<TransferId>, Error> {
        let names = self.store().directories(&Place::dumps()).await?;
        let mut ids: Vec<_> =
            names.iter().filter_map(|name| TransferId::from_str(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Dump {
    /// What it is; none when it is not complete, or not there at all.
    ///
    /// # Errors
    /// When the store does not answer, or when what it says cannot be.
    pub async fn description(&self) -> Result<Option<Description>, Error> {
        let place = Place::dump_description(self.id);
        let text = match self.store.get(&place).await {
            Ok(text) => text,
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let known: Description =
            serde_json::from_slice(&text).map_err(|why| Error::corrupt(&place, why))?;
        let parts = known.bytes.div_ceil(u64::from(known.part_bytes.max(1)));
        if known.part_bytes == 0 || parts != u64::from(known.parts) {
            return Err(Error::corrupt(&place, "its parts do not make up its size"));
        }
        Ok(Some(known))
    }

    /// Removes all of it, what makes it complete first. It may be broken off and done again. Whoever
    /// writes it must have ended: another attempt could make it complete again.
    ///
    /// # Errors
    /// When the store does not answer; some of it may be gone then.
    pub async fn delete(&self) -> Result<(), Error> {
        let objects = self.store.list(&Place::dump(self.id)).await?;
        let places = objects.into_iter().map(|object| object.place);
        let (description, parts): (Vec<_>, Vec<_>) = places.partition(|place| place.name() == DUMP);
        self.store.delete(&description).await?;
        self.store.delete(&parts).await?;
        self.store.sweep(&Place::dump(self.id), std::time::Duration::ZERO).await
    }

    /// Removes what attempts have left that did not make it complete.
    ///
    /// # Errors
    /// As of [`Self::delete`].
    pub async fn delete_unfinished(&self) -> Result<(), Error> {
        let kept = self.description().await?.map(|known| known.attempt);
        self.delete_attempts(|attempt| Some(attempt) != kept.as_deref()).await
    }

    async fn delete_attempts(&self, goes: impl Fn(&str) -> bool) -> Result<(), Error> {
        let whole = Place::dump(self.id);
        let objects = self.store.list(&whole).await?;
        let of_one = |place: &Place| {
            let attempt = place.below(&whole).and_then(|name| name.split_once('/'));
            attempt.is_some_and(|(attempt, _)| goes(attempt))
        };
        let places = objects.into_iter().map(|object| object.place).filter(of_one);
        self.store.delete(&places.collect::<Vec<_>>()).await
    }
}

#[cfg(test)]
mod tests;
