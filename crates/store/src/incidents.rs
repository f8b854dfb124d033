//! Incidents: what went wrong with the protection of data, and for how long.

use howdah_model::ids::{AccountId, DatabaseId, IncidentId, ParticipantId, ServerId};
use howdah_model::incident::Kind;
use howdah_model::name::{AddonName, AppName};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named, at};
use crate::connection::{Connection, Tx};
use crate::error::Result;

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Which kind.
    pub kind: Kind,
    /// The participant that it is about; none when it is about the whole server.
    pub participant_id: Option<ParticipantId>,
    /// The server.
    pub server_id: ServerId,
    /// What, for people.
    pub what: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Incident {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            kind: row.named("kind")?,
            participant_id: row.id_or_null("participant_id")?,
            server_id: row.id("server_id")?,
            what: row.try_get("what")?,
            began_at: row.time("began_at")?,
            ended_at: row.time_or_null("ended_at")?,
        })
    }
}

/// A database that an incident is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The database.
    pub id: DatabaseId,
    /// Its name as an add-on.
    pub name: AddonName,
    /// The app that owns it.
    pub app: AppName,
}

/// Those that are not over, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_open(conn: &mut Connection) -> Result<Vec<Incident>> {
    Ok(sqlx::query_as("select * from incidents where ended_at is null order by began_at, id")
        .fetch_all(conn)
        .await?)
}

/// Those of a database that are not over, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_open_of(conn: &mut Connection, database: DatabaseId) -> Result<Vec<Incident>> {
    Ok(sqlx::query_as(
        "select i.* from incidents i
         join databases d on d.id = $1
         join participants p on p.id = d.participant_id
         where i.ended_at is null
           and (i.participant_id = p.id or (i.participant_id is null and i.server_id = p.server_id))
         order by i.began_at, i.id",
    )
    .bind(database.0)
    .fetch_all(conn)
    .await?)
}

/// The newest incidents of the databases of apps that an account may see, newest first, each with
/// those databases.
///
/// # Errors
/// When the database does not answer.
pub async fn list_visible(
    conn: &mut Connection,
    account: AccountId,
    limit: u32,
) -> Result<Vec<(Incident, Vec<Concerned>)>> {
    let rows = sqlx::query(
        "select i.*, d.id as database_id, d.addon_name, a.name as app_name
         from incidents i
         join participants p
           on p.id = i.participant_id or (i.participant_id is null and p.server_id = i.server_id)
         join databases d on d.participant_id = p.id
              and (d.withdrawn_at is null or d.withdrawn_at > i.began_at)
              and (i.ended_at is null or d.created_at < i.ended_at)
         join apps a on a.id = d.app_id
         where a.destroyed_at is null
           and (a.owner_id = $1 or exists (select from collaborators c
                    where c.app_id = a.id and c.account_id = $1))
         order by i.began_at desc, i.id desc, d.addon_name limit $2",
    )
    .bind(account.0)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let mut all: Vec<(Incident, Vec<Concerned>)> = Vec::new();
    for row in rows {
        let incident = Incident::from_row(&row)?;
        let concerned = Concerned {
            id: row.id("database_id")?,
            name: row.named("addon_name")?,
            app: row.named("app_name")?,
        };
        match all.last_mut() {
            Some((last, others)) if last.id == incident.id => others.push(concerned),
            Some(_) | None => all.push((incident, vec![concerned])),
        }
    }
    Ok(all)
}

/// Opens an incident, or says anew what one of the kind that is open is about. Answers whether it
/// is a new one.
///
/// # Errors
/// When the database does not answer.
pub async fn open(tx: &mut Tx, new: &Incident) -> Result<bool> {
    let new: bool = sqlx::query_scalar(
        "insert into incidents (id, kind, participant_id, server_id, what, began_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (server_id, coalesce(participant_id, server_id), kind)
             where ended_at is null
         do update set what = excluded.what
         returning id = $1",
    )
    .bind(new.id.0)
    .bind(Named(new.kind))
    .bind(new.participant_id.map(|id| id.0))
    .bind(new.server_id.0)
    .bind(&new.what)
    .bind(at(new.began_at))
    .fetch_one(&mut **tx)
    .await?;
    Ok(new)
}

/// Records that an incident is over.
///
/// # Errors
/// When the database does not answer.
pub async fn close(tx: &mut Tx, id: IncidentId, now: Timestamp) -> Result<()> {
    sqlx::query("update incidents set ended_at = $2 where id = $1 and ended_at is null")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes those that were over before a time.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(tx: &mut Tx, before: Timestamp) -> Result<()> {
    sqlx::query("delete from incidents where ended_at < $1")
        .bind(at(before))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
