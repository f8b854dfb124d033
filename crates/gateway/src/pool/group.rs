//! What the pools of one database share: its places, and the queue for them. All of it is under one
//! lock, which is taken when the own thread's stack does not do: when a server is opened or closed,
//! and when somebody waits.

mod state;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::lease::{Entry, Permit, Phase, Ticket};
use super::{Pool, PoolStats, Resident, Rules, Shard, Taken, WaitError, micros};
use crate::limits::Slot;
use crate::stats::clock::Moment;
use state::{Next, State};

/// What a database may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most servers that its pools may have together.
    pub servers: u32,
    /// The most sessions that it may have, those without a pool included.
    pub sessions: u32,
    /// The most clients that its pools may have together.
    pub clients: u32,
}

/// Takes one of the sessions of the database, of which it may have so many.
pub(super) type TakeSlot = dyn Fn(u32) -> Option<Slot> + Send + Sync;

/// The pools of one database at one target.
pub(super) struct Group<T: Resident> {
    state: Mutex<State<T>>,
    /// How many wait, over all pools. It is changed under the lock and read without.
    waiting: AtomicU32,
    /// The last sweep, in microseconds: giving back needs no clock of its own.
    now: AtomicU64,
    pub(super) rules: Rules,
    take_slot: Box<TakeSlot>,
}

impl<T: Resident> std::fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// What somebody gets who waited.
#[derive(Debug)]
pub(super) enum Grant<T: Resident> {
    /// A server that stays on its thread.
    Here(T, Ticket<T>),
    /// A server that comes from another thread.
    Moved(T::Parked, Ticket<T>),
    /// The place for a new one.
    Place(Permit<T>),
    /// Nothing in time.
    TimedOut,
}

/// What was found for somebody who waits.
enum Found<T: Resident> {
    Nothing,
    /// A server that broke while it was idle; its place comes free.
    Broken(Ticket<T>),
    Grant {
        grant: Grant<T>,
        waiter: Waiter<T>,
        /// A server whose place it is; to be closed.
        evicted: Option<T>,
    },
}

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter<T: Resident> {
    /// Grows with the time of their coming, within the group.
    pub(super) number: u64,
    pub(super) shard: Shard,
    pub(super) since: Moment,
    pub(super) deadline: Moment,
    pub(super) sender: oneshot::Sender<Grant<T>>,
}

