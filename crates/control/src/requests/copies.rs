//! Databases with another's data: `--fork`, `--rollback` and `--follow` of `addons:create`.

mod moment;
mod said;
mod source;

use std::collections::BTreeMap;

use howdah_model::agent::Wanted;
use howdah_model::ids::{AccountId, DatabaseId, TimelineId};
use howdah_model::operation::provision::{Copied, How};
use howdah_model::plan::{Plan, Tier};
use howdah_model::protection::{Protected, Until};
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::databases::{self, Database, Origin};
use howdah_store::{Connection, Tx, lineage, operations, participants};
use jiff::{SignedDuration, Timestamp};

use super::addons::check_owned;
use super::error::{Error, Result};
use super::protection;
use crate::Control;

/// The options that name a source, and what they make.
const SOURCES: [(&str, How, &str); 3] = [
    ("fork", How::Fork, "Fork"),
    ("rollback", How::Rollback, "Rollback"),
    ("follow", How::Follow, "Follow"),
];

/// What the options ask for, before anything was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    how: How,
    /// The option's name as errors begin with it.
    called: &'static str,
    /// The source, as it was written.
    source: String,
    back: Back,
}

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Now,
    Backup,
    To(moment::Moment),
    By(SignedDuration),
}

/// Reads the options that are about copies.
///
/// # Errors
/// When they do not go together, or a time cannot be read.
pub(super) fn asked(options: &BTreeMap<String, String>) -> Result<Option<Asked>> {
    let given = |name: &str| options.get(name).map(String::as_str);
    let mut sources = SOURCES.iter().filter(|(name, ..)| options.contains_key(*name));
    let Some((name, how, called)) = sources.next() else {
        let lonely = ["to", "by", "fast"].into_iter().find(|name| is_on(given(name)));
        return match lonely {
            Some(name @ ("to" | "by")) => {
                Err(Error::invalid(format!("`--{name}` goes with `--rollback DATABASE`.")))
            }
            Some(name) => Err(Error::invalid(format!("`--{name}` goes with `--fork DATABASE`."))),
            None => Ok(None),
        };
    };
    if let Some((other, ..)) = sources.next() {
        return Err(Error::invalid(format!(
            "`--{name}` and `--{other}` exclude each other: give one or the other."
        )));
    }
    let source = given(name).unwrap_or_default().trim();
    if source.is_empty() || source == "true" {
        return Err(Error::invalid(format!("`--{name}` needs a database: `--{name} DATABASE`.")));
    }
    let back = back(*how, given("to"), given("by"), is_on(given("fast")))?;
    Ok(Some(Asked { how: *how, called, source: source.to_owned(), back }))
}

fn is_on(given: Option<&str>) -> bool {
    given.is_some_and(|value| value != "false")
}

fn back(how: How, to: Option<&str>, by: Option<&str>, fast: bool) -> Result<Back> {
    if fast && how != How::Fork {
        return Err(Error::invalid("`--fast` goes with `--fork DATABASE`."));
    }
    match (how, to, by) {
        (How::Rollback, Some(to), None) => Ok(Back::To(moment::moment(to)?)),
        (How::Rollback, None, Some(by)) => Ok(Back::By(moment::interval(by)?)),
        (How::Rollback, Some(_), Some(_)) => {
            Err(Error::invalid("`--to` and `--by` exclude each other: give one or the other."))
        }
        (How::Rollback, None, None) => Err(Error::invalid(
            "A rollback needs to know how far back: `--to '2014-10-05 15:02:00+00'` or `--by '2 \
             days 5 hours 3 minutes'`.",
        )),
        (_, None, None) => Ok(if fast { Back::Backup } else { Back::Now }),
        (_, Some(_), _) => Err(Error::invalid("`--to` goes with `--rollback DATABASE`.")),
        (_, None, Some(_)) => Err(Error::invalid("`--by` goes with `--rollback DATABASE`.")),
    }
}

/// A source that was found and may be copied.
#[derive(Clone, Debug)]
pub(super) struct Source {
    asked: Asked,
    /// The database whose data it is.
    pub(super) addon: Addon,
}

