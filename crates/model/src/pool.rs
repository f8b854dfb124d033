//! What a gateway says of its sessions (`GET /pools` on its admin socket): how many clients and
//! servers each credential has now, and what came of them since the gateway started.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::DatabaseId;
use crate::name::{DatabaseName, RoleName};
use crate::route::Mode;

/// All that one gateway says at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolReport {
    /// When it was made, by the gateway's clock.
    pub at: Timestamp,
    /// Since when the gateway counts.
    pub since: Timestamp,
    /// One for each credential and mode that had a client since then, in no order.
    pub pools: Vec<Pool>,
}

/// The clients of one credential in one mode, and the servers that they use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The database.
    pub database_id: DatabaseId,
    /// Its name within PostgreSQL.
    pub database: DatabaseName,
    /// The credential's role.
    pub role: RoleName,
    /// How its clients come by a server.
    pub mode: Mode,
    /// What the database's move does to new transactions now.
    #[serde(default)]
    pub flow: Flow,
    /// The clients now.
    #[serde(default)]
    pub clients: Clients,
    /// The servers now.
    #[serde(default)]
    pub servers: Servers,
    /// The most servers that this pool may have; for sessions, those that the plan allows.
    pub size: u32,
    /// The most servers that all pools of the database may have together.
    pub connection_limit: u32,
    /// For how long the client that has waited longest for a server has waited, in microseconds; 0
    /// when none waits.
    #[serde(default)]
    pub longest_wait_micros: u64,
    /// Since the gateway started.
    #[serde(default)]
    pub totals: Totals,
}

/// Whether transactions may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Flow {
    /// They may.
    #[default]
    Open,
    /// They may; sessions at the next server are being filled.
    Preparing,
    /// They wait, for a planned move or for a server that has gone.
    Held,
}

/// Clients that have logged in. Each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clients {
    /// In a transaction, or waiting for the answer to a statement.
    pub active: u32,
    /// Waiting for a server, or held.
    pub waiting: u32,
    /// Asking nothing.
    pub idle: u32,
}

/// Connections to PostgreSQL. Each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Servers {
    /// At work for a client.
    pub active: u32,
    /// Kept for a client that asks nothing: in session mode always, in transaction mode because it
    /// holds what cannot be carried (`LISTEN`, temporary tables, `PREPARE`).
    pub pinned: u32,
    /// Free for the next client.
    pub idle: u32,
}

impl Servers {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u32 {
        self.active.saturating_add(self.pinned).saturating_add(self.idle)
    }
}

/// What only grows. Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Clients that logged in.
    pub clients: u64,
    /// Transactions that ended, however they did; a statement outside a block is one.
    pub transactions: u64,
    /// Statements that were answered: each Query, and each Sync of the extended protocol.
    pub queries: u64,
    /// From a transaction's first message to the answer that ended it, added up.
    pub transaction_micros: u64,
    /// From a statement's message to its answer, added up.
    pub query_micros: u64,
    /// Times that a client waited for a server.
    pub waits: u64,
    /// How long clients waited for a server, added up.
    pub wait_micros: u64,
    /// The longest of these waits.
    pub longest_wait_micros: u64,
    /// Bytes from clients.
    pub bytes_from_clients: u64,
    /// Bytes to clients.
    pub bytes_to_clients: u64,
    /// Servers that were opened.
    pub servers_opened: u64,
    /// Sessions that went on at another server, with their state.
    pub moves: u64,
    /// Sessions that could not be moved and were ended.
    pub moves_failed: u64,
    /// Clients that were held, for a move or for a server that had gone.
    pub holds: u64,
    /// How long clients were held, added up.
    pub hold_micros: u64,
    /// The longest of these.
    pub longest_hold_micros: u64,
    /// Statements that were sent again, unseen by the client, after their server went away.
    pub resent: u64,
    /// Transactions that were lost with their server; their clients were told (40001).
    pub transactions_lost: u64,
    /// Commits whose outcome could not be found out; their clients were told (08007).
    pub commits_in_doubt: u64,
    /// Errors that the gateway itself gave, by kind (`too_many_connections`, `server_lost`).
    pub errors: BTreeMap<String, u64>,
}

impl Totals {
    /// How long a transaction took on average; none without transactions.
    #[must_use]
    pub fn average_transaction(&self) -> Option<Duration> {
        average(self.transaction_micros, self.transactions)
    }

    /// How long a statement took on average; none without statements.
    #[must_use]
    pub fn average_query(&self) -> Option<Duration> {
        average(self.query_micros, self.queries)
    }

    /// How long a client waited for a server on average; none when nobody waited.
    #[must_use]
    pub fn average_wait(&self) -> Option<Duration> {
        average(self.wait_micros, self.waits)
    }

    /// Errors of every kind.
    #[must_use]
    pub fn all_errors(&self) -> u64 {
        self.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn average(micros: u64, count: u64) -> Option<Duration> {
    micros.checked_div(count).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_not_made_up_when_nothing_was_counted() {
        let totals = Totals { transactions: 4, transaction_micros: 10_000, ..Totals::default() };
        assert_eq!(totals.average_transaction(), Some(Duration::from_micros(2_500)));
        assert_eq!(totals.average_query(), None);
        assert_eq!(totals.average_wait(), None);
    }

    #[test]
    fn a_report_of_a_gateway_that_says_less_is_still_read() {
        let text = r#"{"at":"2026-01-02T03:04:05Z","since":"2026-01-02T03:00:00Z","pools":[{
            "database_id":"018f4d5e-0000-7000-8000-000000000001","database":"d1","role":"r1",
            "mode":"transaction","size":90,"connection_limit":120,"new":1,
            "servers":{"active":2,"idle":1}}]}"#;
        let report: PoolReport = serde_json::from_str(text).expect("a report");
        let pool = &report.pools[0];
        assert_eq!((pool.mode, pool.flow, pool.servers.all()), (Mode::Transaction, Flow::Open, 3));
        assert_eq!(pool.totals.all_errors(), 0);
    }
}
