//! What is asked of a database that is there: its figures, its credentials, to be emptied.

use std::time::Duration;

use anyhow::Context as _;
use howdah_model::agent::DatabaseLook;
use howdah_model::compliance::Compliance;
use howdah_model::extension;
use howdah_model::ids::{AccountId, CredentialId, DatabaseId, OperationId};
use howdah_model::name::RoleName;
use howdah_model::operation::{Operation, Outcome, reset as asked};
use howdah_model::permission::Permission;
use howdah_model::secret::Secret;
use howdah_model::version::Version;
use howdah_store::addons::Addon;
use howdah_store::credentials::{self, Credential};
use howdah_store::logins::{self, Stage};
use howdah_store::operations::{self, New};
use howdah_store::{Connection, databases, observations};
use tokio::time::timeout;

use super::addons::check_owned;
use super::copies::refuse_follower;
use super::error::{Error, Noun, Result};
use super::{begin, config};
use crate::Control;
use crate::participants::settings;
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
    /// What it is let do with the tables; `None` of the default one, which owns them.
    pub permission: Option<Permission>,
    /// Whether its next login is being made.
    pub is_rotating: bool,
    /// The roles from before a rotation that still open the database, the newest first.
    pub former: Vec<FormerLogin>,
}

/// A login from before a rotation that still opens the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerLogin {
    /// Its role within PostgreSQL.
    pub role: RoleName,
    /// Its clients now; none when the gateway does not say.
    pub clients: Option<u32>,
}

impl Shown {
    fn new(control: &Control, addon: &Addon, credential: Credential) -> Result<Self> {
        let Credential { id, name, role, password, permission, .. } = credential;
        let password = control.keyring().open_text(config::CREDENTIAL, id, &password)?;
        let (host, port) = (control.config().gateway_host.clone(), control.config().gateway_port);
        let database = addon.database_name.to_string();
        let permission = (name != DEFAULT).then_some(permission);
        let (is_rotating, former) = (false, Vec::new());
        Ok(Self { id, name, role, password, database, host, port, permission, is_rotating, former })
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
    let mut all = all
        .into_iter()
        .map(|credential| Shown::new(control, addon, credential))
        .collect::<Result<Vec<_>>>()?;
    add_logins(control, conn, &mut all).await?;
    Ok(all)
}

/// Notes beside credentials by which other logins they are opened.
async fn add_logins(control: &Control, conn: &mut Connection, all: &mut [Shown]) -> Result<()> {
    let ids: Vec<_> = all.iter().map(|one| one.id).collect();
    let logins = logins::list(conn, &ids).await?;
    let mut clients = None;
    for login in logins.into_iter().filter(|login| login.revoked_at.is_none()) {
        let Some(shown) = all.iter_mut().find(|one| one.id == login.credential) else { continue };
        match login.stage {
            Stage::Next => shown.is_rotating = true,
            Stage::Former => {
                if clients.is_none() {
                    clients = Some(control.clients_by_role().await);
                }
                let known = clients.as_ref().and_then(Option::as_ref);
                let clients = known.map(|known| known.get(&login.role).copied().unwrap_or(0));
                shown.former.push(FormerLogin { role: login.role, clients });
            }
        }
    }
    Ok(())
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
    let found = found.ok_or(Error::NotFound(Noun::Credential))?;
    let mut shown = [Shown::new(control, addon, found)?];
    add_logins(control, conn, &mut shown).await?;
    let [shown] = shown;
    Ok(shown)
}

/// What was seen of a database.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The newest figures, if there ever were any.
    pub look: Option<DatabaseLook>,
    /// The version that runs, when it is known.
    pub version: Option<Version>,
    /// What to say when its server has less memory than the plan stands for.
    pub memory: Option<String>,
    /// What stands in the way of its participant, for people.
    pub warning: Option<String>,
    /// How it stands to its limit of rows, when it has one and was counted.
    pub compliance: Option<Compliance>,
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
    let placed = databases::list_placed(&mut conn, &[id.0]).await?.pop();
    drop(conn);
    let seen = placed.as_ref().and_then(|placed| control.seen_of(placed));
    let live = match timeout(LIVE, control.look(id)).await {
        Ok(Ok(live)) => Some(live),
        Ok(Err(_)) | Err(_) => None,
    };
    let known = || {
        let (_, participant) = seen.as_ref()?;
        let name = &placed.as_ref()?.database.name;
        participant.databases.get(name)?.look.clone()
    };
    let look = match live.or_else(known) {
        Some(look) => Some(look),
        None => newest_look(&mut *control.reader().get().await?, id).await?,
    };
    let name = placed.as_ref().map(|placed| placed.database.name.clone());
    let memory = placed.zip(seen.as_ref()).and_then(|(placed, (sighting, _))| {
        settings::note(placed.database.plan, sighting.server.memory_total)
    });
    let participant = seen.map(|(_, participant)| participant);
    let compliance = name.and_then(|name| participant.as_ref()?.databases.get(&name)?.compliance);
    Ok(Seen {
        compliance,
        look,
        version: participant.as_ref().and_then(|one| one.version),
        memory,
        warning: participant.and_then(|one| one.error),
    })
}

/// Ends all sessions of a database's tenants, and answers how many (D23).
///
/// # Errors
/// [`Error::Forbidden`] for those who may only use it; [`Error::Unavailable`] when the agent of its
/// server does not answer.
pub async fn end_sessions(control: &Control, addon: &Addon) -> Result<u32> {
    check_owned(addon)?;
    let all = Terminate { pid: None, only_cancel: false };
    control.terminate(addon.id, all).await.map_err(|error| {
        Error::Unavailable(format!(
            "The sessions of {} could not be ended: {error}. Try again.",
            addon.name
        ))
    })
}

/// Sets PostgreSQL's statistics of a database back to zero.
///
/// # Errors
/// [`Error::Forbidden`] for those who may only use it; [`Error::Unavailable`] when the agent of its
/// server does not answer.
pub async fn reset_statistics(control: &Control, addon: &Addon) -> Result<()> {
    check_owned(addon)?;
    control.reset_statistics(addon.id).await.map_err(|error| {
        Error::Unavailable(format!(
            "The statistics of {} could not be reset: {error}. Try again.",
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
    refuse_follower(&mut *control.reader().get().await?, addon, "reset").await?;
    check_extensions(addon, &extensions)?;
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

/// Refuses extensions that the database's plan does not have.
pub(super) fn check_extensions(addon: &Addon, wanted: &[String]) -> Result<()> {
    let allowed = extension::allowed(addon.plan.tier);
    let Some(other) = wanted.iter().find(|name| !allowed.split(',').any(|one| one == *name)) else {
        return Ok(());
    };
    Err(Error::invalid(format!(
        "`{other}` is not an extension that {} can have. These are: {}.",
        addon.name,
        allowed.replace(',', ", ")
    )))
}
