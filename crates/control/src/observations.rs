//! Keeps what was seen of databases: one row for each of them every minute (K4, K5).

use std::time::Duration;

use anyhow::Result;
use howdah_model::database::State;
use howdah_store::databases::{self, Placed};
use howdah_store::observations::{self, Observation};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How often each database gets a row.
const EVERY: Duration = Duration::from_secs(60);
/// Rows that are written with one statement.
const AT_ONCE: usize = 1000;
/// Figures that are older than this are left out.
const FRESH: Duration = Duration::from_secs(120);

/// Records until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.record_observations().await {
            tracing::warn!(error = format!("{error:#}"), "record observations");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Writes one row for each database that has been made and is not gone.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn record_observations(&self) -> Result<()> {
        let now = self.now();
        let mut conn = self.reader().get().await?;
        let all = databases::list_live(&mut conn).await?;
        drop(conn);
        let rows: Vec<_> = all.iter().filter_map(|placed| self.row(placed, now)).collect();
        for rows in rows.chunks(AT_ONCE) {
            let mut tx = self.store().begin_relaxed().await?;
            observations::insert(&mut tx, rows).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn row(&self, placed: &Placed, now: Timestamp) -> Option<Observation> {
        let database = &placed.database;
        match database.state {
            State::Available => {}
            State::Uncertain | State::Unavailable => {
                return Some(Observation::unavailable(database.id, now));
            }
            State::Preparing | State::Removing | State::Removed => return None,
        }
        let sighting = placed.server_id.and_then(|server| self.sightings().fresh(server, now));
        let participant = database.participant_id?;
        let seen = sighting.as_ref().and_then(|seen| seen.participants.get(&participant));
        let look = seen
            .and_then(|seen| seen.databases.get(&database.name))
            .and_then(|seen| seen.look.as_ref())
            .filter(|look| now.duration_since(look.at).unsigned_abs() <= FRESH);
        Some(Observation::new(database.id, now, look))
    }
}
