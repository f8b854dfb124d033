//! Add-ons: making, renaming and destroying databases.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::Context as _;
use howdah_model::agent::Incarnation;
use howdah_model::ids::{AccountId, AppId, CredentialId, DatabaseId, OperationId};
use howdah_model::name::{AddonName, AttachmentName, invent_addon_name};
use howdah_model::operation::provision::{Arguments, How};
use howdah_model::operation::{Operation, Outcome};
use howdah_model::permission::Permission;
use howdah_model::plan::{self, Plan, SERVICE};
use howdah_model::version::Major;
use howdah_store::addons::{self, Addon};
use howdah_store::apps::App;
use howdah_store::attachments::{self, Pointing};
use howdah_store::credentials::{self, Credential};
use howdah_store::operations::{self, New};
use howdah_store::{
    Connection, Tx, config_vars, database_settings, databases, lineage, transitions,
};
use serde_json::json;

use super::copies::{Settled, Source};
use super::error::{Error, Noun, Result, taken};
use super::{apps, begin, config, copies, naming, options, random};
use crate::{Control, password, scram};

/// How long a request waits for a database to be made before it says that it is on its way.
const A_MOMENT: Duration = Duration::from_secs(5);

/// How often a name is invented before the platform gives up.
const INVENTIONS: usize = 8;

/// What a new database shall be.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The plan, with or without the service's name.
    pub plan: String,
    /// The add-on's name; one is invented when none is given.
    pub name: Option<String>,
    /// The attachment's name; the next free one when none is given.
    pub attachment: Option<String>,
    /// What followed `--`.
    pub options: BTreeMap<String, String>,
}

/// The add-on with a name or id that the account may see.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn find(conn: &mut Connection, account: AccountId, name_or_id: &str) -> Result<Addon> {
    addons::find_visible(conn, account, name_or_id).await?.ok_or(Error::NotFound(Noun::Addon))
}

/// Refuses a change of a database to those who may only use it.
///
/// # Errors
/// [`Error::Forbidden`] when the account has no access to the app that owns it.
pub fn check_owned(addon: &Addon) -> Result<()> {
    if addon.owned {
        return Ok(());
    }
    Err(Error::Forbidden(format!(
        "{} belongs to the app {}, which you have no access to. Its owner can give it with \
         `access:add`.",
        addon.name, addon.app_name
    )))
}

/// Makes a database and attaches it to an app, and waits a moment for it to be there.
///
/// # Errors
/// [`Error::Invalid`] when the plan, a name or an option will not do; [`Error::Unavailable`] when
/// it could not be made: then nothing is left of it.
pub async fn create(
    control: &Control,
    account: AccountId,
    app: &App,
    wanted: &Wanted,
) -> Result<Created> {
    let named = plan::find(&wanted.plan)?;
    let source = match copies::asked(&wanted.options)? {
        Some(asked) => Some(Source::find(control, account, app, asked).await?),
        None => None,
    };
    let installed = control.installed().await?;
    let (plan, major) = match &source {
        Some(source) => {
            let named = (wanted.plan != SERVICE).then_some(named);
            let major = options::major_of_copy(&wanted.options, source.addon.major, &installed)?;
            (source.plan(named, app)?, major)
        }
        None => (named, options::major(&wanted.options, &installed)?),
    };
    let mut tx = control.store().begin().await?;
    apps::lock(&mut tx, app).await?;
    let settled = match &source {
        Some(source) => Some(copies::settle(control, &mut tx, source, plan).await?),
        None => None,
    };
    let given = wanted.attachment.as_deref();
    let new = NewDatabase {
        id: DatabaseId::new(),
        name: addon_name(&mut tx, wanted.name.as_deref()).await?,
        attachment: match source.as_ref().filter(|source| source.is_followed()) {
            // What can only be read is nobody's primary (G23).
            Some(_) if given.is_none() => colored_name(control, &mut tx, app).await?,
            _ => attachment_name(control, &mut tx, app, given).await?,
        },
        plan,
        major,
        settled,
    };
    insert(control, &mut tx, app.id, &new).await?;
    let operation = begin_to_make(control, &mut tx, account, app, &new).await?;
    tx.commit().await?;
    if new.settled.is_none() {
        control.wait_for_operation(operation, A_MOMENT).await?;
    }
    let addon = made(control, account, &new, operation).await?;
    Ok(Created { addon, message: new.settled.map(|settled| settled.message) })
}

