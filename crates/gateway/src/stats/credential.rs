//! What the sessions of one credential have done, in one mode: those that are open, asked one by
//! one, and the sum of those that have ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use howdah_model::ids::DatabaseId;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::pool::{Clients, Servers, Totals};
use howdah_model::route::{Mode, Route};
use strum::{EnumCount as _, IntoEnumIterator as _};

use super::clock::Moment;
use super::session::{Figures, SessionStats, Standing};
use crate::error::ErrorKind;

/// The figures of all credentials that had a client since the gateway started.
#[derive(Debug)]
pub struct Statistics {
    since: SystemTime,
    credentials: Mutex<HashMap<Key, Arc<CredentialStats>>>,
}

/// Whose figures they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The database.
    pub database_id: DatabaseId,
    /// Its name within PostgreSQL.
    pub database: DatabaseName,
    /// The credential's role.
    pub role: RoleName,
    /// How its clients come by a server.
    pub mode: Mode,
}

/// The figures of one credential in one mode.
#[derive(Debug, Default)]
pub struct CredentialStats {
    /// Touched when a session begins, when it ends, and by readers, never between: so no session is
    /// left out or counted twice.
    sessions: Mutex<SessionsOf>,
    rare: Rare,
    errors: [Sum; ErrorKind::COUNT],
    idle_servers: AtomicU32,
}

#[derive(Debug, Default)]
struct SessionsOf {
    /// By the address of their figures.
    open: HashMap<usize, Arc<Figures>>,
    ended: Totals,
}

/// What happens too seldom to be counted by session.
#[derive(Debug, Default)]
pub(super) struct Rare {
    waits: Sum,
    wait_micros: Sum,
    longest_wait_micros: AtomicU64,
    holds: Sum,
    hold_micros: Sum,
    longest_hold_micros: AtomicU64,
    servers_opened: Sum,
    pub(super) moves: Sum,
    pub(super) moves_failed: Sum,
    pub(super) resent: Sum,
    pub(super) transactions_lost: Sum,
    pub(super) commits_in_doubt: Sum,
}

/// A number that any thread may add to.
#[derive(Debug, Default)]
pub(super) struct Sum(AtomicU64);

impl Sum {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a credential has now and had since the gateway started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its clients now.
    pub clients: Clients,
    /// Its servers now.
    pub servers: Servers,
    /// Of its clients, those that are held.
    pub held: u32,
    /// How long the client that waits longest has waited, in microseconds.
    pub longest_wait_micros: u64,
    /// Since the gateway started.
    pub totals: Totals,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { since: SystemTime::now(), credentials: Mutex::default() }
    }
}

impl Statistics {
    /// Since when is counted.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Begins to count for a session that was opened.
    #[must_use]
    pub fn open(&self, route: &Route, mode: Mode) -> SessionStats {
        let session = SessionStats::new(self.credential(route, mode));
        if mode == Mode::Session {
            // It has had its server since before the client was let in.
            session.stands(Standing::Pinned);
        }
        session
    }

    /// The figures of a credential, for what has no session.
    #[must_use]
    pub fn credential(&self, route: &Route, mode: Mode) -> Arc<CredentialStats> {
        let key = Key {
            database_id: route.database_id,
            database: route.database.clone(),
            role: route.role.clone(),
            mode,
        };
        self.lock().entry(key).or_default().clone()
    }

    /// All figures now, in no order.
    #[must_use]
    pub fn read(&self) -> Vec<(Key, Reading)> {
        let all: Vec<_> = self.lock().iter().map(|(key, of)| (key.clone(), of.clone())).collect();
        all.into_iter().map(|(key, of)| (key, of.read())).collect()
    }

