//! Servers that are open and have no client, kept for the next transaction.
//!
//! A [`Pool`] has the servers of one credential at one target. Each thread of the gateway (a
//! [`Shard`]) has its own stack in it, as a server can be polled by one thread only; the one that
//! was used last is used next, as its caches are warm. Taking from the own stack and giving back to
//! it is all that most transactions do, and takes one lock that nobody else wants.
//!
//! What is limited is limited over all threads, and over all credentials of a database: a [`Permit`]
//! to open a server, and then the [`Lease`] of it, is one of the database's places, and gives it up
//! when dropped, whatever the reason. Who finds no server and no place waits in a queue; a server
//! that is given back goes straight to whoever waits.

mod group;
mod lease;
mod registry;
mod waiting;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use group::Group;
use lease::{Entry, Ticket};

pub use group::{Bounds, Membership};
pub use lease::{Lease, Permit};
pub use registry::{Key, Pools, TICK};
pub use waiting::{Granted, WaitError, Waiting};

use crate::stats::clock::Moment;

/// A server that a pool can keep.
pub trait Resident: Debug + Send + Sized + 'static {
    /// What it is on its way from one thread to another.
    type Parked: Debug + Send + 'static;

    /// Takes it off this thread; nothing when it is broken.
    fn park(self) -> Option<Self::Parked>;

    /// Puts it on this thread; nothing when it is broken.
    fn unpark(parked: Self::Parked) -> Option<Self>;

    /// Whether it can be used for what anyone can tell without waiting: it has said nothing while
    /// nobody asked it. It may be asked on any thread.
    fn is_sound(&mut self) -> bool;

    /// Ends it politely, without waiting. It may be called on any thread.
    fn close(self);
}

/// A thread of the gateway, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard(pub usize);

/// How pools keep servers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A server without a client for so long is closed.
    pub idle: Duration,
    /// A server of this age is closed when it is given back; some a fifth earlier, so that they do
    /// not all go at once.
    pub age: Duration,
    /// Servers of one pool that are being opened at one time.
    pub openings: u32,
    /// By how much whoever waits on another thread must have waited longer than those of the own
    /// thread to be served before them: to change threads costs more than a short transaction.
    pub patience: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            openings: 4,
            patience: Duration::from_millis(10),
        }
    }
}

/// What there was to take.
#[derive(Debug)]
pub enum Taken<T: Resident> {
    /// A server.
    Idle(Lease<T>),
    /// None, but one may be opened.
    Open(Permit<T>),
    /// Neither: wait.
    Full,
    /// Servers of this pool are not used any more: look at the route again.
    Gone,
}

/// The servers of one credential at one target.
#[derive(Debug)]
pub struct Pool<T: Resident> {
    group: Arc<Group<T>>,
    /// Within its group.
    id: u32,
    /// Servers of another generation are not used again.
    generation: AtomicU64,
    stacks: Box<[Stack<T>]>,
}

/// Of so many servers that were used last, one that fits is preferred.
const MOST_LOOKED_AT: usize = 8;

/// The generation of a pool that is not used any more; no server has it.
const RETIRED: u64 = u64::MAX;

/// The idle servers of one thread; the last was used last. Its own cache line, as another thread
/// works on the next stack.
#[derive(Debug)]
#[repr(align(128))]
struct Stack<T: Resident>(Mutex<Vec<Entry<T>>>);

impl<T: Resident> Stack<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry<T>>> {
        // Only pushes and pops are done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop_fitting(&self, fits: &mut impl FnMut(&T) -> bool) -> Option<Entry<T>> {
        let mut entries = self.lock();
        let last = entries.len().saturating_sub(1);
        let newest = entries.iter().enumerate().rev().take(MOST_LOOKED_AT);
        let found = newest.into_iter().find(|(_, entry)| fits(&entry.server));
        match found.map(|(index, _)| index) {
            Some(index) if index < last => Some(entries.remove(index)),
            Some(_) | None => entries.pop(),
        }
    }
}

/// What a pool has now, and had since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Clients that joined it.
    pub clients: u32,
    /// Of them, those that wait for a server.
    pub waiting: u32,
    /// Servers that clients have.
    pub active: u32,
    /// Servers that nobody has.
    pub idle: u32,
    /// Servers that are being opened.
    pub opening: u32,
    /// For how long the client that has waited longest has waited, in microseconds.
    pub longest_wait_now: u64,
    /// Waits that are over.
    pub waits: u64,
    /// How long they were, in microseconds.
    pub wait_micros: u64,
    /// The longest of them, in microseconds.
    pub longest_wait: u64,
    /// Waits that were given up because they were too long.
    pub timeouts: u64,
    /// Servers that were opened.
    pub opened: u64,
    /// Servers that changed threads.
    pub migrated: u64,
}

impl PoolStats {
    /// All servers.
    #[must_use]
    pub fn servers(&self) -> u32 {
        self.active.saturating_add(self.idle).saturating_add(self.opening)
    }
}

