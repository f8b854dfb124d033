//! The routes: one immutable table that every thread reads with one atomic load.

pub mod cache;
pub mod fetch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Route, RouteTable, Target};
use tokio::sync::{Notify, watch};

use crate::scram::{Keys, USUAL_ROUNDS};

/// A route with its verifier decoded.
#[derive(Debug)]
pub struct Entry {
    /// The route as it came.
    pub route: Route,
    /// What the password is checked against.
    pub keys: Keys,
    /// Whether a drift of this credential has been logged; a new route logs again.
    pub drift_logged: AtomicBool,
}

/// Whose sessions are meant: a role, and the database it was for.
pub type Whose = (String, DatabaseId);

/// All routes at one moment.
#[derive(Debug)]
pub struct Table {
    version: u64,
    by_role: HashMap<String, Arc<Entry>>,
    /// What a mock exchange has to look like.
    usual_rounds: u32,
}

impl Table {
    fn new(table: RouteTable) -> Self {
        let mut by_role = HashMap::with_capacity(table.routes.len());
        for route in table.routes {
            let Some(keys) = Keys::decode(&route.verifier) else {
                tracing::warn!(role = %route.role, "route of `{}` has no valid verifier", route.role);
                continue;
            };
            let role = route.role.to_string();
            let entry = Entry { route, keys, drift_logged: AtomicBool::new(false) };
            by_role.insert(role, Arc::new(entry));
        }
        let usual_rounds = usual_rounds(&by_role);
        Self { version: table.version, by_role, usual_rounds }
    }

    /// Who had sessions here and may have none in `newer`.
    fn ended_in(&self, newer: &Self) -> HashSet<Whose> {
        let gone = |(role, entry): (&String, &Arc<Entry>)| {
            let whose = (role.clone(), entry.route.database_id);
            (!newer.permits(role, whose.1)).then_some(whose)
        };
        self.by_role.iter().filter_map(gone).collect()
    }

    fn permits(&self, role: &str, database: DatabaseId) -> bool {
        self.by_role.get(role).is_some_and(|entry| {
            entry.route.database_id == database && entry.route.target != Target::Revoked
        })
    }
}

/// The rounds that most verifiers have: an unknown role looks like the crowd.
fn usual_rounds(by_role: &HashMap<String, Arc<Entry>>) -> u32 {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for entry in by_role.values() {
        *counts.entry(entry.keys.iterations).or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(rounds, count)| (*count, *rounds));
    usual.map_or(USUAL_ROUNDS, |(rounds, _)| rounds)
}

/// The routes that hold now, and the means to wait for newer ones.
#[derive(Debug)]
pub struct Routes {
    table: ArcSwap<Table>,
    /// Counts the tables that were put in place.
    replaced: watch::Sender<u64>,
    /// Tells the fetching task that somebody waits.
    wanted: Notify,
    /// Refreshes that were begun; one that begins later knows all that happened before.
    begun: AtomicU64,
    finished: watch::Sender<u64>,
}

impl Routes {
    /// Starts with a table, for example the one that was kept on disk.
    #[must_use]
    pub fn new(table: RouteTable) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(table)),
            replaced: watch::Sender::new(0),
            wanted: Notify::new(),
            begun: AtomicU64::new(0),
            finished: watch::Sender::new(0),
        }
    }

    /// The route of a role.
    #[must_use]
    pub fn find(&self, role: &str) -> Option<Arc<Entry>> {
        self.table.load().by_role.get(role).cloned()
    }

    /// The version of the table.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.table.load().version
    }

    /// The rounds that the exchange with an unknown role has to show.
    #[must_use]
    pub fn usual_rounds(&self) -> u32 {
        self.table.load().usual_rounds
    }

    /// Whether a role may have sessions of a database.
    #[must_use]
    pub fn permits(&self, role: &str, database: DatabaseId) -> bool {
        self.table.load().permits(role, database)
    }

    /// Puts a table in place and says whose sessions must end. One caller at a time.
    pub fn replace(&self, table: RouteTable) -> HashSet<Whose> {
        let newer = Arc::new(Table::new(table));
        let older = self.table.swap(newer.clone());
        self.replaced.send_modify(|count| *count += 1);
        older.ended_in(&newer)
    }

    /// Tells when a table is replaced.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    /// Waits until the routes are as new as this call: until a refresh that began after it has
    /// ended, well or not, or the bound has passed. Callers share refreshes.
    pub async fn refreshed(&self, bound: Duration) {
        let mut finished = self.finished.subscribe();
        let next = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.notify_one();
        // Neither outcome matters: the caller looks again in any case.
        let _ = tokio::time::timeout(bound, finished.wait_for(|count| *count >= next)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use howdah_model::route::{Mode, Replication, Stage};

    const VERIFIER: &str = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn route(role: &str, database_id: DatabaseId, target: Target) -> Route {
        Route {
            role: role.parse().expect("role"),
            database: "d1".parse().expect("database"),
            database_id,
            verifier: VERIFIER.parse().expect("verifier"),
            connection_limit: 20,
            mode: Mode::default(),
            replication: Replication::default(),
            stage: Stage::default(),
            target,
        }
    }

    fn unready() -> Target {
        Target::Unready { why: "starting".into() }
    }

    #[test]
    fn a_replacement_tells_whose_sessions_must_end() {
        let (a, b) = (DatabaseId::new(), DatabaseId::new());
        let table = |version, routes| RouteTable { version, routes };
        let all = ["kept", "gone", "revoked", "reused"].map(|role| route(role, a, unready()));
        let routes = Routes::new(table(1, all.to_vec()));
        let newer = vec![
            route("kept", a, unready()),
            route("revoked", a, Target::Revoked),
            route("reused", b, unready()),
        ];
        let ended = routes.replace(table(2, newer));
        let wanted = ["gone", "revoked", "reused"].map(|role| (role.to_owned(), a));
        assert_eq!(ended, HashSet::from(wanted));
        assert!(routes.permits("reused", b) && !routes.permits("reused", a));
        assert_eq!(routes.version(), 2);
    }

    #[test]
    fn a_route_with_a_broken_verifier_is_left_out_and_harms_no_other() {
        let mut broken = route("broken", DatabaseId::new(), unready());
        broken.verifier.stored_key = "AAAA".into();
        let good = route("good", DatabaseId::new(), unready());
        let routes = Routes::new(RouteTable { version: 1, routes: vec![broken, good] });
        assert!(routes.find("broken").is_none() && routes.find("good").is_some());
    }
}
