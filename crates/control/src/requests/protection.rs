//! How a database is protected: what is known of it, and what can be asked for beside the schedule.

use howdah_model::agent::Revision;
use howdah_model::ids::DatabaseId;
use howdah_model::plan::Tier;
use howdah_model::protection::{Protected, Protection};
use howdah_store::addons::Addon;
use howdah_store::databases::{self, Database};
use howdah_store::{Connection, lineage, participants};
use jiff::Timestamp;

use super::addons::check_owned;
use super::copies::refuse_follower;
use super::error::{Error, Result};
use crate::Control;

/// How a database shall be protected, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct State {
    /// As it shall be; none before it was placed.
    pub wanted: Option<Protection>,
    /// As the agent of its server says it is; none while that is not known.
    pub protected: Option<Protected>,
}

/// How a database is protected. The earliest moment that is told is the one that it can be rolled
/// back to.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn state(control: &Control, conn: &mut Connection, id: DatabaseId) -> Result<State> {
    let Some(placed) = databases::list_placed(conn, &[id.0]).await?.pop() else {
        return Ok(State::default());
    };
    let database = &placed.database;
    let row = match database.participant_id {
        Some(id) => participants::get(conn, id).await?,
        None => None,
    };
    let published = lineage::published_at(conn, id).await?;
    let mut protected = control.seen_of(&placed).and_then(|(_, seen)| seen.protected);
    let earliest = earliest(control, database, published, protected.as_ref(), control.now());
    if let Some(protected) = &mut protected {
        protected.earliest = earliest;
    }
    let wanted = row.filter(|_| database.follows.is_none()).map(|row| {
        let of_plan = row.plan.tier.protection(control.config().catalogue);
        Protection { backups: row.backups, drills: row.drills, ..of_plan }
    });
    Ok(State { wanted, protected })
}

/// What the agent of its server says of a database's protection.
pub(super) async fn seen(
    control: &Control,
    conn: &mut Connection,
    id: DatabaseId,
) -> Result<Option<Protected>> {
    let placed = databases::list_placed(conn, &[id.0]).await?.pop();
    Ok(placed.and_then(|placed| control.seen_of(&placed)?.1.protected))
}

/// The earliest moment that a database can be rolled back to (G7): within its plan's window, and
/// not before it was there itself.
pub(super) fn earliest(
    control: &Control,
    database: &Database,
    published: Option<Timestamp>,
    seen: Option<&Protected>,
    now: Timestamp,
) -> Option<Timestamp> {
    let window = database.plan.tier.rollback(control.config().catalogue);
    if window.is_zero() || database.follows.is_some() {
        return None;
    }
    let begins = now.checked_sub(window).unwrap_or(Timestamp::MIN);
    Some(seen?.earliest?.max(published?).max(begins))
}

/// What can be asked for beside the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// A base backup.
    Backup,
    /// A restore drill.
    Drill,
}

/// Asks for a base backup or a drill of a database now. Its agent does it as soon as it can.
///
/// # Errors
/// [`Error::Invalid`] for hobby plans, whose participant is shared; [`Error::Conflict`] when it
/// follows another, is still being made, or the last one that was asked for is under way.
pub async fn ask(control: &Control, addon: &Addon, extra: Extra) -> Result<()> {
    check_owned(addon)?;
    let what = match extra {
        Extra::Backup => "base backup",
        Extra::Drill => "restore drill",
    };
    if addon.plan.tier == Tier::Hobby {
        return Err(Error::invalid(format!(
            "A {what} on request is only available on production databases. {} shares its server \
             with others, which is backed up and proven by itself.",
            addon.name
        )));
    }
    let mut tx = control.store().begin().await?;
    let database = databases::lock(&mut tx, addon.id).await?;
    refuse_follower(&mut tx, addon, "protected by itself").await?;
    let making = || {
        Error::Conflict(format!(
            "{0} is still being made. Wait with `pg:wait {0}`, then try again.",
            addon.name
        ))
    };
    let id = database.participant_id.filter(|_| addon.published).ok_or_else(making)?;
    let row = participants::get(&mut tx, id).await?.ok_or_else(making)?;
    let done = seen(control, &mut tx, addon.id).await?;
    let (asked, done) = match extra {
        Extra::Backup => (row.backups, done.map(|done| done.backups)),
        Extra::Drill => (row.drills, done.map(|done| done.drills)),
    };
    if done.is_some_and(|done| done < asked) {
        return Err(Error::Conflict(format!(
            "A {what} of {} is under way already. `pg:protection {}` shows how it goes.",
            addon.name, addon.name
        )));
    }
    match extra {
        Extra::Backup => participants::want_backup(&mut tx, id).await?,
        Extra::Drill => participants::want_drill(&mut tx, id).await?,
    }
    let _: Revision = participants::raise(&mut tx, id).await?;
    Ok(tx.commit().await?)
}
