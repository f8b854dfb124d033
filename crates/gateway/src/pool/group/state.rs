//! What is under the lock of a group: counts and queues, and who is next. Nothing here waits, wakes
//! or drops a server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use super::{Bounds, Waiter};
use crate::pool::lease::Phase;
use crate::pool::{Pool, PoolStats, Resident, Rules, Shard, micros};
use crate::stats::clock::Moment;

/// In microseconds: for so long the credentials of a database that has fewer places than busy
/// credentials use a place before another that has none gets it.
const TURN: u64 = 250_000;

/// The counts and queues of a group.
pub(super) struct State<T: Resident> {
    pub(super) bounds: Bounds,
    /// Places that are taken: servers that are open or being opened.
    pub(super) open: u32,
    pub(super) clients: u32,
    parts: BTreeMap<u32, Part<T>>,
    next_pool: u32,
    next_waiter: u64,
}

/// What one pool has of it.
pub(super) struct Part<T: Resident> {
    pool: Weak<Pool<T>>,
    /// Its servers, those that are being opened included.
    open: u32,
    opening: u32,
    /// Whether the last server that was to be opened was not: then they are tried one by one.
    failing: bool,
    pub(super) clients: u32,
    /// By thread; within each by number.
    queues: Box<[VecDeque<Waiter<T>>]>,
    waiting: u32,
    waits: u64,
    wait_micros: u64,
    longest_wait: u64,
    timeouts: u64,
    opened: u64,
    pub(super) migrated: u64,
}

/// Who gets a server that was given back.
pub(super) enum Next<T: Resident> {
    /// Nobody waits for it.
    Nobody,
    /// Somebody of its own pool.
    Own(Waiter<T>),
    /// Its place goes to somebody of another pool.
    Other(Arc<Pool<T>>, Waiter<T>),
}

impl<T: Resident> State<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, open: 0, clients: 0, parts: BTreeMap::new(), next_pool: 0, next_waiter: 0 }
    }

    pub(super) fn enter(&mut self, pool: Weak<Pool<T>>, shards: usize) -> u32 {
        let id = self.next_pool;
        self.next_pool += 1;
        self.parts.insert(id, Part::new(pool, shards));
        id
    }

    pub(super) fn forget(&mut self, pool: u32) {
        self.parts.remove(&pool);
    }

    /// The part of a pool. One that has gone already gets a part that counts for nothing.
    pub(super) fn part(&mut self, pool: u32) -> &mut Part<T> {
        self.parts.entry(pool).or_insert_with(|| Part::new(Weak::new(), 1))
    }

    pub(super) fn pool(&mut self, pool: u32) -> Option<Arc<Pool<T>>> {
        self.parts.get(&pool).and_then(|part| part.pool.upgrade())
    }

    pub(super) fn others(&self, pool: u32) -> impl Iterator<Item = Arc<Pool<T>>> {
        let others = self.parts.iter().filter(move |(id, part)| **id != pool && part.open > 0);
        others.filter_map(|(_, part)| part.pool.upgrade())
    }

    /// Whether a pool may open one more, but for the number of places.
    pub(super) fn may_open(&mut self, pool: u32, at_once: u32) -> bool {
        self.part(pool).may_open(at_once)
    }

    /// Takes a place; answers when the server will be too old.
    pub(super) fn begin_opening(&mut self, pool: u32, now: Moment, age: u64) -> Moment {
        self.open += 1;
        let part = self.part(pool);
        part.open += 1;
        part.opening += 1;
        // A fifth is spread over sixteen steps.
        let earlier = age / 5 / 16 * (part.opened % 16);
        Moment::from_micros(now.micros().saturating_add(age - earlier))
    }

    /// Gives a place up.
    pub(super) fn end(&mut self, pool: u32, phase: Phase) {
        self.open = self.open.saturating_sub(1);
        let Some(part) = self.parts.get_mut(&pool) else { return };
        part.open = part.open.saturating_sub(1);
        if phase == Phase::Opening {
            part.opening = part.opening.saturating_sub(1);
            part.failing = true;
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_waiter += 1;
        self.next_waiter
    }

    /// The pools for which somebody waits; whose first has waited longest comes first.
    pub(super) fn by_age(&self) -> Vec<Arc<Pool<T>>> {
        let waiting = self.parts.values().filter(|part| part.waiting > 0);
        let mut pools: Vec<_> =
            waiting.filter_map(|part| Some((part.first_number()?, part.pool.upgrade()?))).collect();
        pools.sort_unstable_by_key(|(number, _)| *number);
        pools.into_iter().map(|(_, pool)| pool).collect()
    }

    /// Who gets a server of `pool` that was given back on a thread.
    pub(super) fn next(&mut self, pool: u32, shard: Shard, rules: &Rules) -> Next<T> {
        let now = Moment::now();
        if let Some(other) = self.starved(pool, rules.openings, now)
            && let Some(found) = self.pool(other)
            && let Some(waiter) = self.part(other).pop_first()
        {
            self.part(other).note(waiter.since, now);
            return Next::Other(found, waiter);
        }
        match self.part(pool).pop_for(shard, rules) {
            Some(waiter) => {
                self.part(pool).note(waiter.since, now);
                Next::Own(waiter)
            }
            None => Next::Nobody,
        }
    }

    /// Another pool that somebody waits for in vain and whose turn it is. Whatever place is free
    /// was given already, so who waits can only get one that another pool has.
    fn starved(&self, pool: u32, at_once: u32, now: Moment) -> Option<u32> {
        if self.parts.len() < 2 {
            return None;
        }
        let own = self.parts.get(&pool)?;
        let busy = self.parts.values().filter(|part| part.open > 0 || part.waiting > 0).count();
        let share = self.bounds.servers / u32::try_from(busy).unwrap_or(u32::MAX).max(1);
        let is_next = |part: &Part<T>| {
            own.waiting == 0
                || (own.open > share && part.open < share)
                || (part.open == 0 && part.has_waited_longer(own, now))
        };
        let mut others = self.parts.iter().filter(|(id, part)| {
            **id != pool && part.waiting > 0 && part.may_open(at_once) && is_next(part)
        });
        others.next().map(|(id, _)| *id)
    }

    /// Those whose time has run out.
    pub(super) fn take_late(&mut self, now: Moment) -> Vec<Waiter<T>> {
        let mut late = Vec::new();
        for part in self.parts.values_mut() {
            part.take_late(now, &mut late);
        }
        late
    }
}

