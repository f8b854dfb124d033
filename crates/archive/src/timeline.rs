//! One history in the archive.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use howdah_model::ids::TimelineId;
use howdah_model::lsn::Lsn;
use howdah_model::version::Major;
use serde::{Deserialize, Serialize};

use crate::backup::{Backup, BackupId};
use crate::envelope::How;
use crate::error::Error;
use crate::layout::Place;
use crate::store::Store;

/// How many descriptions of base backups are read at once.
const AT_ONCE: usize = 8;

/// One history in the archive. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub(crate) store: Store,
    pub(crate) id: TimelineId,
}

/// Whose history it is: `timeline.json`. Written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The major version of PostgreSQL.
    pub major: Major,
    /// PostgreSQL's own identifier of the cluster. Copies have it in common, so it only tells that a
    /// history is certainly another one.
    pub system_identifier: u64,
    /// The history that it branched off from, and where.
    pub parent: Option<(TimelineId, Lsn)>,
}

impl Timeline {
    pub(crate) fn new(store: Store, id: TimelineId) -> Self {
        Self { store, id }
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> TimelineId {
        self.id
    }

    /// Says whose history it is, before anything of it is put.
    ///
    /// # Errors
    /// [`Error::OtherHistory`] when something else was said before.
    pub async fn describe(&self, about: &About) -> Result<(), Error> {
        let place = Place::about(self.id);
        let text = serde_json::to_vec(about).map_err(|why| Error::corrupt(&place, why))?;
        match self.store.put_new(&place, Bytes::from(text), How::Plain).await {
            Ok(_) => Ok(()),
            Err(Error::Conflict { .. }) => {
                let why = match self.about().await? {
                    Some(there) => differences(&there, about),
                    None => return Err(Error::Missing { place: place.to_string() }),
                };
                if why.is_empty() {
                    return Ok(());
                }
                Err(Error::OtherHistory { timeline: self.id.to_string(), why })
            }
            Err(error) => Err(error),
        }
    }

    /// Whose history it is; none when nothing was said yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn about(&self) -> Result<Option<About>, Error> {
        let place = Place::about(self.id);
        match self.store.get(&place).await {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|why| Error::corrupt(&place, why))
            }
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The base backups that are complete, from the oldest on. One whose description is damaged is
    /// left out, and said in the log.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn backups(&self) -> Result<Vec<Backup>, Error> {
        let names = self.store.directories(&Place::backups(self.id)).await?;
        let read = stream::iter(names).map(|name| self.backup(name)).buffered(AT_ONCE);
        let mut backups: Vec<_> =
            read.try_filter_map(async |found| Ok(found)).try_collect().await?;
        backups.sort_by(|a: &Backup, b| a.id.cmp(&b.id));
        Ok(backups)
    }

    async fn backup(&self, name: String) -> Result<Option<Backup>, Error> {
        let Ok(id) = name.parse::<BackupId>() else { return Ok(None) };
        let place = Place::backup(self.id, &id);
        let read = self.store.get(&place).await.and_then(|text| {
            serde_json::from_slice::<Backup>(&text).map_err(|why| Error::corrupt(&place, why))
        });
        match read {
            Ok(backup) if backup.id == id => Ok(Some(backup)),
            // It is not complete: being taken, or broken off.
            Err(Error::Missing { .. }) => Ok(None),
            Ok(_) => {
                tracing::error!(%place, "a base backup has another's description");
                Ok(None)
            }
            Err(error @ Error::Corrupt { .. }) => {
                tracing::error!(%error, "a base backup cannot be used");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What was said differently; how it is written may differ with the version that wrote it.
fn differences(there: &About, now: &About) -> String {
    let mut differ = Vec::new();
    if there.system_identifier != now.system_identifier {
        let (there, now) = (there.system_identifier, now.system_identifier);
        differ.push(format!("its system identifier is {there}, not {now}"));
    }
    if there.major != now.major {
        differ.push(format!("it is of PostgreSQL {}, not {}", there.major, now.major));
    }
    if there.parent != now.parent {
        differ.push("it branched off elsewhere".to_owned());
    }
    differ.join(", ")
}

#[cfg(test)]
mod tests;
