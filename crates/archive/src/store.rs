//! Objects: put once, read back verified, listed, deleted. What an object store does at its edges
//! (retries, time-outs, what exists already, what is durable) is settled here.

mod backend;
mod failure;
mod format;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use tokio::sync::OnceCell;

use crate::config::{Config, Key, Location};
use crate::envelope::{self, How, LARGEST};
use crate::error::Error;
use crate::layout::Place;
use failure::Failure;

/// An attempt that only asks or says something short takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The slowest line that large objects are sent over, in bytes a second.
const SLOWEST: u64 = 128 << 10;

/// How often a call is tried, beside what the client of the store retries itself.
const TRIES: u32 = 4;

/// The wait before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// How many objects one request deletes.
const DELETED_AT_ONCE: usize = 500;

/// What came of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    New {
        /// Bytes in the archive.
        bytes: u64,
    },
    /// It was there, with the same content.
    Already,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its name.
    pub place: Place,
    /// Bytes in the archive.
    pub bytes: u64,
    /// When it was put, by the store's clock.
    pub at: Timestamp,
}

/// An object in its envelope.
#[derive(Debug)]
pub(crate) struct Sealed {
    bytes: Bytes,
    store: Store,
    place: Place,
}

impl Sealed {
    /// Gives the content away in order; see [`envelope::pour`]. Takes processor time.
    ///
    /// # Errors
    /// [`Error::Corrupt`], also after content was given away, and those of `take`.
    pub(crate) fn pour<E: From<Error>>(
        self,
        take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        envelope::pour(self.bytes.into(), self.store.0.key.as_ref(), &self.place, take)
    }
}

/// The objects of an archive. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    objects: Arc<dyn ObjectStore>,
    /// Of an archive on this machine: its directory.
    directory: Option<PathBuf>,
    prefix: Path,
    key: Option<Key>,
    location: String,
    /// Set once the format is known to be ours.
    ready: OnceCell<()>,
    /// Whether the store itself refuses to replace an object.
    conditional: AtomicBool,
    /// [`PATIENCE`], but for tests.
    patience: Duration,
}

