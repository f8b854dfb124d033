//! Erases the dumps that nobody needs any more, by the agents that reach them.

use std::time::Duration;

use anyhow::Result;
use howdah_model::backup::Kind;
use howdah_model::ids::{ServerId, TransferId};
use howdah_model::transfer::TransferState;
use howdah_store::transfers::Transfer;
use howdah_store::{schedules, servers, transfers, uploads};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::operations::transferring::break_off;
use crate::requests::uploads::KEPT;

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

/// What an agent still has of a transfer.
enum Over {
    /// Nothing that it should not have.
    Fine,
    /// A dump that is nobody's.
    Left,
    /// It works on it, or has filled a database for it.
    AtWork,
}

fn over(row: &Transfer, state: TransferState) -> Over {
    use TransferState::{Absent, Done, Failed, Running, Waiting};
    let Some(succeeded) = row.succeeded.filter(|_| row.finished_at.is_some()) else {
        return Over::Fine;
    };
    match (row.kind, state, succeeded) {
        (_, Absent | Failed, _) | (_, Done, true) => Over::Fine,
        (Kind::Backup, Done, false) => Over::Left,
        // One that is made already is found by itself, and stays.
        (Kind::Backup, Waiting | Running, true) => Over::Fine,
        (Kind::Restore | Kind::Copy, Done, false) | (_, Waiting | Running, _) => Over::AtWork,
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
        schedules::give_back(&mut tx).await?;
        transfers::reap(&mut tx, self.now()).await?;
        tx.commit().await?;
        self.break_off_undone().await?;
        let due = transfers::list_erasable(&mut *self.reader().get().await?, AT_ONCE).await?;
        let uploads = self.old_uploads().await?;
        let due = due.into_iter().chain(uploads.into_iter().map(|(id, server)| (id, Some(server))));
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

    async fn old_uploads(&self) -> Result<Vec<(TransferId, ServerId)>> {
        let before = self.now().checked_sub(KEPT)?;
        Ok(uploads::list_erasable(&mut *self.reader().get().await?, before, AT_ONCE).await?)
    }

    /// An order may reach an agent after everybody believed the transfer to be over. What an agent
    /// does of those is broken off, and what it made of those is removed.
    async fn break_off_undone(&self) -> Result<()> {
        for (server, seen) in self.sightings().all_fresh(self.now()) {
            let there: Vec<_> = seen.server.transfers.iter().map(|one| one.id).collect();
            if there.is_empty() {
                continue;
            }
            let rows = transfers::list(&mut *self.reader().get().await?, &there).await?;
            for row in rows.iter().filter(|row| row.server_id == Some(server)) {
                let state = seen.transfer(row.id).map(|one| one.state);
                match state.map_or(Over::Fine, |state| over(row, state)) {
                    Over::Fine => {}
                    Over::Left => self.erase_dump(server, row.id).await?,
                    Over::AtWork => {
                        if let Err(error) = break_off(self, row).await {
                            tracing::info!(transfer.id = %row.id, "break off {}: {error:#}", row.id);
                        }
                    }
                }
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
        uploads::erased(&mut tx, dump).await?;
        transfers::erased(&mut tx, dump, self.now()).await?;
        Ok(tx.commit().await?)
    }
}