    /// Forgets credentials without clients that `known` does not know any more.
    pub fn forget(&self, known: impl Fn(&Key) -> bool) {
        self.lock().retain(|key, of| known(key) || of.is_in_use());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<CredentialStats>>> {
        // A map is whole also after a panic of whoever held it.
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialStats {
    pub(super) fn enter(&self, figures: &Arc<Figures>) {
        let mut sessions = self.lock();
        sessions.ended.clients += 1;
        sessions.open.insert(address(figures), figures.clone());
    }

    pub(super) fn leave(&self, figures: &Arc<Figures>) {
        let mut sessions = self.lock();
        if sessions.open.remove(&address(figures)).is_some() {
            add(&mut sessions.ended, figures);
        }
    }

    pub(super) fn rare(&self) -> &Rare {
        &self.rare
    }

    pub(super) fn waited(&self, time: Duration) {
        let Rare { waits, wait_micros, longest_wait_micros, .. } = &self.rare;
        count_time(time, waits, wait_micros, longest_wait_micros);
    }

    pub(super) fn held(&self, time: Duration) {
        let Rare { holds, hold_micros, longest_hold_micros, .. } = &self.rare;
        count_time(time, holds, hold_micros, longest_hold_micros);
    }

    /// Counts an error that the gateway gave to one of its clients, logged in or not.
    pub fn error(&self, kind: ErrorKind) {
        self.errors[kind as usize].add(1);
    }

    /// A server was opened for its pool or for one of its sessions.
    pub fn server_opened(&self) {
        self.rare.servers_opened.add(1);
    }

    /// How many servers of its pool are free now.
    pub fn idle_servers(&self, count: u32) {
        self.idle_servers.store(count, Ordering::Relaxed);
    }

    /// Everything now.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = Reading::default();
        {
            let sessions = self.lock();
            reading.totals = sessions.ended.clone();
            let now = Moment::now();
            for figures in sessions.open.values() {
                add(&mut reading.totals, figures);
                reading.stand(figures, now);
            }
        }
        reading.servers.idle = self.idle_servers.load(Ordering::Relaxed);
        self.rare.read(&mut reading.totals);
        let errors = ErrorKind::iter().map(|kind| (kind, self.errors[kind as usize].get()));
        let errors = errors.filter(|(_, count)| *count > 0);
        reading.totals.errors = errors.map(|(kind, count)| (kind.to_string(), count)).collect();
        reading
    }

    fn is_in_use(&self) -> bool {
        !self.lock().open.is_empty() || self.idle_servers.load(Ordering::Relaxed) > 0
    }

    fn lock(&self) -> MutexGuard<'_, SessionsOf> {
        // Each change is one insertion or removal, so what is there is right also after a panic.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn stand(&mut self, figures: &Figures, now: Moment) {
        let (standing, since) = figures.standing();
        match standing {
            Standing::Idle => self.clients.idle += 1,
            Standing::Pinned => {
                self.clients.idle += 1;
                self.servers.pinned += 1;
            }
            Standing::Active => {
                self.clients.active += 1;
                self.servers.active += 1;
            }
            Standing::Waiting | Standing::Held => {
                self.clients.waiting += 1;
                self.held += u32::from(standing == Standing::Held);
                self.longest_wait_micros = self.longest_wait_micros.max(now.since(since));
            }
        }
    }
}

impl Rare {
    fn read(&self, totals: &mut Totals) {
        totals.waits = self.waits.get();
        totals.wait_micros = self.wait_micros.get();
        totals.longest_wait_micros = self.longest_wait_micros.load(Ordering::Relaxed);
        totals.holds = self.holds.get();
        totals.hold_micros = self.hold_micros.get();
        totals.longest_hold_micros = self.longest_hold_micros.load(Ordering::Relaxed);
        totals.servers_opened = self.servers_opened.get();
        totals.moves = self.moves.get();
        totals.moves_failed = self.moves_failed.get();
        totals.resent = self.resent.get();
        totals.transactions_lost = self.transactions_lost.get();
        totals.commits_in_doubt = self.commits_in_doubt.get();
    }
}

fn add(totals: &mut Totals, figures: &Figures) {
    totals.transactions += figures.transactions.get();
    totals.queries += figures.queries.get();
    totals.transaction_micros += figures.transaction_micros.get();
    totals.query_micros += figures.query_micros.get();
    totals.bytes_from_clients += figures.bytes_from_client.get();
    totals.bytes_to_clients += figures.bytes_to_client.get();
}

fn count_time(time: Duration, count: &Sum, sum: &Sum, longest: &AtomicU64) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    count.add(1);
    sum.add(micros);
    longest.fetch_max(micros, Ordering::Relaxed);
}

