//! Where the gateway sends sessions: a table that is made anew from the store whenever something
//! in it has changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use howdah_model::database::State;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};
use howdah_store::routes::{self, Stored};
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

/// Keeps the table up to date until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.refresh_routes().await {
            tracing::warn!(error = format!("{error:#}"), "make the routes");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = control.news().routes.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

impl Control {
    /// Makes the table of routes anew, and hands it out if it differs.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn refresh_routes(&self) -> Result<()> {
        let now = self.now();
        let mut conn = self.reader().get().await?;
        let since = now.checked_sub(KNOWN_AS_REVOKED)?;
        let routes: Vec<_> = routes::list(&mut conn, since).await?.into_iter().map(route).collect();
        self.routes_sender().send_if_modified(|table| {
            if table.version > 0 && table.routes == routes {
                return false;
            }
            // Grows also when the control plane is started anew, as time does.
            let micros = u64::try_from(now.as_microsecond()).unwrap_or_default();
            let version = micros.max(table.version + 1);
            *table = Arc::new(RouteTable { version, routes });
            true
        });
        Ok(())
    }
}

fn route(stored: Stored) -> Route {
    let target = match (stored.revoked_at, stored.socket_dir) {
        (Some(_), _) => Target::Revoked,
        (None, socket_dir) => target(stored.state, socket_dir),
    };
    Route {
        role: stored.role,
        database: stored.database,
        database_id: stored.database_id,
        verifier: stored.verifier,
        connection_limit: stored.plan.connections,
        mode: Mode::default(),
        replication: Replication::default(),
        stage: Stage::default(),
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
