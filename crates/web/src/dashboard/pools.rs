//! How busy the gateway is with a database, as its page shows it.

use std::time::Duration;

use howdah_control::requests::pools::{Named, Pools};
use howdah_control::requests::{self, pools};
use howdah_model::size::{Bytes, Span};
use howdah_store::addons::Addon;

use super::pages::moment;
use crate::Web;

/// What the page says of the gateway's pools.
pub(super) enum Shown {
    /// One line for each credential and mode.
    Lines {
        /// Since when is counted.
        since: String,
        /// The lines.
        lines: Vec<Line>,
    },
    /// No client has come yet.
    Nobody,
    /// The gateway does not say; why.
    Away(String),
}

/// The clients of one credential in one mode.
pub(super) struct Line {
    pub(super) credential: String,
    pub(super) mode: String,
    /// Whether transactions may begin.
    pub(super) flow: String,
    pub(super) clients: String,
    pub(super) servers: String,
    pub(super) transactions: String,
    pub(super) waits: String,
    pub(super) traffic: String,
    pub(super) errors: u64,
}

/// Asks for at most two seconds: the rest of the page does not depend on it.
pub(super) async fn of(web: &Web, addon: &Addon) -> Shown {
    match pools::of_database(web.control(), addon).await {
        Ok(Pools { pools, .. }) if pools.is_empty() => Shown::Nobody,
        Ok(Pools { since, pools, .. }) => {
            Shown::Lines { since: moment(since), lines: pools.iter().map(line).collect() }
        }
        Err(requests::Error::Unavailable(why)) => Shown::Away(why),
        Err(error) => {
            tracing::warn!(error = %error, "show the pools of a database");
            Shown::Away("The platform could not find it out; its log says why.".to_owned())
        }
    }
}

fn line(Named { credential, pool }: &Named) -> Line {
    let (clients, servers, totals) = (&pool.clients, &pool.servers, &pool.totals);
    let longest = Duration::from_micros(totals.longest_wait_micros);
    let average = totals.average_transaction();
    let average = average.map(|time| format!(", {} on average", Span(time))).unwrap_or_default();
    Line {
        credential: credential.clone().unwrap_or_else(|| pool.role.to_string()),
        mode: pool.mode.to_string(),
        flow: pool.flow.to_string(),
        clients: format!(
            "{} active, {} waiting, {} idle",
            clients.active, clients.waiting, clients.idle
        ),
        servers: format!("{} of {}, {} active", servers.all(), pool.size, servers.active),
        transactions: format!("{}{average}", totals.transactions),
        waits: match totals.waits {
            0 => "none".to_owned(),
            waits => format!("{waits}, {} at most", Span(longest)),
        },
        traffic: format!(
            "{} in, {} out",
            Bytes(totals.bytes_from_clients),
            Bytes(totals.bytes_to_clients)
        ),
        errors: totals.all_errors(),
    }
}
