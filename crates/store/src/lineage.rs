//! How databases come from each other: followers, copies, and those that can be brought back.

use howdah_model::agent::{Incarnation, Wanted};
use howdah_model::ids::{AccountId, AppId, DatabaseId, ParticipantId, TimelineId};
use howdah_model::name::AddonName;
use howdah_model::operation::Operation;
use howdah_model::operation::provision::How;
use jiff::Timestamp;
use sqlx::Row;

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::credentials::Credential;
use crate::databases::{Database, Placed, plan_of};
use crate::error::{Error, Result};
use howdah_model::plan::Plan;
use sqlx::FromRow as _;

/// The databases that follow one, with where they live, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn followers(conn: &mut Connection, leader: DatabaseId) -> Result<Vec<Placed>> {
    Ok(sqlx::query_as(
        "select d.*, m.state, m.since, p.server_id, p.removed_at is not null as participant_removed
         from databases d join machines m using (id)
         left join participants p on p.id = d.participant_id
         where d.follows_id = $1 and d.wanted = $2 order by m.serial",
    )
    .bind(leader.0)
    .bind(Named(Wanted::Present))
    .fetch_all(conn)
    .await?)
}

/// The databases that were made from the data of one and do not follow it, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn copies(conn: &mut Connection, source: DatabaseId) -> Result<Vec<Database>> {
    Ok(sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.origin_id = $1 and d.follows_id is null and d.wanted = $2 order by m.serial",
    )
    .bind(source.0)
    .bind(Named(Wanted::Present))
    .fetch_all(conn)
    .await?)
}

/// The role of a follower that its leader's database must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerRole {
    /// The database that is followed.
    pub leader: DatabaseId,
    /// The follower's plan, which limits its sessions.
    pub plan: &'static Plan,
    /// The follower's credential.
    pub credential: Credential,
}

/// The roles of all followers of the databases of a participant, oldest first. A follower counts
/// as soon as it has been placed.
///
/// # Errors
/// When the database does not answer.
pub async fn follower_roles(
    conn: &mut Connection,
    leader: ParticipantId,
) -> Result<Vec<FollowerRole>> {
    let rows = sqlx::query(
        "select c.*, d.follows_id, d.plan
         from databases l
         join databases d on d.follows_id = l.id
         join credentials c on c.database_id = d.id and c.revoked_at is null
         where l.participant_id = $1 and l.wanted = $2 and d.wanted = $2
           and d.participant_id is not null
         order by c.created_at, c.role",
    )
    .bind(leader.0)
    .bind(Named(Wanted::Present))
    .fetch_all(conn)
    .await?;
    let read = rows.iter().map(|row| {
        Ok(FollowerRole {
            leader: row.id("follows_id")?,
            plan: plan_of(row)?,
            credential: Credential::from_row(row)?,
        })
    });
    Ok(read.collect::<sqlx::Result<_>>()?)
}

