//! Figures in Prometheus' text format (version 0.0.4).

use std::fmt::{Display, Write as _};

use howdah_model::pool::{Flow, Pool, PoolReport, Totals};
use howdah_model::route::Mode;

use crate::stats::Stats;

/// What the format is called in HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is told of each pool that only grows.
const TOTALS: &[Total] = &[
    count("clients_total", "Clients that logged in.", |t| t.clients),
    count("transactions_total", "Transactions that ended.", |t| t.transactions),
    count("queries_total", "Statements that were answered.", |t| t.queries),
    time("transaction_seconds_total", "Time in transactions.", |t| t.transaction_micros),
    time("query_seconds_total", "Time from statements to their answers.", |t| t.query_micros),
    count("waits_total", "Times that a client waited for a server.", |t| t.waits),
    time("wait_seconds_total", "Time that clients waited for a server.", |t| t.wait_micros),
    count("received_bytes_total", "Bytes from clients.", |t| t.bytes_from_clients),
    count("sent_bytes_total", "Bytes to clients.", |t| t.bytes_to_clients),
    count("servers_opened_total", "Connections to PostgreSQL that were opened.", |t| {
        t.servers_opened
    }),
    count("moves_total", "Sessions that went on at another server.", |t| t.moves),
    count("moves_failed_total", "Sessions that could not be moved and were ended.", |t| {
        t.moves_failed
    }),
    count("holds_total", "Times that a client was held.", |t| t.holds),
    time("hold_seconds_total", "Time that clients were held.", |t| t.hold_micros),
    count("resent_total", "Statements that were sent again, unseen by their clients.", |t| {
        t.resent
    }),
    count("transactions_lost_total", "Transactions that were lost with their server.", |t| {
        t.transactions_lost
    }),
    count("commits_in_doubt_total", "Commits whose outcome could not be found out.", |t| {
        t.commits_in_doubt
    }),
];

struct Total {
    name: &'static str,
    means: &'static str,
    unit: Unit,
    of: fn(&Totals) -> u64,
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    /// Kept in microseconds, told in seconds.
    Time,
}

const fn count(name: &'static str, means: &'static str, of: fn(&Totals) -> u64) -> Total {
    Total { name, means, unit: Unit::Count, of }
}

const fn time(name: &'static str, means: &'static str, of: fn(&Totals) -> u64) -> Total {
    Total { name, means, unit: Unit::Time, of }
}

