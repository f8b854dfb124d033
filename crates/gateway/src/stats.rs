//! What the gateway counts. Every thread has its own counters, and every session its own figures
//! for its credential; reading adds them up.

pub mod clock;
pub mod credential;
pub mod report;
pub mod session;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use strum::{EnumCount as _, IntoEnumIterator as _};

pub use credential::{CredentialStats, Key, Reading, Statistics};
pub use session::{SessionStats, Standing, Transaction};

use crate::error::ErrorKind;

/// The counters of one thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Clients that were taken on.
    pub clients: Counter,
    /// Clients that have gone.
    pub clients_gone: Counter,
    /// Sessions that were opened.
    pub sessions: Counter,
    /// Sessions that have ended.
    pub sessions_ended: Counter,
    /// Bytes from clients to servers, after the log-in.
    pub bytes_to_server: Counter,
    /// Bytes from servers to clients, after the log-in.
    pub bytes_to_client: Counter,
    /// Sessions that went on at another server.
    pub moves: Counter,
    /// Requests that were sent again to another server.
    pub sent_again: Counter,
    /// Transactions that were lost with their server.
    pub transactions_lost: Counter,
    /// Requests whose outcome is not known.
    pub in_doubt: Counter,
    /// Cancel requests that reached a server.
    pub cancels: Counter,
    /// Cancel requests whose key nobody has.
    pub cancels_unknown: Counter,
    errors: [Counter; ErrorKind::COUNT],
}

impl Counters {
    /// Counts an error.
    pub fn error(&self, kind: ErrorKind) {
        self.errors[kind as usize].add(1);
    }
}

/// A number that only grows, and that one thread alone adds to: a load and a store cost a tenth of
/// an atomic addition.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, count: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters at one moment, added up over the threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Clients that are connected now.
    pub clients: u64,
    /// Sessions that are open now.
    pub sessions: u64,
    /// Clients since the start.
    pub clients_total: u64,
    /// Sessions since the start.
    pub sessions_total: u64,
    /// Bytes from clients to servers since the start.
    pub bytes_to_server: u64,
    /// Bytes from servers to clients since the start.
    pub bytes_to_client: u64,
    /// Sessions that went on at another server since the start.
    pub moves: u64,
    /// Requests that were sent again to another server since the start.
    pub sent_again: u64,
    /// Transactions that were lost with their server since the start.
    pub transactions_lost: u64,
    /// Requests whose outcome is not known since the start.
    pub in_doubt: u64,
    /// Cancel requests that reached a server since the start.
    pub cancels: u64,
    /// Cancel requests with an unknown key since the start.
    pub cancels_unknown: u64,
    /// Errors since the start, by kind; each kind that there is.
    pub errors: BTreeMap<String, u64>,
}

impl Stats {
    /// Adds up the counters of all threads.
    #[must_use]
    pub fn of<'a>(threads: impl Iterator<Item = &'a Counters> + Clone) -> Self {
        let sum = |value: fn(&Counters) -> &Counter| threads.clone().map(|c| value(c).get()).sum();
        let (clients_total, sessions_total): (u64, u64) =
            (sum(|c| &c.clients), sum(|c| &c.sessions));
        let error = |kind: ErrorKind| threads.clone().map(|c| c.errors[kind as usize].get()).sum();
        Self {
            clients: clients_total.saturating_sub(sum(|c| &c.clients_gone)),
            sessions: sessions_total.saturating_sub(sum(|c| &c.sessions_ended)),
            clients_total,
            sessions_total,
            bytes_to_server: sum(|c| &c.bytes_to_server),
            bytes_to_client: sum(|c| &c.bytes_to_client),
            moves: sum(|c| &c.moves),
            sent_again: sum(|c| &c.sent_again),
            transactions_lost: sum(|c| &c.transactions_lost),
            in_doubt: sum(|c| &c.in_doubt),
            cancels: sum(|c| &c.cancels),
            cancels_unknown: sum(|c| &c.cancels_unknown),
            errors: ErrorKind::iter().map(|kind| (kind.to_string(), error(kind))).collect(),
        }
    }

    /// Adds those of another gateway.
    pub fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.sessions += other.sessions;
        self.clients_total += other.clients_total;
        self.sessions_total += other.sessions_total;
        self.bytes_to_server += other.bytes_to_server;
        self.bytes_to_client += other.bytes_to_client;
        self.cancels += other.cancels;
        self.cancels_unknown += other.cancels_unknown;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }

    /// How often an error happened.
    #[must_use]
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors.get(&kind.to_string()).copied().unwrap_or(0)
    }
}
