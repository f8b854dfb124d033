//! Config vars: those that people set, and those that databases give to an app. The values exist
//! in clear only here and in the answer.

use std::collections::{BTreeMap, HashSet};

use anyhow::Context as _;
use howdah_model::attachment::{Namespace, Port};
use howdah_model::ids::{AccountId, AppId};
use howdah_model::name::ConfigVarName;
use howdah_store::apps::{self, App};
use howdah_store::attachments::{self, UrlParts};
use howdah_store::{Connection, Tx, config_vars};

use super::error::{Error, Noun, Result};
use super::releases::{self, Change};
use crate::Control;
use crate::config::Config;
use crate::keyring::Keyring;

/// What the encryption of a value is bound to, beside its app and name.
const COLUMN: &str = "config_vars.value";

/// What the encryption of a credential's password is bound to, beside its id.
pub(crate) const CREDENTIAL: &str = "credentials.password";

/// The most bytes that an app's config vars may have together, as on Heroku.
const MOST: usize = 64 * 1024;

/// All config vars of an app, by name.
///
/// # Errors
/// When a value cannot be decrypted, or the platform's database does not answer.
pub async fn all(
    control: &Control,
    conn: &mut Connection,
    app: AppId,
) -> Result<BTreeMap<String, String>> {
    let mut vars = set_by_hand(control.keyring(), conn, app).await?;
    for parts in attachments::url_parts(conn, app).await? {
        vars.insert(parts.attachment.url_var(), url(control, &parts)?);
    }
    Ok(vars)
}

/// The URL of an attachment: `postgres://role:password@host:port/database` (C9).
pub(crate) fn url(control: &Control, parts: &UrlParts) -> Result<String> {
    let keyring = control.keyring();
    let password = keyring.open_text(CREDENTIAL, parts.credential_id, &parts.password)?;
    let namespace = Namespace::parse(parts.namespace.as_deref()).context("read a namespace")?;
    let Config { gateway_host, gateway_port, pool_port, .. } = control.config();
    let port = match namespace.port {
        Port::Direct => gateway_port,
        Port::Pooling => pool_port,
    };
    let (role, password, database) = (&parts.role, password.reveal(), &parts.database);
    Ok(format!("postgres://{role}:{password}@{gateway_host}:{port}/{database}"))
}

/// The config vars that people set, by name.
pub(crate) async fn set_by_hand(
    keyring: &Keyring,
    conn: &mut Connection,
    app: AppId,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut vars = BTreeMap::new();
    for var in config_vars::list(conn, app).await? {
        let clear = keyring.open(COLUMN, row(app, &var.name), &var.value)?;
        let value = String::from_utf8(clear).context("read a config var")?;
        vars.insert(var.name.into(), value);
    }
    Ok(vars)
}

pub(crate) async fn store(
    keyring: &Keyring,
    tx: &mut Tx,
    app: AppId,
    name: &ConfigVarName,
    value: &str,
) -> Result<()> {
    let sealed = keyring.seal(COLUMN, row(app, name), value.as_bytes());
    Ok(config_vars::set(tx, app, name, &sealed).await?)
}

fn row(app: AppId, name: &ConfigVarName) -> String {
    format!("{app} {name}")
}

/// Sets config vars of an app, or removes those whose value is none, as one release. Without a
/// difference there is no release. Answers all config vars.
///
/// # Errors
/// [`Error::Invalid`] when a name is not valid, a value too long, or the var belongs to an
/// attachment and would be changed (C16).
pub async fn change(
    control: &Control,
    account: AccountId,
    app: &App,
    changes: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, String>> {
    let mut tx = control.store().begin().await?;
    if !apps::lock(&mut tx, app.id).await? {
        return Err(Error::NotFound(Noun::App));
    }
    let before = all(control, &mut tx, app.id).await?;
    let changes: BTreeMap<_, _> =
        changes.iter().filter(|(name, value)| before.get(*name) != value.as_ref()).collect();
    if changes.is_empty() {
        return Ok(before);
    }
    refuse_attached(&mut tx, app, changes.keys().map(|name| name.as_str())).await?;
    for (name, value) in &changes {
        let name: ConfigVarName = name.parse()?;
        match value {
            Some(value) => store(control.keyring(), &mut tx, app.id, &name, value).await?,
            None => config_vars::unset(&mut tx, app.id, &name).await?,
        }
    }
    let after = all(control, &mut tx, app.id).await?;
    refuse_too_long(&after)?;
    let description = described(&changes);
    let change =
        Change { app: app.id, description: &description, account: Some(account), operation: None };
    releases::publish(control.keyring(), &mut tx, change, control.now()).await?;
    tx.commit().await?;
    Ok(after)
}

/// Refuses config vars that belong to the app's attachments.
pub(crate) async fn refuse_attached(
    conn: &mut Connection,
    app: &App,
    names: impl Iterator<Item = &str>,
) -> Result<()> {
    let attached = attachments::list_by_app(conn, app.id).await?;
    let names: HashSet<_> = names.collect();
    let owned: Vec<_> =
        attached.iter().filter(|one| names.contains(one.name.url_var().as_str())).collect();
    let Some(first) = owned.first() else {
        return Ok(());
    };
    let vars: Vec<_> = owned.iter().map(|one| one.name.url_var()).collect();
    Err(Error::invalid(format!(
        "Cannot overwrite attachment values {}. Attachment {} of {} owns it: detach it first with \
         `addons:detach {} -a {}`.",
        vars.join(", "),
        first.name,
        first.addon_name,
        first.name,
        app.name
    )))
}

fn refuse_too_long(vars: &BTreeMap<String, String>) -> Result<()> {
    if vars.values().any(|value| value.contains('\0')) {
        return Err(Error::invalid("A config var cannot hold a zero byte."));
    }
    let bytes: usize = vars.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MOST {
        return Err(Error::invalid(format!(
            "The config vars of an app may have {MOST} bytes together; these have {bytes}."
        )));
    }
    Ok(())
}

/// What the release of changed config vars is called.
fn described(changes: &BTreeMap<&String, &Option<String>>) -> String {
    let names = |set: bool| -> Vec<&str> {
        changes.iter().filter(|(_, v)| v.is_some() == set).map(|(name, _)| name.as_str()).collect()
    };
    match (names(true).join(", "), names(false).join(", ")) {
        (set, unset) if unset.is_empty() => format!("Set {set} config vars"),
        (set, unset) if set.is_empty() => format!("Remove {unset} config vars"),
        (set, unset) => format!("Set {set} and remove {unset} config vars"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b9_releases_of_config_vars_are_called_as_herokus() {
        let (a, b, c) = ("A".to_owned(), "B".to_owned(), "C".to_owned());
        let (some, none) = (Some("1".to_owned()), None);
        let called = |of: &[(&String, &Option<String>)]| described(&of.iter().copied().collect());
        assert_eq!(called(&[(&a, &some), (&b, &some)]), "Set A, B config vars");
        assert_eq!(called(&[(&a, &none)]), "Remove A config vars");
        assert_eq!(called(&[(&c, &none), (&a, &some)]), "Set A and remove C config vars");
    }
}
