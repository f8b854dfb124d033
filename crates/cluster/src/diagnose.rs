//! How one database fares: the checks of `pg:diagnose` that its server can answer. Each is a query
//! of its own, made as the platform, with a bound; one that fails says so and holds up no other.

mod machine;

use std::path::Path;
use std::time::Duration;

use howdah_model::diagnosis::{Asked, BLOAT, Check, Finding, Name, Status, Threshold, threshold};
use howdah_model::name::DatabaseName;
use serde_json::Value;
use tokio::time::Instant;

use crate::connection::{Connection, Limits, SqlError};

/// How long one check may take.
const ONE: Duration = Duration::from_secs(3);
/// How long all of them may take; what is left then is skipped.
pub const ALL: Duration = Duration::from_secs(25);

/// The queries. Each answers the rows that were found, with a `severity`: 2 is red, 1 is yellow, -1
/// that nothing can be told. No rows are green.
const QUERIES: &[(Name, &str)] = &[
    (Name::ConnectionCount, include_str!("diagnose/connection_count.sql")),
    (Name::LongQueries, include_str!("diagnose/long_queries.sql")),
    (Name::LongTransactions, include_str!("diagnose/long_transactions.sql")),
    (Name::IdleInTransaction, include_str!("diagnose/idle_in_transaction.sql")),
    (Name::BlockingQueries, include_str!("diagnose/blocking_queries.sql")),
    (Name::Indexes, include_str!("diagnose/indexes.sql")),
    (Name::Bloat, include_str!("diagnose/bloat.sql")),
    (Name::HitRate, include_str!("diagnose/hit_rate.sql")),
    (Name::Sequences, include_str!("diagnose/sequences.sql")),
    (Name::UnloggedTables, include_str!("diagnose/unlogged_tables.sql")),
    (Name::TableWraparound, include_str!("diagnose/table_wraparound.sql")),
    (Name::DatabaseWraparound, include_str!("diagnose/database_wraparound.sql")),
    (Name::SchemaCount, include_str!("diagnose/schema_count.sql")),
    (Name::StaleStatistics, include_str!("diagnose/stale_statistics.sql")),
    (Name::AutovacuumDisabled, include_str!("diagnose/autovacuum_disabled.sql")),
    (Name::ForeignKeys, include_str!("diagnose/foreign_keys.sql")),
    (Name::PrimaryKeys, include_str!("diagnose/primary_keys.sql")),
    (Name::Durability, include_str!("diagnose/durability.sql")),
    (Name::CollationVersion, include_str!("diagnose/collation_version.sql")),
    (Name::ExtensionUpdates, include_str!("diagnose/extension_updates.sql")),
    (Name::ReplicationSlots, include_str!("diagnose/replication_slots.sql")),
];

/// Makes all checks of a database.
///
/// # Errors
/// Only when there is no session with the server at all; see [`SqlError`].
pub async fn diagnose(
    socket_dir: &Path,
    database: &DatabaseName,
    asked: Asked,
) -> Result<Vec<Check>, SqlError> {
    let limits = Limits { connect: ONE, statement: ONE };
    let end = Instant::now() + ALL;
    let mut connection = Some(Connection::open(socket_dir, database.as_str(), limits).await?);
    let mut checks = Vec::new();
    for (name, query) in QUERIES {
        let Some(open) = connection.as_ref().filter(|_| Instant::now() < end) else {
            checks.push(Check::skipped(*name, "there was no time left for it"));
            continue;
        };
        let outcome = rows(open, &filled(query, threshold(*name), asked)).await;
        if outcome.as_ref().is_err_and(|error| !error.leaves_session()) {
            connection = Connection::open(socket_dir, database.as_str(), limits).await.ok();
        }
        checks.push(match outcome {
            Ok(rows) => judged(*name, rows),
            Err(error) => Check::skipped(*name, error.to_string()),
        });
    }
    if let Some(connection) = connection {
        connection.close().await;
    }
    checks.extend(machine::checks());
    Ok(checks)
}

/// The query of a check as it is made with other thresholds, for tests; none when it is no query.
#[must_use]
pub fn query(with: &Threshold, asked: Asked) -> Option<String> {
    let (_, query) = QUERIES.iter().find(|(name, _)| *name == with.name)?;
    Some(filled(query, with, asked))
}

fn filled(query: &str, with: &Threshold, asked: Asked) -> String {
    let begin = if with.name == Name::Bloat { BLOAT } else { "" };
    format!("{begin}{query}")
        .replace("{yellow}", &with.yellow.to_string())
        .replace("{red}", &with.red.to_string())
        .replace("{connections}", &asked.connections.to_string())
}

async fn rows(connection: &Connection, query: &str) -> Result<Vec<Finding>, SqlError> {
    let query = format!("select coalesce(json_agg(q), '[]')::text from (\n{query}\n) q");
    let rows = connection.rows(&query, &[]).await?;
    let text: &str = rows.first().map_or("[]", |row| row.get(0));
    serde_json::from_str(text).map_err(|error| SqlError::Lost(format!("it is no JSON: {error}")))
}

fn judged(name: Name, rows: Vec<Finding>) -> Check {
    let mut found: Vec<(i64, Finding)> = rows
        .into_iter()
        .map(|mut row| {
            let severity = row.remove("severity").and_then(|severity| severity.as_i64());
            row.retain(|_, value| !value.is_null());
            (severity.unwrap_or(1), row)
        })
        .collect();
    // That nothing can be told counts only when there is nothing else to tell.
    let worst = found.iter().map(|(severity, _)| *severity).max().unwrap_or(0);
    found.retain(|(severity, _)| *severity > 0 || worst < 0);
    let results = found.into_iter().map(|(_, row)| row);
    match worst {
        2.. => Check::new(name, Status::Red, results.collect()),
        1 => Check::new(name, Status::Yellow, results.collect()),
        0 => Check::new(name, Status::Green, Vec::new()),
        _ => {
            let reason = results.into_iter().find_map(|mut row| row.remove("reason"));
            let reason = reason.as_ref().and_then(Value::as_str).unwrap_or("nothing can be told");
            Check::skipped(name, reason)
        }
    }
}
