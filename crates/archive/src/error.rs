//! What goes wrong with an archive.

use std::path::PathBuf;

/// What goes wrong with an archive. Objects are named by their place below the archive's prefix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place is taken by something else. Nothing was changed.
    #[error(
        "`{place}` is in the archive already with other content. Two servers must not write one \
         history: find out which of them is right before anything is removed"
    )]
    Conflict {
        /// The object.
        place: String,
    },
    /// What is there is not what was put.
    #[error("`{place}` in the archive is damaged: {why}")]
    Corrupt {
        /// The object.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is not there.
    #[error("`{place}` is not in the archive")]
    Missing {
        /// The object.
        place: String,
    },
    /// The store refuses us.
    #[error("the archive refuses `{place}`: {why}. Check the credentials and their rights")]
    Denied {
        /// The object.
        place: String,
        /// What the store says.
        why: String,
    },
    /// The store is not there: the bucket, the container or the directory.
    #[error("{location} does not exist: {why}. Create it, or correct HOWDAH_ARCHIVE_URL")]
    NoStore {
        /// The archive.
        location: String,
        /// What the store says.
        why: String,
    },
    /// The disk of the archive is full.
    #[error("no space is left for `{place}` in {location}")]
    Full {
        /// The object.
        place: String,
        /// The archive.
        location: String,
    },
    /// The store does not answer, or not as it should. Trying again may help.
    #[error("the archive {location} does not do its work for `{place}`: {why}")]
    Unavailable {
        /// The object.
        place: String,
        /// The archive.
        location: String,
        /// What was seen.
        why: String,
    },
    /// The content is encrypted and there is no key.
    #[error(
        "`{place}` is encrypted: set HOWDAH_ARCHIVE_KEY to the key that the archive was begun with"
    )]
    KeyNeeded {
        /// The object.
        place: String,
    },
    /// A key is set, and the content is not encrypted.
    #[error(
        "`{place}` is not encrypted, but HOWDAH_ARCHIVE_KEY is set. An archive is encrypted from \
         its first object on or not at all: unset the key, or begin a new archive elsewhere"
    )]
    NotEncrypted {
        /// The object.
        place: String,
    },
    /// The key is not the one that was used.
    #[error("`{place}` was encrypted with another key than HOWDAH_ARCHIVE_KEY")]
    WrongKey {
        /// The object.
        place: String,
    },
    /// The archive was written by a later version.
    #[error(
        "the archive {location} has format {found}, this version knows {known}: use a later one"
    )]
    NewerFormat {
        /// The archive.
        location: String,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The history under this id is another cluster's.
    #[error("the history {timeline} in the archive is of another cluster: {why}")]
    OtherHistory {
        /// The timeline.
        timeline: String,
        /// What differs.
        why: String,
    },
    /// What was given cannot be put there.
    #[error("`{place}` cannot be archived: {why}")]
    Unfit {
        /// The object.
        place: String,
        /// Why.
        why: String,
    },
    /// Two parts of one segment disagree.
    #[error(
        "parts of the WAL segment {segment} in the archive differ at byte {at}: two servers have \
         written one history"
    )]
    Diverged {
        /// The segment.
        segment: String,
        /// Where the first difference is.
        at: u32,
    },
    /// A file on this machine cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }

    /// Something that an object says which cannot be.
    pub(crate) fn corrupt(place: impl ToString, why: impl ToString) -> Self {
        Self::Corrupt { place: place.to_string(), why: why.to_string() }
    }
}
