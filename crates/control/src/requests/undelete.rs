//! Bringing a destroyed database back, as it was, under its name.

use std::collections::HashSet;

use anyhow::Context as _;
use howdah_model::ids::{AccountId, AppId, DatabaseId, OperationId};
use howdah_model::name::AttachmentName;
use howdah_model::operation::Operation;
use howdah_model::operation::provision::{Arguments, Copied, How};
use howdah_model::protection::Until;
use howdah_store::apps::App;
use howdah_store::attachments::{self, Pointing};
use howdah_store::databases::{self, Inherits, New, Origin};
use howdah_store::lineage::{self, Destroyed};
use howdah_store::operations::New as NewOperation;
use howdah_store::{
    Tx, addons as stored, config_vars, database_settings, participants, schedules, transfers,
};
use serde::{Deserialize, Serialize};

use super::addons::{self, Created};
use super::error::{Error, Noun, Result, taken};
use super::{apps, begin, naming, random};
use crate::Control;

/// An attachment of a destroyed database: `databases.kept_names` is a list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptName {
    /// The app that it was on.
    pub(crate) app: AppId,
    /// Its name there.
    pub(crate) name: AttachmentName,
    /// Its namespace.
    pub(crate) namespace: Option<String>,
}

/// Brings back the database of an app that was destroyed last under a name, with its credentials
/// and, where they are free, its attachments on that app.
///
/// # Errors
/// [`Error::NotFound`] when there was none; [`Error::Invalid`] when it is kept no more, or its name
/// is taken; [`Error::Conflict`] while it is still being removed.
pub async fn undelete(
    control: &Control,
    account: AccountId,
    app: &App,
    name: &str,
) -> Result<Created> {
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    let there = stored::list_by_app(&mut tx, account, app.id).await?;
    if there.iter().any(|one| one.app_id == app.id && one.name.as_str() == name) {
        return Err(Error::invalid(format!("{name} is there: it was not destroyed.")));
    }
    let found = lineage::destroyed(&mut tx, app.id, name).await?;
    let found = found.ok_or(Error::NotFound(Noun::Addon))?;
    databases::lock(&mut tx, found.database.id).await?;
    let copied = copied(control, &mut tx, &found).await?;
    let id = insert(control, &mut tx, app, &found).await?;
    let arguments = Arguments { copy: Some(copied) };
    let asked = NewOperation {
        id: OperationId::new(),
        kind: Operation::Provision,
        database_id: id,
        app_id: app.id,
        account_id: Some(account),
        arguments: serde_json::to_value(arguments).context("write the arguments of a copy")?,
    };
    let addon_name = found.database.addon_name.as_str();
    begin(&mut tx, &asked, addon_name, control.now()).await?;
    tx.commit().await?;
    let mut conn = control.reader().get().await?;
    let addon = addons::find(&mut conn, account, &id.to_string()).await?;
    let message = "Database will become available after it completes coming back\n\
                   Use `pg:wait` to track status.";
    Ok(Created { addon, message: Some(message.to_owned()) })
}

/// What its data is made of again; refuses what is kept no more.
async fn copied(control: &Control, tx: &mut Tx, found: &Destroyed) -> Result<Copied> {
    let database = &found.database;
    let name = &database.addon_name;
    if database.removed_at.is_none() {
        return Err(Error::Conflict(format!(
            "{name} is still being removed. Try again in a minute."
        )));
    }
    let gone = || {
        let until = database.keep_until.map_or_else(
            || "Nothing was kept of it.".to_owned(),
            |until| format!("It was kept until {}.", until.strftime("%Y-%m-%d %H:%M UTC")),
        );
        Error::invalid(format!("{name} cannot be brought back. {until}"))
    };
    let kept = database.keep_until.is_some_and(|until| until > control.now()) && !found.erased;
    let (Some(timeline), Some(participant), Some(withdrawn_at)) =
        (found.timeline.filter(|_| kept), database.participant_id, database.withdrawn_at)
    else {
        return Err(gone());
    };
    let row = participants::get(tx, participant).await?.ok_or_else(gone)?;
    // A shared history goes on without the database.
    let until = if row.shared { Until::Time { at: withdrawn_at } } else { Until::End };
    Ok(Copied { how: How::Undelete, source: database.id, timeline, until })
}

async fn insert(
    control: &Control,
    tx: &mut Tx,
    app: &App,
    found: &Destroyed,
) -> Result<DatabaseId> {
    let (old, id, now) = (&found.database, DatabaseId::new(), control.now());
    let origin =
        Origin { how: How::Undelete, id: old.id, name: old.addon_name.as_str().to_owned() };
    let new = New {
        id,
        addon_name: &old.addon_name,
        app_id: app.id,
        plan: old.plan,
        major: old.major,
        name: &old.name,
        inherits: Some(Inherits {
            origin: &origin,
            adopts: Some(&old.name),
            known_as: old.known_as.as_ref(),
            incarnation: found.incarnation,
        }),
    };
    let inserted = databases::insert(tx, &new, now).await;
    taken(inserted, "databases_addon_name_key", old.addon_name.as_str())?;
    lineage::inherit_credentials(tx, old.id, id).await?;
    transfers::inherit(tx, old.id, id).await?;
    schedules::inherit(tx, old.id, id).await?;
    database_settings::inherit(tx, id, old.id).await?;
    for (name, namespace) in names(control, tx, app, found).await? {
        let to = Pointing { database: id, namespace: namespace.as_deref() };
        attachments::insert(tx, app.id, &name, to, now).await?;
    }
    Ok(id)
}

/// The names that it had on its app and that are free, else one that is.
async fn names(
    control: &Control,
    tx: &mut Tx,
    app: &App,
    found: &Destroyed,
) -> Result<Vec<(AttachmentName, Option<String>)>> {
    let kept: Vec<KeptName> =
        serde_json::from_value(found.names.clone()).context("read the names of a database")?;
    let attached = attachments::list_by_app(tx, app.id).await?;
    let vars = config_vars::list(tx, app.id).await?;
    let by_hand = vars.iter().filter_map(|var| var.name.as_str().strip_suffix("_URL"));
    let taken: HashSet<String> =
        attached.iter().map(|one| one.name.as_str()).chain(by_hand).map(str::to_owned).collect();
    let mut names: Vec<_> = kept
        .into_iter()
        .filter(|one| one.app == app.id && !taken.contains(one.name.as_str()))
        .map(|one| (one.name, one.namespace))
        .collect();
    if names.iter().all(|(_, namespace)| namespace.is_some()) {
        names.push((naming::colored(&control.config().var_prefix, &taken, random()), None));
    }
    Ok(names)
}
