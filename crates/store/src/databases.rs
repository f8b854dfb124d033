//! Databases: what customers bought. Their names stay reserved for ever.

use howdah_model::agent::{Incarnation, Revision, Wanted};
use howdah_model::database::{self, State};
use howdah_model::ids::{AppId, DatabaseId, ParticipantId, ServerId, TransferId};
use howdah_model::name::{AddonName, DatabaseName};
use howdah_model::operation::provision::How;
use howdah_model::plan::{self, Plan};
use howdah_model::version::Major;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::{Error, Result};
use crate::{machines, wakes};

/// A database, and where its supervisor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its id: also the add-on's.
    pub id: DatabaseId,
    /// The name of the add-on.
    pub addon_name: AddonName,
    /// The app that owns it.
    pub app_id: AppId,
    /// Its plan.
    pub plan: &'static Plan,
    /// Its major version of PostgreSQL.
    pub major: Major,
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// Where it lives, once it has been placed.
    pub participant_id: Option<ParticipantId>,
    /// Its name within PostgreSQL.
    pub name: DatabaseName,
    /// The name by which clients open it, where that is another one.
    pub known_as: Option<DatabaseName>,
    /// The incarnation that is wanted; a reset makes the next one.
    pub incarnation: Incarnation,
    /// The revision of its participant that carries its newest change.
    pub revision: Revision,
    /// Created in it when an incarnation is made, by name.
    pub extensions: Vec<String>,
    /// The transfer that has filled what is to be its incarnation, if one has.
    pub filled: Option<TransferId>,
    /// The database that it follows now.
    pub follows: Option<DatabaseId>,
    /// The name that it has in the data that it was made from.
    pub adopts: Option<DatabaseName>,
    /// From which database it was made, if from any.
    pub origin: Option<Origin>,
    /// Since when it is not wanted any more.
    pub withdrawn_at: Option<Timestamp>,
    /// Until when it can be brought back, once it is not wanted.
    pub keep_until: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was gone.
    pub removed_at: Option<Timestamp>,
    /// Where its supervisor is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

/// From which database another was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// As what.
    pub how: How,
    /// From which.
    pub id: DatabaseId,
    /// How people knew that one at the time.
    pub name: String,
}

impl FromRow<'_, PgRow> for Database {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            addon_name: row.named("addon_name")?,
            app_id: row.id("app_id")?,
            plan: plan_of(row)?,
            major: row.major("major")?,
            wanted: row.named("wanted")?,
            participant_id: row.id_or_null("participant_id")?,
            name: row.named("name")?,
            known_as: row.try_get::<Option<Named<_>>, _>("known_as")?.map(|name| name.0),
            incarnation: Incarnation(row.try_get("incarnation")?),
            revision: Revision(row.try_get("revision")?),
            extensions: row.try_get("extensions")?,
            filled: row.id_or_null("filled_by")?,
            follows: row.id_or_null("follows_id")?,
            adopts: row.try_get::<Option<Named<_>>, _>("adopts")?.map(|name| name.0),
            origin: origin(row)?,
            withdrawn_at: row.time_or_null("withdrawn_at")?,
            keep_until: row.time_or_null("keep_until")?,
            created_at: row.time("created_at")?,
            removed_at: row.time_or_null("removed_at")?,
            state: row.named("state")?,
            since: row.time("since")?,
        })
    }
}

fn origin(row: &PgRow) -> sqlx::Result<Option<Origin>> {
    let Some(id) = row.id_or_null("origin_id")? else {
        return Ok(None);
    };
    let name = row.try_get::<Option<String>, _>("origin_name")?.unwrap_or_default();
    Ok(Some(Origin { how: row.named("origin")?, id, name }))
}

/// Reads the column `plan`.
pub(crate) fn plan_of(row: &PgRow) -> sqlx::Result<&'static Plan> {
    plan::find(row.try_get("plan")?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What a new database is made from.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Its id.
    pub id: DatabaseId,
    /// The name of the add-on.
    pub addon_name: &'a AddonName,
    /// The app that owns it.
    pub app_id: AppId,
    /// Its plan.
    pub plan: &'static Plan,
    /// Its major version of PostgreSQL.
    pub major: Major,
    /// Its name within PostgreSQL.
    pub name: &'a DatabaseName,
    /// What it has of another; none for an empty one.
    pub inherits: Option<Inherits<'a>>,
}

