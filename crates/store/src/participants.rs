//! Participants: PostgreSQL instances that take part in a timeline.

use std::path::PathBuf;

use howdah_model::agent::{Epoch, Revision, Role, Run, Wanted};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId};
use howdah_model::participant::{self, State};
use howdah_model::plan::Plan;
use howdah_model::protection::Origin;
use howdah_model::version::Major;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::databases::plan_of;
use crate::error::{Error, Result};
use crate::{machines, timelines, wakes};

/// A participant, and where its supervisor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its id.
    pub id: ParticipantId,
    /// The server that it is on.
    pub server_id: ServerId,
    /// The timeline that it takes part in.
    pub timeline_id: TimelineId,
    /// What it is in its timeline.
    pub role: Role,
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// Whether its server shall run.
    pub run: Run,
    /// Fences an older leader.
    pub epoch: Epoch,
    /// Grows with every change of anything that the agent is told.
    pub revision: Revision,
    /// Its major version of PostgreSQL.
    pub major: Major,
    /// The plan that its settings are made for.
    pub plan: &'static Plan,
    /// Whether it holds the databases of many.
    pub shared: bool,
    /// Whether it was made in advance and has not been given to a database yet.
    pub pooled: bool,
    /// Whose data it is made from; none for an empty cluster.
    pub source: Option<Origin>,
    /// Of a follower: whom it follows.
    pub leader_id: Option<ParticipantId>,
    /// How many restarts were asked for so far.
    pub restarts: i32,
    /// How many base backups were asked for beside the schedule so far.
    pub backups: u32,
    /// How many drills were asked for beside the schedule so far.
    pub drills: u32,
    /// Until when an operation announced that it may be away.
    pub expected_disruption_until: Option<Timestamp>,
    /// The newest revision that its agent took with `wanted = absent`.
    pub told_revision: Option<Revision>,
    /// The number of an observation that was made after that.
    pub told_change: Option<u64>,
    /// The directory of its unix socket, as its agent said it the last time.
    pub socket_dir: Option<PathBuf>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was gone.
    pub removed_at: Option<Timestamp>,
    /// Where its supervisor is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

impl FromRow<'_, PgRow> for Participant {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            server_id: row.id("server_id")?,
            timeline_id: row.id("timeline_id")?,
            role: row.named("role")?,
            wanted: row.named("wanted")?,
            run: row.named("run")?,
            epoch: Epoch(row.try_get::<i32, _>("epoch")?.unsigned_abs()),
            revision: Revision(row.try_get("revision")?),
            major: row.major("major")?,
            plan: plan_of(row)?,
            shared: row.try_get("shared")?,
            pooled: row.try_get("pooled")?,
            source: row
                .try_get::<Option<sqlx::types::Json<Origin>>, _>("source")?
                .map(|source| source.0),
            leader_id: row.id_or_null("leader_id")?,
            restarts: row.try_get("restarts")?,
            backups: row.try_get::<i32, _>("backups")?.unsigned_abs(),
            drills: row.try_get::<i32, _>("drills")?.unsigned_abs(),
            expected_disruption_until: row.time_or_null("expected_disruption_until")?,
            told_revision: row.try_get::<Option<i64>, _>("told_revision")?.map(Revision),
            told_change: row.try_get::<Option<i64>, _>("told_change")?.map(i64::unsigned_abs),
            socket_dir: row.try_get::<Option<String>, _>("socket_dir")?.map(PathBuf::from),
            created_at: row.time("created_at")?,
            removed_at: row.time_or_null("removed_at")?,
            state: row.named("state")?,
            since: row.time("since")?,
        })
    }
}

/// What a new participant is made from.
#[derive(Clone, Debug)]
pub struct New {
    /// Its id.
    pub id: ParticipantId,
    /// The server that it is to be on.
    pub server_id: ServerId,
    /// Its major version of PostgreSQL.
    pub major: Major,
    /// The plan that its settings are made for.
    pub plan: &'static Plan,
    /// Whether it holds the databases of many.
    pub shared: bool,
    /// Whether it is made in advance.
    pub pooled: bool,
}

