//! What an archive no longer needs, and taking it away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use howdah_model::ids::TimelineId;
use jiff::Timestamp;

use crate::backup::{Backup, BackupId};
use crate::error::Error;
use crate::layout::{BACKUP, Place};
use crate::store::Listed;
use crate::timeline::Timeline;
use crate::wal::index::{Gap, WalIndex, tail_name};
use crate::wal::{Segment, WalName};

/// What was not finished for so long never will be.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Segments are put several at once, so that one may come before the one that it follows.
const ON_THEIR_WAY: u64 = 8;

/// What is no longer needed: a plan. Nothing was taken away yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// What goes.
    pub objects: Vec<Expired>,
    /// The base backups that stay, from the oldest on.
    pub kept: Vec<BackupId>,
}

/// An object that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    place: Place,
    /// Bytes in the archive.
    pub bytes: u64,
    /// Why it goes.
    pub why: Why,
}

impl Expired {
    /// The name of the object below the archive's prefix.
    #[must_use]
    pub fn place(&self) -> &str {
        self.place.as_str()
    }
}

/// Why an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Why {
    /// Of a base backup that nothing in the window is restored by.
    Backup,
    /// WAL from before the oldest base backup that stays.
    Wal,
    /// A part of a segment that is there as a whole.
    Superseded,
    /// Of a base backup that was broken off more than a day ago.
    Unfinished,
}

impl Expiry {
    /// Bytes that become free.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

/// Says what is no longer needed when every moment of the last `keep` shall be restorable: all but
/// the newest base backup that ended before that, what came after, and what these need.
pub(crate) fn plan(
    id: TimelineId,
    objects: &[Listed],
    backups: &[Backup],
    keep: Duration,
    now: Timestamp,
) -> Expiry {
    let kept = kept(backups, keep, now);
    let needed = needed(backups, &kept);
    let starts: Vec<Segment> = kept.iter().map(|of| Segment::of(of.tli, of.start)).collect();
    let complete: BTreeSet<&BackupId> = backups.iter().map(|backup| &backup.id).collect();
    let unfinished = unfinished(id, objects, &complete, now);
    let index = WalIndex::of(id, objects);
    let why = |place: &Place| {
        if let Some(name) = place.below(&Place::backups(id)) {
            let of: BackupId = name.split_once('/')?.0.parse().ok()?;
            return if unfinished.contains(&of) {
                Some(Why::Unfinished)
            } else {
                (complete.contains(&of) && !needed.contains(&of)).then_some(Why::Backup)
            };
        }
        if let Some(name) = place.below(&Place::all_tails(id)) {
            let (segment, _) = tail_name(name)?;
            return if index.has(segment) {
                Some(Why::Superseded)
            } else {
                is_before(segment, &starts).then_some(Why::Wal)
            };
        }
        place.below(&Place::all_wal(id))?;
        match place.name().parse().ok()? {
            WalName::Segment(of) | WalName::Partial(of) | WalName::Backup(of, _) => {
                is_before(of, &starts).then_some(Why::Wal)
            }
            WalName::History(_) => None,
        }
    };
    let objects = objects
        .iter()
        .filter_map(|object| {
            let why = why(&object.place)?;
            Some(Expired { place: object.place.clone(), bytes: object.bytes, why })
        })
        .collect();
    let stay = backups.iter().map(|backup| &backup.id).filter(|id| needed.contains(*id));
    Expiry { objects, kept: stay.cloned().collect() }
}

/// The base backups that moments of the window are restored by.
fn kept(backups: &[Backup], keep: Duration, now: Timestamp) -> Vec<&Backup> {
    // A window without a beginning keeps everything.
    let begin = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
    let oldest = backups
        .iter()
        .filter(|backup| backup.ended_at <= begin)
        .max_by_key(|backup| (backup.ended_at, &backup.id));
    let from = oldest.map_or(Timestamp::MIN, |oldest| oldest.ended_at);
    let stays = |backup: &&Backup| backup.ended_at > from || Some(*backup) == oldest;
    backups.iter().filter(stays).collect()
}

/// These, and all that they are differences to.
fn needed(backups: &[Backup], kept: &[&Backup]) -> BTreeSet<BackupId> {
    let bases: BTreeMap<&BackupId, &BackupId> =
        backups.iter().filter_map(|of| Some((&of.id, of.base.as_ref()?))).collect();
    let mut needed = BTreeSet::new();
    for backup in kept {
        let mut next = Some(&backup.id);
        while let Some(id) = next {
            next = needed.insert(id.clone()).then(|| bases.get(id).copied()).flatten();
        }
    }
    needed
}

/// Whether no base backup that stays needs a segment. Without any all WAL stays: the first base
/// backup may be on its way.
fn is_before(segment: Segment, starts: &[Segment]) -> bool {
    let needs = |start: &Segment| segment.tli >= start.tli && segment.number >= start.number;
    !starts.is_empty() && !starts.iter().any(needs)
}

/// Base backups without a description to which nothing was added for long.
fn unfinished(
    id: TimelineId,
    objects: &[Listed],
    complete: &BTreeSet<&BackupId>,
    now: Timestamp,
) -> BTreeSet<BackupId> {
    let backups = Place::backups(id);
    let mut newest: BTreeMap<BackupId, Timestamp> = BTreeMap::new();
    let mut described = BTreeSet::new();
    for object in objects {
        let Some((of, name)) = object.place.below(&backups).and_then(|name| name.split_once('/'))
        else {
            continue;
        };
        let Ok(of) = of.parse::<BackupId>() else { continue };
        if name == BACKUP {
            // One that cannot be read is left to people.
            described.insert(of.clone());
        }
        let at = newest.entry(of).or_insert(object.at);
        *at = object.at.max(*at);
    }
    let long_ago = |at: Timestamp| now.checked_sub(ABANDONED).is_ok_and(|bound| at < bound);
    newest
        .into_iter()
        .filter(|(of, at)| !described.contains(of) && !complete.contains(of) && long_ago(*at))
        .map(|(of, _)| of)
        .collect()
}

impl Timeline {
    /// Says what is no longer needed when every moment of the last `keep` shall be restorable.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn expiry(&self, keep: Duration, now: Timestamp) -> Result<Expiry, Error> {
        // What becomes complete after the listing is not in it, so nothing of it goes.
        let objects = self.store.list(&Place::timeline(self.id)).await?;
        let backups = self.backups().await?;
        Ok(plan(self.id, &objects, &backups, keep, now))
    }