impl<T: Resident> Group<T> {
    pub(super) fn new(bounds: Bounds, rules: Rules, take_slot: Box<TakeSlot>) -> Self {
        Self {
            state: Mutex::new(State::new(bounds)),
            waiting: AtomicU32::new(0),
            now: AtomicU64::new(Moment::now().micros()),
            rules,
            take_slot,
        }
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// The time of the last sweep.
    pub(super) fn now(&self) -> Moment {
        Moment::from_micros(self.now.load(Ordering::Relaxed))
    }

    /// The number of a new pool.
    pub(super) fn enter(&self, pool: &Weak<Pool<T>>, shards: usize) -> u32 {
        self.lock().enter(pool.clone(), shards)
    }

    pub(super) fn set_bounds(self: &Arc<Self>, bounds: Bounds) {
        let grown = {
            let mut state = self.lock();
            std::mem::replace(&mut state.bounds, bounds) != bounds
        };
        if grown && self.has_waiters() {
            self.settle();
        }
    }

    pub(super) fn join(self: &Arc<Self>, pool: u32) -> Option<Membership<T>> {
        let mut state = self.lock();
        if state.clients >= state.bounds.clients {
            return None;
        }
        state.clients += 1;
        state.part(pool).clients += 1;
        Some(Membership { group: self.clone(), pool })
    }

    /// What the own stack of a thread did not have.
    pub(super) fn take(self: &Arc<Self>, pool: &Arc<Pool<T>>, shard: Shard) -> Taken<T> {
        {
            let mut state = self.lock();
            // Nobody overtakes those who wait.
            if state.part(pool.id).waiting() > 0 {
                return Taken::Full;
            }
            if let Some(permit) = self.open(&mut state, pool) {
                return Taken::Open(permit);
            }
        }
        while let Some(mut entry) = pool.pop_any(Some(shard)) {
            if !pool.keeps(&entry.ticket) || !entry.server.is_sound() {
                entry.close();
                continue;
            }
            let Entry { server, ticket, .. } = entry;
            if let Some(server) = server.park().and_then(T::unpark) {
                self.lock().part(pool.id).migrated += 1;
                let since = self.now();
                return Taken::Idle(Entry { server, ticket, since }.into_lease());
            }
        }
        let (permit, evicted) = self.evict_for(&mut self.lock(), pool);
        if let Some(server) = evicted {
            server.close();
        }
        permit.map_or(Taken::Full, Taken::Open)
    }

    /// A place, if one is free and not too many servers are being opened already.
    fn open(self: &Arc<Self>, state: &mut State<T>, pool: &Arc<Pool<T>>) -> Option<Permit<T>> {
        if state.open >= state.bounds.servers || !state.may_open(pool.id, self.rules.openings) {
            return None;
        }
        let slot = (self.take_slot)(state.bounds.sessions)?;
        let until = state.begin_opening(pool.id, Moment::now(), micros(self.rules.age));
        let ticket = Ticket {
            group: self.clone(),
            pool: pool.id,
            generation: pool.generation.load(Ordering::Acquire),
            until,
            phase: Phase::Opening,
            slot: Some(slot),
        };
        Some(Permit { ticket })
    }

    /// The place of an idle server of another credential, and that server, which is to be closed
    /// when the lock is gone.
    fn evict_for(
        self: &Arc<Self>,
        state: &mut State<T>,
        pool: &Arc<Pool<T>>,
    ) -> (Option<Permit<T>>, Option<T>) {
        if !state.may_open(pool.id, self.rules.openings) {
            return (None, None);
        }
        let evicted = state.others(pool.id).find_map(|other| other.pop_coldest());
        let Some(Entry { server, ticket, .. }) = evicted else { return (None, None) };
        (Some(self.transfer(state, pool, ticket)), Some(server))
    }

    /// Makes the place of one pool's server that of a server that another is about to open.
    fn transfer(
        &self,
        state: &mut State<T>,
        pool: &Arc<Pool<T>>,
        mut ticket: Ticket<T>,
    ) -> Permit<T> {
        state.end(ticket.pool, ticket.phase);
        ticket.until = state.begin_opening(pool.id, Moment::now(), micros(self.rules.age));
        ticket.pool = pool.id;
        ticket.generation = pool.generation.load(Ordering::Acquire);
        ticket.phase = Phase::Opening;
        Permit { ticket }
    }

    /// Lets somebody wait; answers with a number, which grows.
    pub(super) fn wait(
        self: &Arc<Self>,
        pool: &Arc<Pool<T>>,
        shard: Shard,
        deadline: Moment,
        sender: oneshot::Sender<Grant<T>>,
    ) -> Result<u64, WaitError> {
        let number = {
            let mut state = self.lock();
            // A pool that is ended later finds whoever waits then.
            if pool.generation.load(Ordering::Acquire) == super::RETIRED {
                return Err(WaitError::Gone);
            }
            if self.waiting.load(Ordering::Relaxed) >= state.bounds.clients {
                return Err(WaitError::TooMany);
            }
            let number = state.number();
            let waiter = Waiter { number, shard, since: Moment::now(), deadline, sender };
            state.part(pool.id).queue(waiter);
            self.waiting.fetch_add(1, Ordering::AcqRel);
            number
        };
        // What came free since it was looked for.
        self.settle();
        Ok(number)
    }

    /// Puts somebody back to the place in the queue that they had.
    pub(super) fn wait_again(self: &Arc<Self>, pool: &Arc<Pool<T>>, waiter: Waiter<T>) {
        {
            let mut state = self.lock();
            if pool.generation.load(Ordering::Acquire) == super::RETIRED {
                return;
            }
            state.part(pool.id).queue(waiter);
            self.waiting.fetch_add(1, Ordering::AcqRel);
        }
        self.settle();
    }

    /// Whether somebody was still in the queue, who is not any more.
    pub(super) fn abandon(&self, pool: u32, shard: Shard, number: u64) -> bool {
        let found = self.lock().part(pool).remove(shard, number);
        if found {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        found
    }

    /// Gives a server that was given back to whoever is next, or keeps it.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        pool: &Arc<Pool<T>>,
        shard: Shard,
        mut entry: Entry<T>,
    ) {
        loop {
            let mut state = self.lock();
            let next = state.next(pool.id, shard, &self.rules);
            if !matches!(next, Next::Nobody) {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
            }
            match next {
                Next::Nobody => {
                    // Under the lock, so that nobody begins to wait without seeing it.
                    pool.stack(shard).lock().push(entry);
                    drop(state);
                    return pool.clear();
                }
                Next::Own(waiter) => {
                    drop(state);
                    let Some(refused) = self.pass(shard, entry, waiter) else { return };
                    entry = refused;
                }
                Next::Other(other, waiter) => {
                    let permit = self.transfer(&mut state, &other, entry.ticket);
                    drop(state);
                    entry.server.close();
                    // Not taken, it gives its place to the next.
                    return drop(waiter.sender.send(Grant::Place(permit)));
                }
            }
        }
    }

    /// Sends a server to somebody; it comes back when they do not wait any more.
    fn pass(&self, shard: Shard, entry: Entry<T>, waiter: Waiter<T>) -> Option<Entry<T>> {
        let Entry { server, ticket, since } = entry;
        let grant = if waiter.shard == shard {
            Grant::Here(server, ticket)
        } else {
            let Some(parked) = server.park() else {
                // It broke; they go on waiting where they were.
                let pool = self.lock().pool(ticket.pool);
                let group = ticket.group.clone();
                if let Some(pool) = pool {
                    group.wait_again(&pool, waiter);
                }
                drop(ticket);
                return None;
            };
            self.lock().part(ticket.pool).migrated += 1;
            Grant::Moved(parked, ticket)
        };
        match waiter.sender.send(grant) {
            Err(Grant::Here(server, ticket)) => Some(Entry { server, ticket, since }),
            Err(Grant::Moved(parked, ticket)) => {
                T::unpark(parked).map(|server| Entry { server, ticket, since })
            }
            Ok(()) | Err(Grant::Place(_) | Grant::TimedOut) => None,
        }
    }

    /// Gives free places, and servers that are idle although somebody waits, to whoever waits.
    pub(super) fn settle(self: &Arc<Self>) {
        while self.has_waiters() {
            match self.find_grant() {
                Found::Nothing => return,
                Found::Broken(ticket) => drop(ticket),
                Found::Grant { grant, waiter, evicted } => {
                    if let Some(server) = evicted {
                        server.close();
                    }
                    // What is not taken is given up, which brings the next their turn.
                    drop(waiter.sender.send(grant));
                }
            }
        }
    }

    fn find_grant(self: &Arc<Self>) -> Found<T> {
        let mut state = self.lock();
        for pool in state.by_age() {
            let Some(waiter) = state.part(pool.id).pop_first() else { continue };
            let (permit, evicted) = match self.open(&mut state, &pool) {
                Some(permit) => (Some(permit), None),
                None => self.evict_for(&mut state, &pool),
            };
            let entry = if permit.is_none() { pool.pop_any(None) } else { None };
            let grant = match (permit, entry) {
                (Some(permit), _) => Grant::Place(permit),
                // It may be another thread's, and so it goes the long way.
                (None, Some(Entry { server, ticket, .. })) => match server.park() {
                    Some(parked) => Grant::Moved(parked, ticket),
                    None => {
                        state.part(pool.id).queue(waiter);
                        return Found::Broken(ticket);
                    }
                },
                (None, None) => {
                    state.part(pool.id).queue(waiter);
                    continue;
                }
            };
            state.part(pool.id).note(waiter.since, Moment::now());
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Found::Grant { grant, waiter, evicted };
        }
        Found::Nothing
    }

    /// A place is given up.
    pub(super) fn release(self: &Arc<Self>, pool: u32, phase: Phase) {
        self.lock().end(pool, phase);
        if self.has_waiters() {
            self.settle();
        }
    }

    /// A server was opened: the next may be.
    pub(super) fn opened(self: &Arc<Self>, pool: u32) {
        self.lock().part(pool).opened();
        if self.has_waiters() {
            self.settle();
        }
    }

    /// Lets nobody wait for a pool any more.
    pub(super) fn dismiss(&self, pool: u32) {
        let waiters = self.lock().part(pool).take_all();
        self.waiting.fetch_sub(count(waiters.len()), Ordering::AcqRel);
        // Their senders go, which tells them.
        drop(waiters);
    }

    pub(super) fn forget(&self, pool: u32) {
        self.dismiss(pool);
        self.lock().forget(pool);
    }

    /// Notes the time, ends waits that are too long, and tries again what slots of the database
    /// stood in the way of.
    pub(super) fn tick(self: &Arc<Self>, now: Moment) {
        self.now.store(now.micros(), Ordering::Relaxed);
        if !self.has_waiters() {
            return;
        }
        let late = self.lock().take_late(now);
        self.waiting.fetch_sub(count(late.len()), Ordering::AcqRel);
        for waiter in late {
            let _ = waiter.sender.send(Grant::TimedOut);
        }
        self.settle();
    }

    pub(super) fn stats(&self, pool: u32, idle: u32) -> PoolStats {
        self.lock().part(pool).stats(idle, Moment::now())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change is one step or a pair that cannot be cut by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A client's place among those of its database; given up when dropped.
#[derive(Debug)]
pub struct Membership<T: Resident> {
    group: Arc<Group<T>>,
    pool: u32,
}

impl<T: Resident> Drop for Membership<T> {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        state.clients -= 1;
        let part = state.part(self.pool);
        part.clients = part.clients.saturating_sub(1);
    }
}
