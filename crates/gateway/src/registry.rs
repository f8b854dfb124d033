//! The sessions that are open: found by their cancel keys, and by whose they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use howdah_model::ids::DatabaseId;
use howdah_model::route::Target;

use crate::routes::{Entry, Whose};
use crate::startup::CancelKey;

/// What a session can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// Its credential is gone: end.
    Terminate = 1,
    /// The gateway stops: end.
    Shutdown = 2,
}

/// A session as others see it.
#[derive(Debug)]
pub struct Handle {
    /// Its route at the time it was opened.
    entry: Arc<Entry>,
    /// PostgreSQL's own key; it never leaves the gateway.
    server_key: CancelKey,
    order: AtomicU8,
    waker: AtomicWaker,
}

impl Handle {
    /// The order that was given, if any; otherwise the task is woken when one is.
    pub fn poll_order(&self, cx: &Context<'_>) -> Option<Order> {
        self.waker.register(cx.waker());
        match self.order.load(Ordering::Acquire) {
            1 => Some(Order::Terminate),
            2 => Some(Order::Shutdown),
            _ => None,
        }
    }

    fn give(&self, order: Order) {
        self.order.store(order as u8, Ordering::Release);
        self.waker.wake();
    }

    /// How its query is cancelled, when its server is reached over a socket of this machine.
    #[must_use]
    pub fn cancellation(&self) -> Option<Cancellation> {
        match &self.entry.route.target {
            Target::Local { socket_dir } => {
                Some(Cancellation { socket_dir: socket_dir.clone(), key: self.server_key })
            }
            Target::Unready { .. } | Target::Revoked => None,
        }
    }
}

/// Where to send a cancel, and with which key.
#[derive(Debug)]
pub struct Cancellation {
    /// The directory of the server's socket.
    pub socket_dir: std::path::PathBuf,
    /// PostgreSQL's key.
    pub key: CancelKey,
}

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    by_key: Mutex<HashMap<CancelKey, Arc<Handle>>>,
}

/// A session's place among the others; it is given up when this is dropped.
#[derive(Debug)]
pub struct Registration {
    sessions: Arc<Sessions>,
    key: CancelKey,
    /// The session.
    pub handle: Arc<Handle>,
}

impl Registration {
    /// The key that the client is given: PostgreSQL's process number, so that the notifications
    /// that a client sends itself still look so, and a secret of our own.
    #[must_use]
    pub fn key(&self) -> CancelKey {
        self.key
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.key);
    }
}

impl Sessions {
    /// Enters a session.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn register(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        server_key: CancelKey,
    ) -> Result<Registration, aws_lc_rs::error::Unspecified> {
        let handle = Arc::new(Handle {
            entry,
            server_key,
            order: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        });
        loop {
            let mut secret = [0; 4];
            aws_lc_rs::rand::fill(&mut secret)?;
            let key = CancelKey { pid: server_key.pid, secret: u32::from_be_bytes(secret) };
            // Another participant can have a process with the same number.
            let mut by_key = self.lock();
            if let std::collections::hash_map::Entry::Vacant(vacant) = by_key.entry(key) {
                vacant.insert(handle.clone());
                return Ok(Registration { sessions: self.clone(), key, handle });
            }
        }
    }

    /// The session that has a key now.
    #[must_use]
    pub fn find(&self, key: CancelKey) -> Option<Arc<Handle>> {
        self.lock().get(&key).cloned()
    }

    /// Gives an order to all sessions that `meant` chooses.
    pub fn order(&self, order: Order, meant: impl Fn(&Whose) -> bool) {
        let chosen: Vec<Arc<Handle>> = {
            let by_key = self.lock();
            let is_meant = |handle: &&Arc<Handle>| {
                let route = &handle.entry.route;
                meant(&(route.role.to_string(), route.database_id))
            };
            by_key.values().filter(is_meant).cloned().collect()
        };
        for handle in chosen {
            handle.give(order);
        }
    }

    /// How many sessions a database has.
    #[must_use]
    pub fn count(&self, database: DatabaseId) -> usize {
        self.lock().values().filter(|handle| handle.entry.route.database_id == database).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CancelKey, Arc<Handle>>> {
        // A map is whole also after a panic of whoever held it.
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
