//! Restores and copies: what is put in the place of a database.

use howdah_model::backup::{Cause, Kind};
use howdah_model::ids::{AccountId, DatabaseId, OperationId, TransferId};
use howdah_model::operation::Operation;
use howdah_store::addons::Addon;
use howdah_store::operations::New;
use howdah_store::transfers::{self, New as NewTransfer, Source};
use howdah_store::{apps as stored_apps, credentials};
use reqwest::Url;
use serde_json::json;

use super::addons::check_owned;
use super::backups::{self, Shown, check_available, name_of, readable};
use super::copies::refuse_follower;
use super::databases::check_extensions;
use super::downloads;
use super::error::{Error, Noun, Result};
use super::uploads::{self, UPLOAD};
use super::{begin, config};
use crate::Control;
use crate::transfers::SOURCE_URL;

/// The scheme of the opaque addresses of our backups.
pub const DUMP: &str = "howdah-dump:";

/// The longest name of a source or target that is kept.
const LONGEST_NAME: usize = 100;

/// Restores a backup, by its opaque address, its signed URL or any URL of a dump, into a database
/// (E19, E21, E31). It goes on by itself.
///
/// # Errors
/// [`Error::Invalid`] when the address will not do, or the database follows another;
/// [`Error::NotFound`] when the backup is not there or another's; [`Error::Conflict`] when the
/// database is not available.
pub async fn restore(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    backup_url: &str,
    extensions: Vec<String>,
) -> Result<Shown> {
    let extensions: Vec<String> = extensions.iter().map(|one| unqualified(one)).collect();
    check_extensions(addon, &extensions)?;
    let (from, name) = backup(control, account, backup_url).await?;
    let to_name = own_name(control, addon).await?;
    let wanted = Wanted { kind: Kind::Restore, from, from_name: name, to_name, extensions };
    start(control, account, addon, wanted).await
}

/// Clients may name the schema too, `myschema.hstore`; the backup knows it.
fn unqualified(extension: &str) -> String {
    let name = extension.rsplit_once('.').map_or(extension, |(_, name)| name);
    name.trim().to_owned()
}

/// What an address means, before it is stored.
enum From {
    Database(DatabaseId),
    Dump(TransferId),
    Web(String),
    Foreign(String),
}

async fn backup(control: &Control, account: AccountId, url: &str) -> Result<(From, String)> {
    if let Some(id) = url.strip_prefix(DUMP) {
        let id = id.parse().map_err(|_| Error::NotFound(Noun::Transfer))?;
        let found = readable(control, account, id).await?;
        return Ok((From::Dump(found.id), found.label()));
    }
    if let Some(id) = url.strip_prefix(UPLOAD) {
        let found = uploads::find(control, account, id).await?;
        return Ok((From::Dump(found), "UPLOAD".to_owned()));
    }
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(parsed) = parsed.filter(Url::has_host) else {
        return Err(Error::invalid(
            "The backup url is invalid: it is neither a backup of this platform nor an http or \
             https address.",
        ));
    };
    // What we have signed is ours: the network is not asked.
    if let Some(found) = downloads::signed(control, &parsed).await? {
        return Ok((From::Dump(found.id), found.label()));
    }
    let name = parsed.host_str().unwrap_or_default().to_owned();
    Ok((From::Web(url.to_owned()), name))
}

/// What `pg:copy` asks for.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The URL of the database that is copied.
    pub from_url: String,
    /// Its name for people.
    pub from_name: String,
    /// The target's name for people.
    pub to_name: String,
}

/// Copies a database, of this platform or not, into one of this platform.
///
/// # Errors
/// As [`restore`].
pub async fn copy(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    wanted: &Copy,
) -> Result<Shown> {
    let from = source(control, &wanted.from_url).await?;
    if matches!(from, From::Database(id) if id == addon.id) {
        return Err(Error::invalid(format!("{} cannot be copied into itself.", addon.name)));
    }
    let wanted = Wanted {
        kind: Kind::Copy,
        from,
        from_name: plain(&wanted.from_name),
        to_name: plain(&wanted.to_name),
        extensions: Vec::new(),
    };
    start(control, account, addon, wanted).await
}

/// A name for people without what may be a secret in front of a host.
fn plain(name: &str) -> String {
    let host = name.rsplit_once('@').map_or(name, |(_, host)| host);
    host.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

async fn source(control: &Control, url: &str) -> Result<From> {
    let parsed = Url::parse(url).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(parsed) = parsed.filter(|url| url.has_host() && url.path().len() > 1) else {
        return Err(Error::invalid(
            "What is to be copied is given as a URL of the form \
             postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
        ));
    };
    let config = control.config();
    let port = parsed.port().unwrap_or(5432);
    let is_ours = parsed.host_str() == Some(config.gateway_host.as_str())
        && [config.gateway_port, config.pool_port].contains(&port);
    if !is_ours {
        return Ok(From::Foreign(url.to_owned()));
    }
    // Whoever has the password of the owner may read all of it.
    let nothing = || {
        Error::invalid(
            "The URL of what is to be copied opens no database of this platform: its user, its \
             password or its database is wrong, or it is not of the default credential.",
        )
    };
    let mut conn = control.reader().get().await?;
    let found = credentials::find_role(&mut conn, parsed.username()).await?.ok_or_else(nothing)?;
    let own = control.keyring().open_text(config::CREDENTIAL, found.id, &found.password)?;
    let right = own.reveal() == parsed.password().unwrap_or_default();
    if right && found.name == credentials::DEFAULT {
        return Ok(From::Database(found.database_id));
    }
    Err(nothing())
}

struct Wanted {
    kind: Kind,
    from: From,
    from_name: String,
    to_name: String,
    extensions: Vec<String>,
}

async fn own_name(control: &Control, addon: &Addon) -> Result<String> {
    let mut conn = control.reader().get().await?;
    name_of(&mut conn, addon.app_id, addon.id, addon.name.as_str()).await
}

async fn start(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    wanted: Wanted,
) -> Result<Shown> {
    check_owned(addon)?;
    check_available(addon.name.as_str(), addon.state, "restored")?;
    let mut tx = control.store().begin().await?;
    refuse_follower(&mut tx, addon, "restored").await?;
    if !stored_apps::lock(&mut tx, addon.app_id).await? {
        return Err(Error::NotFound(Noun::App));
    }
    let id = OperationId::new();
    let new = New {
        id,
        kind: Operation::Restore,
        database_id: addon.id,
        app_id: addon.app_id,
        account_id: Some(account),
        arguments: json!({}),
    };
    begin(&mut tx, &new, addon.name.as_str(), control.now()).await?;
    let seal = |url: &str| control.keyring().seal(SOURCE_URL, id, url.as_bytes());
    let source = match &wanted.from {
        From::Database(id) => Source::Database(Some(*id)),
        From::Dump(id) => Source::Dump(*id),
        From::Web(url) => Source::Web(seal(url)),
        From::Foreign(url) => Source::Foreign(seal(url)),
    };
    let new = NewTransfer {
        id: TransferId(id.0),
        app_id: addon.app_id,
        database_id: addon.id,
        kind: wanted.kind,
        cause: Cause::Manual,
        from_name: wanted.from_name,
        to_name: wanted.to_name,
        source,
        extensions: wanted.extensions,
        schedule_id: None,
        expires: false,
    };
    transfers::insert(&mut tx, &new, control.now()).await?;
    tx.commit().await?;
    backups::get(control, new.id).await
}