/// What a new database has of another.
#[derive(Clone, Debug)]
pub struct Inherits<'a> {
    /// From which database it is made.
    pub origin: &'a Origin,
    /// The name that it has in the data, unless it only follows.
    pub adopts: Option<&'a DatabaseName>,
    /// The name by which clients open it, where that is another one.
    pub known_as: Option<&'a DatabaseName>,
    /// The incarnation that is in the data.
    pub incarnation: Incarnation,
}

/// Inserts a database that is wanted and not placed yet, and its supervisor.
///
/// # Errors
/// A conflict with `databases_addon_name_key` when the name is taken.
pub async fn insert(tx: &mut Tx, new: &New<'_>, now: Timestamp) -> Result<()> {
    let origin = new.inherits.as_ref().map(|other| other.origin);
    sqlx::query(
        "insert into databases (id, addon_name, app_id, plan, major, wanted, name, created_at,
                                incarnation, follows_id, adopts, origin, origin_id, origin_name,
                                known_as)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(new.id.0)
    .bind(new.addon_name.as_str())
    .bind(new.app_id.0)
    .bind(new.plan.name)
    .bind(i16::try_from(new.major.0).unwrap_or(i16::MAX))
    .bind(Named(Wanted::Present))
    .bind(new.name.as_str())
    .bind(at(now))
    .bind(new.inherits.as_ref().map_or(1, |other| other.incarnation.0))
    .bind(origin.filter(|origin| origin.how == How::Follow).map(|origin| origin.id.0))
    .bind(new.inherits.as_ref().and_then(|other| other.adopts).map(DatabaseName::as_str))
    .bind(origin.map(|origin| Named(origin.how)))
    .bind(origin.map(|origin| origin.id.0))
    .bind(origin.map(|origin| origin.name.as_str()))
    .bind(new.inherits.as_ref().and_then(|other| other.known_as).map(DatabaseName::as_str))
    .execute(&mut **tx)
    .await?;
    machines::insert::<database::Database>(tx, new.id.0, "it was asked for", now).await
}

/// One database, also when it is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Connection, id: DatabaseId) -> Result<Option<Database>> {
    let found = sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id) where d.id = $1",
    )
    .bind(id.0)
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// One database, locked until the end of the transaction.
///
/// # Errors
/// [`Error::Gone`] when there is none of that id.
pub async fn lock(tx: &mut Tx, id: DatabaseId) -> Result<Database> {
    sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.id = $1 for no key update of d",
    )
    .bind(id.0)
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::Gone { what: "the database" })
}

/// The database with that add-on name that is not gone.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut Connection, addon_name: &AddonName) -> Result<Option<Database>> {
    let found = sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.addon_name = $1 and d.removed_at is null",
    )
    .bind(addon_name.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(found)
}

/// The databases that an app owns and that are not gone, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_of_app(conn: &mut Connection, app: AppId) -> Result<Vec<Database>> {
    let all = sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.app_id = $1 and d.removed_at is null order by m.serial",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?;
    Ok(all)
}

/// Gives the add-on another name.
///
/// # Errors
/// A conflict with `databases_addon_name_key` when it is taken; [`Error::Gone`] when the database
/// is.
pub async fn rename(tx: &mut Tx, id: DatabaseId, addon_name: &AddonName) -> Result<()> {
    let renamed =
        sqlx::query("update databases set addon_name = $2 where id = $1 and removed_at is null")
            .bind(id.0)
            .bind(addon_name.as_str())
            .execute(&mut **tx)
            .await?;
    if renamed.rows_affected() == 0 {
        return Err(Error::Gone { what: "the database" });
    }
    Ok(())
}

/// A database with where it lives: what its supervisor looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The database.
    pub database: Database,
    /// The server of its participant, once it has been placed.
    pub server_id: Option<ServerId>,
    /// Whether its participant is gone.
    pub participant_removed: bool,
}

