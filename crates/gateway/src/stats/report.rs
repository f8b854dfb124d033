//! What is said of all pools at one moment.

use std::time::SystemTime;

use howdah_model::pool::{Flow, Pool, PoolReport};
use howdah_model::route::{Mode, Route, Stage};
use jiff::Timestamp;

use super::credential::{Key, Reading, Statistics};
use crate::routes::Routes;

/// Everything that `GET /pools` says, by the routes that hold now.
#[must_use]
pub fn report(statistics: &Statistics, routes: &Routes) -> PoolReport {
    statistics.forget(|key| routes.permits(key.role.as_str(), key.database_id));
    let pool = |(key, reading): (Key, Reading)| {
        let entry = routes.find(key.role.as_str());
        let route = entry.as_ref().map(|entry| &entry.route);
        pool(key, reading, route)
    };
    let pools = statistics.read().into_iter().map(pool).collect();
    PoolReport { at: timestamp(SystemTime::now()), since: timestamp(statistics.since()), pools }
}

/// One whose route has been taken away has no room.
fn pool(key: Key, reading: Reading, route: Option<&Route>) -> Pool {
    let route = route.filter(|route| route.database_id == key.database_id);
    let flow = match route.map(|route| &route.stage) {
        Some(Stage::Open) | None if reading.held == 0 => Flow::Open,
        Some(Stage::Prepare { .. }) if reading.held == 0 => Flow::Preparing,
        _ => Flow::Held,
    };
    let size = route.map_or(0, |route| match key.mode {
        Mode::Session => route.connection_limit,
        Mode::Transaction => route.pool_servers(),
    });
    Pool {
        database_id: key.database_id,
        database: key.database,
        role: key.role,
        mode: key.mode,
        flow,
        clients: reading.clients,
        servers: reading.servers,
        size,
        connection_limit: route.map_or(0, |route| route.connection_limit),
        longest_wait_micros: reading.longest_wait_micros,
        totals: reading.totals,
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Only a clock that is set beyond the year 9999 does not fit.
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}
