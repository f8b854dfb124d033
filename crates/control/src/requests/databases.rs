//! What is asked of a database that is there: its figures, its credentials, to be emptied.

use std::time::Duration;

use anyhow::Context as _;
use howdah_model::agent::{DatabaseLook, ParticipantObservation};
use howdah_model::ids::{AccountId, CredentialId, DatabaseId, OperationId};
use howdah_model::name::RoleName;
use howdah_model::operation::{Operation, Outcome, reset as asked};
use howdah_model::secret::Secret;
use howdah_model::size::Bytes;
use howdah_model::version::Version;
use howdah_store::addons::Addon;
use howdah_store::credentials::{self, Credential};
use howdah_store::databases::{self, Database};
use howdah_store::operations::{self, New};
use howdah_store::participants::{self, Participant};
use howdah_store::servers::{self, Server};
use howdah_store::{Connection, observations};
use tokio::time::timeout;

use super::addons::check_owned;
use super::error::{Error, Noun, Result};
use super::{begin, config};
use crate::Control;
use crate::servers::Terminate;

pub use howdah_store::credentials::DEFAULT;

/// How long a live look may take before the newest one that is known has to do.
const LIVE: Duration = Duration::from_secs(1);

/// How long a reset is waited for: clients give up after 60 s.
const PATIENCE: Duration = Duration::from_secs(50);

/// How many observations are looked through for one with figures: while a database is not
/// available they have none.
const RECENT: u32 = 100;

/// A credential as its owner sees it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its id.
    pub id: CredentialId,
    /// Its name among those of the database.
    pub name: String,
    /// Its role within PostgreSQL.
    pub role: RoleName,
    /// Its password, in clear.
    pub password: Secret,
    /// The database within PostgreSQL.
    pub database: String,
    /// The gateway's host.
    pub host: String,
    /// The gateway's port.
    pub port: u16,
}

impl Shown {
    fn new(control: &Control, addon: &Addon, credential: Credential) -> Result<Self> {
        let Credential { id, name, role, password, .. } = credential;
        let password = control.keyring().open_text(config::CREDENTIAL, id, &password)?;
        let (host, port) = (control.config().gateway_host.clone(), control.config().gateway_port);
        let database = addon.database_name.to_string();
        Ok(Self { id, name, role, password, database, host, port })
    }

    /// The URL that opens the database (C9). It holds the password.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { role, password, host, port, database, .. } = self;
        format!("postgres://{role}:{}@{host}:{port}/{database}", password.reveal())
    }
}

/// The credentials of a database, the default first.
///
/// # Errors
/// When a password cannot be decrypted, or the platform's database does not answer.
pub async fn credentials(
    control: &Control,
    conn: &mut Connection,
    addon: &Addon,
) -> Result<Vec<Shown>> {
    let all = credentials::list(conn, addon.id).await?;
    all.into_iter().map(|credential| Shown::new(control, addon, credential)).collect()
}

/// One credential of a database.
///
/// # Errors
/// [`Error::NotFound`] when the database has none of that name.
pub async fn credential(
    control: &Control,
    conn: &mut Connection,
    addon: &Addon,
    name: &str,
) -> Result<Shown> {
    let found = credentials::find(conn, addon.id, name).await?;
    Shown::new(control, addon, found.ok_or(Error::NotFound(Noun::Credential))?)
}

/// What was seen of a database.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The newest figures, if there ever were any.
    pub look: Option<DatabaseLook>,
    /// The version that runs, when it is known.
    pub version: Option<Version>,
    /// The memory that its participant is set up for, when that is less than the plan's.
    pub memory: Option<Bytes>,
    /// What stands in the way of its participant, for people.
    pub warning: Option<String>,
}

/// Where a database lives.
struct Place {
    database: Database,
    participant: Participant,
    server: Server,
}

async fn place(conn: &mut Connection, id: DatabaseId) -> Result<Option<Place>> {
    let Some(database) = databases::get(conn, id).await? else {
        return Ok(None);
    };
    let Some(participant) = database.participant_id else {
        return Ok(None);
    };
    let Some(participant) = participants::get(conn, participant).await? else {
        return Ok(None);
    };
    let server = servers::get(conn, participant.server_id).await?;
    Ok(server.map(|server| Place { database, participant, server }))
}

