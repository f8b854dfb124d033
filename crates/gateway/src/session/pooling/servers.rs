//! The pools of a gateway, and what is known of their servers without asking one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_model::route::{Mode, Stage, Target};
use howdah_model::scram::Verifier;

use super::PoolServer;
use crate::limits::Limits;
use crate::pool::{Bounds, Key, Pool, Pools, Rules};
use crate::routes::{Entry, Routes};
use crate::session::record::{Carried, Reported};
use crate::stats::Statistics;

/// The most greetings that are kept for one pool.
const MOST_GREETINGS: usize = 32;

/// How often the statistics are told how many servers are idle.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The pools of a gateway.
#[derive(Debug)]
pub struct Servers {
    /// They.
    pub pools: Pools<PoolServer>,
    kept: Mutex<HashMap<Key, Kept>>,
}

/// What is known of the servers of one pool.
#[derive(Debug)]
struct Kept {
    /// By which its servers were opened.
    verifier: Verifier,
    /// What a server reports when it has these settings, the last one first.
    greetings: Vec<(Carried, Reported)>,
}

impl Servers {
    /// None yet, for so many threads.
    #[must_use]
    pub fn new(threads: usize, limits: Arc<Limits>) -> Self {
        let take = move |database, limit| limits.take(database, limit);
        Self { pools: Pools::new(threads, Rules::default(), take), kept: Mutex::default() }
    }

    /// The pool of a route at a target.
    #[must_use]
    pub fn pool(&self, entry: &Entry, dir: &Path) -> Arc<Pool<PoolServer>> {
        let route = &entry.route;
        let bounds = Bounds {
            servers: route.pool_servers(),
            sessions: route.connection_limit,
            clients: route.pool_clients(),
        };
        let key = key(entry, dir);
        let pool = self.pools.pool(&key, bounds);
        self.lock().entry(key).or_insert_with(|| Kept::of(entry));
        pool
    }

    /// What a client with these settings is told of parameters, if it is known.
    #[must_use]
    pub fn greeting(&self, entry: &Entry, dir: &Path, carried: &Carried) -> Option<Reported> {
        let kept = self.lock();
        let greetings = &kept.get(&key(entry, dir))?.greetings;
        greetings.iter().find(|(of, _)| of == carried).map(|(_, reported)| reported.clone())
    }

    /// Keeps what a server reported that has these settings.
    pub fn keep_greeting(&self, entry: &Entry, dir: &Path, carried: &Carried, now: &Reported) {
        let mut kept = self.lock();
        let kept = kept.entry(key(entry, dir)).or_insert_with(|| Kept::of(entry));
        kept.greetings.retain(|(of, _)| of != carried);
        kept.greetings.truncate(MOST_GREETINGS - 1);
        kept.greetings.insert(0, (carried.clone(), now.clone()));
    }

    /// Looks after the pools. Never ends.
    pub async fn keep(&self, routes: &Routes, statistics: &Statistics) {
        let follow = async {
            let mut replaced = routes.subscribe();
            // The sender lives as long as the routes.
            while replaced.changed().await.is_ok() {
                self.follow(routes);
            }
        };
        let tell = async {
            let mut ticks = tokio::time::interval(TOLD_EVERY);
            loop {
                ticks.tick().await;
                self.tell(routes, statistics);
            }
        };
        futures_util::join!(follow, tell, self.pools.run());
    }

    fn tell(&self, routes: &Routes, statistics: &Statistics) {
        for (key, stats) in self.pools.stats() {
            if let Some(entry) = leads_to(routes, &key) {
                let credential = statistics.credential(&entry.route, Mode::Transaction);
                credential.idle_servers(stats.idle);
            }
        }
    }

    /// Ends what no route leads to any more, and has the pools keep to the routes.
    pub fn follow(&self, routes: &Routes) {
        self.pools.keep(|key| leads_to(routes, key).is_some());
        let mut current = Vec::new();
        self.lock().retain(|key, kept| {
            let Some(entry) = leads_to(routes, key) else { return false };
            if kept.verifier != entry.route.verifier {
                *kept = Kept::of(&entry);
                self.pools.renew(key.database, &key.role);
            }
            current.push((entry, key.target.clone()));
            true
        });
        for (entry, dir) in current {
            let _ = self.pool(&entry, &dir);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        // A map is whole also after a panic of whoever held it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn of(entry: &Entry) -> Self {
        Self { verifier: entry.route.verifier.clone(), greetings: Vec::new() }
    }
}

/// The route that has this pool for its servers, now or next.
fn leads_to(routes: &Routes, key: &Key) -> Option<Arc<Entry>> {
    let entry = routes.find(&key.role)?;
    let route = &entry.route;
    let is_now = matches!(&route.target, Target::Local { socket_dir } if *socket_dir == key.target);
    let is_next = matches!(&route.stage, Stage::Prepare { next } if *next == key.target);
    (route.database_id == key.database && (is_now || is_next)).then_some(entry)
}

fn key(entry: &Entry, dir: &Path) -> Key {
    let route = &entry.route;
    Key { database: route.database_id, role: route.role.to_string(), target: dir.to_owned() }
}
