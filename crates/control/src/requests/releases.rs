//! Releases: every change of what an app runs with makes one (B9).

use std::collections::BTreeMap;

use anyhow::Context as _;
use howdah_model::ids::{AccountId, AppId, OperationId, ReleaseId};
use howdah_store::apps::{self, App};
use howdah_store::releases::{self, NewRelease, Release};
use howdah_store::{Connection, Sealed, Tx, config_vars};
use jiff::Timestamp;

use super::config;
use super::error::{Error, Noun, Result};
use crate::Control;
use crate::keyring::Keyring;

/// What the encryption of a release's config vars is bound to, beside its id.
const COLUMN: &str = "releases.config";

/// A change of an app that makes a release.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Which app. The transaction has locked it, see [`apps::lock`].
    pub app: AppId,
    /// What was changed, as Heroku says it.
    pub description: &'a str,
    /// Who changed it; none when it was the platform itself.
    pub account: Option<AccountId>,
    /// The operation that makes the release, for [`releases::made_by`].
    pub operation: Option<OperationId>,
}

/// Writes the next release of an app into the transaction that changes it, and answers its number.
///
/// # Errors
/// When a config var cannot be decrypted, or the platform's database does not answer.
pub async fn publish(
    keyring: &Keyring,
    tx: &mut Tx,
    change: Change<'_>,
    now: Timestamp,
) -> anyhow::Result<i32> {
    let id = ReleaseId::new();
    let vars = config::set_by_hand(keyring, tx, change.app).await?;
    let clear = serde_json::to_vec(&vars).context("write the config vars of a release")?;
    let config = keyring.seal(COLUMN, id, &clear);
    let release = NewRelease {
        id,
        app: change.app,
        description: change.description,
        account: change.account,
        operation: change.operation,
        config: &config,
        now,
    };
    Ok(releases::insert(tx, &release).await?)
}

/// What the release of an attachment is called.
#[must_use]
pub fn attached(attachment: &str, addon: &str) -> String {
    format!("Attach {attachment} (@ref:{addon})")
}

/// What the release of attachments that went away is called.
#[must_use]
pub fn detached(attachments: &[String], addon: &str) -> String {
    format!("Detach {} (@ref:{addon})", attachments.join(", "))
}

/// What the release of attachments whose URLs have changed is called.
#[must_use]
pub fn updated(attachments: &[String], addon: &str) -> String {
    format!("Update {} (@ref:{addon})", attachments.join(", "))
}

/// The config vars that people had set when a release was made.
///
/// # Errors
/// [`Error::NotFound`] when there is no such release.
pub async fn config_of(
    control: &Control,
    conn: &mut Connection,
    release: ReleaseId,
) -> Result<BTreeMap<String, String>> {
    let sealed = releases::config(conn, release).await?.ok_or(Error::NotFound(Noun::Release))?;
    open(control.keyring(), release, &sealed)
}

fn open(
    keyring: &Keyring,
    release: ReleaseId,
    sealed: &Sealed,
) -> Result<BTreeMap<String, String>> {
    let clear = keyring.open(COLUMN, release, sealed)?;
    Ok(serde_json::from_slice(&clear).context("read the config vars of a release")?)
}

/// Sets an app's config vars back to what they were at an earlier release, as a new release. What
/// databases give the app stays as it is.
///
/// # Errors
/// [`Error::NotFound`] when the app has no such release; [`Error::Invalid`] when a config var of
/// then belongs to an attachment now.
pub async fn roll_back(
    control: &Control,
    account: AccountId,
    app: &App,
    version_or_id: &str,
) -> Result<Release> {
    let mut tx = control.store().begin().await?;
    if !apps::lock(&mut tx, app.id).await? {
        return Err(Error::NotFound(Noun::App));
    }
    let release = releases::find(&mut tx, app.id, version_or_id)
        .await?
        .ok_or(Error::NotFound(Noun::Release))?;
    let vars = config_of(control, &mut tx, release.id).await?;
    config::refuse_attached(&mut tx, app, vars.keys().map(String::as_str)).await?;
    config_vars::clear(&mut tx, app.id).await?;
    for (name, value) in &vars {
        config::store(control.keyring(), &mut tx, app.id, &name.parse()?, value).await?;
    }
    let description = format!("Rollback to v{}", release.version);
    let change =
        Change { app: app.id, description: &description, account: Some(account), operation: None };
    let version = publish(control.keyring(), &mut tx, change, control.now()).await?;
    let made = releases::find(&mut tx, app.id, &version.to_string()).await?;
    tx.commit().await?;
    made.ok_or(Error::NotFound(Noun::Release))
}