impl FromRow<'_, PgRow> for Placed {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            database: Database::from_row(row)?,
            server_id: row.id_or_null("server_id")?,
            participant_removed: row.try_get("participant_removed")?,
        })
    }
}

/// The databases of those ids, also when they are gone.
///
/// # Errors
/// When the database does not answer.
pub async fn list_placed(conn: &mut Connection, ids: &[Uuid]) -> Result<Vec<Placed>> {
    Ok(sqlx::query_as(
        "select d.*, m.state, m.since, p.server_id, p.removed_at is not null as participant_removed
         from databases d join machines m using (id)
         left join participants p on p.id = d.participant_id
         where d.id = any($1) order by m.serial",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?)
}

/// All databases that are not gone, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_live(conn: &mut Connection) -> Result<Vec<Placed>> {
    Ok(sqlx::query_as(
        "select d.*, m.state, m.since, p.server_id, p.removed_at is not null as participant_removed
         from databases d join machines m using (id)
         left join participants p on p.id = d.participant_id
         where d.removed_at is null order by m.serial",
    )
    .fetch_all(conn)
    .await?)
}

/// The databases that a participant shall have, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_wanted(
    conn: &mut Connection,
    participant: ParticipantId,
) -> Result<Vec<Database>> {
    Ok(sqlx::query_as(
        "select d.*, m.state, m.since from databases d join machines m using (id)
         where d.participant_id = $1 and d.wanted = $2 order by m.serial",
    )
    .bind(participant.0)
    .bind(Named(Wanted::Present))
    .fetch_all(conn)
    .await?)
}

/// What the next incarnation of a database is made of.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Nothing but these extensions.
    Extensions(&'a [String]),
    /// What a transfer has filled.
    Filled(TransferId),
}

/// Wants the next incarnation of a database. `revision` is the participant's that carries it.
///
/// # Errors
/// When the database does not answer.
pub async fn want_incarnation(
    tx: &mut Tx,
    id: DatabaseId,
    revision: Revision,
    content: Content<'_>,
) -> Result<Incarnation> {
    let (extensions, filled) = match content {
        Content::Extensions(extensions) => (extensions, None),
        Content::Filled(transfer) => (&[] as &[String], Some(transfer)),
    };
    let incarnation = sqlx::query_scalar(
        "update databases set incarnation = incarnation + 1, revision = $2, extensions = $3,
                              filled_by = $4
         where id = $1 returning incarnation",
    )
    .bind(id.0)
    .bind(revision.0)
    .bind(extensions)
    .bind(filled.map(|transfer| transfer.0))
    .fetch_one(&mut **tx)
    .await?;
    Ok(Incarnation(incarnation))
}

/// What is remembered of a database that is not wanted any more.
#[derive(Clone, Debug)]
pub struct Withdrawn {
    /// The revision of its participant that is without it; none when it was never placed.
    pub revision: Option<Revision>,
    /// The incarnation that was there, if that was seen.
    pub incarnation: Option<Incarnation>,
    /// Its attachments, to be made again with it.
    pub names: serde_json::Value,
    /// Until when it can be brought back.
    pub keep_until: Option<Timestamp>,
}

/// Makes a database unwanted.
///
/// # Errors
/// When the database does not answer.
pub async fn withdraw(
    tx: &mut Tx,
    id: DatabaseId,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "update databases
         set wanted = $2, revision = coalesce($3, revision), withdrawn_at = $4,
             kept_incarnation = coalesce($5, incarnation), kept_names = $6, keep_until = $7
         where id = $1",
    )
    .bind(id.0)
    .bind(Named(Wanted::Absent))
    .bind(withdrawn.revision.map(|revision| revision.0))
    .bind(at(now))
    .bind(withdrawn.incarnation.map(|incarnation| incarnation.0))
    .bind(&withdrawn.names)
    .bind(withdrawn.keep_until.map(at))
    .execute(&mut **tx)
    .await?;
    wakes::insert(tx, &[id.0]).await
}

/// Records that a database is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn removed(tx: &mut Tx, id: DatabaseId, now: Timestamp) -> Result<()> {
    sqlx::query("update databases set removed_at = $2 where id = $1")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
