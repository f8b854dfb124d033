//! Counts that hold across threads. They are touched when a session begins and ends, never between.

pub mod failures;
pub mod visits;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_model::ids::DatabaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::failures::Failures;
use self::visits::Visits;
use crate::config::Capacity;

/// What may be taken on.
#[derive(Debug)]
pub struct Limits {
    capacity: Capacity,
    clients: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    slots: Arc<Mutex<Slots>>,
    /// The log-ins of each address that are unfinished.
    pub visits: Visits,
    /// The log-ins that failed of late.
    pub failures: Failures,
}

/// The sessions of each database.
#[derive(Debug, Default)]
struct Slots {
    here: HashMap<DatabaseId, u32>,
    /// Those of the gateways that this one has taken over from.
    elsewhere: HashMap<DatabaseId, u32>,
    /// What this gateway may have while a younger one counts with it.
    ceilings: Option<Ceilings>,
}

#[derive(Debug)]
struct Ceilings {
    of: HashMap<DatabaseId, u32>,
    /// Of databases that are not among these, and on top of those that are.
    more: u32,
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
    slots: Arc<Mutex<Slots>>,
    database: DatabaseId,
}

impl Limits {
    /// Limits with nothing taken.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            clients: Arc::new(Semaphore::new(capacity.clients)),
            handshakes: Arc::new(Semaphore::new(capacity.handshakes)),
            slots: Arc::default(),
            visits: Visits::new(capacity.handshakes),
            failures: Failures::default(),
        }
    }

    /// Takes a client on, if there is room.
    #[must_use]
    pub fn admit(&self) -> Option<(Place, Handshake)> {
        let client = self.clients.clone().try_acquire_owned().ok()?;
        let permit = self.handshakes.clone().try_acquire_owned().ok()?;
        Some((Place { _client: client }, Handshake { _permit: permit }))
    }

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.capacity.clients.saturating_sub(self.clients.available_permits())
    }

    /// Takes one of the `limit` sessions of a database, if one is free.
    #[must_use]
    pub fn take(&self, database: DatabaseId, limit: u32) -> Option<Slot> {
        let mut slots = lock(&self.slots);
        if count(&slots.here, database) >= slots.room(database, limit) {
            return None;
        }
        *slots.here.entry(database).or_default() += 1;
        Some(Slot { slots: self.slots.clone(), database })
    }

    /// Counts the sessions that elders have, in place of what was said of them before.
    pub fn set_elsewhere(&self, elsewhere: HashMap<DatabaseId, u32>) {
        lock(&self.slots).elsewhere = elsewhere;
    }

    /// From now on each database has at most the sessions that it has here now, or those in
    /// `reserved` if they are more, and `more` above that. Returns the first two: what whoever takes
    /// over has to count with.
    pub fn freeze(
        &self,
        reserved: HashMap<DatabaseId, u32>,
        more: u32,
    ) -> HashMap<DatabaseId, u32> {
        let mut slots = lock(&self.slots);
        let mut of = reserved;
        for (database, count) in &slots.here {
            let ceiling = of.entry(*database).or_default();
            *ceiling = (*ceiling).max(*count);
        }
        slots.ceilings = Some(Ceilings { of: of.clone(), more });
        of
    }

    /// Takes [`freeze`](Self::freeze) back.
    pub fn thaw(&self) {
        lock(&self.slots).ceilings = None;
    }
}

impl Slots {
    /// The most sessions that a database may have here.
    fn room(&self, database: DatabaseId, limit: u32) -> u32 {
        let left = limit.saturating_sub(count(&self.elsewhere, database));
        match &self.ceilings {
            None => left,
            Some(Ceilings { of, more }) => left.min(count(of, database).saturating_add(*more)),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        if let Some(count) = slots.here.get_mut(&self.database) {
            *count -= 1;
            if *count == 0 {
                slots.here.remove(&self.database);
            }
        }
    }
}

fn count(counts: &HashMap<DatabaseId, u32>, database: DatabaseId) -> u32 {
    counts.get(&database).copied().unwrap_or(0)
}

fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    // Counts are changed by one step, so they are right also after a panic elsewhere.
    slots.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(lock(&limits.slots).here.is_empty());
        assert!(limits.take(a, 0).is_none() && lock(&limits.slots).here.is_empty());
    }

    /// The sessions of two gateways together never exceed a limit, whoever takes and gives back.
    #[test]
    fn limits_hold_over_two_gateways() {
        const LIMIT: u32 = 5;
        let [elder, younger] = [0; 2].map(|_| Limits::new(Capacity::default()));
        let (a, b) = (DatabaseId::new(), DatabaseId::new());
        let mut olds: Vec<_> = (0..4).map(|_| elder.take(a, LIMIT).expect("free")).collect();
        younger.set_elsewhere(elder.freeze(HashMap::from([(b, 1)]), 0));
        let young = younger.take(a, LIMIT).expect("the fifth");
        assert!(younger.take(a, LIMIT).is_none() && elder.take(a, LIMIT).is_none());
        assert!(younger.take(b, 1).is_none() && elder.take(b, 1).is_some());
        // What was given back can be had again until the younger one counts with less.
        olds.pop();
        olds.push(elder.take(a, LIMIT).expect("its fourth"));
        olds.truncate(1);
        younger.set_elsewhere(elder.freeze(HashMap::new(), 0));
        assert!(elder.take(a, LIMIT).is_none() && elder.take(b, LIMIT).is_none());
        let more: Vec<_> = (0..3).map(|_| younger.take(a, LIMIT).expect("free")).collect();
        assert!(younger.take(a, LIMIT).is_none());
        drop((more, young));
        elder.thaw();
        younger.set_elsewhere(HashMap::new());
        assert!(elder.take(b, LIMIT).is_some());
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
