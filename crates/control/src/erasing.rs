//! Erases the archives of timelines whose time is over, by the agents that have them.

use std::time::Duration;

use anyhow::Result;
use howdah_model::ids::{ServerId, TimelineId};
use howdah_store::{servers, timelines};
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(60);
/// Timelines that are erased at once.
const AT_ONCE: u32 = 20;

/// Erases until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.erase_old().await {
            tracing::warn!(error = format!("{error:#}"), "erase old archives");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Records what agents say that they have erased, and tells them what else is to go. An agent
    /// that does not answer is told the next time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn erase_old(&self) -> Result<()> {
        let now = self.now();
        let fresh = self.sightings().all_fresh(now);
        let said: Vec<TimelineId> =
            fresh.iter().flat_map(|(_, seen)| seen.server.erased.iter().copied()).collect();
        if !said.is_empty() {
            let mut tx = self.store().begin().await?;
            timelines::erased(&mut tx, &said, now).await?;
            tx.commit().await?;
        }
        let due = timelines::list_due(&mut *self.reader().get().await?, now, AT_ONCE).await?;
        for (timeline, server) in due {
            // Where the server is gone for good, another one of the platform reaches the archive.
            let there = fresh.iter().map(|(id, _)| *id).find(|id| *id == server);
            if let Some(server) = there.or_else(|| fresh.first().map(|(id, _)| *id)) {
                self.erase(server, timeline).await?;
            }
        }
        Ok(())
    }

    async fn erase(&self, server: ServerId, timeline: TimelineId) -> Result<()> {
        let found = servers::get(&mut *self.reader().get().await?, server).await?;
        let Some(server) = found else {
            return Ok(());
        };
        if let Err(error) = self.servers().erase(&server, timeline).await {
            tracing::info!(%timeline, %error, "erase the archive of timeline {timeline}");
        }
        Ok(())
    }
}