/// Inserts a participant with an empty timeline of its own, as its leader, and its supervisor.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, new: &New, why: &str, now: Timestamp) -> Result<()> {
    let timeline = TimelineId::new();
    timelines::insert(tx, timeline, new.major, now).await?;
    insert_in(tx, new, &Place { timeline, source: None, leader: None }, why, now).await
}

/// Inserts a participant that is made from the data of `origin` and leads a timeline of its own,
/// which branches off that one, and its supervisor.
///
/// # Errors
/// When the database does not answer.
pub async fn insert_copy(
    tx: &mut Tx,
    new: &New,
    origin: &Origin,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    let timeline = TimelineId::new();
    timelines::branch(tx, timeline, origin.timeline, None, new.major, now).await?;
    insert_in(tx, new, &Place { timeline, source: Some(origin), leader: None }, why, now).await
}

/// Inserts a participant that is made from the data of `origin` and follows the leader of that
/// timeline, and its supervisor.
///
/// # Errors
/// When the database does not answer.
pub async fn insert_follower(
    tx: &mut Tx,
    new: &New,
    origin: &Origin,
    leader: ParticipantId,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    let place = Place { timeline: origin.timeline, source: Some(origin), leader: Some(leader) };
    insert_in(tx, new, &place, why, now).await
}

/// What a new participant is in which timeline.
struct Place<'a> {
    timeline: TimelineId,
    source: Option<&'a Origin>,
    leader: Option<ParticipantId>,
}