impl Source {
    /// Whether the new database only follows.
    pub(super) fn is_followed(&self) -> bool {
        self.asked.how == How::Follow
    }

    /// Finds the source that was asked for.
    ///
    /// # Errors
    /// When there is none that the account may copy, or its plan does not offer it.
    pub(super) async fn find(
        control: &Control,
        account: AccountId,
        app: &App,
        asked: Asked,
    ) -> Result<Self> {
        let mut conn = control.reader().get().await?;
        let mut addon = source::find(control, &mut conn, account, app, &asked.source).await?;
        check_owned(&addon)?;
        if let Some(leader) = addon.follows {
            let leader = databases::get(&mut conn, leader).await?;
            let name = leader.map(|leader| leader.addon_name.to_string()).unwrap_or_default();
            if asked.how == How::Follow {
                return Err(Error::invalid(format!(
                    "{} follows another database and cannot be followed itself. Follow its leader \
                     {name}.",
                    addon.name
                )));
            }
            // Its leader has the same data, and more of it.
            addon = super::addons::find(&mut conn, account, &name).await?;
            check_owned(&addon)?;
        }
        let source = Self { asked, addon };
        source.check_plan(source.addon.plan)?;
        Ok(source)
    }

    /// The plan of the copy: the source's when none was named (C35).
    ///
    /// # Errors
    /// When the plan does not offer it, or the source is another app's and none was named.
    pub(super) fn plan(&self, named: Option<&'static Plan>, app: &App) -> Result<&'static Plan> {
        let plan = match named {
            Some(plan) => plan,
            None if self.addon.app_id == app.id => self.addon.plan,
            None => {
                return Err(Error::invalid(format!(
                    "{} belongs to another app. Name the plan of its copy, such as {}.",
                    self.addon.name,
                    self.addon.plan.full_name()
                )));
            }
        };
        self.check_plan(plan)?;
        Ok(plan)
    }

    fn check_plan(&self, plan: &Plan) -> Result<()> {
        if plan.tier != Tier::Hobby {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} is only available on production databases.",
            self.asked.called
        )))
    }
}

/// What a copy is made of, once the source is locked.
pub(super) struct Settled {
    pub(super) source: Database,
    pub(super) copied: Copied,
    /// What people are told.
    pub(super) message: String,
}

impl Settled {
    /// How the copy is written down to come from the source.
    pub(super) fn origin(&self) -> Origin {
        let Copied { how, source: id, .. } = self.copied;
        Origin { how, id, name: self.source.addon_name.as_str().to_owned() }
    }
}

/// Locks the source, so that it is not destroyed meanwhile, and settles up to where its data is
/// taken.
///
/// # Errors
/// When it is being made or destroyed, or the time is outside of its window.
pub(super) async fn settle(
    control: &Control,
    tx: &mut Tx,
    source: &Source,
    plan: &'static Plan,
) -> Result<Settled> {
    let locked = databases::lock(tx, source.addon.id).await?;
    let timeline = check_there(tx, source, &locked).await?;
    let now = control.now();
    let seen = protection::seen(control, tx, locked.id).await?;
    let until = until(control, tx, source, &locked, seen.as_ref(), now).await?;
    let backup = match until {
        Until::Backup => seen.and_then(|seen| seen.backup).map(|backup| backup.ended_at),
        Until::Now { .. } | Until::Time { .. } | Until::End => None,
    };
    let mut remarks = remarks(source, plan);
    if matches!(source.asked.back, Back::To(moment) if !moment.zoned) {
        remarks.push("The time was given without a time zone: UTC was taken.".to_owned());
    }
    let how = source.asked.how;
    let said = said::Said { how, until, backup, remarks: &remarks };
    let message = said::message(&said, now);
    let copied = Copied { how, source: locked.id, timeline, until };
    Ok(Settled { source: locked, copied, message })
}

