//! Begins the backups that are due, of what is the right database at that moment.

use std::time::Duration;

use anyhow::Result;
use howdah_model::backup::Cause;
use howdah_model::ids::{AppId, DatabaseId};
use howdah_model::name::PRIMARY;
use howdah_store::backup_plans::BackupPlan;
use howdah_store::schedules::Schedule;
use howdah_store::{Connection, Tx, apps, attachments, backup_plans, schedules};
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::requests::backups::{Asked, begin_capture};
use crate::requests::{Error, Result as Answer};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(20);
/// How long after a backup of a plan the next one is made.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Begins what is due until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.run_schedules().await {
            tracing::warn!(error = format!("{error:#}"), "begin the backups that are due");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Begins each backup that is due. One that was missed while the platform was down, or could not
    /// be begun as something else was under way, is made once, as soon as it can. Answers how many
    /// were begun.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn run_schedules(&self) -> Result<usize> {
        let mut conn = self.reader().get().await?;
        let due = schedules::list_due(&mut conn, self.now()).await?;
        let plans = backup_plans::list_due(&mut conn, self.now()).await?;
        drop(conn);
        let mut begun = 0;
        for schedule in &due {
            begun += usize::from(noted(&schedule.name, self.run_schedule(schedule).await)?);
        }
        for plan in &plans {
            begun += usize::from(noted(plan.name.as_str(), self.run_plan(plan).await)?);
        }
        Ok(begun)
    }

    async fn run_schedule(&self, due: &Schedule) -> Answer<bool> {
        let zone = TimeZone::get(&due.zone).unwrap_or(TimeZone::UTC);
        let next = due.hour.next(&zone, self.now());
        let mut tx = self.store().begin().await?;
        let living = apps::lock(&mut tx, due.app_id).await?;
        if !schedules::advance(&mut tx, due.id, due.next_at, next).await? {
            return Ok(false);
        }
        let database = scheduled(&mut tx, due).await?;
        let asked = Asked { schedule: Some(due.id), ..automatic(database, due.app_id) };
        self.capture(tx, asked, living).await
    }

    async fn run_plan(&self, due: &BackupPlan) -> Answer<bool> {
        let Some(due_at) = due.next_at else { return Ok(false) };
        let mut next = due_at;
        while next <= self.now() {
            next = next.checked_add(DAY).map_err(anyhow::Error::from)?;
        }
        let mut tx = self.store().begin().await?;
        let living = apps::lock(&mut tx, due.app_id).await?;
        if !backup_plans::advance(&mut tx, due.id, due_at, next).await? {
            return Ok(false);
        }
        // An app without a primary has nothing to be captured that day.
        match named(&mut tx, due.app_id, PRIMARY).await? {
            Some(database) => self.capture(tx, automatic(database, due.app_id), living).await,
            None => Ok(tx.commit().await.map(|()| false)?),
        }
    }

    async fn capture(&self, mut tx: Tx, asked: Asked, living: bool) -> Answer<bool> {
        let begun = living && begin_capture(self, &mut tx, &asked).await?.is_some();
        tx.commit().await?;
        Ok(begun)
    }
}

fn automatic(database: DatabaseId, app: AppId) -> Asked {
    Asked { database, app, account: None, cause: Cause::Automatic, schedule: None, expires: false }
}

/// What people are told by the refusal of a request is only noted here: it is tried again.
fn noted(name: &str, outcome: Answer<bool>) -> Result<bool> {
    match outcome {
        Ok(begun) => Ok(begun),
        Err(Error::Failed(error)) => Err(error),
        Err(error) => {
            tracing::debug!("the backup that is due by {name} waits: {error}");
            Ok(false)
        }
    }
}

/// The database that a schedule is about now.
async fn scheduled(conn: &mut Connection, due: &Schedule) -> howdah_store::Result<DatabaseId> {
    let name = due.name.strip_suffix("_URL").unwrap_or(&due.name);
    let named = if due.by_name { named(conn, due.app_id, name).await? } else { None };
    Ok(named.unwrap_or(due.database_id))
}

/// The database that an attachment of an app leads to.
pub(crate) async fn named(
    conn: &mut Connection,
    app: AppId,
    name: &str,
) -> howdah_store::Result<Option<DatabaseId>> {
    let all = attachments::list_by_app(conn, app).await?;
    let found = all.iter().find(|one| one.name.as_str().eq_ignore_ascii_case(name));
    Ok(found.map(|one| one.database_id))
}
