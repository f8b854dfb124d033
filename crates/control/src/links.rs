//! Ends links that nobody has any use for any more: their credentials must not outlive them.

use std::time::Duration;

use anyhow::Result;
use howdah_store::links::{self, Link};
use howdah_store::{databases, logins, participants, routes};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::operations::rotate::maker;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(20);
/// A link that was not made by then has been given up by whoever asked for it.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// Ends links until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.end_links().await {
            tracing::warn!(error = format!("{error:#}"), "end links");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Ends the links whose databases are gone or were emptied, and those that were not made.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_links(&self) -> Result<()> {
        let before = self.now().checked_sub(GIVEN_UP)?;
        for link in links::list_over(&mut *self.reader().get().await?, before).await? {
            if let Err(error) = self.unlink(&link).await {
                // What is left of it opens nothing; its database may be gone.
                tracing::debug!(link.id = %link.id, error = format!("{error:#}"), "remove a link");
            }
            self.end_link(&link).await?;
        }
        Ok(())
    }

    /// Lets the agent remove what a link is in its database.
    ///
    /// # Errors
    /// When the database is not placed, or its agent does not do it.
    pub(crate) async fn unlink(&self, link: &Link) -> Result<()> {
        let (placed, server) = self.house_of(link.database).await?;
        let Some(participant) = placed.database.participant_id else {
            return Ok(());
        };
        let at = (participant, &placed.database.name);
        Ok(self.servers().unlink(&server, at, (&link.name, link.id)).await?)
    }

    /// Ends a link with its credential: one transaction.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn end_link(&self, link: &Link) -> Result<()> {
        let now = self.now();
        let mut tx = self.store().begin().await?;
        let remote = databases::lock(&mut tx, link.remote).await?;
        links::end(&mut tx, link.id, now).await?;
        let was_open = logins::revoke_credential(&mut tx, link.credential, now).await?;
        if was_open && let Some(maker) = maker(&mut tx, &remote).await? {
            participants::raise(&mut tx, maker).await?;
        }
        routes::changed(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}
