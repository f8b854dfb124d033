//! Deletes history whose time is over, a little at a time.

use std::time::Duration;

use anyhow::Result;
use howdah_store::{
    answered_requests, incidents, observations, reports, stages, transitions, wakes,
};
use tokio_util::sync::CancellationToken;

use crate::Control;

const DAY: Duration = Duration::from_secs(86_400);
/// How long observations are kept.
pub const OBSERVATIONS: Duration = DAY.saturating_mul(30);
/// How long changes of state are kept.
pub const TRANSITIONS: Duration = DAY.saturating_mul(365);
/// How long a client may send the same request again and get the same answer.
pub const ANSWERS: Duration = DAY;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(600);
/// Rows that are deleted with one statement.
const AT_ONCE: u32 = 5000;

/// Deletes until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.forget_old().await {
            tracing::warn!(error = format!("{error:#}"), "delete old history");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Deletes what is older than its time: observations, changes of state, answers of requests.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn forget_old(&self) -> Result<()> {
        let now = self.now();
        let mut tx = self.store().begin().await?;
        answered_requests::forget(&mut tx, now.checked_sub(ANSWERS)?).await?;
        wakes::sweep(&mut tx).await?;
        stages::forget(&mut tx, now).await?;
        reports::forget(&mut tx, now.checked_sub(crate::requests::diagnose::KEPT)?).await?;
        incidents::forget(&mut tx, now.checked_sub(crate::incidents::KEPT)?).await?;
        tx.commit().await?;
        loop {
            let mut tx = self.store().begin().await?;
            let seen = now.checked_sub(OBSERVATIONS)?;
            let moved = now.checked_sub(TRANSITIONS)?;
            let deleted = observations::delete_before(&mut tx, seen, AT_ONCE).await?
                + transitions::delete_before(&mut tx, moved, AT_ONCE).await?;
            tx.commit().await?;
            if deleted < u64::from(AT_ONCE) {
                return Ok(());
            }
        }
    }
}
