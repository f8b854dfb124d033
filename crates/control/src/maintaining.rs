//! Notices what is due for servers, and does it in the windows of their databases.

use std::time::Duration;

use anyhow::Result;
use howdah_model::agent::{InstanceState, Wanted};
use howdah_model::ids::DatabaseId;
use howdah_model::maintenance::Status;
use howdah_store::databases::{self, Placed};
use howdah_store::maintenances::{self, Maintenance};
use howdah_store::operations;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::requests::maintenance::{begin, due, noticed};

/// How often what is open is looked after.
const EVERY: Duration = Duration::from_secs(2);
/// Every how many of these looks what is due is looked for.
const DUE: u32 = 30;

/// Maintains until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    let mut looks = 0_u32;
    while !cancelled.is_cancelled() {
        if let Err(error) = control.maintain(looks.is_multiple_of(DUE)).await {
            tracing::warn!(error = format!("{error:#}"), "look after maintenance");
        }
        looks = looks.wrapping_add(1);
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    async fn maintain(&self, notice: bool) -> Result<()> {
        if notice {
            self.notice_due(None).await?;
        }
        self.look_after_maintenances().await
    }

    /// Writes down what is due for the servers of databases, or of one: each once.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn notice_due(&self, only: Option<DatabaseId>) -> Result<()> {
        let mut conn = self.reader().get().await?;
        let all = match only {
            Some(id) => databases::list_placed(&mut conn, &[id.0]).await?,
            None => databases::list_live(&mut conn).await?,
        };
        drop(conn);
        for placed in all.iter().filter(|placed| is_ours(placed)) {
            let Some(versions) = due(self, placed) else { continue };
            let mut tx = self.store().begin().await?;
            let window = maintenances::window(&mut tx, placed.database.id).await?;
            if let Some(new) = noticed(placed, window, versions, self.now()) {
                maintenances::insert(&mut tx, &new).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Begins what is due and whose time has come, and ends what was done.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn look_after_maintenances(&self) -> Result<()> {
        let mut conn = self.reader().get().await?;
        let open = maintenances::list_open(&mut conn).await?;
        let ids: Vec<_> = open.iter().map(|one| one.database_id.0).collect();
        let placed = databases::list_placed(&mut conn, &ids).await?;
        drop(conn);
        for one in &open {
            let placed = placed.iter().find(|placed| placed.database.id == one.database_id);
            self.look_after(one, placed).await?;
        }
        Ok(())
    }

    async fn look_after(&self, one: &Maintenance, placed: Option<&Placed>) -> Result<()> {
        let now = self.now();
        // It has been removed, or has moved to another server meanwhile.
        let there = placed.filter(|placed| {
            is_ours(placed) && placed.database.participant_id == Some(one.participant_id)
        });
        let seen = there.and_then(|placed| self.seen_of(placed)).map(|(_, seen)| seen);
        let mut tx = self.store().begin().await?;
        match (one.status, there, seen) {
            (Status::Running, Some(_), Some(seen)) => {
                let restarted = one.restarts.is_none_or(|restarts| seen.restarts >= restarts);
                if restarted && seen.instance == InstanceState::Answering {
                    maintenances::complete(&mut tx, one.id, now).await?;
                }
            }
            (Status::Running, None, _) => maintenances::complete(&mut tx, one.id, now).await?,
            (Status::Pending, None, _) => maintenances::withdraw(&mut tx, one.id).await?,
            // It was restarted for another reason.
            (Status::Pending, Some(placed), Some(_)) if due(self, placed).is_none() => {
                maintenances::withdraw(&mut tx, one.id).await?;
            }
            (Status::Pending, Some(placed), Some(_)) if one.scheduled_for <= now => {
                if operations::unfinished(&mut tx, placed.database.id).await?.is_empty() {
                    begin(&mut tx, one, now).await?;
                }
            }
            (Status::Pending | Status::Running, Some(_), _)
            | (Status::None | Status::Completed, ..) => {}
        }
        Ok(tx.commit().await?)
    }
}

/// Whether a database has a server of its own that is to be there.
fn is_ours(placed: &Placed) -> bool {
    let database = &placed.database;
    database.wanted == Wanted::Present && !database.plan.shares_participant()
}