impl Store {
    /// Gets ready to speak to the store; a directory is made, nothing else is touched.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        Self::open_with(config, PATIENCE)
    }

    fn open_with(config: &Config, patience: Duration) -> Result<Self, Error> {
        let objects = backend::build(&config.location)?;
        let (directory, prefix) = match &config.location {
            Location::Directory(path) => (Some(path.clone()), Path::default()),
            Location::Url(remote) => (None, Path::from(remote.prefix.as_str())),
        };
        Ok(Self(Arc::new(Inner {
            objects,
            directory,
            prefix,
            key: config.key.clone(),
            location: config.location.to_string(),
            ready: OnceCell::new(),
            conditional: AtomicBool::new(true),
            patience,
        })))
    }

    /// Where it is, for people.
    pub(crate) fn location(&self) -> &str {
        &self.0.location
    }

    /// Whether content is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.key.is_some()
    }

    /// Whether the store itself refuses to replace an object, as far as is known.
    pub(crate) fn is_conditional(&self) -> bool {
        self.0.conditional.load(Ordering::Relaxed)
    }

    /// The store was seen to replace an object.
    pub(crate) fn distrust(&self) {
        self.0.conditional.store(false, Ordering::Relaxed);
    }

    /// Puts an object where none is. It is durable when this returns.
    ///
    /// # Errors
    /// [`Error::Conflict`] when one with other content is there.
    pub(crate) async fn put_new(
        &self,
        place: &Place,
        plain: Bytes,
        how: How,
    ) -> Result<Stored, Error> {
        self.ready().await?;
        let (store, at, content) = (self.clone(), place.clone(), plain.clone());
        let sealed =
            blocking(place, move || envelope::seal(&content, how, store.0.key.as_ref(), &at))
                .await?;
        let bytes = sealed.len() as u64;
        if self.create(place, Bytes::from(sealed)).await? {
            return Ok(Stored::New { bytes });
        }
        // Somebody has put it, perhaps this very call before an answer was lost.
        let there = self.get(place).await?;
        if there != plain {
            return Err(Error::Conflict { place: place.to_string() });
        }
        if let Some(directory) = &self.0.directory {
            // Whoever made it may have died before its name was on the disk.
            backend::sync_parents(directory, std::slice::from_ref(place)).await?;
        }
        Ok(Stored::Already)
    }

    /// The content of an object: exactly what was put.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Corrupt`] and whatever keeps the store from answering.
    pub(crate) async fn get(&self, place: &Place) -> Result<Bytes, Error> {
        self.ready().await?;
        let sealed = self.read(place).await?;
        let (store, at) = (self.clone(), place.clone());
        let plain =
            blocking(place, move || envelope::open(sealed.into(), store.0.key.as_ref(), &at))
                .await?;
        Ok(Bytes::from(plain))
    }

    /// An object as it is, to be taken out bit by bit.
    ///
    /// # Errors
    /// [`Error::Missing`] and whatever keeps the store from answering.
    pub(crate) async fn sealed(&self, place: &Place) -> Result<Sealed, Error> {
        self.ready().await?;
        let bytes = self.read(place).await?;
        Ok(Sealed { bytes, store: self.clone(), place: place.clone() })
    }

    /// Whether there is an object.
    pub(crate) async fn exists(&self, place: &Place) -> Result<bool, Error> {
        self.ready().await?;
        match self
            .trying(place, self.0.patience, || async {
                self.0.objects.head(&self.path(place)).await
            })
            .await
        {
            Ok(_) => Ok(true),
            Err(Failure::Missing) => Ok(false),
            Err(failure) => Err(self.error(place, failure)),
        }
    }

    /// All objects in a directory, however deep, in no order.
    pub(crate) async fn list(&self, directory: &Place) -> Result<Vec<Listed>, Error> {
        self.ready().await?;
        let listing = self.trying(directory, Duration::MAX, || async {
            let mut found = Vec::new();
            let mut objects = self.0.objects.list(Some(&self.path(directory)));
            // The whole may be long, a page of it is not.
            while let Some(object) = tokio::time::timeout(self.0.patience, objects.next())
                .await
                .map_err(|_| failure::slow(self.0.patience))?
            {
                let object = object?;
                if let Some(name) = self.name(&object.location) {
                    let at = object.last_modified.timestamp_micros();
                    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
                    found.push(Listed { place: Place::listed(&name), bytes: object.size, at });
                }
            }
            Ok(found)
        });
        match listing.await {
            Ok(found) => Ok(found),
            Err(Failure::Missing) if self.0.directory.is_some() => Ok(Vec::new()),
            Err(failure) => Err(self.error(directory, failure)),
        }
    }

    /// The names of the directories in a directory.
    pub(crate) async fn directories(&self, of: &Place) -> Result<Vec<String>, Error> {
        self.ready().await?;
        let path = self.path(of);
        let listing = self.trying(of, self.0.patience * 6, || async {
            self.0.objects.list_with_delimiter(Some(&path)).await
        });
        match listing.await {
            Ok(listing) => Ok(listing
                .common_prefixes
                .iter()
                .filter_map(|path| path.filename().map(ToOwned::to_owned))
                .collect()),
            Err(Failure::Missing) if self.0.directory.is_some() => Ok(Vec::new()),
            Err(failure) => Err(self.error(of, failure)),
        }
    }

    /// Deletes objects; one that is not there is no error. All of them are gone for good when this
    /// returns, in no order.
    pub(crate) async fn delete(&self, places: &[Place]) -> Result<(), Error> {
        self.ready().await?;
        for some in places.chunks(DELETED_AT_ONCE) {
            let paths: Vec<Path> = some.iter().map(|place| self.path(place)).collect();
            let deleted = self.trying(&some[0], self.0.patience * 6, || {
                let paths = stream::iter(paths.clone().into_iter().map(Ok)).boxed();
                let gone = self.0.objects.delete_stream(paths);
                gone.try_for_each_concurrent(None, async |_| Ok(()))
            });
            match deleted.await {
                Ok(()) => {}
                // The rest of the chunk may not have been tried: one by one.
                Err(Failure::Missing) => self.delete_each(some).await?,
                Err(failure) => return Err(self.error(&some[0], failure)),
            }
        }
        match &self.0.directory {
            Some(directory) => backend::sync_parents(directory, places).await,
            None => Ok(()),
        }
    }

    /// Removes what writers on this machine left when they died in the middle of a put, when it is
    /// older than that. It was never visible. Empty directories go too.
    pub(crate) async fn sweep(&self, directory: &Place, older: Duration) -> Result<(), Error> {
        match &self.0.directory {
            Some(root) => backend::sweep(root, directory, older).await,
            None => Ok(()),
        }
    }

    async fn delete_each(&self, places: &[Place]) -> Result<(), Error> {
        for place in places {
            let path = self.path(place);
            match self
                .trying(place, self.0.patience, || async { self.0.objects.delete(&path).await })
                .await
            {
                Ok(()) | Err(Failure::Missing) => {}
                Err(failure) => return Err(self.error(place, failure)),
            }
        }
        Ok(())
    }

    /// Puts bytes as they are where nothing is; false when something is there.
    async fn create(&self, place: &Place, bytes: Bytes) -> Result<bool, Error> {
        let path = self.path(place);
        let patience = self.0.patience + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        if !self.is_conditional() {
            match self
                .trying(place, self.0.patience, || async { self.0.objects.head(&path).await })
                .await
            {
                Ok(_) => return Ok(false),
                Err(Failure::Missing) => {}
                Err(failure) => return Err(self.error(place, failure)),
            }
        }
        let mode = if self.is_conditional() { PutMode::Create } else { PutMode::Overwrite };
        let put = self.trying(place, patience, || {
            let (mode, payload) = (mode.clone(), PutPayload::from(bytes.clone()));
            async { self.0.objects.put_opts(&path, payload, mode.into()).await }
        });
        match put.await {
            Ok(_) => Ok(true),
            Err(Failure::Exists) => Ok(false),
            Err(Failure::Unsupported) if self.is_conditional() => {
                self.0.conditional.store(false, Ordering::Relaxed);
                Box::pin(self.create(place, bytes)).await
            }
            Err(failure) => Err(self.error(place, failure)),
        }
    }

    /// The bytes of an object as they are.
    async fn read(&self, place: &Place) -> Result<Bytes, Error> {
        let path = self.path(place);
        let bytes = self.trying(place, Duration::MAX, || async {
            let got = tokio::time::timeout(self.0.patience, self.0.objects.get(&path));
            let got = got.await.map_err(|_| failure::slow(self.0.patience))??;
            if got.meta.size > LARGEST + (64 << 10) {
                return Ok(None);
            }
            let patience = self.0.patience + Duration::from_secs(got.meta.size / SLOWEST);
            let bytes = tokio::time::timeout(patience, got.bytes()).await;
            bytes.map_err(|_| failure::slow(patience))?.map(Some)
        });
        match bytes.await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Error::corrupt(place, "it is larger than any object of ours")),
            Err(failure) => Err(self.error(place, failure)),
        }
    }

    /// Tries something a few times, each within a bound, as long as trying again may help.
    async fn trying<T, F>(
        &self,
        place: &Place,
        patience: Duration,
        attempt: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let outcome = if patience == Duration::MAX {
                attempt().await
            } else {
                let outcome = tokio::time::timeout(patience, attempt()).await;
                outcome.unwrap_or_else(|_| Err(failure::slow(patience)))
            };
            let failure = match outcome {
                Ok(done) => return Ok(done),
                Err(error) => Failure::of(&error),
            };
            let last = tries == TRIES || self.0.directory.is_some();
            if last || !matches!(failure, Failure::Other(_)) {
                return Err(failure);
            }
            tracing::debug!(%place, %failure, "trying again");
            tokio::time::sleep(pause).await;
            pause *= 2;
            tries += 1;
        }
    }

    fn error(&self, place: &Place, failure: Failure) -> Error {
        failure.into_error(place, &self.0.location)
    }

    fn path(&self, place: &Place) -> Path {
        if self.0.prefix.as_ref().is_empty() {
            return Path::from(place.as_str());
        }
        Path::from(format!("{}/{place}", self.0.prefix))
    }

    fn name(&self, path: &Path) -> Option<String> {
        let name = path.as_ref().strip_prefix(self.0.prefix.as_ref())?;
        Some(name.trim_start_matches('/').to_owned())
    }
}

/// Does work that takes processor time or waits for a disk where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    place: &Place,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let why = format!("the work was given up: {error}");
        Err(Error::Unfit { place: place.to_string(), why })
    })
}

#[cfg(test)]
mod tests;