/// A database that was asked for.
#[derive(Clone, Debug)]
pub struct Created {
    /// It as an add-on.
    pub addon: Addon,
    /// What is to be said of it, in lines.
    pub message: Option<String>,
}

struct NewDatabase {
    id: DatabaseId,
    name: AddonName,
    attachment: AttachmentName,
    plan: &'static Plan,
    major: Major,
    settled: Option<Settled>,
}

async fn begin_to_make(
    control: &Control,
    tx: &mut Tx,
    account: AccountId,
    app: &App,
    new: &NewDatabase,
) -> Result<OperationId> {
    let arguments = Arguments { copy: new.settled.as_ref().map(|settled| settled.copied) };
    let asked = New {
        id: OperationId::new(),
        kind: Operation::Provision,
        database_id: new.id,
        app_id: app.id,
        account_id: Some(account),
        arguments: serde_json::to_value(arguments).context("write what a database is made from")?,
    };
    begin(tx, &asked, new.name.as_str(), control.now()).await?;
    Ok(asked.id)
}

/// A colour that is free on an app that the transaction has locked.
async fn colored_name(
    control: &Control,
    conn: &mut Connection,
    app: &App,
) -> Result<AttachmentName> {
    let taken = taken_names(conn, app).await?;
    Ok(naming::colored(&control.config().var_prefix, &taken, random()))
}

async fn taken_names(conn: &mut Connection, app: &App) -> Result<HashSet<String>> {
    let attached = attachments::list_by_app(conn, app.id).await?;
    let vars = config_vars::list(conn, app.id).await?;
    let vars = vars.iter().filter_map(|var| var.name.as_str().strip_suffix("_URL"));
    Ok(attached.iter().map(|one| one.name.as_str()).chain(vars).map(str::to_owned).collect())
}

async fn addon_name(conn: &mut Connection, given: Option<&str>) -> Result<AddonName> {
    if let Some(given) = given {
        return Ok(given.parse()?);
    }
    for _ in 0..INVENTIONS {
        let name = AddonName::try_from(invent_addon_name(random()))?;
        if databases::find(conn, &name).await?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::Unavailable("No free name was found for the add-on. Give one with `--name`.".into()))
}

/// The name of a new attachment on an app that the transaction has locked: the given one if it is
/// free, else one that is.
pub(crate) async fn attachment_name(
    control: &Control,
    conn: &mut Connection,
    app: &App,
    given: Option<&str>,
) -> Result<AttachmentName> {
    let attached = attachments::list_by_app(conn, app.id).await?;
    let by_hand: HashSet<String> =
        config_vars::list(conn, app.id).await?.into_iter().map(|var| var.name.into()).collect();
    let Some(given) = given else {
        let vars = by_hand.iter().filter_map(|var| var.strip_suffix("_URL").map(str::to_owned));
        let taken = attached.iter().map(|one| one.name.to_string()).chain(vars).collect();
        return Ok(naming::attachment(&control.config().var_prefix, &taken, random()));
    };
    let name: AttachmentName = given.parse()?;
    if let Some(other) = attached.iter().find(|one| one.name == name) {
        return Err(Error::invalid(format!(
            "{} has an attachment {name} already: it is {}. Choose another name with `--as`.",
            app.name, other.addon_name
        )));
    }
    if by_hand.contains(&name.url_var()) {
        let var = name.url_var();
        return Err(Error::invalid(format!(
            "{} has a config var {var} that was set by hand. Remove it with `config:unset {var} \
             -a {}`, or choose another name with `--as`.",
            app.name, app.name
        )));
    }
    Ok(name)
}

/// Writes the database, its credential and its attachment.
async fn insert(control: &Control, tx: &mut Tx, app: AppId, new: &NewDatabase) -> Result<()> {
    let now = control.now();
    let origin = new.settled.as_ref().map(Settled::origin);
    let own_name = password::random_database();
    let source = new.settled.as_ref().map(|settled| &settled.source);
    let followed = source.filter(|_| origin.as_ref().is_some_and(|one| one.how == How::Follow));
    let inherits = origin.as_ref().zip(source).map(|(origin, source)| databases::Inherits {
        origin,
        adopts: followed.is_none().then_some(&source.name),
        known_as: followed.is_some().then_some(&own_name),
        // What follows has the incarnation of what it follows; what is adopted begins anew.
        incarnation: followed.map_or(Incarnation(1), |leader| leader.incarnation),
    });
    let database = databases::New {
        id: new.id,
        addon_name: &new.name,
        app_id: app,
        plan: new.plan,
        major: new.major,
        name: followed.map_or(&own_name, |leader| &leader.name),
        inherits,
    };
    let inserted = databases::insert(tx, &database, now).await;
    taken(inserted, "databases_addon_name_key", new.name.as_str())?;
    if let Some(origin) = &origin {
        database_settings::inherit(tx, new.id, origin.id).await?;
    }
    let (id, password) = (CredentialId::new(), password::random_password());
    let credential = Credential {
        id,
        database_id: new.id,
        name: credentials::DEFAULT.to_owned(),
        role: password::random_role(),
        password: control.keyring().seal(config::CREDENTIAL, id, password.reveal().as_bytes()),
        verifier: scram::verifier(&password),
        permission: Permission::None,
        created_at: now,
        revoked_at: None,
    };
    credentials::insert(tx, &credential).await?;
    let to = Pointing { database: new.id, namespace: None };
    Ok(attachments::insert(tx, app, &new.attachment, to, now).await?)
}

