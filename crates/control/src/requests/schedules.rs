//! Schedules of backups (E13).

use howdah_model::ids::AppId;
use howdah_model::schedule::Hour;
use howdah_store::addons::Addon;
use howdah_store::schedules::{self, Schedule};
use howdah_store::{Connection, apps as stored_apps};
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::addons::check_owned;
use super::error::{Error, Noun, Result};
use crate::Control;
use crate::transfers::named;

/// The longest name of a schedule.
const LONGEST: usize = 100;

/// What becomes of the schedules of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// The new one takes their place.
    Replace,
    /// They stay beside it.
    Keep,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The hour, as people wrote it.
    pub hour: String,
    /// The time zone, by its IANA name.
    pub zone: String,
    /// The config var of the database, such as `DATABASE_URL`.
    pub name: String,
    /// What becomes of the others.
    pub others: Others,
}

/// Makes a daily schedule for a database.
///
/// # Errors
/// [`Error::Invalid`] when the hour, the zone or the name will not do.
pub async fn create(control: &Control, addon: &Addon, wanted: &Wanted) -> Result<Schedule> {
    check_owned(addon)?;
    let hour: Hour = wanted.hour.parse().map_err(|error| {
        Error::invalid(format!("{error}. Schedules are daily, at `HH:00 TIMEZONE`."))
    })?;
    let zone = TimeZone::get(&wanted.zone).map_err(|_| {
        let known: String = wanted.zone.chars().take(60).collect();
        Error::invalid(format!(
            "`{known}` is not a time zone. Give one such as UTC or America/Los_Angeles."
        ))
    })?;
    let name = wanted.name.trim();
    if name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
        return Err(Error::invalid("A schedule has the name of a database, such as DATABASE_URL."));
    }
    let mut tx = control.store().begin().await?;
    if !stored_apps::lock(&mut tx, addon.app_id).await? {
        return Err(Error::NotFound(Noun::App));
    }
    let attachment = name.strip_suffix("_URL").unwrap_or(name);
    let leads_to = named(&mut tx, addon.app_id, attachment).await?;
    let now = control.now();
    let new = Schedule {
        id: Uuid::now_v7(),
        app_id: addon.app_id,
        database_id: addon.id,
        name: name.to_owned(),
        by_name: leads_to == Some(addon.id),
        hour,
        zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        next_at: hour.next(&zone, now),
        created_at: now,
    };
    if wanted.others == Others::Replace {
        schedules::delete_named(&mut tx, addon.app_id, name).await?;
    }
    schedules::insert(&mut tx, &new).await?;
    tx.commit().await?;
    Ok(new)
}

/// The schedules of an app.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn list(conn: &mut Connection, app: AppId) -> Result<Vec<Schedule>> {
    Ok(schedules::list_of_app(conn, app).await?)
}

/// Removes a schedule of the app that owns a database.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn delete(control: &Control, addon: &Addon, id: &str) -> Result<Schedule> {
    check_owned(addon)?;
    let id = id.parse().map_err(|_| Error::NotFound(Noun::Schedule))?;
    let mut tx = control.store().begin().await?;
    let deleted = schedules::delete(&mut tx, addon.app_id, id).await?;
    tx.commit().await?;
    deleted.ok_or(Error::NotFound(Noun::Schedule))
}
