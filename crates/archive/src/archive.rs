//! An archive as a whole.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_model::ids::TimelineId;
use uuid::Uuid;

use crate::config::Config;
use crate::envelope::How;
use crate::error::Error;
use crate::layout::Place;
use crate::store::Store;
use crate::timeline::Timeline;

/// An archive. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Store,
}

/// What a check found: all is well, and this is how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where the archive is, without secrets.
    pub location: String,
    /// Whether its content is encrypted.
    pub encrypted: bool,
    /// Whether the store itself refuses to replace an object. Where it does not, one is looked for
    /// before each put, which two writers at the same instant can get past.
    pub conditional: bool,
    /// How long putting, reading, listing and deleting one short object took.
    pub took: Duration,
}

impl Archive {
    /// Opens an archive. A directory is made when it is not there; a store is not spoken to yet.
    ///
    /// # Errors
    /// When the directory cannot be made, or the settings do not suffice.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { store: Store::open(config)? })
    }

    /// Where it is, for people; without secrets.
    #[must_use]
    pub fn location(&self) -> &str {
        self.store.location()
    }

    /// Whether the archive is there, has a format that is known here, and does what is asked of it:
    /// a short object is put, refused a second time, read back, listed and deleted.
    ///
    /// # Errors
    /// What is wrong, with what to do about it.
    pub async fn check(&self) -> Result<Checked, Error> {
        self.store.check_format().await?;
        let begun = Instant::now();
        let place = Place::probe(&Uuid::now_v7().to_string());
        let content = Bytes::from_static(b"howdah was here");
        self.store.put_new(&place, content.clone(), How::Fast).await?;
        let probed = self.probe(&place, &content).await;
        self.store.delete(std::slice::from_ref(&place)).await?;
        probed?;
        Ok(Checked {
            location: self.location().to_owned(),
            encrypted: self.store.is_encrypted(),
            conditional: self.store.is_conditional(),
            took: begun.elapsed(),
        })
    }

    async fn probe(&self, place: &Place, content: &Bytes) -> Result<(), Error> {
        match self.store.put_new(place, Bytes::from_static(b"another"), How::Fast).await {
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
            // It has let the object be replaced: from now on one is looked for first.
            Ok(_) => {
                self.store.distrust();
                return Ok(());
            }
        }
        if self.store.get(place).await? != *content {
            return Err(Error::corrupt(place, "it was read back with other content"));
        }
        let listed = self.store.list(&Place::probes()).await?;
        if !listed.iter().any(|object| object.place == *place) {
            return Err(Error::corrupt(place, "it is there but is not listed"));
        }
        Ok(())
    }

    /// Its objects.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// One history of the archive, whether there is anything of it or not.
    #[must_use]
    pub fn timeline(&self, id: TimelineId) -> Timeline {
        Timeline::new(self.store.clone(), id)
    }

    /// The histories that anything is there of.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn timelines(&self) -> Result<Vec<TimelineId>, Error> {
        let names = self.store.directories(&Place::timelines()).await?;
        let mut ids: Vec<_> =
            names.iter().filter_map(|name| TimelineId::from_str(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}
