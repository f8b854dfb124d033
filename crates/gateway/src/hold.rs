//! Moving a database: holding its sessions, and letting them go on elsewhere. The platform moves a
//! database by the stage of its routes; who runs this gateway alone does it here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use howdah_model::ids::DatabaseId;
use howdah_model::route::{Stage, Target};
use tokio::time::{Instant, sleep_until, timeout};

use crate::Gateway;
use crate::registry::{Seen, Sessions, Standing};
use crate::routes::{Move, Routes};

/// How the sessions of a database stand to its move.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// All of them.
    pub sessions: Vec<Seen>,
}

impl Report {
    /// Those for which the server must not go away yet.
    pub fn blockers(&self) -> impl Iterator<Item = &Seen> {
        self.sessions.iter().filter(|seen| !seen.standing.is_out_of_the_way())
    }

    /// Whether nobody has anything at the server that goes away.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.blockers().next().is_none()
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.sessions.iter().all(|seen| seen.standing != Standing::Held)
    }

    /// Whether all that can be have a session at the next server.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.blockers().all(|seen| seen.standing == Standing::Prepared)
    }
}

/// How long whoever holds has to let go, after it was told who blocks and before those are ended.
const DECIDE: Duration = Duration::from_millis(200);

impl Gateway {
    /// How the sessions of a database stand to its move.
    #[must_use]
    pub fn report(&self, database: DatabaseId) -> Report {
        Report { sessions: self.shared.sessions.list(database) }
    }

    /// Opens and fills, for each session of a database, one at the server that will be next, which
    /// may be a hot standby. Returns when all are there, or the bound has passed; who runs a
    /// transaction meanwhile is not yet.
    pub async fn prepare(&self, database: DatabaseId, next: PathBuf, bound: Duration) -> Report {
        self.set_stage(database, Stage::Prepare { next });
        self.until(database, bound, Report::is_prepared).await
    }

    /// Lets no transaction of a database begin. Returns when nothing runs any more, or the bound
    /// has passed: the report says who still blocks. What blocks a moment after that is ended (57P01)
    /// unless [`Gateway::release`] comes first.
    pub async fn hold(&self, database: DatabaseId, bound: Duration) -> Report {
        let grace = bound.saturating_add(DECIDE).as_millis();
        let grace_ms = u64::try_from(grace).unwrap_or(u64::MAX);
        self.set_stage(database, Stage::Hold { grace_ms });
        self.until(database, bound, Report::is_held).await
    }

    /// Lets everybody go on: where they were, or at the server with this socket directory.
    pub fn release(&self, database: DatabaseId, to: Option<PathBuf>) {
        let target = to.map(|socket_dir| Target::Local { socket_dir });
        let target = target.or_else(|| self.moved_to(database));
        self.set_move(database, Move { stage: Stage::Open, target });
    }

    /// Waits until all have gone on after a release, or the bound has passed.
    pub async fn released(&self, database: DatabaseId, bound: Duration) -> Report {
        self.until(database, bound, Report::is_released).await
    }

    /// Waits until a report is as wanted, or the bound has passed.
    async fn until(
        &self,
        database: DatabaseId,
        bound: Duration,
        wanted: impl Fn(&Report) -> bool,
    ) -> Report {
        let mut standings = self.shared.sessions.standings();
        let waited = timeout(bound, async {
            loop {
                standings.mark_unchanged();
                let report = self.report(database);
                // The sender lives as long as the gateway.
                if wanted(&report) || standings.changed().await.is_err() {
                    return report;
                }
            }
        });
        waited.await.unwrap_or_else(|_| self.report(database))
    }

    fn set_stage(&self, database: DatabaseId, stage: Stage) {
        let target = self.moved_to(database);
        self.set_move(database, Move { stage, target });
    }

    fn moved_to(&self, database: DatabaseId) -> Option<Target> {
        self.shared.routes.get_move(database)?.target
    }

    fn set_move(&self, database: DatabaseId, made: Move) {
        let change = self.shared.routes.set_move(database, made);
        self.shared.sessions.follow(&change);
    }
}

/// Ends what stands in the way of a held database when its grace is over. Never ends.
pub(crate) async fn keep(routes: &Routes, sessions: &Sessions) {
    let mut replaced = routes.subscribe();
    let mut ends: HashMap<DatabaseId, Option<Instant>> = HashMap::new();
    loop {
        replaced.mark_unchanged();
        let (held, now) = (routes.held(), Instant::now());
        ends.retain(|database, _| held.contains_key(database));
        for (database, grace) in held {
            ends.entry(database).or_insert(Some(now + grace));
        }
        let next = ends.values().flatten().min().copied();
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The sender lives as long as the routes.
            _ = replaced.changed() => continue,
            () = due => {}
        }
        let now = Instant::now();
        for (database, end) in &mut ends {
            if end.is_some_and(|end| end <= now) {
                *end = None;
                sessions.evict(*database);
            }
        }
    }
}