impl<T: Resident> Pool<T> {
    /// Takes a server if there is one, or the place for one. Never waits.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, shard: Shard) -> Taken<T> {
        self.try_take_fitting(shard, |_| true)
    }

    /// The same; a server that fits is preferred, if it is among those that were used last.
    #[must_use]
    pub fn try_take_fitting(
        self: &Arc<Self>,
        shard: Shard,
        mut fits: impl FnMut(&T) -> bool,
    ) -> Taken<T> {
        let generation = self.generation.load(Ordering::Acquire);
        if generation == RETIRED {
            return Taken::Gone;
        }
        loop {
            let Some(mut entry) = self.stack(shard).pop_fitting(&mut fits) else { break };
            if entry.ticket.generation == generation && entry.server.is_sound() {
                return Taken::Idle(entry.into_lease());
            }
            entry.close();
        }
        self.group.take(self, shard)
    }

    /// Waits in the queue for what [`try_take`](Self::try_take) did not have, until `deadline`.
    ///
    /// # Errors
    /// When more clients wait for this database than it may have, or the pool is not used any more.
    pub fn wait(self: &Arc<Self>, shard: Shard, deadline: Moment) -> Result<Waiting<T>, WaitError> {
        Waiting::begin(self, shard, deadline)
    }

    /// Gives a server back that has nothing left to do or to say, on the thread that polls it.
    pub fn give_back(self: &Arc<Self>, shard: Shard, lease: Lease<T>) {
        let Some(entry) = lease.into_entry(&self.group) else { return };
        if !self.keeps(&entry.ticket) {
            return entry.close();
        }
        if !self.group.has_waiters() {
            let mut stack = self.stack(shard).lock();
            let generation = entry.ticket.generation;
            stack.push(entry);
            drop(stack);
            if generation != self.generation.load(Ordering::Acquire) {
                self.clear();
            }
            // Whoever began to wait before the push is seen here, and whoever begins later looks
            // into the stack: one of the two finds the other.
            if !self.group.has_waiters() {
                return;
            }
            let Some(entry) = self.stack(shard).lock().pop() else { return };
            return self.group.hand_over(self, shard, entry);
        }
        self.group.hand_over(self, shard, entry);
    }

    /// Counts a client of this pool, if its database may have one more.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Option<Membership<T>> {
        self.group.join(self.id)
    }

    /// Closes all servers that have no client now, and the others when they are given back: they
    /// were opened with a password or at a time that does not count any more.
    pub fn renew(&self) {
        let newer = |generation| (generation != RETIRED).then_some(generation + 1);
        let _ = self.generation.fetch_update(Ordering::AcqRel, Ordering::Acquire, newer);
        self.clear();
    }

    /// Ends the pool: its servers are closed as in [`renew`](Self::renew), and who waits is told.
    pub fn retire(&self) {
        self.generation.store(RETIRED, Ordering::Release);
        self.clear();
        self.group.dismiss(self.id);
    }

    /// Whether somebody waits for a server of this pool, or for a place of its database.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.group.has_waiters()
    }

    /// What it has and had.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let idle: usize = self.stacks.iter().map(|stack| stack.lock().len()).sum();
        self.group.stats(self.id, u32::try_from(idle).unwrap_or(u32::MAX))
    }

    /// Closes idle servers that have been idle for too long, are too old, or broke meanwhile.
    fn sweep(&self, now: Moment) {
        let idle = self.group.rules.idle;
        let generation = self.generation.load(Ordering::Acquire);
        for stack in &self.stacks {
            let unfit = |entry: &mut Entry<T>| {
                now.since(entry.since) >= micros(idle)
                    || entry.ticket.generation != generation
                    || entry.ticket.is_old(now)
                    || !entry.server.is_sound()
            };
            let unfit: Vec<_> = stack.lock().extract_if(.., unfit).collect();
            unfit.into_iter().for_each(Entry::close);
        }
    }

    /// Whether a server that is given back is used again.
    fn keeps(&self, ticket: &Ticket<T>) -> bool {
        ticket.pool == self.id
            && ticket.generation == self.generation.load(Ordering::Acquire)
            && !ticket.is_old(self.group.now())
    }

    /// Closes idle servers of other generations.
    fn clear(&self) {
        let generation = self.generation.load(Ordering::Acquire);
        for stack in &self.stacks {
            let is_other = |entry: &mut Entry<T>| entry.ticket.generation != generation;
            let others: Vec<_> = stack.lock().extract_if(.., is_other).collect();
            others.into_iter().for_each(Entry::close);
        }
    }

    fn stack(&self, shard: Shard) -> &Stack<T> {
        &self.stacks[shard.0 % self.stacks.len()]
    }

    /// An idle server of any thread but `not`: the one that was used last.
    fn pop_any(&self, not: Option<Shard>) -> Option<Entry<T>> {
        let count = self.stacks.len();
        let own = not.map(|shard| shard.0 % count);
        let others = (0..count).filter(|index| Some(*index) != own);
        others.into_iter().find_map(|index| self.stacks[index].lock().pop())
    }

    /// The idle server that will be missed least.
    fn pop_coldest(&self) -> Option<Entry<T>> {
        let full = self.stacks.iter().max_by_key(|stack| stack.lock().len())?;
        let mut entries = full.lock();
        (!entries.is_empty()).then(|| entries.remove(0))
    }
}

impl<T: Resident> Drop for Pool<T> {
    fn drop(&mut self) {
        *self.generation.get_mut() = RETIRED;
        self.clear();
        self.group.forget(self.id);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
