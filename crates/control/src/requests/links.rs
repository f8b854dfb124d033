//! Links: a database reads and writes another's tables.

use anyhow::anyhow;
use howdah_model::attachment::Namespace;
use howdah_model::ids::{AppId, CredentialId, LinkId};
use howdah_model::link::LinkSpec;
use howdah_model::name::LinkName;
use howdah_model::permission::Permission;
use howdah_store::addons::Addon;
use howdah_store::credentials::{self, Credential, LINK};
use howdah_store::links::{self, Link};
use howdah_store::{Connection, attachments};
use jiff::Timestamp;

use super::addons::check_owned;
use super::config;
use super::copies::refuse_follower;
use super::credentials::{check_offered, lock, tell, wait_until_applied};
use super::error::{Error, Noun, Result, taken};
use crate::servers::Failure;
use crate::{Control, password, scram};

/// A link as people see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its id.
    pub id: LinkId,
    /// The name of its schema.
    pub name: LinkName,
    /// The other database's name as an add-on.
    pub remote: String,
    /// What the other is called on the app, or its add-on's name.
    pub remote_attachment: String,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// The links of a database, oldest first.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn list(conn: &mut Connection, addon: &Addon) -> Result<Vec<Shown>> {
    let mut all = Vec::new();
    for link in links::list(conn, addon.id).await? {
        all.push(shown(conn, addon.app_id, link).await?);
    }
    Ok(all)
}

async fn shown(conn: &mut Connection, app: AppId, link: Link) -> Result<Shown> {
    let attached = attachments::list_by_database(conn, link.remote).await?;
    let own = attached.iter().find(|one| {
        one.app_id == app && Namespace::parse(one.namespace.as_deref()) == Namespace::parse(None)
    });
    let remote = link.remote_addon.to_string();
    let remote_attachment = own.map_or_else(|| remote.clone(), |one| one.name.to_string());
    let Link { id, name, created_at, .. } = link;
    Ok(Shown { id, name, remote, remote_attachment, created_at })
}

/// Links a database to another: the tables of that one's schema `public` come into a schema of the
/// link's name, and are read and written by a credential of that one that was made for the link.
///
/// # Errors
/// [`Error::Invalid`] when one of them is on a plan without links, when the name will not do or is
/// taken, or when the link cannot be made, with PostgreSQL's reason.
pub async fn create(
    control: &Control,
    addon: &Addon,
    remote: &Addon,
    name: Option<&str>,
) -> Result<Shown> {
    for one in [addon, remote] {
        check_owned(one)?;
        check_offered(one)?;
    }
    refuse_follower(&mut *control.reader().get().await?, addon, "linked").await?;
    if addon.id == remote.id {
        return Err(Error::invalid(format!("{} cannot be linked to itself.", addon.name)));
    }
    let name = match name {
        Some(given) => given.parse()?,
        None => invented(remote)?,
    };
    let (link, spec) = begin(control, addon, remote, name).await?;
    let done = match make(control, addon, &spec).await {
        Ok(()) => record(control, &link).await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        // Nothing is left that could log in; what the agent may have made does not work.
        control.end_link(&link).await?;
        return Err(error);
    }
    shown(&mut *control.reader().get().await?, addon.app_id, link).await
}

/// A name for a link to a database, after that.
fn invented(remote: &Addon) -> Result<LinkName> {
    let plain = remote.name.as_str().replace('-', "_");
    Ok(plain.parse().or_else(|_| format!("link_{plain}").parse())?)
}

/// Makes the credential, and waits a moment for it to be there.
async fn begin(
    control: &Control,
    addon: &Addon,
    remote: &Addon,
    name: LinkName,
) -> Result<(Link, LinkSpec)> {
    let (now, id) = (control.now(), LinkId::new());
    let (credential, password) = (CredentialId::new(), password::random_password());
    let mut tx = control.store().begin().await?;
    // In the order of their ids, as others lock them.
    let (first, second) = if addon.id < remote.id { (addon, remote) } else { (remote, addon) };
    let (first, second) = (lock(&mut tx, first).await?, lock(&mut tx, second).await?);
    let (database, other) = if first.id == addon.id { (first, second) } else { (second, first) };
    let role = password::random_role();
    let new = Credential {
        id: credential,
        database_id: other.id,
        name: format!("{LINK}{id}"),
        role: role.clone(),
        password: control.keyring().seal(
            config::CREDENTIAL,
            credential,
            password.reveal().as_bytes(),
        ),
        verifier: scram::verifier(&password),
        permission: Permission::None,
        created_at: now,
        revoked_at: None,
    };
    credentials::insert(&mut tx, &new).await?;
    let link = Link {
        id,
        database: database.id,
        remote: other.id,
        remote_addon: remote.name.clone(),
        name: name.clone(),
        credential,
        created_at: now,
    };
    taken(
        links::insert(&mut tx, &link, database.incarnation).await,
        "links_name_key",
        name.as_str(),
    )?;
    let told = tell(&mut tx, &other).await?;
    tx.commit().await?;
    wait_until_applied(control, told).await?;
    let (host, port) = (control.config().gateway_host.clone(), control.config().gateway_port);
    let known_as = other.known_as.unwrap_or(other.name);
    Ok((link, LinkSpec { id, name, host, port, database: known_as, role, password }))
}

async fn make(control: &Control, addon: &Addon, spec: &LinkSpec) -> Result<()> {
    let (placed, server) = control.house_of(addon.id).await?;
    let participant = placed.database.participant_id.ok_or_else(|| anyhow!("it has no place"))?;
    let at = (participant, &placed.database.name);
    control.servers().link(&server, at, spec).await.map_err(|failure| match failure {
        Failure::Invalid(why) => {
            Error::invalid(format!("The link {} could not be made: {why}", spec.name))
        }
        Failure::Refused(_) | Failure::Unreachable(_) => Error::Unavailable(format!(
            "The link {} could not be made: {failure}. Try again.",
            spec.name
        )),
    })
}

async fn record(control: &Control, link: &Link) -> Result<()> {
    let mut tx = control.store().begin().await?;
    if !links::made(&mut tx, link.id, control.now()).await? {
        return Err(Error::Conflict(format!("The link {} has ended meanwhile.", link.name)));
    }
    Ok(tx.commit().await?)
}

/// Ends a link, by its name or id: its foreign tables go, with what is made of them.
///
/// # Errors
/// [`Error::NotFound`] when the database has none of that name; [`Error::Unavailable`] when its
/// agent does not answer.
pub async fn destroy(control: &Control, addon: &Addon, name_or_id: &str) -> Result<()> {
    check_owned(addon)?;
    let all = links::list(&mut *control.reader().get().await?, addon.id).await?;
    let found = all
        .into_iter()
        .find(|one| one.name.as_str() == name_or_id || one.id.to_string() == name_or_id);
    let link = found.ok_or(Error::NotFound(Noun::Link))?;
    control.unlink(&link).await.map_err(|error| {
        Error::Unavailable(format!(
            "The link {} could not be removed: {error}. Try again.",
            link.name
        ))
    })?;
    Ok(control.end_link(&link).await?)
}