async fn insert_in(
    tx: &mut Tx,
    new: &New,
    place: &Place<'_>,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    let role = if place.leader.is_some() { Role::Follower } else { Role::Leader };
    sqlx::query(
        "insert into participants
             (id, server_id, timeline_id, role, wanted, major, plan, shared, pooled, created_at,
              source, leader_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(new.id.0)
    .bind(new.server_id.0)
    .bind(place.timeline.0)
    .bind(Named(role))
    .bind(Named(Wanted::Present))
    .bind(i16::try_from(new.major.0).unwrap_or(i16::MAX))
    .bind(new.plan.name)
    .bind(new.shared)
    .bind(new.pooled)
    .bind(at(now))
    .bind(place.source.map(sqlx::types::Json))
    .bind(place.leader.map(|id| id.0))
    .execute(&mut **tx)
    .await?;
    machines::insert::<participant::Participant>(tx, new.id.0, why, now).await
}

/// One participant, also when it is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: ParticipantId) -> Result<Option<Participant>> {
    Ok(list(conn, &[id.0]).await?.pop())
}

/// The participants of those ids, also when they are gone.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Connection, ids: &[Uuid]) -> Result<Vec<Participant>> {
    let all = sqlx::query_as(
        "select p.*, m.state, m.since from participants p join machines m using (id)
         where p.id = any($1) order by m.serial",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// Raises the revision of a participant because what its agent is told has changed, and wakes its
/// supervisor. Answers the new revision. Locks the row until the end of the transaction.
///
/// # Errors
/// [`Error::Gone`] when there is none of that id.
pub async fn raise(tx: &mut Tx, id: ParticipantId) -> Result<Revision> {
    let revision = sqlx::query_scalar(
        "update participants set revision = revision + 1 where id = $1 returning revision",
    )
    .bind(id.0)
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::Gone { what: "the participant" })?;
    wakes::insert(tx, &[id.0]).await?;
    Ok(Revision(revision))
}

/// Brings the revision above one that the agent was seen to have: after the platform's database
/// was restored from a backup, agents are ahead of it. Does nothing when it is above already.
///
/// # Errors
/// When the database does not answer.
pub async fn outgrow(tx: &mut Tx, id: ParticipantId, has: Revision) -> Result<()> {
    sqlx::query("update participants set revision = $2 + 1 where id = $1 and revision < $2")
        .bind(id.0)
        .bind(has.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Makes a participant unwanted. The archive of the timeline that it leads is kept until a time.
/// Its revision is to be raised in the same transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn want_absent(tx: &mut Tx, id: ParticipantId, keep_until: Timestamp) -> Result<()> {
    sqlx::query("update participants set wanted = $2 where id = $1")
        .bind(id.0)
        .bind(Named(Wanted::Absent))
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "update timelines t set keep_until = $2
         from participants p where p.id = $1 and p.role = $3 and t.id = p.timeline_id",
    )
    .bind(id.0)
    .bind(at(keep_until))
    .bind(Named(Role::Leader))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a follower lead a new timeline, and wakes its supervisor. Answers its new revision.
///
/// # Errors
/// [`Error::Gone`] when it is no follower.
pub async fn lead(tx: &mut Tx, id: ParticipantId, timeline: TimelineId) -> Result<Revision> {
    let revision = sqlx::query_scalar(
        "update participants
         set role = $3, timeline_id = $2, leader_id = null, epoch = epoch + 1,
             revision = revision + 1
         where id = $1 and role = $4 returning revision",
    )
    .bind(id.0)
    .bind(timeline.0)
    .bind(Named(Role::Leader))
    .bind(Named(Role::Follower))
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::Gone { what: "the follower" })?;
    wakes::insert(tx, &[id.0]).await?;
    Ok(Revision(revision))
}

/// Asks for one more base backup of what a participant leads. Its revision is to be raised in the
/// same transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn want_backup(tx: &mut Tx, id: ParticipantId) -> Result<()> {
    sqlx::query("update participants set backups = backups + 1 where id = $1")
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Asks for one more restore drill of what a participant leads. Its revision is to be raised in the
/// same transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn want_drill(tx: &mut Tx, id: ParticipantId) -> Result<()> {
    sqlx::query("update participants set drills = drills + 1 where id = $1")
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Asks for one more restart, if the participant is still at `felt`: whoever felt the same as
/// somebody before asks for no second one. Answers whether it was asked for now.
///
/// # Errors
/// When the database does not answer.
pub async fn restart(tx: &mut Tx, id: ParticipantId, felt: Revision) -> Result<bool> {
    let asked = sqlx::query(
        "update participants set restarts = restarts + 1, revision = revision + 1
         where id = $1 and revision = $2",
    )
    .bind(id.0)
    .bind(felt.0)
    .execute(&mut **tx)
    .await?;
    Ok(asked.rows_affected() > 0)
}

/// Records that the agent took a revision with `wanted = absent`, and the number of an
/// observation that was made after that. Older news than the recorded is left out.
///
/// # Errors
/// When the database does not answer.
pub async fn told(tx: &mut Tx, id: ParticipantId, revision: Revision, change: u64) -> Result<()> {
    sqlx::query(
        "update participants set told_revision = $2, told_change = $3
         where id = $1 and (told_revision is null or told_revision < $2)",
    )
    .bind(id.0)
    .bind(revision.0)
    .bind(i64::try_from(change).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Records that a participant is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn removed(tx: &mut Tx, id: ParticipantId, now: Timestamp) -> Result<()> {
    sqlx::query("update participants set removed_at = $2, pooled = false where id = $1")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Records where the sockets of participants are. Answers whether any was news.
///
/// # Errors
/// When the database does not answer.
pub async fn socket_dirs(tx: &mut Tx, dirs: &[(ParticipantId, String)]) -> Result<bool> {
    let (ids, dirs): (Vec<_>, Vec<_>) = dirs.iter().map(|(id, dir)| (id.0, dir.as_str())).unzip();
    let changed = sqlx::query(
        "update participants p set socket_dir = seen.dir
         from unnest($1::uuid[], $2::text[]) as seen (id, dir)
         where p.id = seen.id and p.socket_dir is distinct from seen.dir",
    )
    .bind(ids)
    .bind(dirs)
    .execute(&mut **tx)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// Those of the given participants that have been removed: an agent that still has one was told
/// too late, and is told again.
///
/// # Errors
/// When the database does not answer.
pub async fn list_removed(
    conn: &mut Connection,
    ids: &[ParticipantId],
) -> Result<Vec<ParticipantId>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let removed: Vec<Uuid> = sqlx::query_scalar(
        "select id from participants where id = any($1) and removed_at is not null order by id",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(removed.into_iter().map(ParticipantId).collect())
}
