//! All pools of a gateway.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use howdah_model::ids::DatabaseId;

use super::group::{Bounds, Group};
use super::{Pool, PoolStats, Resident, Rules, Stack};
use crate::limits::Slot;
use crate::stats::clock::Moment;

/// How often waits that are too long are looked for.
pub const TICK: Duration = Duration::from_millis(100);
/// So many of these pass between two looks at what is idle.
const TICKS_BETWEEN_SWEEPS: u32 = 10;

/// Whose servers a pool has, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The database.
    pub database: DatabaseId,
    /// The role.
    pub role: String,
    /// The directory of the server's socket.
    pub target: PathBuf,
}

/// Takes one of the sessions of a database that may have so many.
type TakeSlot = dyn Fn(DatabaseId, u32) -> Option<Slot> + Send + Sync;
type At = (DatabaseId, PathBuf);

/// All pools of a gateway.
pub struct Pools<T: Resident> {
    shards: usize,
    rules: Rules,
    take_slot: Arc<TakeSlot>,
    known: Mutex<Known<T>>,
}

struct Known<T: Resident> {
    pools: HashMap<Key, Arc<Pool<T>>>,
    groups: HashMap<At, Weak<Group<T>>>,
}

impl<T: Resident> std::fmt::Debug for Pools<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pools").field("pools", &self.lock().pools.len()).finish_non_exhaustive()
    }
}

impl<T: Resident> Pools<T> {
    /// No pools yet, for so many threads. `take_slot` takes one of the sessions that a database may
    /// have.
    #[must_use]
    pub fn new(
        shards: usize,
        rules: Rules,
        take_slot: impl Fn(DatabaseId, u32) -> Option<Slot> + Send + Sync + 'static,
    ) -> Self {
        let known = Mutex::new(Known { pools: HashMap::new(), groups: HashMap::new() });
        Self { shards: shards.max(1), rules, take_slot: Arc::new(take_slot), known }
    }

    /// The pool of a credential at a target, made if there is none. The bounds of its database are
    /// from now on those given here.
    #[must_use]
    pub fn pool(&self, key: &Key, bounds: Bounds) -> Arc<Pool<T>> {
        let (pool, group) = {
            let mut known = self.lock();
            if let Some(pool) = known.pools.get(key) {
                (pool.clone(), Some(pool.group.clone()))
            } else {
                let group = self.group(&mut known, key, bounds);
                let pool = self.make(&group);
                known.pools.insert(key.clone(), pool.clone());
                (pool, Some(group))
            }
        };
        if let Some(group) = group {
            group.set_bounds(bounds);
        }
        pool
    }

    fn group(&self, known: &mut Known<T>, key: &Key, bounds: Bounds) -> Arc<Group<T>> {
        let at = (key.database, key.target.clone());
        if let Some(group) = known.groups.get(&at).and_then(Weak::upgrade) {
            return group;
        }
        let (take_slot, database) = (self.take_slot.clone(), key.database);
        let take = Box::new(move |limit| take_slot(database, limit));
        let group = Arc::new(Group::new(bounds, self.rules, take));
        known.groups.insert(at, Arc::downgrade(&group));
        group
    }

    fn make(&self, group: &Arc<Group<T>>) -> Arc<Pool<T>> {
        Arc::new_cyclic(|pool| Pool {
            group: group.clone(),
            id: group.enter(pool, self.shards),
            generation: AtomicU64::new(0),
            stacks: (0..self.shards).map(|_| Stack(Mutex::new(Vec::new()))).collect(),
        })
    }

    /// Retires the pools that are not among those wanted, for example after routes have changed.
    pub fn keep(&self, wanted: impl Fn(&Key) -> bool) {
        let gone: Vec<_> = {
            let mut known = self.lock();
            known.pools.extract_if(|key, _| !wanted(key)).map(|(_, pool)| pool).collect()
        };
        for pool in gone {
            pool.retire();
        }
    }

    /// Has the servers of a role closed that were opened until now: its password is another.
    pub fn renew(&self, database: DatabaseId, role: &str) {
        let is_meant = |key: &Key| key.database == database && key.role == role;
        self.some(is_meant).into_iter().for_each(|pool| pool.renew());
    }

    /// Closes an idle server of a database, so that a session without a pool has its place. Answers
    /// whether there was one.
    #[must_use]
    pub fn make_room(&self, database: DatabaseId) -> bool {
        let pools = self.some(|key| key.database == database);
        let entry = pools.iter().find_map(|pool| pool.pop_coldest());
        entry.map(super::Entry::close).is_some()
    }

    /// What all pools have and had.
    #[must_use]
    pub fn stats(&self) -> Vec<(Key, PoolStats)> {
        let pools: Vec<_> =
            self.lock().pools.iter().map(|(key, pool)| (key.clone(), pool.clone())).collect();
        pools.into_iter().map(|(key, pool)| (key, pool.stats())).collect()
    }

    /// Ends waits and closes idle servers whose time has come. Never ends.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        let mut count: u32 = 0;
        loop {
            ticks.tick().await;
            let now = Moment::now();
            self.tick(now);
            count = count.wrapping_add(1);
            if count.is_multiple_of(TICKS_BETWEEN_SWEEPS) {
                self.sweep(now);
            }
        }
    }

    /// Ends waits that are too long.
    pub fn tick(&self, now: Moment) {
        let groups: Vec<_> = {
            let mut known = self.lock();
            known.groups.retain(|_, group| group.strong_count() > 0);
            known.groups.values().filter_map(Weak::upgrade).collect()
        };
        groups.into_iter().for_each(|group| group.tick(now));
    }

    /// Closes servers that have been idle for too long, are too old, or broke.
    pub fn sweep(&self, now: Moment) {
        self.some(|_| true).into_iter().for_each(|pool| pool.sweep(now));
    }

    fn some(&self, is_meant: impl Fn(&Key) -> bool) -> Vec<Arc<Pool<T>>> {
        let known = self.lock();
        let pools = known.pools.iter().filter(|(key, _)| is_meant(key));
        pools.map(|(_, pool)| pool.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known<T>> {
        // A map is whole also after a panic of whoever held it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