fn address(figures: &Arc<Figures>) -> usize {
    Arc::as_ptr(figures).addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::session::Transaction;
    use howdah_model::route::{Replication, Stage, Target};

    const VERIFIER: &str = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn route(role: &str) -> Route {
        Route {
            known_as: None,
            role: role.parse().expect("role"),
            database: "d1".parse().expect("database"),
            database_id: DatabaseId::new(),
            verifier: VERIFIER.parse().expect("verifier"),
            connection_limit: 20,
            mode: Mode::default(),
            replication: Replication::default(),
            stage: Stage::default(),
            target: Target::Revoked,
        }
    }

    fn only(statistics: &Statistics) -> Reading {
        let mut all = statistics.read();
        assert_eq!(all.len(), 1);
        all.remove(0).1
    }

    /// Sessions begin, work and end on several threads while somebody reads: what is read only
    /// grows, and in the end nothing is missing and nothing is there twice.
    #[test]
    fn figures_add_up_whoever_reads_meanwhile() {
        const THREADS: u64 = 3;
        const SESSIONS: u64 = 200;
        const STATEMENTS: u64 = 50;
        let (statistics, route) = (Statistics::default(), route("r"));
        let _first = statistics.credential(&route, Mode::Session);
        std::thread::scope(|scope| {
            let work = || {
                for _ in 0..SESSIONS {
                    let mut session = statistics.open(&route, Mode::Session);
                    for number in 0..STATEMENTS {
                        session.asked();
                        session.bytes_from_client(10);
                        session.bytes_to_client(100);
                        let ends = number % 5 == 4;
                        let transaction = if ends { Transaction::Ended } else { Transaction::Open };
                        session.answered(transaction, Standing::Pinned);
                    }
                    session.error(ErrorKind::ServerLost);
                }
            };
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            let mut before = 0;
            while workers.iter().any(|worker| !worker.is_finished()) {
                let queries = only(&statistics).totals.queries;
                assert!(queries >= before, "{queries} after {before}");
                before = queries;
            }
        });
        let read = only(&statistics);
        let sessions = THREADS * SESSIONS;
        assert_eq!(read.totals.clients, sessions);
        assert_eq!(read.totals.queries, sessions * STATEMENTS);
        assert_eq!(read.totals.transactions, sessions * STATEMENTS / 5);
        assert_eq!(read.totals.bytes_from_clients, sessions * STATEMENTS * 10);
        assert_eq!(read.totals.bytes_to_clients, sessions * STATEMENTS * 100);
        assert_eq!(read.totals.errors["server_lost"], sessions);
        assert_eq!((read.clients, read.servers), (Clients::default(), Servers::default()));
    }

    #[test]
    fn clients_are_counted_once_by_what_they_do() {
        let (statistics, route) = (Statistics::default(), route("r"));
        let open = || statistics.open(&route, Mode::Transaction);
        let (mut active, _idle, pinned) = (open(), open(), open());
        let (mut waiting, mut held) = (open(), open());
        active.asked();
        pinned.stands(Standing::Pinned);
        waiting.waits(Standing::Waiting);
        held.waits(Standing::Held);
        let read = only(&statistics);
        assert_eq!(read.clients, Clients { active: 1, waiting: 2, idle: 2 });
        assert_eq!(read.servers, Servers { active: 1, pinned: 1, idle: 0 });
        assert_eq!((read.held, read.totals.waits, read.totals.holds), (1, 0, 0));
        waiting.goes(Standing::Active);
        drop(held);
        let read = only(&statistics);
        assert_eq!((read.totals.waits, read.totals.holds), (1, 1));
        assert_eq!(read.clients, Clients { active: 2, waiting: 0, idle: 2 });
    }

    #[test]
    fn credentials_that_nobody_knows_are_forgotten_once_their_clients_have_gone() {
        let statistics = Statistics::default();
        let (kept, gone, left) = (route("kept"), route("gone"), route("left"));
        let session = statistics.open(&left, Mode::Session);
        let _ = (
            statistics.credential(&kept, Mode::Session),
            statistics.credential(&gone, Mode::Session),
        );
        let roles = || {
            statistics.forget(|key| key.role.as_str() == "kept");
            let read = statistics.read().into_iter();
            let mut roles: Vec<_> = read.map(|(key, _)| key.role.to_string()).collect();
            roles.sort();
            roles
        };
        assert_eq!(roles(), ["kept", "left"]);
        drop(session);
        assert_eq!(roles(), ["kept"]);
    }
}
