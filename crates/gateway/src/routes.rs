//! The routes: one immutable table that every thread reads with one atomic load.

pub mod cache;
pub mod fetch;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Route, RouteTable, Stage, Target};
use serde::{Deserialize, Serialize};
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

/// What a new table means for sessions that are open.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// They may have none any more.
    pub ended: HashSet<Whose>,
    /// Their target or the stage of a move is another.
    pub moved: HashSet<Whose>,
}

/// All routes at one moment.
#[derive(Debug)]
pub struct Table {
    version: u64,
    by_role: HashMap<String, Arc<Entry>>,
    /// What a mock exchange has to look like.
    usual_rounds: u32,
}

impl Table {
    /// Makes a table. Entries of `older` that say the same are kept, so that who holds one sees
    /// that nothing has changed.
    fn new(table: RouteTable, older: &HashMap<String, Arc<Entry>>) -> Self {
        let mut by_role = HashMap::with_capacity(table.routes.len());
        for route in table.routes {
            let role = route.role.to_string();
            if let Some(same) = older.get(&role).filter(|entry| entry.route == route) {
                by_role.insert(role, same.clone());
                continue;
            }
            let Some(keys) = Keys::decode(&route.verifier) else {
                tracing::warn!(role = %route.role, "route of `{}` has no valid verifier", route.role);
                continue;
            };
            let entry = Entry { route, keys, drift_logged: AtomicBool::new(false) };
            by_role.insert(role, Arc::new(entry));
        }
        let usual_rounds = usual_rounds(&by_role);
        Self { version: table.version, by_role, usual_rounds }
    }

    /// What `newer` means for the sessions of this table.
    fn change_to(&self, newer: &Self) -> Change {
        let mut change = Change::default();
        for (role, entry) in &self.by_role {
            let whose = (role.clone(), entry.route.database_id);
            match newer.by_role.get(role) {
                Some(now) if Arc::ptr_eq(now, entry) => {}
                Some(now) if now.permits(whose.1) => {
                    let (now, then) = (&now.route, &entry.route);
                    if (&now.target, &now.stage) != (&then.target, &then.stage) {
                        change.moved.insert(whose);
                    }
                }
                Some(_) | None => {
                    change.ended.insert(whose);
                }
            }
        }
        change
    }

    fn permits(&self, role: &str, database: DatabaseId) -> bool {
        self.by_role.get(role).is_some_and(|entry| entry.permits(database))
    }
}

impl Entry {
    fn permits(&self, database: DatabaseId) -> bool {
        self.route.database_id == database && self.route.target != Target::Revoked
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
    told: Mutex<Told>,
    /// Counts the tables that were put in place.
    replaced: watch::Sender<u64>,
    /// Tells the fetching task that somebody waits.
    wanted: Notify,
    /// Refreshes that were begun; one that begins later knows all that happened before.
    begun: AtomicU64,
    finished: watch::Sender<u64>,
}

/// What the table is made of.
#[derive(Debug)]
struct Told {
    /// By the platform.
    table: RouteTable,
    /// By whoever moves a database with this gateway alone.
    moves: HashMap<DatabaseId, Move>,
}

/// A move that this gateway was told of directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where in it the database is.
    pub stage: Stage,
    /// Where its sessions go, if elsewhere than the platform says. It is forgotten when the
    /// platform says the same.
    pub target: Option<Target>,
}

impl Told {
    fn make(&mut self) -> RouteTable {
        let mut table = self.table.clone();
        let done = |routes: &[Route], database: DatabaseId, made: &Move| {
            let mut mine = routes.iter().filter(|route| route.database_id == database);
            made.stage == Stage::Open
                && mine
                    .all(|route| made.target.as_ref().is_none_or(|target| route.target == *target))
        };
        self.moves.retain(|database, made| !done(&table.routes, *database, made));
        for route in &mut table.routes {
            let Some(made) = self.moves.get(&route.database_id) else { continue };
            route.stage = made.stage.clone();
            if let (Some(target), false) = (&made.target, route.target == Target::Revoked) {
                route.target = target.clone();
            }
        }
        table
    }
}

