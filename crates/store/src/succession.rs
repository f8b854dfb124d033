//! How a participant takes the place of the one that it follows: a change of plan.

use howdah_model::agent::{Revision, Role, Run, Wanted};
use howdah_model::ids::{DatabaseId, ParticipantId};
use howdah_model::plan::Plan;
use jiff::Timestamp;

use crate::column::{Named, at};
use crate::connection::Tx;
use crate::error::{Error, Result};
use crate::{participants, wakes};

/// Lets the server of a participant run, or stand still, and announces until when it may be away.
/// Answers whether that was news; the revision is raised then.
///
/// # Errors
/// When the database does not answer.
pub async fn run(tx: &mut Tx, id: ParticipantId, run: Run, away_until: Timestamp) -> Result<bool> {
    let changed = sqlx::query(
        "update participants set run = $2, expected_disruption_until = $3
         where id = $1 and run <> $2",
    )
    .bind(id.0)
    .bind(Named(run))
    .bind(at(away_until))
    .execute(&mut **tx)
    .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    participants::raise(tx, id).await?;
    Ok(true)
}

/// Lets a follower lead the timeline that its leader led, whose other followers follow it from now
/// on. They are restarted, as they need its settings and its address before they replay its WAL.
/// Answers its new revision.
///
/// # Errors
/// [`Error::Gone`] when it does not follow that leader.
pub async fn succeed(
    tx: &mut Tx,
    leader: ParticipantId,
    next: ParticipantId,
    away_until: Timestamp,
) -> Result<Revision> {
    let revision = sqlx::query_scalar(
        "update participants p
         set role = $3, leader_id = null, revision = p.revision + 1,
             epoch = greatest(p.epoch, l.epoch) + 1, expected_disruption_until = $5
         from participants l
         where p.id = $2 and l.id = $1 and p.leader_id = l.id and p.role = $4
           and p.timeline_id = l.timeline_id
         returning p.revision",
    )
    .bind(leader.0)
    .bind(next.0)
    .bind(Named(Role::Leader))
    .bind(Named(Role::Follower))
    .bind(at(away_until))
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::Gone { what: "the follower" })?;
    let others: Vec<uuid::Uuid> = sqlx::query_scalar(
        "update participants
         set leader_id = $2, restarts = restarts + 1, revision = revision + 1,
             expected_disruption_until = $3
         where leader_id = $1 and removed_at is null and wanted = $4 returning id",
    )
    .bind(leader.0)
    .bind(next.0)
    .bind(at(away_until))
    .bind(Named(Wanted::Present))
    .fetch_all(&mut **tx)
    .await?;
    wakes::insert(tx, &[next.0]).await?;
    wakes::insert(tx, &others).await?;
    Ok(Revision(revision))
}

/// Moves a database to another participant, with another plan. `revision` is that participant's.
///
/// # Errors
/// When the database does not answer.
pub async fn move_database(
    tx: &mut Tx,
    database: DatabaseId,
    to: ParticipantId,
    plan: &Plan,
    revision: Revision,
) -> Result<()> {
    sqlx::query("update databases set participant_id = $2, plan = $3, revision = $4 where id = $1")
        .bind(database.0)
        .bind(to.0)
        .bind(plan.name)
        .bind(revision.0)
        .execute(&mut **tx)
        .await?;
    wakes::insert(tx, &[database.0]).await
}

/// Makes a participant unwanted whose timeline goes on without it. Answers whether that was news.
///
/// # Errors
/// When the database does not answer.
pub async fn retire(tx: &mut Tx, id: ParticipantId) -> Result<bool> {
    let changed = sqlx::query("update participants set wanted = $2 where id = $1 and wanted <> $2")
        .bind(id.0)
        .bind(Named(Wanted::Absent))
        .execute(&mut **tx)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    participants::raise(tx, id).await?;
    Ok(true)
}
