//! What the platform does. [`Control`] is what the API and the executable hold; `engine` moves the
//! state machines; `participants`, `databases` and `operations` hold the `feel` and `perform` of
//! each; `servers` speaks to the agents; `requests` is what people can ask for.

pub mod clock;
pub mod config;
pub mod keyring;
pub mod password;
pub mod scram;

use std::sync::Arc;

use howdah_store::{Reader, Store};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::Config;
use crate::keyring::Keyring;

/// The control plane. Cheap to clone: clones are the same.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keyring: Keyring,
    config: Config,
    clock: Arc<dyn Clock>,
}

impl Control {
    /// A control plane on a store that has been migrated.
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, config: Config, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { store, keyring, config, clock }) }
    }

    /// The platform's database, to write.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The platform's database, to read.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.inner.store.reader()
    }

    /// What encrypts secrets at rest.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The time, by the clock that it was made with.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
