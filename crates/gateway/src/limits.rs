//! Counts that hold across threads. They are touched when a session begins and ends, never between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_model::ids::DatabaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Capacity;

/// What may be taken on.
#[derive(Debug)]
pub struct Limits {
    clients: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    sessions: Arc<Mutex<HashMap<DatabaseId, u32>>>,
}

/// The place of a client; given back when dropped.
#[derive(Debug)]
pub struct Place {
    _client: OwnedSemaphorePermit,
}

/// The place of a client that has not logged in yet; given back when dropped.
#[derive(Debug)]
pub struct Handshake {
    _permit: OwnedSemaphorePermit,
}

/// One of the sessions of a database; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    sessions: Arc<Mutex<HashMap<DatabaseId, u32>>>,
    database: DatabaseId,
}

impl Limits {
    /// Limits with nothing taken.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            clients: Arc::new(Semaphore::new(capacity.clients)),
            handshakes: Arc::new(Semaphore::new(capacity.handshakes)),
            sessions: Arc::default(),
        }
    }

    /// Takes a client on, if there is room.
    #[must_use]
    pub fn admit(&self) -> Option<(Place, Handshake)> {
        let client = self.clients.clone().try_acquire_owned().ok()?;
        let permit = self.handshakes.clone().try_acquire_owned().ok()?;
        Some((Place { _client: client }, Handshake { _permit: permit }))
    }

    /// Takes one of the `limit` sessions of a database, if one is free.
    #[must_use]
    pub fn take(&self, database: DatabaseId, limit: u32) -> Option<Slot> {
        let mut sessions = lock(&self.sessions);
        let count = sessions.entry(database).or_default();
        if *count >= limit {
            if *count == 0 {
                sessions.remove(&database);
            }
            return None;
        }
        *count += 1;
        Some(Slot { sessions: self.sessions.clone(), database })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut sessions = lock(&self.sessions);
        if let Some(count) = sessions.get_mut(&self.database) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.database);
            }
        }
    }
}

fn lock(sessions: &Mutex<HashMap<DatabaseId, u32>>) -> MutexGuard<'_, HashMap<DatabaseId, u32>> {
    // Counts are changed by one step, so they are right also after a panic elsewhere.
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_per_database_and_come_back() {
        let limits = Limits::new(Capacity::default());
        let (a, b) = (DatabaseId::new(), DatabaseId::new());
        let slots: Vec<_> = (0..2).map(|_| limits.take(a, 2).expect("free")).collect();
        assert!(limits.take(a, 2).is_none());
        assert!(limits.take(b, 1).is_some());
        assert!(limits.take(a, 3).is_some());
        drop(slots);
        assert!(lock(&limits.sessions).is_empty());
        assert!(limits.take(a, 0).is_none() && lock(&limits.sessions).is_empty());
    }

    #[test]
    fn clients_and_handshakes_are_bounded() {
        let limits = Limits::new(Capacity { clients: 2, handshakes: 1 });
        let (place, handshake) = limits.admit().expect("room");
        assert!(limits.admit().is_none());
        drop(handshake);
        let second = limits.admit().expect("room");
        assert!(limits.admit().is_none());
        drop((place, second));
        assert!(limits.admit().is_some());
    }
}
