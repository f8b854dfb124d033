//! The figures of a gateway, and of those that went before it: what counts does not begin anew with
//! each restart.

use howdah_model::pool::{Clients, Pool, PoolReport, Servers, Totals};
use serde::{Deserialize, Serialize};

use crate::stats::Stats;

/// All figures of one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// By credential.
    pub pools: PoolReport,
    /// Of the gateway as a whole.
    pub stats: Stats,
}

impl Figures {
    /// Adds those of an elder.
    pub fn add(&mut self, elder: &Self) {
        self.pools.since = self.pools.since.min(elder.pools.since);
        for pool in &elder.pools.pools {
            let same = self.pools.pools.iter_mut().find(|own| {
                (own.database_id, &own.role, own.mode) == (pool.database_id, &pool.role, pool.mode)
            });
            match same {
                Some(own) => add_pool(own, pool),
                None => self.pools.pools.push(pool.clone()),
            }
        }
        self.stats.add(&elder.stats);
    }

    /// What is left of a gateway that has ended: what only grows.
    #[must_use]
    pub fn ended(mut self) -> Self {
        for pool in &mut self.pools.pools {
            (pool.clients, pool.servers) = (Clients::default(), Servers::default());
            pool.longest_wait_micros = 0;
        }
        (self.stats.clients, self.stats.sessions) = (0, 0);
        self
    }
}

/// Settings and stage are those of the younger one, which has them as new as anybody.
fn add_pool(own: &mut Pool, elder: &Pool) {
    let Clients { active, waiting, idle } = elder.clients;
    own.clients.active += active;
    own.clients.waiting += waiting;
    own.clients.idle += idle;
    let Servers { active, pinned, idle } = elder.servers;
    own.servers.active += active;
    own.servers.pinned += pinned;
    own.servers.idle += idle;
    own.longest_wait_micros = own.longest_wait_micros.max(elder.longest_wait_micros);
    add_totals(&mut own.totals, &elder.totals);
}

fn add_totals(own: &mut Totals, elder: &Totals) {
    own.clients += elder.clients;
    own.transactions += elder.transactions;
    own.queries += elder.queries;
    own.transaction_micros += elder.transaction_micros;
    own.query_micros += elder.query_micros;
    own.waits += elder.waits;
    own.wait_micros += elder.wait_micros;
    own.longest_wait_micros = own.longest_wait_micros.max(elder.longest_wait_micros);
    own.bytes_from_clients += elder.bytes_from_clients;
    own.bytes_to_clients += elder.bytes_to_clients;
    own.servers_opened += elder.servers_opened;
    own.moves += elder.moves;
    own.moves_failed += elder.moves_failed;
    own.holds += elder.holds;
    own.hold_micros += elder.hold_micros;
    own.longest_hold_micros = own.longest_hold_micros.max(elder.longest_hold_micros);
    own.resent += elder.resent;
    own.transactions_lost += elder.transactions_lost;
    own.commits_in_doubt += elder.commits_in_doubt;
    for (kind, count) in &elder.errors {
        *own.errors.entry(kind.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use howdah_model::ids::DatabaseId;
    use howdah_model::pool::Flow;
    use howdah_model::route::Mode;

    use super::*;
    use crate::error::ErrorKind;

    fn pool(database_id: DatabaseId, role: &str) -> Pool {
        Pool {
            database_id,
            database: "d".parse().expect("database"),
            role: role.parse().expect("role"),
            mode: Mode::Session,
            flow: Flow::Open,
            clients: Clients { active: 1, waiting: 2, idle: 3 },
            servers: Servers { active: 4, pinned: 5, idle: 6 },
            size: 7,
            connection_limit: 8,
            longest_wait_micros: 9,
            totals: Totals {
                queries: 10,
                longest_wait_micros: 11,
                errors: BTreeMap::from([("server_lost".to_owned(), 12)]),
                ..Totals::default()
            },
        }
    }

    fn figures(since: &str, pools: Vec<Pool>) -> Figures {
        let at = "2026-01-03T00:00:00Z".parse().expect("time");
        let stats = Stats {
            clients: 1,
            clients_total: 2,
            errors: BTreeMap::from([("server_lost".to_owned(), 3)]),
            ..Stats::default()
        };
        let pools = PoolReport { at, since: since.parse().expect("time"), pools };
        Figures { pools, stats }
    }

    #[test]
    fn an_elders_figures_are_added_and_stay_when_it_has_ended() {
        let database = DatabaseId::new();
        let mut own = figures("2026-01-02T00:00:00Z", vec![pool(database, "a")]);
        let elder = figures("2026-01-01T00:00:00Z", vec![pool(database, "a"), pool(database, "b")]);
        own.add(&elder);
        own.add(&elder.clone().ended());
        assert_eq!(own.pools.since, elder.pools.since);
        let [a, b] = &own.pools.pools[..] else { panic!("{own:?}") };
        assert_eq!(a.clients, Clients { active: 2, waiting: 4, idle: 6 });
        assert_eq!(a.servers, Servers { active: 8, pinned: 10, idle: 12 });
        assert_eq!((a.totals.queries, b.totals.queries), (30, 20));
        assert_eq!((a.totals.longest_wait_micros, a.longest_wait_micros), (11, 9));
        assert_eq!(a.totals.errors["server_lost"], 36);
        assert_eq!((own.stats.clients, own.stats.clients_total), (2, 6));
        assert_eq!(own.stats.errors(ErrorKind::ServerLost), 9);
    }
}