impl Routes {
    /// Starts with a table, for example the one that was kept on disk.
    #[must_use]
    pub fn new(table: RouteTable) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(table.clone(), &HashMap::new())),
            told: Mutex::new(Told { table, moves: HashMap::new() }),
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

    /// Puts a table of the platform in place and says what that means for sessions.
    pub fn replace(&self, table: RouteTable) -> Change {
        self.change(|told| told.table = table)
    }

    /// Moves a database with this gateway alone, whatever the platform says of it meanwhile.
    pub fn set_move(&self, database: DatabaseId, made: Move) -> Change {
        self.change(|told| {
            told.moves.insert(database, made);
        })
    }

    /// All moves that this gateway was told of directly.
    #[must_use]
    pub fn moves(&self) -> HashMap<DatabaseId, Move> {
        self.told().moves.clone()
    }

    /// The move of a database that this gateway was told of directly.
    #[must_use]
    pub fn get_move(&self, database: DatabaseId) -> Option<Move> {
        self.told().moves.get(&database).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Told)) -> Change {
        let mut told = self.told();
        change(&mut told);
        let older = self.table.load_full();
        let newer = Arc::new(Table::new(told.make(), &older.by_role));
        self.table.store(newer.clone());
        drop(told);
        self.replaced.send_modify(|count| *count += 1);
        older.change_to(&newer)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Each change of it is one step.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The databases that are held, and how long what runs in them may go on.
    #[must_use]
    pub fn held(&self) -> HashMap<DatabaseId, Duration> {
        let table = self.table.load();
        let held = table.by_role.values().filter_map(|entry| match entry.route.stage {
            Stage::Hold { grace_ms } => {
                Some((entry.route.database_id, Duration::from_millis(grace_ms)))
            }
            Stage::Open | Stage::Prepare { .. } => None,
        });
        held.collect()
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
            known_as: None,
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
    fn a_replacement_tells_whose_sessions_must_end_and_whose_go_elsewhere() {
        let (a, b) = (DatabaseId::new(), DatabaseId::new());
        let table = |version, routes| RouteTable { version, routes };
        let all = ["kept", "gone", "revoked", "reused", "moved", "held"];
        let routes = Routes::new(table(1, all.map(|role| route(role, a, unready())).to_vec()));
        let kept = routes.find("kept").expect("kept");
        let there = Target::Local { socket_dir: "/there".into() };
        let held = Route { stage: Stage::Hold { grace_ms: 5 }, ..route("held", a, unready()) };
        let newer = vec![
            route("kept", a, unready()),
            route("revoked", a, Target::Revoked),
            route("reused", b, unready()),
            route("moved", a, there),
            held,
        ];
        let change = routes.replace(table(2, newer));
        let whose = |role: &str| (role.to_owned(), a);
        assert_eq!(change.ended, HashSet::from(["gone", "revoked", "reused"].map(whose)));
        assert_eq!(change.moved, HashSet::from(["moved", "held"].map(whose)));
        assert!(Arc::ptr_eq(&kept, &routes.find("kept").expect("kept")));
        assert!(routes.permits("reused", b) && !routes.permits("reused", a));
        assert_eq!(routes.version(), 2);
        assert_eq!(routes.held(), HashMap::from([(a, Duration::from_millis(5))]));
    }

    #[test]
    fn a_move_of_our_own_outlasts_other_news_of_the_platform_until_it_says_the_same() {
        let (a, b) = (DatabaseId::new(), DatabaseId::new());
        let (here, there) = ("/here", "/there");
        let local = |dir: &str| Target::Local { socket_dir: dir.into() };
        let table = |version, a_at: &str, b_at: &str| RouteTable {
            version,
            routes: vec![route("a", a, local(a_at)), route("b", b, local(b_at))],
        };
        let routes = Routes::new(table(1, here, here));
        let stage = |role| routes.find(role).expect("there").route.stage.clone();
        let target = |role| routes.find(role).expect("there").route.target.clone();
        routes.set_move(a, Move { stage: Stage::Hold { grace_ms: 1 }, target: None });
        routes.replace(table(2, here, there));
        assert_eq!((stage("a"), stage("b")), (Stage::Hold { grace_ms: 1 }, Stage::Open));
        routes.set_move(a, Move { stage: Stage::Open, target: Some(local(there)) });
        routes.replace(table(3, here, there));
        assert_eq!((stage("a"), target("a")), (Stage::Open, local(there)));
        routes.replace(table(4, there, there));
        assert_eq!(routes.get_move(a), None);
        routes.replace(table(5, here, there));
        assert_eq!(target("a"), local(here));
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