/// Refuses a source that has no data to copy; answers its timeline.
async fn check_there(
    conn: &mut Connection,
    source: &Source,
    locked: &Database,
) -> Result<TimelineId> {
    let name = &source.addon.name;
    let running = operations::unfinished(conn, locked.id).await?;
    let destroyed =
        running.iter().any(|one| one.kind == howdah_model::operation::Operation::Destroy);
    if locked.wanted == Wanted::Absent || destroyed {
        return Err(Error::Conflict(format!("{name} is being destroyed.")));
    }
    let there = match locked.participant_id.filter(|_| source.addon.published) {
        Some(id) => participants::get(conn, id).await?,
        None => None,
    };
    match there {
        Some(there) => Ok(there.timeline_id),
        None => Err(Error::Conflict(format!(
            "{name} is still being made. Wait with `pg:wait {name}`, then try again."
        ))),
    }
}

async fn until(
    control: &Control,
    conn: &mut Connection,
    source: &Source,
    locked: &Database,
    seen: Option<&Protected>,
    now: Timestamp,
) -> Result<Until> {
    let wanted = match source.asked.back {
        Back::Now => return Ok(Until::Now { asked_at: now }),
        Back::Backup if seen.is_some_and(|seen| seen.backup.is_some()) => {
            return Ok(Until::Backup);
        }
        Back::Backup => {
            return Err(Error::Unavailable(format!(
                "{} has no base backup yet. Try again in a few minutes, or leave `--fast` out.",
                locked.addon_name
            )));
        }
        Back::To(moment) => moment.at,
        Back::By(interval) => now.checked_sub(interval).unwrap_or(Timestamp::MIN),
    };
    let published = lineage::published_at(conn, locked.id).await?;
    let earliest = protection::earliest(control, locked, published, seen, now);
    check_window(&source.addon, wanted, earliest, now)?;
    Ok(Until::Time { at: wanted })
}

/// Refuses a moment that a database cannot be brought back to (G6).
fn check_window(
    addon: &Addon,
    wanted: Timestamp,
    earliest: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let said = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let Some(earliest) = earliest else {
        return Err(Error::Unavailable(format!(
            "{} cannot be rolled back yet: it has no base backup, or its server does not answer. \
             `pg:info {}` says from when on it can.",
            addon.name, addon.name
        )));
    };
    if wanted < earliest {
        return Err(Error::invalid(format!(
            "{} can be rolled back to {} at the earliest; {} is before that.",
            addon.name,
            said(earliest),
            said(wanted)
        )));
    }
    if wanted > now {
        return Err(Error::invalid(format!(
            "{} is in the future: a rollback goes to a moment that has been.",
            said(wanted)
        )));
    }
    Ok(())
}

/// What is said beside, of a source that was taken as it is.
fn remarks(source: &Source, plan: &Plan) -> Vec<String> {
    let mut remarks = Vec::new();
    let of_source = source.addon.plan;
    if (plan.ram_mib, plan.connections) < (of_source.ram_mib, of_source.connections) {
        remarks.push(format!(
            "Warning: {plan} is smaller than {of_source}, the plan of {}: it may not keep up.",
            source.addon.name
        ));
    }
    if source.is_followed() {
        // Servers have no zones yet, so that a follower is beside its leader (G17).
        remarks.push(format!(
            "Warning: it is in the same zone as {}: should the zone fail, so do both.",
            source.addon.name
        ));
    }
    remarks
}

/// The database that follows another cannot be changed as others can.
///
/// # Errors
/// [`Error::Conflict`] with the way out.
pub(super) async fn refuse_follower(
    conn: &mut Connection,
    addon: &Addon,
    what: &str,
) -> Result<()> {
    let Some(leader) = addon.follows else {
        return Ok(());
    };
    let leader = name_of(conn, leader).await?;
    Err(Error::Conflict(format!(
        "{} follows {leader} and can only be read: it cannot be {what}. Make it a database of its \
         own with `pg:unfollow {}` first.",
        addon.name, addon.name
    )))
}

async fn name_of(conn: &mut Connection, id: DatabaseId) -> Result<String> {
    let found = databases::get(conn, id).await?;
    Ok(found.map(|database| database.addon_name.to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
