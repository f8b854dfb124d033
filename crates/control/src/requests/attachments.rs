//! Attachments: the names of databases within apps, and which of them is the primary.

mod pooling;

use std::time::Duration;

use anyhow::Context as _;
use howdah_model::attachment::{Namespace, Port};
use howdah_model::ids::{AccountId, OperationId};
use howdah_model::name::{AttachmentName, PRIMARY};
use howdah_model::operation::{Operation, Outcome, promote};
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::attachments::{self, Attachment, Pointing};
use howdah_store::operations;
use howdah_store::{Connection, Tx, credentials};

use super::addons::attachment_name;
use super::copies::refuse_follower;
use super::error::{Error, Noun, Result};
use super::releases::{self, Change};
use super::{apps, begin};
use crate::Control;

pub use pooling::{WantedPool, attach_pool, is_pooling, promote};

/// How long a request waits for an exchange of attachments, which is one write.
const A_MOMENT: Duration = Duration::from_secs(10);

/// What shall be attached to an app.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The attachment's name; the next free one when none is given.
    pub name: Option<&'a str>,
    /// With which credential and by which port: `None` for the default credential by the usual one,
    /// else a [`Namespace`].
    pub namespace: Option<&'a str>,
    /// The app's name, to replace an attachment that is there.
    pub confirm: Option<&'a str>,
}

/// Attaches a database to an app, as one release. An attachment of that name that is there is
/// pointed to the database by a promotion, in place (C10).
///
/// # Errors
/// [`Error::ConfirmationRequired`] when that would replace another's attachment and the app's name
/// was not given; [`Error::Invalid`] when the name or the credential will not do.
pub async fn attach(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    app: &App,
    wanted: Wanted<'_>,
) -> Result<Attachment> {
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    if wanted.name == Some(PRIMARY) {
        refuse_follower(&mut tx, addon, "promoted").await?;
    }
    check_namespace(&mut tx, addon, wanted.namespace).await?;
    if let Some(there) = named(&mut tx, app, wanted.name).await? {
        check_replacement(&there, addon, app, wanted)?;
        drop(tx);
        return exchange(control, account, addon, app, &there, wanted.namespace).await;
    }
    let name = attachment_name(control, &mut tx, app, wanted.name).await?;
    let new = New { account, addon, app, name: &name, namespace: wanted.namespace };
    let made = make(control, &mut tx, new).await?;
    tx.commit().await?;
    Ok(made)
}

/// An attachment that is to be made.
struct New<'a> {
    account: AccountId,
    addon: &'a Addon,
    app: &'a App,
    name: &'a AttachmentName,
    namespace: Option<&'a str>,
}

/// Writes a new attachment, with its release.
async fn make(control: &Control, tx: &mut Tx, new: New<'_>) -> Result<Attachment> {
    let New { account, addon, app, name, namespace } = new;
    let now = control.now();
    let to = Pointing { database: addon.id, namespace };
    attachments::insert(tx, app.id, name, to, now).await?;
    let description = releases::attached(name.as_str(), addon.name.as_str());
    let change =
        Change { app: app.id, description: &description, account: Some(account), operation: None };
    releases::publish(control.keyring(), tx, change, now).await?;
    by_name(tx, app, name).await?.ok_or(Error::NotFound(Noun::Attachment))
}

async fn check_namespace(
    conn: &mut Connection,
    addon: &Addon,
    namespace: Option<&str>,
) -> Result<()> {
    let unknown = |what: &str| {
        Error::invalid(format!("invalid credential provided: {} has no `{what}`", addon.name))
    };
    let wanted = Namespace::parse(namespace).map_err(|_| unknown(namespace.unwrap_or_default()))?;
    if wanted.port == Port::Pooling {
        pooling::check_offered(addon)?;
    }
    match credentials::find(conn, addon.id, &wanted.credential).await? {
        Some(_) => Ok(()),
        None => Err(unknown(&wanted.credential)),
    }
}

async fn named(conn: &mut Connection, app: &App, name: Option<&str>) -> Result<Option<Attachment>> {
    match name {
        Some(name) => by_name(conn, app, &name.parse()?).await,
        None => Ok(None),
    }
}

async fn by_name(
    conn: &mut Connection,
    app: &App,
    name: &AttachmentName,
) -> Result<Option<Attachment>> {
    let all = attachments::list_by_app(conn, app.id).await?;
    Ok(all.into_iter().find(|one| one.name == *name))
}

fn check_replacement(
    there: &Attachment,
    addon: &Addon,
    app: &App,
    wanted: Wanted<'_>,
) -> Result<()> {
    if there.database_id == addon.id && there.namespace.as_deref() == wanted.namespace {
        return Err(Error::invalid(format!(
            "{} is attached to {} as {} already.",
            addon.name, app.name, there.name
        )));
    }
    if wanted.confirm == Some(app.name.as_str()) {
        return Ok(());
    }
    Err(Error::ConfirmationRequired(format!(
        "{} on {} is {} now. It would be replaced by {}.",
        there.name, app.name, there.addon_name, addon.name
    )))
}

/// Points an attachment to another database: an operation, so that it is done once and completely.
async fn exchange(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    app: &App,
    there: &Attachment,
    namespace: Option<&str>,
) -> Result<Attachment> {
    let arguments = promote::Arguments {
        attachment: there.name.clone(),
        namespace: namespace.map(str::to_owned),
    };
    let asked = operations::New {
        id: OperationId::new(),
        kind: Operation::Promote,
        database_id: addon.id,
        app_id: app.id,
        account_id: Some(account),
        arguments: serde_json::to_value(arguments).context("write the arguments of a promotion")?,
    };
    let mut tx = control.store().begin().await?;
    begin(&mut tx, &asked, addon.name.as_str(), control.now()).await?;
    tx.commit().await?;
    control.wait_for_operation(asked.id, A_MOMENT).await?;
    let mut conn = control.reader().get().await?;
    let outcome = operations::get(&mut conn, asked.id).await?.map(|asked| asked.outcome);
    let now = by_name(&mut conn, app, &there.name).await?;
    match (outcome, now) {
        (Some(Outcome::Done), Some(now)) => Ok(now),
        _ => Err(Error::Unavailable(format!(
            "{} on {} could not be pointed to {} in time. `pg:operations -a {}` says what came \
             of it.",
            there.name, app.name, addon.name, app.name
        ))),
    }
}

/// Takes an attachment from its app, as one release.
///
/// # Errors
/// [`Error::NotFound`] when it is not there any more.
pub async fn detach(
    control: &Control,
    account: AccountId,
    app: &App,
    attachment: &Attachment,
) -> Result<()> {
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    if !attachments::delete(&mut tx, attachment.id).await? {
        return Err(Error::NotFound(Noun::Attachment));
    }
    let names = [attachment.name.to_string()];
    let description = releases::detached(&names, attachment.addon_name.as_str());
    let change =
        Change { app: app.id, description: &description, account: Some(account), operation: None };
    releases::publish(control.keyring(), &mut tx, change, control.now()).await?;
    Ok(tx.commit().await?)
}
