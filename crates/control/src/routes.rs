//! Where the gateway sends sessions: a table that is made anew from the store whenever something
//! in it has changed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_model::database::State;
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};
use howdah_store::routes::{self, Stored};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How long a credential that was removed is known as one: its holders are told that it may not
/// log in any more, and not that it never existed (C14).
const KNOWN_AS_REVOKED: Duration = Duration::from_secs(7 * 86_400);
/// How often the table is made anew though nothing was heard: a notification may be lost, and
/// revoked credentials are forgotten some day.
const POLL: Duration = Duration::from_secs(30);
/// Changes within this make one new table.
const TOGETHER: Duration = Duration::from_millis(2);
/// How long the store may take to answer: a stage may end meanwhile.
const BOUND: Duration = Duration::from_secs(5);

/// Keeps the table up to date until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        control.end_stages();
        if let Err(error) = control.refresh_routes().await {
            tracing::warn!(error = format!("{error:#}"), "make the routes");
        }
        let pause = control.until_a_stage_ends().map_or(POLL, |left| POLL.min(left));
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = control.news().routes.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

/// What is kept beside the table itself.
#[derive(Debug)]
pub(crate) struct Making {
    /// One at a time makes the table, or an older look at the store could replace a newer one.
    turn: Semaphore,
    /// When the stages in it end, so that they do also while the store is away.
    ends: Mutex<HashMap<DatabaseId, Timestamp>>,
}

impl Default for Making {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), ends: Mutex::default() }
    }
}

impl Making {
    fn ends(&self) -> MutexGuard<'_, HashMap<DatabaseId, Timestamp>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Makes the table of routes anew, and hands it out if it differs.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn refresh_routes(&self) -> Result<()> {
        timeout(BOUND, self.make_routes()).await.context("the store takes too long")?
    }

    async fn make_routes(&self) -> Result<()> {
        let _turn = self.making_routes().turn.acquire().await?;
        let now = self.now();
        let mut conn = self.reader().get().await?;
        let since = now.checked_sub(KNOWN_AS_REVOKED)?;
        let stored = routes::list(&mut conn, since, now).await?;
        let end = |one: &Stored| Some((one.database_id, one.stage.as_ref()?.until));
        *self.making_routes().ends() = stored.iter().filter_map(end).collect();
        let routes: Vec<_> = stored.into_iter().map(route).collect();
        self.routes_sender().send_if_modified(|table| {
            if table.version > 0 && table.routes == routes {
                return false;
            }
            *table = next(table, routes, now);
            true
        });
        Ok(())
    }

    /// Ends the stages in the table whose time is over, without the store.
    fn end_stages(&self) {
        let now = self.now();
        let ends = self.making_routes().ends();
        let is_over = |route: &Route| {
            route.stage != Stage::Open
                && ends.get(&route.database_id).is_some_and(|end| *end <= now)
        };
        self.routes_sender().send_if_modified(|table| {
            if !table.routes.iter().any(is_over) {
                return false;
            }
            let mut routes = table.routes.clone();
            routes.iter_mut().filter(|route| is_over(route)).for_each(|route| {
                route.stage = Stage::Open;
            });
            *table = next(table, routes, now);
            true
        });
    }

    /// How long it is until the next stage ends.
    fn until_a_stage_ends(&self) -> Option<Duration> {
        let now = self.now();
        let ends = self.making_routes().ends();
        let first = ends.values().filter(|end| **end > now).min()?;
        Duration::try_from(first.duration_since(now)).ok()
    }
}

/// The table after another. Its version grows also when the control plane is started anew, as time
/// does.
fn next(before: &RouteTable, routes: Vec<Route>, now: Timestamp) -> Arc<RouteTable> {
    let micros = u64::try_from(now.as_microsecond()).unwrap_or_default();
    Arc::new(RouteTable { version: micros.max(before.version + 1), routes })
}

fn route(stored: Stored) -> Route {
    let target = match (stored.revoked_at, stored.socket_dir) {
        (Some(_), _) => Target::Revoked,
        (None, socket_dir) => target(stored.state, socket_dir),
    };
    Route {
        role: stored.role,
        database: stored.database,
        known_as: stored.known_as,
        database_id: stored.database_id,
        verifier: stored.verifier,
        connection_limit: stored.plan.connections,
        mode: Mode::default(),
        replication: Replication::default(),
        stage: stored.stage.map_or(Stage::Open, |stored| stored.stage),
        target,
    }
}

fn target(state: State, socket_dir: Option<PathBuf>) -> Target {
    let unready = |why: &str| Target::Unready { why: why.to_owned() };
    match (state, socket_dir) {
        (State::Preparing, _) => unready("the database is being prepared"),
        // When its server is down for the moment, the attempt itself says so best.
        (State::Available | State::Uncertain | State::Unavailable, Some(socket_dir)) => {
            Target::Local { socket_dir }
        }
        (State::Available | State::Uncertain | State::Unavailable, None) => {
            unready("the database system is starting up")
        }
        (State::Removing | State::Removed, _) => Target::Revoked,
    }
}
