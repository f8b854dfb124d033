//! What is said of all pools at one moment.

use std::time::SystemTime;

use howdah_model::pool::{Flow, Pool, PoolReport};
use howdah_model::route::{Mode, Route, Stage};
use jiff::Timestamp;

use super::credential::{Key, Reading, Statistics};
use crate::pool::{self, PoolStats};
use crate::routes::Routes;

/// Everything that `GET /pools` says, by the routes that hold now. Of servers that are shared, `shared`
/// knows more than the sessions.
#[must_use]
pub fn report(
    statistics: &Statistics,
    routes: &Routes,
    shared: &[(pool::Key, PoolStats)],
) -> PoolReport {
    statistics.forget(|key| routes.permits(key.role.as_str(), key.database_id));
    let pool = |(key, reading): (Key, Reading)| {
        let entry = routes.find(key.role.as_str());
        let route = entry.as_ref().map(|entry| &entry.route);
        let mut pool = pool(key, reading, route);
        let is_of = |key: &pool::Key| {
            (key.database, key.role.as_str()) == (pool.database_id, pool.role.as_str())
        };
        if pool.mode == Mode::Transaction {
            // A credential that has moved has a pool at each place.
            let of: Vec<_> = shared.iter().filter(|(key, _)| is_of(key)).map(|of| of.1).collect();
            add_shared(&mut pool, &of);
        }
        pool
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

/// Adds the servers that nobody has at the moment, and the waits for one.
fn add_shared(pool: &mut Pool, of: &[PoolStats]) {
    let sum = |figure: fn(&PoolStats) -> u64| of.iter().map(figure).sum::<u64>();
    let longest = |figure: fn(&PoolStats) -> u64| of.iter().map(figure).max().unwrap_or(0);
    pool.servers.idle += of.iter().map(|stats| stats.idle).sum::<u32>();
    pool.longest_wait_micros =
        pool.longest_wait_micros.max(longest(|stats| stats.longest_wait_now));
    pool.totals.servers_opened += sum(|stats| stats.opened);
    pool.totals.waits += sum(|stats| stats.waits);
    pool.totals.wait_micros += sum(|stats| stats.wait_micros);
    pool.totals.longest_wait_micros =
        pool.totals.longest_wait_micros.max(longest(|stats| stats.longest_wait));
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Only a clock that is set beyond the year 9999 does not fit.
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}