async fn made(
    control: &Control,
    account: AccountId,
    new: &NewDatabase,
    operation: OperationId,
) -> Result<Addon> {
    let mut conn = control.reader().get().await?;
    let asked = operations::get(&mut conn, operation).await?;
    let outcome = asked.as_ref().map_or(Outcome::Running, |asked| asked.outcome);
    match outcome {
        Outcome::Running | Outcome::Done => find(&mut conn, account, &new.id.to_string()).await,
        Outcome::Undone | Outcome::NeedsOperator => {
            let why = match asked.and_then(|asked| asked.last_error) {
                Some(error) => error,
                None => last_reason(&mut conn, operation).await?,
            };
            Err(Error::Unavailable(format!(
                "{} could not be made: {why}. Nothing is left of it; try again, and if it stays, \
                 `howdah doctor` says what the machine lacks.",
                new.name
            )))
        }
    }
}

/// Why an operation turned back: the reason of its last but one transition.
async fn last_reason(conn: &mut Connection, operation: OperationId) -> Result<String> {
    let all = transitions::list(conn, &[operation.0]).await?;
    let turned = all.iter().rev().nth(1).or(all.last());
    Ok(turned.map_or_else(String::new, |transition| transition.reason.clone()))
}

/// Gives an add-on another name.
///
/// # Errors
/// [`Error::Invalid`] when the name breaks the rule or is taken.
pub async fn rename(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    name: &str,
) -> Result<Addon> {
    check_owned(addon)?;
    let name: AddonName = name.parse()?;
    let mut tx = control.store().begin().await?;
    let renamed = databases::rename(&mut tx, addon.id, &name).await;
    taken(renamed, "databases_addon_name_key", name.as_str())?;
    let addon = find(&mut tx, account, name.as_str()).await?;
    tx.commit().await?;
    Ok(addon)
}

/// Destroys a database: takes it from its apps and begins its removal. Waits a moment for it.
///
/// # Errors
/// [`Error::Invalid`] when other apps use it and `force` is not given.
pub async fn destroy(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    force: bool,
) -> Result<()> {
    check_owned(addon)?;
    let mut tx = control.store().begin().await?;
    let attached = attachments::list_by_database(&mut tx, addon.id).await?;
    let foreign: Vec<_> = attached
        .iter()
        .filter(|one| one.app_id != addon.app_id)
        .map(|one| format!("{}::{}", one.app_name, one.name))
        .collect();
    if !foreign.is_empty() && !force {
        return Err(Error::invalid(format!(
            "{} is attached to other apps as {}. Detach it there, or destroy it with `--force`.",
            addon.name,
            foreign.join(", ")
        )));
    }
    let asked = New {
        id: OperationId::new(),
        kind: Operation::Destroy,
        database_id: addon.id,
        app_id: addon.app_id,
        account_id: Some(account),
        arguments: json!({}),
    };
    begin(&mut tx, &asked, addon.name.as_str(), control.now()).await?;
    refuse_followed(&mut tx, addon).await?;
    tx.commit().await?;
    control.wait_for_operation(asked.id, A_MOMENT).await?;
    Ok(())
}

/// Refuses to take a database from those that follow it.
async fn refuse_followed(conn: &mut Connection, addon: &Addon) -> Result<()> {
    let followers = lineage::followers(conn, addon.id).await?;
    if followers.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = followers.iter().map(|one| one.database.addon_name.as_str()).collect();
    Err(Error::Conflict(format!(
        "{} is followed by {}. Make each a database of its own with `pg:unfollow`, or destroy it, \
         before.",
        addon.name,
        names.join(", ")
    )))
}
