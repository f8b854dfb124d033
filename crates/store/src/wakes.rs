//! Wakes: machines that something has changed for. To wake a machine takes no lock on it, so that
//! machines which wake each other cannot wait for each other in a circle.

use howdah_model::ids::{DatabaseId, ParticipantId, ServerId, TransferId};
use howdah_model::name::DatabaseName;
use uuid::Uuid;

use crate::connection::Tx;
use crate::error::Result;
use crate::machines::DUE;

/// Makes machines due at once, even if a worker looks at them at this moment. Those at their end
/// and ids without a machine are left alone.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut Tx, ids: &[Uuid]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into wakes (machine_id) select id from machines where id = any($1) and not over",
    )
    .bind(ids)
    .execute(&mut **tx)
    .await?;
    notify(tx).await
}

/// What has changed in the world, for [`insert_for`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Servers that came back or went away: all that is on them fares otherwise.
    pub servers: Vec<ServerId>,
    /// Participants that fare otherwise.
    pub participants: Vec<ParticipantId>,
    /// Participants whose databases all fare otherwise, as the instance came or went.
    pub with_databases: Vec<ParticipantId>,
    /// Participants that applied a newer spec: what was to go from them may be gone.
    pub applied: Vec<ParticipantId>,
    /// Single databases that came, went or were emptied, by their names within PostgreSQL.
    pub databases: Vec<DatabaseName>,
    /// Transfers that fare otherwise.
    pub transfers: Vec<TransferId>,
}

impl Changed {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in another change.
    pub fn add(&mut self, other: Self) {
        self.servers.extend(other.servers);
        self.participants.extend(other.participants);
        self.with_databases.extend(other.with_databases);
        self.applied.extend(other.applied);
        self.databases.extend(other.databases);
        self.transfers.extend(other.transfers);
    }
}

/// Wakes exactly the machines that a change concerns: participants, databases, and the unfinished
/// operations on those databases.
///
/// # Errors
/// When the database does not answer.
pub async fn insert_for(tx: &mut Tx, changed: &Changed) -> Result<()> {
    let ids = |all: &[ParticipantId]| all.iter().map(|id| id.0).collect::<Vec<_>>();
    sqlx::query(
        "with housed as (
             select id from participants where removed_at is null and server_id = any($1)
         ), touched as (
             select id from databases
             where removed_at is null
               and (participant_id = any($3) or participant_id in (select id from housed)
                    or (participant_id = any($4) and wanted = 'absent')
                    or (participant_id is null and cardinality($1) > 0)
                    or name = any($5))
         )
         insert into wakes (machine_id)
         select id from machines where not over and id in (
             select id from housed union select unnest($2) union select unnest($6) union select id from touched union
             select id from operations
             where finished_at is null and database_id in (select id from touched)
             union select o.id from operations o join databases d on d.id = o.database_id
             left join databases l on l.id = d.follows_id
             where o.finished_at is null and o.kind = 'rotate'
               and coalesce(l.participant_id, d.participant_id) = any($4)
         )",
    )
    .bind(changed.servers.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(ids(&changed.participants))
    .bind(ids(&changed.with_databases))
    .bind(ids(&changed.applied))
    .bind(changed.databases.iter().map(DatabaseName::as_str).collect::<Vec<_>>())
    .bind(changed.transfers.iter().map(|id| id.0).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    notify(tx).await
}

/// Wakes the supervisors of all databases of a participant that are not gone.
///
/// # Errors
/// When the database does not answer.
pub async fn insert_for_databases(tx: &mut Tx, participant: ParticipantId) -> Result<()> {
    let changed = Changed { with_databases: vec![participant], ..Changed::default() };
    insert_for(tx, &changed).await
}

/// Wakes the unfinished operations on a database.
///
/// # Errors
/// When the database does not answer.
pub async fn insert_for_operations(tx: &mut Tx, database: DatabaseId) -> Result<()> {
    sqlx::query(
        "insert into wakes (machine_id)
         select id from operations where database_id = $1 and finished_at is null",
    )
    .bind(database.0)
    .execute(&mut **tx)
    .await?;
    notify(tx).await
}

pub(crate) async fn notify(tx: &mut Tx) -> Result<()> {
    sqlx::query("select pg_notify($1, '')").bind(DUE).execute(&mut **tx).await?;
    Ok(())
}

pub(crate) async fn forget(tx: &mut Tx, id: Uuid) -> Result<()> {
    sqlx::query("delete from wakes where machine_id = $1").bind(id).execute(&mut **tx).await?;
    Ok(())
}

/// Removes wakes that came when their machine was at its end already.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(tx: &mut Tx) -> Result<()> {
    sqlx::query(
        "delete from wakes where id in (
             select w.id from wakes w join machines m on m.id = w.machine_id
             where m.over for update of w skip locked
         )",
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
