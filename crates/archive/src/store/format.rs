//! `format.json`: the first object of an archive. It is plain, so that every version can read it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::config::Key;
use crate::envelope;
use crate::error::Error;
use crate::layout::{FORMAT, Place};

#[derive(Serialize, Deserialize)]
struct Format {
    /// The version of layout and envelope.
    howdah_archive: u32,
    /// Tells whether the key is the one that the archive was begun with; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Store {
    /// Nothing is put into an archive, or read from it, before its format is known to be ours.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        self.0.ready.get_or_try_init(|| self.check_format()).await.copied()
    }

    /// Reads what format the archive has; a new one is given ours.
    pub(crate) async fn check_format(&self) -> Result<(), Error> {
        let place = Place::format();
        let found = match self.read(&place).await {
            Err(Error::Missing { .. }) => {
                let ours = Format { howdah_archive: FORMAT, key: self.fingerprint() };
                let text = serde_json::to_vec(&ours).map_err(|why| Error::corrupt(&place, why))?;
                self.create(&place, Bytes::from(text)).await?;
                // Another one may have been faster.
                self.read(&place).await?
            }
            found => found?,
        };
        let version: serde_json::Value =
            serde_json::from_slice(&found).map_err(|why| Error::corrupt(&place, why))?;
        let version = version["howdah_archive"].as_u64().and_then(|found| found.try_into().ok());
        let version: u32 = version.ok_or_else(|| Error::corrupt(&place, "it names no format"))?;
        if version > FORMAT {
            let location = self.location().to_owned();
            return Err(Error::NewerFormat { location, found: version, known: FORMAT });
        }
        let found: Format =
            serde_json::from_slice(&found).map_err(|why| Error::corrupt(&place, why))?;
        let place = place.to_string();
        match (found.key, self.fingerprint()) {
            (None, Some(_)) => Err(Error::NotEncrypted { place }),
            (Some(_), None) => Err(Error::KeyNeeded { place }),
            (found, ours) if found != ours => Err(Error::WrongKey { place }),
            _ => Ok(()),
        }
    }

    fn fingerprint(&self) -> Option<String> {
        self.0.key.as_ref().map(|key: &Key| envelope::fingerprint(key))
    }
}
