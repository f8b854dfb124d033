//! The objects of a base backup.

use bytes::Bytes;

use super::BackupId;
use crate::layout::Place;
use crate::store::Sealed;
use crate::{Error, Timeline};

/// PostgreSQL's manifest, as it came.
pub(crate) const MANIFEST: &str = "manifest";
/// Which piece of which file is in which part ([`super::index::Index`]).
pub(crate) const INDEX: &str = "index";

/// The name of a part.
pub(crate) fn part(number: usize) -> String {
    format!("part-{number:06}")
}

/// Where an object of a backup is.
pub(crate) fn place(timeline: &Timeline, id: &BackupId, name: &str) -> Place {
    Place::of_backup(timeline.id, id, name)
}

/// The content of an object of a backup.
pub(crate) async fn get(timeline: &Timeline, id: &BackupId, name: &str) -> Result<Bytes, Error> {
    timeline.store.get(&place(timeline, id, name)).await
}

/// An object of a backup, to be taken out bit by bit.
pub(crate) async fn sealed(
    timeline: &Timeline,
    id: &BackupId,
    name: &str,
) -> Result<Sealed, Error> {
    timeline.store.sealed(&place(timeline, id, name)).await
}
