//! The sessions that are open: found by their cancel keys, and by whose they are.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use howdah_model::ids::DatabaseId;
use tokio::sync::watch;

use crate::routes::{Change, Entry, Whose};
use crate::startup::{CancelKey, Protocol, SessionKey};

/// What a session can be told from outside. A later one here outweighs an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Order {
    /// Its route has changed: look at it at the next boundary.
    Attend = 1,
    /// It stands in the way of a move whose grace is over: end.
    Evict = 2,
    /// Its credential is gone: end.
    Terminate = 3,
    /// The gateway stops: end.
    Shutdown = 4,
}

/// How a session stands to a move of its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Standing {
    /// It has a server and goes on.
    #[default]
    Running,
    /// It has no server now, and nothing that only one has.
    Detached,
    /// It has a filled session at the next server, and goes on.
    Prepared,
    /// It waits at a boundary for its route.
    Held,
    /// It has state that cannot be carried, and goes on to get rid of it.
    Pinned,
}

impl Standing {
    /// Whether the server that it has, if any, can go away without it.
    #[must_use]
    pub fn is_out_of_the_way(self) -> bool {
        matches!(self, Self::Detached | Self::Held)
    }
}

/// A session as others see it.
#[derive(Debug)]
pub struct Handle {
    /// Its route at the time it was opened.
    entry: Arc<Entry>,
    /// The process number that the client was given.
    pid: u32,
    order: AtomicU8,
    waker: AtomicWaker,
    /// Changed when a server is taken or left, and when a move wants something; never between.
    place: Mutex<Place>,
    standings: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Place {
    standing: Standing,
    /// What it is that cannot be carried.
    why: Option<String>,
    cancellation: Option<Cancellation>,
    /// Cancel requests that are on their way to the server.
    cancelling: u32,
}

/// A cancel request that is on its way: until this is dropped the session keeps its server.
#[derive(Debug)]
pub struct Cancelling {
    handle: Arc<Handle>,
    /// Where it goes.
    pub cancellation: Cancellation,
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.handle.place().cancelling -= 1;
        self.handle.waker.wake();
    }
}

impl Handle {
    /// The order that was given, if any; otherwise the task is woken when one is.
    #[inline]
    pub fn poll_order(&self, cx: &Context<'_>) -> Option<Order> {
        self.waker.register(cx.waker());
        match self.order.load(Ordering::Acquire) {
            1 => Some(Order::Attend),
            2 => Some(Order::Evict),
            3 => Some(Order::Terminate),
            4 => Some(Order::Shutdown),
            _ => None,
        }
    }

    fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    /// The route is about to be looked at; what changes after this is a new order.
    pub fn attended(&self) {
        let attend = Order::Attend as u8;
        // Any other order stays.
        let _ = self.order.compare_exchange(attend, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The route is to be looked at again when the session next does something.
    pub fn attend_again(&self) {
        self.order.fetch_max(Order::Attend as u8, Ordering::AcqRel);
    }

    /// The route it was opened by.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// How its query is cancelled now.
    #[must_use]
    pub fn cancellation(&self) -> Option<Cancellation> {
        self.place().cancellation.clone()
    }

    /// Begins to cancel what it runs now, if it runs anything.
    #[must_use]
    pub fn cancel(self: Arc<Self>) -> Option<Cancelling> {
        let cancellation = {
            let mut place = self.place();
            let cancellation = place.cancellation.clone()?;
            place.cancelling += 1;
            cancellation
        };
        Some(Cancelling { handle: self, cancellation })
    }

    /// Says that it leaves its server to others, unless a cancel request is on its way there, which
    /// would reach the next one: then its task is woken when it has come.
    #[must_use]
    pub fn leaves_server(&self) -> bool {
        let mut place = self.place();
        if place.cancelling > 0 {
            return false;
        }
        place.cancellation = None;
        self.change(place, Standing::Detached);
        true
    }

    /// Says that it took a server.
    pub fn takes_server(&self, cancellation: Cancellation) {
        let mut place = self.place();
        place.cancellation = Some(cancellation);
        self.change(place, Standing::Running);
    }

    fn change(&self, mut place: MutexGuard<'_, Place>, standing: Standing) {
        (place.standing, place.why) = (standing, None);
        drop(place);
        // Whoever begins to listen looks at all sessions after that.
        if self.standings.receiver_count() > 0 {
            self.standings.send_modify(|count| *count += 1);
        }
    }

    /// Says where its queries run from now on.
    pub fn runs_at(&self, cancellation: Option<Cancellation>) {
        self.place().cancellation = cancellation;
    }

    /// Says how it stands to a move.
    pub fn stands(&self, standing: Standing, why: Option<String>) {
        let mut place = self.place();
        if place.standing == standing && place.why == why {
            return;
        }
        (place.standing, place.why) = (standing, why);
        drop(place);
        self.standings.send_modify(|count| *count += 1);
    }

    /// A session at the next server is there for it.
    pub fn is_prepared(&self) {
        let mut place = self.place();
        // Whoever is held already is further.
        if place.standing != Standing::Running {
            return;
        }
        place.standing = Standing::Prepared;
        drop(place);
        self.standings.send_modify(|count| *count += 1);
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Each change is one step.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where to send a cancel, and with which key.
#[derive(Clone, Debug)]
pub struct Cancellation {
    /// The directory of the server's socket.
    pub socket_dir: Arc<Path>,
    /// PostgreSQL's key.
    pub key: CancelKey,
}

/// A session in a report.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// The process number that its client was given.
    pub pid: u32,
    /// Its role.
    pub role: String,
    /// How it stands.
    #[serde(serialize_with = "as_text")]
    pub standing: Standing,
    /// What it has that cannot be carried.
    pub why: Option<String>,
}

fn as_text<S: serde::Serializer>(standing: &Standing, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(standing)
}

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    by_key: Mutex<HashMap<SessionKey, Arc<Handle>>>,
    standings: Arc<watch::Sender<u64>>,
}

/// A session's place among the others; it is given up when this is dropped.
#[derive(Debug)]
pub struct Registration {
    sessions: Arc<Sessions>,
    key: SessionKey,
    /// The session.
    pub handle: Arc<Handle>,
}

impl Registration {
    /// The key that the client is given: the process number of its first server, so that the
    /// notifications that a client sends itself still look so, and a secret of our own.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        self.key
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.key);
        self.sessions.standings.send_modify(|count| *count += 1);
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
        pid: u32,
        protocol: Protocol,
        cancellation: Option<Cancellation>,
    ) -> Result<Registration, aws_lc_rs::error::Unspecified> {
        let standing = match cancellation {
            Some(_) => Standing::Running,
            None => Standing::Detached,
        };
        let place = Place { standing, cancellation, ..Place::default() };
        let handle = Arc::new(Handle {
            entry,
            pid,
            order: AtomicU8::new(0),
            waker: AtomicWaker::new(),
            place: Mutex::new(place),
            standings: self.standings.clone(),
        });
        loop {
            let key = SessionKey::mint(pid, protocol)?;
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
    pub fn find(&self, key: SessionKey) -> Option<Arc<Handle>> {
        self.lock().get(&key).cloned()
    }

    /// Tells the sessions what a new table of routes means for them.
    pub fn follow(&self, change: &Change) {
        let Change { ended, moved } = change;
        if !ended.is_empty() {
            self.order(Order::Terminate, |whose| ended.contains(whose));
        }
        if !moved.is_empty() {
            self.order(Order::Attend, |whose| moved.contains(whose));
        }
    }

    /// Gives an order to all sessions that `meant` chooses.
    pub fn order(&self, order: Order, meant: impl Fn(&Whose) -> bool) {
        self.order_handles(order, |handle| {
            let route = &handle.entry.route;
            meant(&(route.role.to_string(), route.database_id))
        });
    }

    /// Ends the sessions of a database that stand in the way of its move.
    pub fn evict(&self, database: DatabaseId) {
        self.order_handles(Order::Evict, |handle| {
            handle.entry.route.database_id == database
                && !handle.place().standing.is_out_of_the_way()
        });
    }

    fn order_handles(&self, order: Order, meant: impl Fn(&Handle) -> bool) {
        let chosen: Vec<Arc<Handle>> =
            self.lock().values().filter(|handle| meant(handle)).cloned().collect();
        for handle in chosen {
            handle.give(order);
        }
    }

    /// How many sessions a database has.
    #[must_use]
    pub fn count(&self, database: DatabaseId) -> usize {
        self.lock().values().filter(|handle| handle.entry.route.database_id == database).count()
    }

    /// The sessions of a database, by process number.
    #[must_use]
    pub fn list(&self, database: DatabaseId) -> Vec<Seen> {
        let by_key = self.lock();
        let mine = by_key.values().filter(|handle| handle.entry.route.database_id == database);
        let mut list: Vec<Seen> = mine
            .map(|handle| {
                let place = handle.place();
                Seen {
                    pid: handle.pid,
                    role: handle.entry.route.role.to_string(),
                    standing: place.standing,
                    why: place.why.clone(),
                }
            })
            .collect();
        list.sort_by_key(|seen| seen.pid);
        list
    }

    /// Tells when a session begins to stand otherwise, or ends.
    #[must_use]
    pub fn standings(&self) -> watch::Receiver<u64> {
        self.standings.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Handle>>> {
        // A map is whole also after a panic of whoever held it.
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