/// The newest figures in the history of a database.
async fn newest_look(conn: &mut Connection, id: DatabaseId) -> Result<Option<DatabaseLook>> {
    let history = observations::list(conn, id, RECENT).await?;
    Ok(history.iter().find_map(|seen| {
        Some(DatabaseLook {
            at: seen.at,
            connections: seen.connections?,
            size_bytes: seen.size_bytes?,
            row_count: seen.row_count?,
            table_count: seen.table_count?,
            seq_scans: seen.seq_scans?,
            index_scans: seen.index_scans?,
        })
    }))
}

/// Looks at a database now, for at most a second; when that does not answer, the newest look that
/// is known is taken.
///
/// # Errors
/// Only when the platform's database does not answer.
pub async fn look(control: &Control, id: DatabaseId) -> Result<Seen> {
    let mut conn = control.reader().get().await?;
    let place = place(&mut conn, id).await?;
    let newest = newest_look(&mut conn, id).await?;
    drop(conn);
    let Some(place) = place else {
        return Ok(Seen { look: newest, ..Seen::default() });
    };
    let Place { database, participant, server } = &place;
    let live = control.servers().look(server, participant.id, &database.name);
    let live = timeout(LIVE, live).await.ok().and_then(|answer| answer.ok());
    let sighting = control.sightings().last(server.id);
    let seen = sighting.as_ref().and_then(|one| one.participants.get(&participant.id));
    let known = |one: &ParticipantObservation| one.databases.get(&database.name)?.look.clone();
    let look = live.or_else(|| seen.and_then(known)).or(newest);
    Ok(Seen {
        look,
        version: seen.and_then(|one| one.version),
        memory: None,
        warning: seen.and_then(|one| one.error.clone()),
    })
}

/// Ends all sessions of a database's tenants, and answers how many (D23).
///
/// # Errors
/// [`Error::Forbidden`] for those who may only use it; [`Error::Unavailable`] when the agent of its
/// server does not answer.
pub async fn end_sessions(control: &Control, addon: &Addon) -> Result<u32> {
    check_owned(addon)?;
    let mut conn = control.reader().get().await?;
    let place = place(&mut conn, addon.id).await?;
    drop(conn);
    let Some(Place { database, participant, server }) = place else {
        return Ok(0);
    };
    let all = Terminate { pid: None, only_cancel: false };
    let ended = control.servers().terminate(&server, participant.id, &database.name, all).await;
    ended.map_err(|failure| {
        Error::Unavailable(format!(
            "The sessions of {} could not be ended: {failure}. Try again.",
            addon.name
        ))
    })
}

/// How far a reset came while it was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The database is empty.
    Done,
    /// It is still at work.
    Running,
}

/// Empties a database (D29): same URL and credentials, nothing in it but the given extensions.
///
/// # Errors
/// [`Error::Invalid`] when an extension is not one; [`Error::Conflict`] when it is being made or
/// reset.
pub async fn reset(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    extensions: Vec<String>,
) -> Result<Reset> {
    check_owned(addon)?;
    let arguments = asked::Arguments { extensions };
    let new = New {
        id: OperationId::new(),
        kind: Operation::Reset,
        database_id: addon.id,
        app_id: addon.app_id,
        account_id: Some(account),
        arguments: serde_json::to_value(arguments).context("write the arguments of a reset")?,
    };
    let mut tx = control.store().begin().await?;
    begin(&mut tx, &new, addon.name.as_str(), control.now()).await?;
    tx.commit().await?;
    control.wait_for_operation(new.id, PATIENCE).await?;
    let mut conn = control.reader().get().await?;
    let outcome = operations::get(&mut conn, new.id).await?.map(|operation| operation.outcome);
    match outcome {
        Some(Outcome::Done) => Ok(Reset::Done),
        Some(Outcome::Running) => Ok(Reset::Running),
        Some(Outcome::Undone | Outcome::NeedsOperator) | None => Err(Error::Unavailable(format!(
            "{} was not emptied: its server did not manage it in time. `pg:operations -a {}` says \
             what came of it.",
            addon.name, addon.app_name
        ))),
    }
}