impl<T: Resident> Part<T> {
    fn new(pool: Weak<Pool<T>>, shards: usize) -> Self {
        Self {
            pool,
            open: 0,
            opening: 0,
            failing: false,
            clients: 0,
            queues: (0..shards.max(1)).map(|_| VecDeque::new()).collect(),
            waiting: 0,
            waits: 0,
            wait_micros: 0,
            longest_wait: 0,
            timeouts: 0,
            opened: 0,
            migrated: 0,
        }
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    fn may_open(&self, at_once: u32) -> bool {
        self.opening < if self.failing { 1 } else { at_once.max(1) }
    }

    pub(super) fn opened(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        self.failing = false;
        self.opened += 1;
    }

    /// Enters somebody at the place that their number gives them: almost always the last.
    pub(super) fn queue(&mut self, waiter: Waiter<T>) {
        let queue = self.queue_of(waiter.shard);
        let at = queue.partition_point(|other| other.number < waiter.number);
        queue.insert(at, waiter);
        self.waiting += 1;
    }

    pub(super) fn remove(&mut self, shard: Shard, number: u64) -> bool {
        let queue = self.queue_of(shard);
        let found = queue.binary_search_by_key(&number, |waiter| waiter.number);
        let found = found.ok().and_then(|index| queue.remove(index)).is_some();
        self.waiting -= u32::from(found);
        found
    }

    pub(super) fn take_all(&mut self) -> Vec<Waiter<T>> {
        self.waiting = 0;
        self.queues.iter_mut().flat_map(|queue| queue.drain(..)).collect()
    }

    fn take_late(&mut self, now: Moment, late: &mut Vec<Waiter<T>>) {
        let before = late.len();
        for queue in &mut self.queues {
            while queue.front().is_some_and(|waiter| waiter.deadline <= now) {
                late.extend(queue.pop_front());
            }
        }
        let count = late.len() - before;
        self.waiting -= super::count(count);
        self.timeouts += count as u64;
        late[before..].iter().for_each(|waiter| self.note(waiter.since, now));
    }

    /// Whoever has waited longest.
    pub(super) fn pop_first(&mut self) -> Option<Waiter<T>> {
        let queue = self.first_queue()?;
        self.pop(queue)
    }

    /// Whoever is next for a server on a thread.
    fn pop_for(&mut self, shard: Shard, rules: &Rules) -> Option<Waiter<T>> {
        let (first, own) = (self.first_queue()?, shard.0 % self.queues.len());
        let waits_since = |queue: usize| Some(self.queues[queue].front()?.since);
        let queue = match (waits_since(first), waits_since(own)) {
            (Some(first_since), Some(own_since))
                if own_since.since(first_since) >= micros(rules.patience) =>
            {
                first
            }
            (_, Some(_)) => own,
            (_, None) => first,
        };
        self.pop(queue)
    }

    fn pop(&mut self, queue: usize) -> Option<Waiter<T>> {
        let waiter = self.queues[queue].pop_front()?;
        self.waiting -= 1;
        Some(waiter)
    }

    /// Counts a wait that is over.
    pub(super) fn note(&mut self, since: Moment, now: Moment) {
        let waited = now.since(since);
        self.waits += 1;
        self.wait_micros += waited;
        self.longest_wait = self.longest_wait.max(waited);
    }

    fn first_queue(&self) -> Option<usize> {
        let fronts = self.queues.iter().enumerate();
        let numbers = fronts.filter_map(|(index, queue)| Some((queue.front()?.number, index)));
        numbers.min().map(|(_, index)| index)
    }

    fn first(&self) -> Option<&Waiter<T>> {
        self.queues[self.first_queue()?].front()
    }

    fn first_number(&self) -> Option<u64> {
        self.first().map(|waiter| waiter.number)
    }

    fn has_waited_longer(&self, other: &Self, now: Moment) -> bool {
        let Some(first) = self.first() else { return false };
        now.since(first.since) >= TURN
            && other.first_number().is_none_or(|number| first.number < number)
    }

    fn queue_of(&mut self, shard: Shard) -> &mut VecDeque<Waiter<T>> {
        let index = shard.0 % self.queues.len();
        &mut self.queues[index]
    }

    pub(super) fn stats(&self, idle: u32, now: Moment) -> PoolStats {
        PoolStats {
            clients: self.clients,
            waiting: self.waiting,
            active: self.open.saturating_sub(self.opening).saturating_sub(idle),
            idle,
            opening: self.opening,
            longest_wait_now: self.first().map_or(0, |first| now.since(first.since)),
            waits: self.waits,
            wait_micros: self.wait_micros,
            longest_wait: self.longest_wait,
            timeouts: self.timeouts,
            opened: self.opened,
            migrated: self.migrated,
        }
    }
}
