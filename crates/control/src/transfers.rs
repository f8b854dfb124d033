//! What is kept of backups, and what people are told of transfers.

mod erasing;
mod scheduling;

use howdah_model::backup::{Cause, Kind, Plan};
use howdah_model::ids::TransferId;
use howdah_store::transfers::{self, Transfer};
use howdah_store::{Connection, Tx, backup_plans};
use jiff::Timestamp;

use crate::Control;
use crate::logs::Source;

pub(crate) use erasing::run as erase;
pub(crate) use scheduling::{DAY, named, run as schedule};

/// Where the URL of what is copied lies, for the keyring.
pub(crate) const SOURCE_URL: &str = "transfers.source_url";

/// The process that lines about transfers are of.
const PROCESS: &str = "pgbackups";

/// Tells people in the log of the app how a transfer fares (E32).
pub(crate) fn tell_people(control: &Control, transfer: &Transfer, said: &str) {
    let Transfer { kind, from_name, to_name, .. } = transfer;
    let (label, onto) = (transfer.label(), if *kind == Kind::Backup { "" } else { " -> " });
    let onto_name = if *kind == Kind::Backup { "" } else { to_name };
    let text = format!("{kind} {label} ({from_name}{onto}{onto_name}) {said}");
    control.logs().tell(transfer.app_id, Source::App, PROCESS, &text);
}

/// The backup plan of an app.
pub(crate) async fn plan_of(
    conn: &mut Connection,
    app: howdah_model::ids::AppId,
) -> howdah_store::Result<&'static Plan> {
    Ok(backup_plans::of_app(conn, app).await?.map_or_else(Plan::built_in, |found| found.plan))
}

/// The manual backups of an app that are good, oldest first.
pub(crate) fn manual(all: &[Transfer]) -> Vec<&Transfer> {
    let manual = |one: &&Transfer| one.is_good_backup() && one.cause == Cause::Manual;
    all.iter().filter(manual).collect()
}

/// Deletes what a new backup takes the place of: the oldest manual ones where that was asked for
/// (E10), and the older ones of its series (E12).
pub(crate) async fn make_room(
    tx: &mut Tx,
    new: &Transfer,
    now: Timestamp,
) -> howdah_store::Result<()> {
    debug_assert!(new.kind == Kind::Backup, "only backups are kept by number");
    let plan = plan_of(tx, new.app_id).await?;
    let all = transfers::list_of_app(tx, new.app_id).await?;
    let outdated: Vec<TransferId> = match new.cause {
        Cause::Manual if new.expires => {
            let good = manual(&all);
            let beyond = good.len().saturating_sub(plan.manual as usize);
            good.iter().take(beyond).map(|one| one.id).filter(|id| *id != new.id).collect()
        }
        Cause::Manual => Vec::new(),
        Cause::Automatic => {
            let of_series = all.iter().filter(|one| {
                let same = one.cause == Cause::Automatic && one.schedule_id == new.schedule_id;
                same && (one.is_good_backup() || one.id == new.id)
            });
            let series: Vec<_> = of_series.map(|one| (one.id, one.created_at)).collect();
            plan.outdated(&series)
        }
    };
    transfers::delete(tx, &outdated, now).await?;
    Ok(())
}