/// All metrics of a gateway.
#[must_use]
pub fn text(report: &PoolReport, stats: &Stats) -> String {
    let mut text = Text::default();
    text.gateway(report, stats);
    let pools: Vec<_> = report.pools.iter().map(|pool| (labels(pool), pool)).collect();
    text.now(&pools);
    for Total { name, means, unit, of } in TOTALS {
        let name = text.metric(&format!("pool_{name}"), "counter", means);
        for (labels, pool) in &pools {
            match unit {
                Unit::Count => text.sample(&name, labels, of(&pool.totals)),
                Unit::Time => text.sample(&name, labels, seconds(of(&pool.totals))),
            }
        }
    }
    let name = text.metric("pool_errors_total", "counter", "Errors that the gateway gave.");
    for (labels, pool) in &pools {
        for (kind, errors) in &pool.totals.errors {
            text.sample(&name, &format!("{labels},kind=\"{}\"", escaped(kind)), errors);
        }
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// Figures of the whole gateway, which also have clients that never came to be known.
    fn gateway(&mut self, report: &PoolReport, stats: &Stats) {
        let since = report.since.as_duration().as_secs();
        self.lone("start_time_seconds", "gauge", "Since when is counted.", since);
        self.lone("clients", "gauge", "Clients that are connected now.", stats.clients);
        self.lone("sessions", "gauge", "Sessions that are open now.", stats.sessions);
        self.lone("clients_total", "counter", "Clients that connected.", stats.clients_total);
        self.lone("sessions_total", "counter", "Sessions that were opened.", stats.sessions_total);
        let name = self.metric("cancels_total", "counter", "Cancel requests.");
        self.sample(&name, "key=\"known\"", stats.cancels);
        self.sample(&name, "key=\"unknown\"", stats.cancels_unknown);
        let name = self.metric("errors_total", "counter", "Errors that the gateway gave.");
        for (kind, errors) in &stats.errors {
            self.sample(&name, &format!("kind=\"{}\"", escaped(kind)), errors);
        }
    }

    /// What pools have at the moment.
    fn now(&mut self, pools: &[(String, &Pool)]) {
        let name = self.metric("pool_clients", "gauge", "Clients by what they do.");
        for (labels, pool) in pools {
            for (state, number) in [
                ("active", pool.clients.active),
                ("waiting", pool.clients.waiting),
                ("idle", pool.clients.idle),
            ] {
                self.sample(&name, &format!("{labels},state=\"{state}\""), number);
            }
        }
        let name = self.metric("pool_servers", "gauge", "Connections to PostgreSQL.");
        for (labels, pool) in pools {
            for (state, number) in [
                ("active", pool.servers.active),
                ("pinned", pool.servers.pinned),
                ("idle", pool.servers.idle),
            ] {
                self.sample(&name, &format!("{labels},state=\"{state}\""), number);
            }
        }
        let name = self.metric("pool_servers_max", "gauge", "The most servers of the pool.");
        pools.iter().for_each(|(labels, pool)| self.sample(&name, labels, pool.size));
        let name = self.metric("pool_held", "gauge", "1 while the database's transactions wait.");
        for (labels, pool) in pools {
            self.sample(&name, labels, u8::from(pool.flow == Flow::Held));
        }
        let means = "How long the client that waits longest has waited.";
        let name = self.metric("pool_longest_wait_seconds", "gauge", means);
        for (labels, pool) in pools {
            self.sample(&name, labels, seconds(pool.longest_wait_micros));
        }
    }

    fn lone(&mut self, name: &str, kind: &str, means: &str, value: impl Display) {
        let name = self.metric(name, kind, means);
        self.sample(&name, "", value);
    }

    /// Begins a metric and gives its whole name.
    fn metric(&mut self, name: &str, kind: &str, means: &str) -> String {
        // Writing to a string cannot fail, here and below.
        let name = format!("howdah_gateway_{name}");
        let _ = write!(self.0, "# HELP {name} {means}\n# TYPE {name} {kind}\n");
        name
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

fn labels(pool: &Pool) -> String {
    let mode = match pool.mode {
        Mode::Session => "session",
        Mode::Transaction => "transaction",
    };
    let (database, role) = (escaped(pool.database.as_str()), escaped(pool.role.as_str()));
    let id = pool.database_id;
    format!("database_id=\"{id}\",database=\"{database}\",role=\"{role}\",mode=\"{mode}\"")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Seconds with their microseconds, exact for as long as numbers go.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use howdah_model::ids::DatabaseId;
    use howdah_model::pool::{Clients, Servers};

    use super::*;
    use crate::stats::Counters;

    fn report() -> PoolReport {
        let totals = Totals {
            transactions: 7,
            transaction_micros: 1_000_500,
            errors: BTreeMap::from([("server_lost".to_owned(), 2)]),
            ..Totals::default()
        };
        let pool = Pool {
            database_id: DatabaseId::new(),
            database: "d1".parse().expect("database"),
            role: "r1".parse().expect("role"),
            mode: Mode::Transaction,
            flow: Flow::Held,
            clients: Clients { active: 1, waiting: 2, idle: 3 },
            servers: Servers { active: 1, pinned: 0, idle: 4 },
            size: 15,
            connection_limit: 20,
            longest_wait_micros: 2_500_000,
            totals,
        };
        let at = "2026-01-02T03:04:05Z".parse().expect("time");
        PoolReport { at, since: at, pools: vec![pool] }
    }

    #[test]
    fn every_sample_follows_its_metric_and_has_a_number() {
        let text = text(&report(), &Stats::of([&Counters::default()].into_iter()));
        let mut metric = String::new();
        let mut samples = 0;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                rest.split(' ').next().expect("a name").clone_into(&mut metric);
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                assert_eq!(name.split('{').next(), Some(metric.as_str()));
                value.parse::<f64>().expect("a number");
                samples += 1;
            }
        }
        assert!(samples > 30, "{text}");
    }

    #[test]
    fn samples_say_whose_they_are() {
        let report = report();
        let text = text(&report, &Stats::default());
        let whose = format!(
            "{{database_id=\"{}\",database=\"d1\",role=\"r1\",mode=\"transaction\"",
            report.pools[0].database_id
        );
        for wanted in [
            format!("howdah_gateway_pool_clients{whose},state=\"waiting\"}} 2\n"),
            format!("howdah_gateway_pool_transactions_total{whose}}} 7\n"),
            format!("howdah_gateway_pool_transaction_seconds_total{whose}}} 1.000500\n"),
            format!("howdah_gateway_pool_held{whose}}} 1\n"),
            format!("howdah_gateway_pool_errors_total{whose},kind=\"server_lost\"}} 2\n"),
        ] {
            assert!(text.contains(&wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn values_of_labels_cannot_break_out() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
