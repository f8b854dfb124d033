//! Erases the dumps that nobody needs any more, by the agents that reach them.

use std::time::Duration;

use anyhow::Result;
use howdah_model::ids::{ServerId, TransferId};
use howdah_store::{servers, transfers};
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How often is looked when nobody says that there is something.
const EVERY: Duration = Duration::from_secs(60);
/// Dumps that are erased at once.
const AT_ONCE: u32 = 50;

/// Erases until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.erase_dumps().await {
            tracing::warn!(error = format!("{error:#}"), "erase old dumps");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = control.news().dumps.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Deletes the backups of databases that cannot be brought back any more, and erases the dumps of
    /// all that were deleted or failed. What an agent does not manage is tried again the next time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn erase_dumps(&self) -> Result<()> {
        let mut tx = self.store().begin().await?;
        transfers::reap(&mut tx, self.now()).await?;
        tx.commit().await?;
        let due = transfers::list_erasable(&mut *self.reader().get().await?, AT_ONCE).await?;
        for (dump, server) in due {
            let fresh = self.sightings().all_fresh(self.now());
            // Where that server is gone for good, another one of the platform reaches the archive.
            let there = fresh.iter().map(|(id, _)| *id).find(|id| Some(*id) == server);
            if let Some(server) = there.or_else(|| fresh.first().map(|(id, _)| *id)) {
                self.erase_dump(server, dump).await?;
            }
        }
        Ok(())
    }

    async fn erase_dump(&self, server: ServerId, dump: TransferId) -> Result<()> {
        let found = servers::get(&mut *self.reader().get().await?, server).await?;
        let Some(server) = found else { return Ok(()) };
        if let Err(error) = self.servers().delete_dump(&server, dump).await {
            tracing::info!(transfer.id = %dump, %error, "erase dump {dump}");
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        transfers::erased(&mut tx, dump, self.now()).await?;
        Ok(tx.commit().await?)
    }
}
