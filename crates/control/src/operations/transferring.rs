//! What captures and restores have in common: what is copied, by whom, and how that fares.

mod choice;
mod order;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use howdah_model::ids::TransferId;
use howdah_model::operation::capture::{ATTEMPTS, Fares};
use howdah_model::operation::{Mark, Wish};
use howdah_model::transfer::{TransferObservation, TransferState};
use howdah_store::Tx;
use howdah_store::transfers::{self, Finished, Transfer};
use jiff::Timestamp;
use uuid::Uuid;

pub(super) use choice::{choose_capture, choose_restore};
pub(crate) use order::break_off;
pub(super) use order::{take_back, tell};

use super::{Facts as Asked, mark};
use crate::Control;
use crate::servers::sightings::Sighting;
use crate::transfers::tell_people;

/// What is known of a capture or a restore.
#[derive(Debug)]
pub(crate) struct Facts {
    control: Control,
    pub(super) asked: Asked,
    pub(super) row: Transfer,
    /// What its agent said the last time.
    last: Option<Arc<Sighting>>,
}

pub(super) async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
    let mut all = Vec::new();
    for (id, asked) in super::feel(control, ids).await? {
        let mut conn = control.reader().get().await?;
        let row = transfers::get(&mut conn, TransferId(id)).await?;
        let row = row.context("the transfer of the operation is not there")?;
        let last = row.server_id.and_then(|server| control.sightings().last(server));
        all.push((id, Facts { control: control.clone(), asked, row, last }));
    }
    Ok(all)
}

impl Facts {
    pub(super) fn chosen(&self) -> Mark {
        mark(self.row.server_id.is_some())
    }

    fn seen(&self) -> Option<&TransferObservation> {
        self.last.as_ref()?.transfer(self.row.id)
    }

    pub(super) fn fares(&self, now: Timestamp) -> Fares {
        let Some(told) = self.row.told_change else { return Fares::Untold };
        let still = self.control.sightings().transfer_stands_still(self.row.id, now);
        let known = self.last.as_ref();
        let known = known.filter(|last| last.is_fresh(now) && last.server.change >= told);
        if known.is_none() {
            return if still { Fares::Stalled } else { Fares::Unknown };
        }
        match self.seen().map(|seen| seen.state) {
            None if self.row.attempts >= ATTEMPTS => Fares::Lost,
            None => Fares::Forgotten,
            Some(TransferState::Running) if still => Fares::Stalled,
            Some(TransferState::Waiting | TransferState::Running) => Fares::Working,
            Some(TransferState::Done) => Fares::Done,
            Some(TransferState::Failed) => Fares::Failed,
            Some(TransferState::Absent) => Fares::Absent,
        }
    }

    /// What stands in the way, for people.
    pub(super) fn hindrance(&self) -> Option<String> {
        self.seen().and_then(|seen| seen.error.clone()).or_else(|| self.asked.database.hindrance())
    }

    /// Why it did not succeed, for people.
    fn reason(&self, now: Timestamp) -> String {
        if self.asked.wish() == Wish::Cancelled {
            return "it was cancelled".to_owned();
        }
        if let Some(error) = self.seen().and_then(|seen| seen.error.clone()) {
            return error;
        }
        match self.fares(now) {
            Fares::Stalled => "it made no progress for ten minutes".to_owned(),
            Fares::Lost => format!("its server began anew {ATTEMPTS} times meanwhile"),
            _ => {
                let last = self.asked.asked.last_error.clone();
                last.unwrap_or_else(|| "it did not end in time".to_owned())
            }
        }
    }

    /// Records how it ended.
    pub(super) async fn finish(
        &self,
        tx: &mut Tx,
        succeeded: bool,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let seen = self.seen();
        let made = seen.and_then(|seen| seen.made.as_ref()).filter(|_| succeeded);
        let dumped = made.map(|made| made.dump_bytes).filter(|bytes| *bytes > 0);
        let log = seen.map(|seen| serde_json::to_value(&seen.log).unwrap_or_default());
        let finished = Finished {
            succeeded,
            canceled: !succeeded && self.asked.wish() == Wish::Cancelled,
            processed_bytes: dumped.or(seen.map(|seen| seen.processed)).unwrap_or_default(),
            source_bytes: made.map_or(0, |made| made.source_bytes),
            warnings: made.map_or(0, |made| made.warnings),
            tables: made.map_or(0, |made| made.tables),
            error: (!succeeded).then(|| self.reason(now)),
            log: log.unwrap_or_else(|| serde_json::json!([])),
        };
        transfers::finish(tx, self.row.id, &finished, now).await?;
        let said = match &finished.error {
            _ if finished.canceled => "was cancelled".to_owned(),
            Some(error) => format!("failed: {error}"),
            None => format!("finished, {} bytes", finished.processed_bytes),
        };
        tell_people(&self.control, &self.row, &said);
        Ok(())
    }

    /// Records that it has begun.
    pub(super) async fn started(&self, tx: &mut Tx, now: Timestamp) -> howdah_store::Result<()> {
        tell_people(&self.control, &self.row, "started");
        transfers::started(tx, self.row.id, now).await
    }
}