    /// Takes away what a plan says. It may be broken off and done again.
    ///
    /// # Errors
    /// When the store does not answer; some of it may be gone then.
    pub async fn expire(&self, expiry: &Expiry) -> Result<(), Error> {
        let places = expiry.objects.iter().map(|object| object.place.clone());
        self.delete(places.collect()).await?;
        self.store.sweep(&Place::timeline(self.id), ABANDONED).await
    }

    /// Removes the whole history. It may be broken off and done again.
    ///
    /// # Errors
    /// When the store does not answer; some of it may be gone then.
    pub async fn erase(&self) -> Result<(), Error> {
        let about = Place::about(self.id);
        let objects = self.store.list(&Place::timeline(self.id)).await?;
        let places = objects.into_iter().map(|object| object.place);
        self.delete(places.filter(|place| *place != about).collect()).await?;
        // As long as this is there, the history is listed, and the rest can be found.
        self.store.delete(&[about]).await?;
        self.store.sweep(&Place::timeline(self.id), Duration::ZERO).await
    }

    /// First what makes base backups complete: one that is there is whole.
    async fn delete(&self, places: Vec<Place>) -> Result<(), Error> {
        let (descriptions, rest): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| place.name() == BACKUP);
        self.store.delete(&descriptions).await?;
        self.store.delete(&rest).await
    }

    /// The earliest moment from which on every one can be restored; none when there is no base backup
    /// from which WAL goes unbroken to the newest.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn earliest(&self) -> Result<Option<Timestamp>, Error> {
        let (index, backups) = (self.wal().await?, self.backups().await?);
        Ok(earliest(&index, &backups))
    }

    /// What is missing in WAL from where the oldest base backup needs it to the newest.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn gaps(&self) -> Result<Vec<Gap>, Error> {
        let (index, backups) = (self.wal().await?, self.backups().await?);
        let oldest = backups.iter().min_by_key(|backup| backup.ended_at);
        Ok(oldest.map_or_else(Vec::new, |oldest| index.gaps(oldest.tli, oldest.start)))
    }
}

/// The earliest moment from which on every one can be restored. What is missing among the last eight
/// segments is taken to be on its way.
#[must_use]
pub fn earliest(index: &WalIndex, backups: &[Backup]) -> Option<Timestamp> {
    let is_there = |id: &BackupId| backups.iter().any(|backup| backup.id == *id);
    let is_consistent = |backup: &Backup| {
        index.newest() > Some(backup.tli)
            || index.reaches_from(backup.start, backup.tli) >= backup.stop
    };
    let last = index.last().unwrap_or(0);
    let may_come = |gap: &Gap| match gap {
        Gap::Segments { first, .. } => first.number + ON_THEIR_WAY > last,
        Gap::History(_) | Gap::Elsewhere { .. } => false,
    };
    let whole = |backup: &&Backup| {
        needed(backups, &[*backup]).iter().all(is_there)
            && index.gaps(backup.tli, backup.start).iter().all(may_come)
            && is_consistent(backup)
    };
    backups.iter().filter(whole).map(|backup| backup.ended_at).min()
}

#[cfg(test)]
mod tests;