/// Lets a follower be a database of its own: its data has it under its own name, and the
/// incarnation `seen` is there.
///
/// # Errors
/// When the database does not answer.
pub async fn lead(tx: &mut Tx, id: DatabaseId, seen: Option<Incarnation>) -> Result<()> {
    sqlx::query(
        "update databases set adopts = name, incarnation = greatest(incarnation, $2) where id = $1",
    )
    .bind(id.0)
    .bind(seen.map(|incarnation| incarnation.0))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends what is between a follower and its leader.
///
/// # Errors
/// When the database does not answer.
pub async fn part(tx: &mut Tx, id: DatabaseId) -> Result<()> {
    sqlx::query("update databases set follows_id = null where id = $1")
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A database that was destroyed, with what is needed to bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// Its row.
    pub database: Database,
    /// The timeline that its data is in; none when it was never placed.
    pub timeline: Option<TimelineId>,
    /// Whether the archive of that is gone.
    pub erased: bool,
    /// The incarnation that it was in.
    pub incarnation: Incarnation,
    /// Its attachments, as they were written when it was withdrawn.
    pub names: serde_json::Value,
}

/// The database of an app that was destroyed last under an add-on name or as an id. Those that were
/// never given to the app do not count.
///
/// # Errors
/// When the database does not answer.
pub async fn destroyed(
    conn: &mut Connection,
    app: AppId,
    name_or_id: &str,
) -> Result<Option<Destroyed>> {
    let row = sqlx::query(
        "select d.*, m.state, m.since, p.timeline_id, t.erased_at
         from databases d
         join machines m using (id)
         left join participants p on p.id = d.participant_id
         left join timelines t on t.id = p.timeline_id
         where d.app_id = $1 and d.wanted = $3 and d.withdrawn_at is not null
           and (d.addon_name = $2 or d.id::text = lower($2))
           and exists (select from operations o join releases r on r.operation_id = o.id
                       where o.database_id = d.id and o.kind = $4)
         order by d.withdrawn_at desc limit 1",
    )
    .bind(app.0)
    .bind(name_or_id)
    .bind(Named(Wanted::Absent))
    .bind(Named(Operation::Provision))
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let read = || -> sqlx::Result<Destroyed> {
        Ok(Destroyed {
            database: Database::from_row(&row)?,
            timeline: row.id_or_null("timeline_id")?,
            erased: row.time_or_null("erased_at")?.is_some(),
            incarnation: Incarnation(
                row.try_get::<Option<i32>, _>("kept_incarnation")?.unwrap_or(1),
            ),
            names: row.try_get::<Option<_>, _>("kept_names")?.unwrap_or_default(),
        })
    };
    Ok(Some(read()?))
}

/// Gives the credentials that a destroyed database had at its end to another. An attempt to bring
/// it back that came to nothing may have them.
///
/// # Errors
/// [`Error::Gone`] when they have been given away already.
pub async fn inherit_credentials(tx: &mut Tx, from: DatabaseId, to: DatabaseId) -> Result<()> {
    let moved = sqlx::query(
        "update credentials c set database_id = $2, revoked_at = null
         from databases d
         where (d.id = $1 or (d.origin_id = $1 and d.origin = $3))
           and c.database_id = d.id and c.revoked_at = d.withdrawn_at
           and c.name not like 'link:%'",
    )
    .bind(from.0)
    .bind(to.0)
    .bind(Named(How::Undelete))
    .execute(&mut **tx)
    .await?;
    match moved.rows_affected() {
        0 => Err(Error::Gone { what: "the credential of the destroyed database" }),
        _ => Ok(()),
    }
}

/// The newest database of a name or id that could not be made since a time, of an app that the
/// account may see.
///
/// # Errors
/// When the database does not answer.
pub async fn not_made(
    conn: &mut Connection,
    account: AccountId,
    name_or_id: &str,
    since: Timestamp,
) -> Result<Option<(AddonName, howdah_model::ids::OperationId)>> {
    let row = sqlx::query(
        "select d.addon_name, o.id
         from databases d
         join operations o on o.database_id = d.id and o.kind = $4
         join machines m on m.id = o.id
         join apps a on a.id = d.app_id and a.destroyed_at is null
         where (d.addon_name = $2 or d.id::text = lower($2)) and d.wanted = $5
           and m.state in ('undoing', 'undone', 'needs_operator')
           and d.withdrawn_at > $3
           and (a.owner_id = $1 or exists (select from collaborators c
                    where c.app_id = a.id and c.account_id = $1))
         order by d.created_at desc limit 1",
    )
    .bind(account.0)
    .bind(name_or_id)
    .bind(at(since))
    .bind(Named(Operation::Provision))
    .bind(Named(Wanted::Absent))
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok((row.named("addon_name")?, row.id("id")?))).transpose()
}

/// The database that a role opens, unless it was revoked.
///
/// # Errors
/// When the database does not answer.
pub async fn opened_by(
    conn: &mut Connection,
    role: &str,
    name: &str,
) -> Result<Option<DatabaseId>> {
    let found: Option<uuid::Uuid> = sqlx::query_scalar(
        "select d.id from credentials c join databases d on d.id = c.database_id
         where (c.role = $1 or exists (select from logins l where l.credential_id = c.id
                    and l.role = $1 and l.revoked_at is null))
           and coalesce(d.known_as, d.name) = $2 and c.revoked_at is null",
    )
    .bind(role)
    .bind(name)
    .fetch_optional(conn)
    .await?;
    Ok(found.map(DatabaseId))
}

/// When a database was given to its app: from then on its history has it.
///
/// # Errors
/// When the database does not answer.
pub async fn published_at(conn: &mut Connection, id: DatabaseId) -> Result<Option<Timestamp>> {
    let at: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "select min(r.created_at) from operations o join releases r on r.operation_id = o.id
         where o.database_id = $1 and o.kind = $2",
    )
    .bind(id.0)
    .bind(Named(Operation::Provision))
    .fetch_one(conn)
    .await?;
    Ok(at.map(jiff_sqlx::Timestamp::to_jiff))
}
