//! The stages of a planned move: what gateways are told while a database goes to another server. For
//! operations and operators; no account can ask for them.
//!
//! Each stage has an end of its own. What began a move may die, and after that end routes say by
//! themselves that sessions go on.

use std::time::Duration;

use howdah_model::agent::Wanted;
use howdah_model::ids::{DatabaseId, ParticipantId};
use howdah_store::stages::{self, Stage};
use howdah_store::{Tx, databases, participants, routes};
use jiff::Timestamp;

use super::error::{Error, Noun, Result};
use crate::Control;

/// The longest that sessions may be prepared in advance.
pub const LONGEST_PREPARATION: Duration = Duration::from_secs(3600);
/// The longest that transactions may be held: applications give up long before.
pub const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// Lets gateways open and fill sessions at the participant that will be next, while clients go on.
/// Answers until when.
///
/// # Errors
/// [`Error::NotFound`] when there is no such database; [`Error::Invalid`] when the participant is
/// not there, is the one that it is on, or the time is too long.
pub async fn prepare(
    control: &Control,
    database: DatabaseId,
    next: ParticipantId,
    bound: Duration,
) -> Result<Timestamp> {
    check_bound(bound, LONGEST_PREPARATION)?;
    let mut tx = control.store().begin().await?;
    let now_on = lock(&mut tx, database).await?;
    let found = participants::get(&mut tx, next).await?.filter(|one| one.removed_at.is_none());
    if found.is_none() || now_on == Some(next) {
        return Err(Error::invalid(format!("{next} is not another participant that is there.")));
    }
    enter(control, tx, database, Stage::Prepare { next }, bound).await
}

/// Lets no new transaction begin. What runs may go on for `grace`. Answers until when.
///
/// # Errors
/// [`Error::NotFound`] when there is no such database; [`Error::Invalid`] when the time is too long,
/// or the grace longer than it.
pub async fn hold(
    control: &Control,
    database: DatabaseId,
    grace: Duration,
    bound: Duration,
) -> Result<Timestamp> {
    check_bound(bound, LONGEST_HOLD)?;
    if grace > bound {
        return Err(Error::invalid("The grace is longer than the hold itself."));
    }
    let mut tx = control.store().begin().await?;
    lock(&mut tx, database).await?;
    enter(control, tx, database, Stage::Hold { grace }, bound).await
}

/// Lets everybody go on, where the database's route says. It is no error when nobody was held.
///
/// # Errors
/// [`Error::NotFound`] when there is no such database.
pub async fn release(control: &Control, database: DatabaseId) -> Result<()> {
    let mut tx = control.store().begin().await?;
    lock(&mut tx, database).await?;
    stages::clear(&mut tx, database).await?;
    routes::changed(&mut tx).await?;
    Ok(tx.commit().await?)
}

fn check_bound(bound: Duration, longest: Duration) -> Result<()> {
    if !bound.is_zero() && bound <= longest {
        return Ok(());
    }
    Err(Error::invalid(format!("It takes a time of up to {} s.", longest.as_secs())))
}

/// Locks a database that is wanted; answers which participant it is on.
async fn lock(tx: &mut Tx, id: DatabaseId) -> Result<Option<ParticipantId>> {
    if databases::get(tx, id).await?.is_none() {
        return Err(Error::NotFound(Noun::Addon));
    }
    let database = databases::lock(tx, id).await?;
    match database.wanted {
        Wanted::Present => Ok(database.participant_id),
        Wanted::Absent => Err(Error::NotFound(Noun::Addon)),
    }
}

async fn enter(
    control: &Control,
    mut tx: Tx,
    database: DatabaseId,
    stage: Stage,
    bound: Duration,
) -> Result<Timestamp> {
    let until = control.now().checked_add(bound).map_err(anyhow::Error::from)?;
    stages::set(&mut tx, database, stage, until).await?;
    routes::changed(&mut tx).await?;
    tx.commit().await?;
    Ok(until)
}
