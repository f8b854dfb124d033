//! Where databases go: participants that have room, and those that were made in advance. The
//! caller has locked the region (see [`crate::servers::lock_region`]).

use howdah_model::agent::{Revision, Wanted};
use howdah_model::ids::{AppId, DatabaseId, ParticipantId, ServerId};
use howdah_model::participant::State;
use howdah_model::plan::Plan;
use howdah_model::version::Major;
use uuid::Uuid;

use crate::column::Named;
use crate::connection::{Connection, Tx};
use crate::error::{Error, Result};

/// The region that the databases of an app go to.
///
/// # Errors
/// [`Error::Gone`] when there is no such app.
pub async fn region(conn: &mut Connection, app: AppId) -> Result<String> {
    sqlx::query_scalar("select region from apps where id = $1")
        .bind(app.0)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::Gone { what: "the app" })
}

/// A wanted shared participant of a server with room for one more database, if there is one.
///
/// # Errors
/// When the database does not answer.
pub async fn shared(
    tx: &mut Tx,
    server: ServerId,
    major: Major,
    most: i64,
) -> Result<Option<ParticipantId>> {
    let found: Option<Uuid> = sqlx::query_scalar(
        "select p.id from participants p join machines m using (id)
         where p.server_id = $1 and p.major = $2 and p.shared and p.wanted = $3
           and m.state in ('requested', 'creating', 'available', 'uncertain')
           and (select count(*) from databases d
                where d.participant_id = p.id and d.removed_at is null) < $4
         order by m.serial limit 1",
    )
    .bind(server.0)
    .bind(i16::try_from(major.0).unwrap_or(i16::MAX))
    .bind(Named(Wanted::Present))
    .bind(most)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(ParticipantId))
}

/// Takes a participant out of the pool of a server for a plan, one that answers already before one
/// that is still being made. None when the pool has none of that version.
///
/// # Errors
/// When the database does not answer.
pub async fn take_pooled(
    tx: &mut Tx,
    server: ServerId,
    major: Major,
    plan: &'static Plan,
) -> Result<Option<ParticipantId>> {
    let taken: Option<Uuid> = sqlx::query_scalar(
        "update participants set pooled = false, plan = $5
         where id = (
             select p.id from participants p join machines m using (id)
             where p.server_id = $1 and p.major = $2 and p.pooled and p.wanted = $3
               and m.state in ('requested', 'creating', 'available')
             order by (m.state = $4) desc, m.serial
             limit 1
             for no key update of p skip locked
         )
         returning id",
    )
    .bind(server.0)
    .bind(i16::try_from(major.0).unwrap_or(i16::MAX))
    .bind(Named(Wanted::Present))
    .bind(Named(State::Available))
    .bind(plan.name)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(taken.map(ParticipantId))
}

/// How many participants of a version are in the pool of a server.
///
/// # Errors
/// When the database does not answer.
pub async fn count_pooled(conn: &mut Connection, server: ServerId, major: Major) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "select count(*) from participants
         where server_id = $1 and major = $2 and pooled and wanted = $3",
    )
    .bind(server.0)
    .bind(i16::try_from(major.0).unwrap_or(i16::MAX))
    .bind(Named(Wanted::Present))
    .fetch_one(conn)
    .await?)
}

/// The participants in the pool of a server that are not of the given version, or beyond the first
/// `keep` of it.
///
/// # Errors
/// When the database does not answer.
pub async fn surplus(
    conn: &mut Connection,
    server: ServerId,
    major: Major,
    keep: i64,
) -> Result<Vec<ParticipantId>> {
    let all: Vec<Uuid> = sqlx::query_scalar(
        "select id from (
             select p.id, p.major, m.serial,
                    row_number() over (partition by p.major order by m.serial) as place
             from participants p join machines m using (id)
             where p.server_id = $1 and p.pooled and p.wanted = $3
         ) pool
         where major <> $2 or place > $4 order by serial",
    )
    .bind(server.0)
    .bind(i16::try_from(major.0).unwrap_or(i16::MAX))
    .bind(Named(Wanted::Present))
    .bind(keep)
    .fetch_all(conn)
    .await?;
    Ok(all.into_iter().map(ParticipantId).collect())
}

/// Gives a database its participant. `revision` is the participant's that carries the database.
///
/// # Errors
/// When the database does not answer.
pub async fn place(
    tx: &mut Tx,
    database: DatabaseId,
    participant: ParticipantId,
    revision: Revision,
) -> Result<()> {
    sqlx::query("update databases set participant_id = $2, revision = $3 where id = $1")
        .bind(database.0)
        .bind(participant.0)
        .bind(revision.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
