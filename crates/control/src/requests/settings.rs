//! What people set of a database with `pg:settings`.

use howdah_model::database_setting::{self as setting, Changed, Value};
use howdah_store::addons::Addon;
use howdah_store::{Connection, database_settings, databases, participants};

use super::addons::check_owned;
use super::copies::refuse_follower;
use super::error::{Error, Result};
use crate::Control;

/// What was set of a database. What was not set has its default.
///
/// # Errors
/// [`Error::Invalid`] when its plan has no settings.
pub async fn show(conn: &mut Connection, addon: &Addon) -> Result<Changed> {
    refuse_hobby(addon)?;
    Ok(database_settings::list(conn, addon.id).await?)
}

/// Sets some, all or none of them. Sessions that begin after a moment have them.
///
/// # Errors
/// [`Error::Invalid`] when its plan has no settings, or a name or value is none;
/// [`Error::Forbidden`] for those who may only use it; [`Error::Conflict`] when it follows another.
pub async fn change(control: &Control, addon: &Addon, changes: &Changed) -> Result<Changed> {
    check_owned(addon)?;
    refuse_hobby(addon)?;
    for (name, value) in changes {
        check(name, value)?;
    }
    let mut tx = control.store().begin().await?;
    databases::lock(&mut tx, addon.id).await?;
    refuse_follower(&mut tx, addon, "changed").await?;
    for (name, value) in changes {
        database_settings::put(&mut tx, addon.id, name, value, control.now()).await?;
    }
    if !changes.is_empty() {
        for participant in database_settings::participants(&mut tx, addon.id).await? {
            participants::raise(&mut tx, participant).await?;
        }
    }
    let changed = database_settings::list(&mut tx, addon.id).await?;
    tx.commit().await?;
    Ok(changed)
}

fn refuse_hobby(addon: &Addon) -> Result<()> {
    if setting::has_settings(addon.plan.tier) {
        return Ok(());
    }
    Err(Error::invalid("You can't perform this operation on Essential-tier databases."))
}

fn check(name: &str, value: &Value) -> Result<()> {
    let Some(known) = setting::find(name) else {
        let names: Vec<_> = setting::KNOWN.iter().map(|known| known.name).collect();
        return Err(Error::invalid(format!(
            "`{name}` is not a setting of databases. These are: {}.",
            names.join(", ")
        )));
    };
    known.check(value).map_err(|error| Error::invalid(format!("{error}.")))
}
