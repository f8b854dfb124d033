//! Counting the rows of databases that have a limit, beside everything else: a look at the rows of
//! one takes longer than a look at how it fares, and nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use howdah_cluster::connection::SqlError;
use howdah_cluster::{Cluster, rows};
use howdah_model::compliance::{Compliance, Limit};
use howdah_model::ids::ParticipantId;
use howdah_model::name::DatabaseName;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::board::Board;
use crate::clock;

/// How long one database may take; what is not done then is done by the next look.
const BOUND: Duration = Duration::from_secs(120);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct RowLimits {
    grace: Duration,
    /// The databases whose time has come, with the most rows that they may have.
    due: BTreeMap<DatabaseName, Option<u64>>,
    /// At most one task; it tells which databases without a limit take rows.
    task: JoinSet<Vec<DatabaseName>>,
    /// Databases without a limit that need no look any more.
    free: BTreeSet<DatabaseName>,
}

impl RowLimits {
    pub(crate) fn new(grace: Duration) -> Self {
        let (due, task, free) = Default::default();
        Self { grace, due, task, free }
    }

    /// Takes note that the time of a database has come. Returns whether its rows will be looked at.
    pub(crate) fn is_due(&mut self, name: &DatabaseName, limit: Option<u64>) -> bool {
        if limit.is_some() {
            self.free.remove(name);
        } else if self.free.contains(name) {
            return false;
        }
        self.due.insert(name.clone(), limit);
        true
    }

    /// Begins to look at those that are due, unless it is doing so.
    pub(crate) fn begin(&mut self, id: ParticipantId, cluster: &Cluster, board: &Arc<Board>) {
        match self.task.try_join_next() {
            Some(Ok(free)) => self.free.extend(free),
            Some(Err(panic)) => tracing::error!("a look at rows broke off: {panic}"),
            None => {}
        }
        if !self.task.is_empty() || self.due.is_empty() {
            return;
        }
        let due = std::mem::take(&mut self.due);
        let (grace, cluster, board) = (self.grace, cluster.clone(), Arc::clone(board));
        self.task.spawn(async move {
            let mut free = Vec::new();
            for (name, limit) in due {
                let limit = limit.map(|rows| Limit { rows, grace });
                let looked = timeout(BOUND, look(id, &cluster, &board, &name, limit.as_ref()));
                match looked.await.unwrap_or(Err(SqlError::Silent(BOUND))) {
                    Ok(()) if limit.is_none() => free.push(name),
                    Ok(()) => {}
                    Err(error) => {
                        tracing::info!(participant.id = %id, "the rows of `{name}`: {error}");
                    }
                }
            }
            free
        });
    }
}

async fn look(
    id: ParticipantId,
    cluster: &Cluster,
    board: &Board,
    name: &DatabaseName,
    limit: Option<&Limit>,
) -> Result<(), SqlError> {
    let Some(limit) = limit else {
        rows::unlimited(cluster, name).await?;
        board.counted(id, name, None);
        return Ok(());
    };
    let seen = rows::look(cluster, name, limit, clock::now()).await?;
    let before = board.counted(id, name, Some(&seen));
    if let Some(error) = &seen.left {
        tracing::info!(participant.id = %id, "the limit of rows of `{name}`: {error}");
    }
    if before != Some(seen.compliance) {
        let (rows, limit) = (seen.rows, limit.rows);
        match seen.compliance {
            Compliance::Within if before.is_none() => {}
            Compliance::Within => tracing::info!("`{name}` has {rows} rows of {limit} again"),
            Compliance::Over { until, .. } => {
                tracing::warn!(
                    "`{name}` has {rows} rows of {limit}; more are refused from {until} on"
                );
            }
            Compliance::Refused { .. } => {
                tracing::warn!("`{name}` has {rows} rows of {limit}; more are refused");
            }
        }
    }
    Ok(())
}
