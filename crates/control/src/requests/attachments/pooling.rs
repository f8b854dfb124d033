//! Attachments whose URL leads to the gateway's pools: a server for each transaction.

use howdah_model::attachment::{Namespace, PRIMARY_POOL, Port};
use howdah_model::ids::AccountId;
use howdah_model::name::{AttachmentName, PRIMARY};
use howdah_store::Connection;
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::attachments::{self, Attachment};

use super::{New, Wanted, attach, check_namespace, make};
use crate::Control;
use crate::requests::addons::attachment_name;
use crate::requests::apps;
use crate::requests::error::{Error, Result};

/// A URL of the pools that an app shall have.
#[derive(Clone, Copy, Debug)]
pub struct WantedPool<'a> {
    /// The attachment's name; called after the database's own attachment when none is given.
    pub name: Option<&'a str>,
    /// The credential's name.
    pub credential: &'a str,
}

/// Refuses plans that have no pools, in the words of Heroku's CLI.
pub(super) fn check_offered(addon: &Addon) -> Result<()> {
    if addon.plan.tier.features().connection_pooling {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "You can't perform this operation on Essential-tier databases. {} is on {}; connection \
         pooling comes with standard-0 and larger plans.",
        addon.name, addon.plan
    )))
}

/// Whether an attachment's URL leads to the pools.
#[must_use]
pub fn is_pooling(attachment: &Attachment) -> bool {
    Namespace::parse(attachment.namespace.as_deref()).is_ok_and(|one| one.port == Port::Pooling)
}

/// Gives an app a URL of a database that leads to the gateway's pools, as one release. Without a
/// name it is called after the database's own attachment: `DATABASE_CONNECTION_POOL`.
///
/// # Errors
/// [`Error::Invalid`] when the plan has no pools, the database no such credential, the name is
/// taken, or no name was given and the app has such a URL already.
pub async fn attach_pool(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    app: &App,
    wanted: WantedPool<'_>,
) -> Result<Attachment> {
    let namespace = Namespace::pooling(wanted.credential).text();
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    check_namespace(&mut tx, addon, namespace.as_deref()).await?;
    let name = match wanted.name {
        Some(name) => name.to_owned(),
        None => own_name(&mut tx, addon, app, namespace.as_deref()).await?,
    };
    let name = attachment_name(control, &mut tx, app, Some(&name)).await?;
    let new = New { account, addon, app, name: &name, namespace: namespace.as_deref() };
    let made = make(control, &mut tx, new).await?;
    tx.commit().await?;
    Ok(made)
}

/// The name of a database's pools on an app: that of its attachment, with an ending.
async fn own_name(
    conn: &mut Connection,
    addon: &Addon,
    app: &App,
    namespace: Option<&str>,
) -> Result<String> {
    let mut own = attachments::list_by_app(conn, app.id).await?;
    own.retain(|one| one.database_id == addon.id);
    if let Some(there) = own.iter().find(|one| one.namespace.as_deref() == namespace) {
        return Err(Error::invalid(format!(
            "{} has connection pooling on {} already, as {}. Give `--as NAME` for another name of \
             it.",
            addon.name, app.name, there.name
        )));
    }
    let mut direct = own.iter().filter(|one| !is_pooling(one));
    let is_primary = direct.clone().any(|one| one.name.as_str() == PRIMARY);
    Ok(match direct.next() {
        Some(one) if !is_primary => format!("{}_CONNECTION_POOL", one.name),
        Some(_) | None => PRIMARY_POOL.to_owned(),
    })
}

/// Makes a database an app's primary (C10). The pools of the primary before lead to it as well,
/// when its plan has pools.
///
/// # Errors
/// As [`attach`].
pub async fn promote(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    app: &App,
) -> Result<Attachment> {
    let before = attachments::list_by_app(&mut *control.reader().get().await?, app.id).await?;
    let confirm = Some(app.name.as_str());
    let primary = Wanted { name: Some(PRIMARY), namespace: None, confirm };
    let promoted = attach(control, account, addon, app, primary).await?;
    if let Some(pool) = pool_of_primary(&before).filter(|_| check_offered(addon).is_ok()) {
        let namespace = pool.namespace.as_deref();
        let pool = Wanted { name: Some(PRIMARY_POOL), namespace, confirm };
        attach(control, account, addon, app, pool).await?;
    }
    Ok(promoted)
}

/// The attachment of the pools that belong to an app's primary database.
fn pool_of_primary(of_app: &[Attachment]) -> Option<&Attachment> {
    let named = |name: &str| of_app.iter().find(|one| is_named(&one.name, name));
    let primary = named(PRIMARY)?;
    named(PRIMARY_POOL).filter(|one| is_pooling(one) && one.database_id == primary.database_id)
}

fn is_named(name: &AttachmentName, wanted: &str) -> bool {
    name.as_str() == wanted
}
