//! Credentials of a database: to make, end and rotate them, and to put the default one right.

use std::time::Duration;

use anyhow::Context as _;
use howdah_model::agent::{Revision, Wanted};
use howdah_model::attachment::Namespace;
use howdah_model::ids::{AccountId, CredentialId, OperationId, ParticipantId};
use howdah_model::operation::rotate::{Arguments, Former};
use howdah_model::operation::{Operation, Outcome};
use howdah_model::permission::Permission;
use howdah_store::addons::Addon;
use howdah_store::credentials::{self, Credential, DEFAULT};
use howdah_store::databases::Database;
use howdah_store::logins::{self, Stage};
use howdah_store::operations::{self, New};
use howdah_store::{Tx, attachments, databases, participants, routes};
use tokio::time::Instant;

use super::addons::check_owned;
use super::copies::refuse_follower;
use super::databases::{Shown, credential};
use super::error::{Error, Noun, Result, taken};
use super::{begin, config};
use crate::operations::rotate::maker;
use crate::{Control, password, scram};

/// How long a request waits for the agent: clients give up after 60 s.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long it is waited for that a credential is made or gone.
const A_MOMENT: Duration = Duration::from_secs(15);
/// The most credentials that a database may have.
const MOST: usize = 100;
/// The most characters of a credential's name.
const LONGEST_NAME: usize = 50;

/// Makes a credential that may enter the database and do what is permitted; what more it may do, the
/// default credential grants it, by its user name. Answers it.
///
/// # Errors
/// [`Error::Invalid`] when the name will not do or the plan has only the default credential;
/// [`Error::Conflict`] for a follower, whose credentials are its leader's.
pub async fn create(
    control: &Control,
    addon: &Addon,
    name: &str,
    permission: Permission,
) -> Result<Shown> {
    check_owned(addon)?;
    check_offered(addon)?;
    check_name(name)?;
    refuse_follower(&mut *control.reader().get().await?, addon, "given a credential").await?;
    let now = control.now();
    let mut tx = control.store().begin().await?;
    let database = lock(&mut tx, addon).await?;
    if credentials::list(&mut tx, database.id).await?.len() >= MOST {
        return Err(Error::invalid(format!("{} has {MOST} credentials already.", addon.name)));
    }
    let (id, password) = (CredentialId::new(), password::random_password());
    let new = Credential {
        id,
        database_id: database.id,
        name: name.to_owned(),
        role: password::random_role(),
        password: control.keyring().seal(config::CREDENTIAL, id, password.reveal().as_bytes()),
        verifier: scram::verifier(&password),
        permission,
        created_at: now,
        revoked_at: None,
    };
    taken(credentials::insert(&mut tx, &new).await, "credentials_name_key", name)?;
    let told = tell(&mut tx, &database).await?;
    tx.commit().await?;
    wait_until_applied(control, told).await?;
    credential(control, &mut *control.reader().get().await?, addon, name).await
}

/// Changes what a credential is let do with the tables of its database. Answers it.
///
/// # Errors
/// [`Error::Invalid`] for the default credential, which owns them; [`Error::Conflict`] for a
/// follower.
pub async fn permit(
    control: &Control,
    addon: &Addon,
    name: &str,
    permission: Permission,
) -> Result<Shown> {
    check_owned(addon)?;
    check_offered(addon)?;
    if name == DEFAULT {
        return Err(Error::invalid(
            "The default credential owns everything in its database; only others have a \
             permission.",
        ));
    }
    refuse_follower(&mut *control.reader().get().await?, addon, "given permissions").await?;
    let mut tx = control.store().begin().await?;
    let database = lock(&mut tx, addon).await?;
    let found = credentials::find(&mut tx, database.id, name).await?;
    let found = found.ok_or(Error::NotFound(Noun::Credential))?;
    if found.permission != permission {
        credentials::set_permission(&mut tx, found.id, permission).await?;
        let told = tell(&mut tx, &database).await?;
        tx.commit().await?;
        wait_until_applied(control, told).await?;
    }
    credential(control, &mut *control.reader().get().await?, addon, name).await
}

/// Ends a credential: its sessions end, and what its role owns goes to the default credential.
///
/// # Errors
/// [`Error::Invalid`] for the default credential, and for one that an app is attached with.
pub async fn destroy(control: &Control, addon: &Addon, name: &str) -> Result<()> {
    check_owned(addon)?;
    if name == DEFAULT {
        return Err(Error::invalid("Default credential cannot be destroyed."));
    }
    let mut tx = control.store().begin().await?;
    let database = lock(&mut tx, addon).await?;
    let found = credentials::find(&mut tx, database.id, name).await?;
    let found = found.ok_or(Error::NotFound(Noun::Credential))?;
    let all = attachments::list_by_database(&mut tx, database.id).await?;
    let attached = all.iter().filter(|one| {
        Namespace::parse(one.namespace.as_deref()).is_ok_and(|there| there.credential == name)
    });
    let apps: Vec<_> = attached.map(|one| format!("{} of {}", one.name, one.app_name)).collect();
    if !apps.is_empty() {
        return Err(Error::invalid(format!(
            "Credential {name} must be detached from the app{} it is attached to before it is \
             destroyed: {}.",
            if apps.len() == 1 { "" } else { "s" },
            apps.join(", ")
        )));
    }
    let beside = logins::list(&mut tx, &[found.id]).await?;
    if beside.iter().any(|login| login.stage == Stage::Next) {
        return Err(Error::Conflict(format!("Credential {name} is being rotated. Try again.")));
    }
    logins::revoke_credential(&mut tx, found.id, control.now()).await?;
    let told = tell(&mut tx, &database).await?;
    tx.commit().await?;
    wait_until_applied(control, told).await
}

