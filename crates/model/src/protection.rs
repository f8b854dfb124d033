//! Continuous protection: what the control plane wants of it, and what agents say of it.
//!
//! The agent of a leader sends its WAL to the archive as it comes, takes base backups and proves
//! them by restoring, all by itself; the control plane only says how often and for how long.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ParticipantId, TimelineId};
use crate::lsn::{Lsn, Tli};

/// How the timeline of a leader shall be protected. Durations are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// A base backup is taken at least this often.
    pub backup_every: u64,
    /// How far back it must be possible to restore.
    pub keep: u64,
    /// A restore is proven at least this often; 0 for never.
    pub drill_every: u64,
    /// How many base backups were asked for beside the schedule so far.
    pub backups: u32,
    /// How many drills were asked for beside the schedule so far.
    pub drills: u32,
}

impl Default for Protection {
    fn default() -> Self {
        Self { backup_every: 86_400, keep: 86_400, drill_every: 0, backups: 0, drills: 0 }
    }
}

/// Where the data of a new participant comes from, when it is another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The history.
    pub timeline: TimelineId,
    /// A participant of the same server that has the data now: it is copied without the archive
    /// when that reaches `until`.
    pub beside: Option<ParticipantId>,
    /// Up to where.
    pub until: Until,
}

/// Up to where a history is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "until")]
pub enum Until {
    /// At least to what was committed when the spec was written.
    Now {
        /// When that was.
        asked_at: Timestamp,
    },
    /// What was committed at a moment, exactly.
    Time {
        /// The moment.
        at: Timestamp,
    },
    /// The end of the newest base backup: less to replay (`--fast`).
    Backup,
    /// As far as the archive goes.
    End,
}

/// What the agent of a participant says of its making from another's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Making {
    /// What is done now.
    pub step: MakingStep,
    /// Bytes done of this step.
    pub done: u64,
    /// Bytes of this step in all; 0 when that is not known.
    pub total: u64,
    /// For people: that the file system copies by reference, or why the archive is used.
    pub note: Option<String>,
}

/// The steps of making a participant from another's data, in their order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MakingStep {
    /// Until the archive has what is needed.
    Securing,
    /// Copying the data: from the source's directory, or from a base backup.
    Copying,
    /// Replaying WAL.
    Replaying,
}

/// Where an instance is in WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// When it was asked.
    pub at: Timestamp,
    /// PostgreSQL's timeline.
    pub tli: Tli,
    /// Of a leader what it has written durably, of a follower what it has replayed.
    pub lsn: Lsn,
    /// The next transaction number: those below it have begun (leader), or are known (follower).
    pub next_xid: u64,
}

/// How a follower follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// By which means.
    pub by: FollowingBy,
    /// Since when by that.
    pub since: Timestamp,
    /// What was given up on the way here, for people: `the stream broke off: …`.
    pub why: Option<String>,
}

/// The ladder of a follower: each step is tried when the one before does not help in time.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FollowingBy {
    /// WAL comes from the leader as it is written.
    Stream,
    /// WAL comes from the archive.
    Archive,
    /// Its data is brought back to where it left the leader's history (`pg_rewind`).
    Rewind,
    /// Its data is made anew.
    Clone,
}

/// What the agent of a leader says of its protection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protected {
    /// Everything before this place is in the archive.
    pub archived: Lsn,
    /// All that was committed before this moment is in the archive.
    pub archived_at: Option<Timestamp>,
    /// Bytes of WAL that are written and not in the archive yet.
    pub lag_bytes: u64,
    /// What keeps WAL from the archive now, and since when.
    pub trouble: Option<Trouble>,
    /// WAL that was found to be missing in the archive, for some minutes: moments in it cannot be
    /// restored, and a base backup was taken behind it.
    #[serde(default)]
    pub gap: Option<Trouble>,
    /// The earliest moment that can be restored.
    pub earliest: Option<Timestamp>,
    /// The newest complete base backup.
    pub backup: Option<BackupSeen>,
    /// Bytes done, and in all, of the base backup that is being taken.
    pub backing_up: Option<(u64, u64)>,
    /// How many of the base backups that were asked for are done.
    pub backups: u32,
    /// The last drill.
    pub drill: Option<DrillSeen>,
    /// How many of the drills that were asked for are done.
    pub drills: u32,
}

/// Something that has been going wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What, for people.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
}

/// A base backup that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSeen {
    /// Its name in the archive.
    pub id: String,
    /// From this moment on the history can be restored by it.
    pub ended_at: Timestamp,
    /// Bytes of the cluster.
    pub bytes: u64,
    /// Bytes in the archive.
    pub stored: u64,
}

/// What a restore drill came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSeen {
    /// When it ended.
    pub at: Timestamp,
    /// What it came to.
    pub outcome: Drilled,
}

/// What a restore drill came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Drilled {
    /// The database was there again, complete and sound.
    Proven {
        /// Milliseconds from the beginning to the first answer.
        took_ms: u64,
        /// How much of the newest history the archive lacked at that moment, in milliseconds.
        lost_ms: u64,
    },
    /// It was not tried, and why.
    Skipped {
        /// Why.
        why: String,
    },
    /// The restore did not succeed or was not what it should be.
    Failed {
        /// What was found.
        why: String,
    },
}

/// What an agent says of its server's disk.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DiskStage {
    /// There is room.
    #[default]
    Ample,
    /// People are told.
    Warn,
    /// What writes most is slowed down; nothing new is made.
    Throttle,
    /// Tenants' sessions may only read.
    ReadOnly,
}