/// Which credentials are to be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one of this name.
    Named(&'a str),
    /// All of the database.
    All,
}

/// How far a rotation came while it was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The apps have the new URLs.
    Done,
    /// The agent has not made the new logins yet; the apps get them when it has.
    Running,
}

/// Gives credentials new user names and passwords (D25, D28): each app that is attached with one of
/// them gets the new URL with a release. The logins of before open the database until nobody uses
/// them any more, or nothing from that moment on.
///
/// # Errors
/// [`Error::NotFound`] when there is no such credential; [`Error::Conflict`] when the database is
/// being made or unfollowed, or has its credentials rotated already.
pub async fn rotate(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    which: Which<'_>,
    former: Former,
) -> Result<Rotation> {
    check_owned(addon)?;
    let mut tx = control.store().begin().await?;
    let mut all = credentials::list(&mut tx, addon.id).await?;
    if let Which::Named(name) = which {
        all.retain(|one| one.name == name);
    }
    if all.is_empty() {
        return Err(Error::NotFound(Noun::Credential));
    }
    let arguments = Arguments { credentials: all.iter().map(|one| one.id).collect(), former };
    let new = New {
        id: OperationId::new(),
        kind: Operation::Rotate,
        database_id: addon.id,
        app_id: addon.app_id,
        account_id: Some(account),
        arguments: serde_json::to_value(arguments).context("write the arguments of a rotation")?,
    };
    begin(&mut tx, &new, addon.name.as_str(), control.now()).await?;
    tx.commit().await?;
    control.wait_for_operation(new.id, PATIENCE).await?;
    let mut conn = control.reader().get().await?;
    let outcome = operations::get(&mut conn, new.id).await?.map(|operation| operation.outcome);
    match outcome {
        Some(Outcome::Done) => Ok(Rotation::Done),
        Some(Outcome::Running) => Ok(Rotation::Running),
        Some(Outcome::Undone | Outcome::NeedsOperator) | None => Err(Error::Unavailable(format!(
            "The credentials of {} were not rotated: its server did not manage it in time. \
             `pg:operations -a {}` says what came of it.",
            addon.name, addon.app_name
        ))),
    }
}

/// Gives the default credential all rights on everything in its database, and ownership of what
/// other credentials have made; those may go on using it.
///
/// # Errors
/// [`Error::Unavailable`] when the agent of its server does not do it in time.
pub async fn repair_default(control: &Control, addon: &Addon) -> Result<()> {
    check_owned(addon)?;
    check_offered(addon)?;
    refuse_follower(&mut *control.reader().get().await?, addon, "repaired").await?;
    control.repair_default(addon.id).await.map_err(|error| {
        Error::Unavailable(format!(
            "The default credential of {} could not be repaired: {error}. Try again.",
            addon.name
        ))
    })
}

pub(super) async fn lock(tx: &mut Tx, addon: &Addon) -> Result<Database> {
    let database = databases::lock(tx, addon.id).await?;
    if database.wanted == Wanted::Absent {
        return Err(Error::NotFound(Noun::Addon));
    }
    Ok(database)
}

/// Tells the agent and the gateway of changed credentials, when the transaction is committed.
/// Answers what has to be applied; nothing for a database that has not been placed yet.
pub(super) async fn tell(
    tx: &mut Tx,
    database: &Database,
) -> Result<Option<(ParticipantId, Revision)>> {
    routes::changed(tx).await?;
    let Some(maker) = maker(tx, database).await? else {
        return Ok(None);
    };
    Ok(Some((maker, participants::raise(tx, maker).await?)))
}

/// Waits a moment until an agent says that it has brought about what it was told.
pub(super) async fn wait_until_applied(
    control: &Control,
    told: Option<(ParticipantId, Revision)>,
) -> Result<()> {
    const POLL: Duration = Duration::from_millis(50);
    let Some((participant, revision)) = told else { return Ok(()) };
    let row = participants::get(&mut *control.reader().get().await?, participant).await?;
    let Some(row) = row else { return Ok(()) };
    let until = Instant::now() + A_MOMENT;
    let applied = || {
        let last = control.sightings().last(row.server_id)?;
        last.participants.get(&participant)?.applied
    };
    while applied().is_none_or(|applied| applied < revision) && Instant::now() < until {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Refuses plans that have only the default credential, in the words of Heroku's CLI.
pub(super) fn check_offered(addon: &Addon) -> Result<()> {
    if addon.plan.tier.features().named_credentials {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "You can't perform this operation on Essential-tier databases. {} is on {}; credentials \
         of your own and links come with standard-0 and larger plans.",
        addon.name, addon.plan
    )))
}

fn check_name(name: &str) -> Result<()> {
    let is_good = (1..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_good {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::invalid(format!(
        "`{shown}` is not a valid credential name: 1 to {LONGEST_NAME} letters, digits, dashes and \
         underscores, starting with a letter."
    )))
}
