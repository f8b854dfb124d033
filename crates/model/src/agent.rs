//! What the control plane and an agent say to each other.
//!
//! `PUT /participants/ID` carries a whole [`ParticipantSpec`]; `GET /observation` answers a
//! [`ServerObservation`] with all participants of the server, and waits for a change when asked to
//! (`?after=CHANGE&wait_ms=N`). The agent keeps specs on disk and converges by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compliance::Compliance;
use crate::ids::{ParticipantId, ServerId, TimelineId, TransferId};
use crate::name::{DatabaseName, RoleName};
use crate::permission::Permission;
use crate::protection::{DiskStage, Following, Making, Origin, Position, Protected, Protection};
use crate::scram::Verifier;
use crate::transfer::TransferObservation;
use crate::version::{Major, Version};

/// Whether a thing shall exist.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Wanted {
    /// It shall be there.
    Present,
    /// It shall not be there.
    Absent,
}

/// Fences leaders: grows with every change of who may lead a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// Grows with every change of a spec; an agent refuses an older one than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// Which incarnation of a database: a reset makes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub i32);

/// What a participant is in its timeline.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// The one that accepts writes.
    Leader,
    /// One that follows the leader of its timeline and can be read.
    Follower,
}

/// Whether the server of a participant shall run.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Run {
    /// Yes.
    #[default]
    Up,
    /// No: it is stopped in order and keeps its data, so that nothing is written to it while another
    /// one takes its place. Its position is that of its last checkpoint then.
    Stopped,
}

/// Where a new participant's data comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A new, empty cluster.
    Empty,
    /// Another's history.
    Timeline(Origin),
}

/// The whole desired state of one participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantSpec {
    /// Which participant.
    pub id: ParticipantId,
    /// The timeline that it takes part in.
    pub timeline: TimelineId,
    /// Fences an older leader.
    pub epoch: Epoch,
    /// Grows with every change of this spec.
    pub revision: Revision,
    /// Whether it shall exist.
    pub wanted: Wanted,
    /// What it is in its timeline.
    pub role: Role,
    /// Whether its server shall run.
    #[serde(default)]
    pub run: Run,
    /// Where its data comes from when it has none yet.
    pub source: Source,
    /// Of a follower: the leader of its timeline, when that is on the same server.
    #[serde(default)]
    pub leader: Option<ParticipantId>,
    /// How its timeline is protected, as long as it is the leader.
    #[serde(default)]
    pub protection: Protection,
    /// The major version of PostgreSQL.
    pub major: Major,
    /// How many restarts were asked for so far; the agent does one when it has done fewer.
    pub restarts: i32,
    /// Server settings (`postgresql.conf`): name and value, unquoted.
    pub settings: BTreeMap<String, String>,
    /// The databases in it. One that is not listed and was made by the platform is removed.
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
}

/// One tenant's database within a participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSpec {
    /// Which incarnation; a higher one than the existing replaces it by an empty database.
    pub incarnation: Incarnation,
    /// The role that owns the database: the default credential's.
    pub owner: RoleName,
    /// The roles that may log in.
    pub credentials: Vec<CredentialSpec>,
    /// Settings of the database (`ALTER DATABASE … SET`).
    pub settings: BTreeMap<String, String>,
    /// Extensions to create in a new incarnation, on the owner's behalf.
    pub extensions: Vec<String>,
    /// The name that it has in the data that the participant was made from. It gets its new name,
    /// and its owner the new owner's, before anything else; other databases of the platform go.
    #[serde(default)]
    pub adopts: Option<DatabaseName>,
    /// The transfer that has filled the database which is to be this incarnation. It takes the place
    /// of the one before; an empty one never does, and nothing changes as long as it is not there.
    #[serde(default)]
    pub filled: Option<TransferId>,
    /// The most rows that it may have; `None` for no limit.
    #[serde(default)]
    pub row_limit: Option<u64>,
}

/// One role of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// The role's name.
    pub role: RoleName,
    /// What PostgreSQL stores instead of the password.
    pub verifier: Verifier,
    /// The most sessions that the role may have.
    pub connection_limit: u32,
    /// For whom it is.
    #[serde(default)]
    pub of: CredentialOf,
    /// The names that the role had before, the newest first. Where no role has its name yet, the one
    /// that has the first of these is renamed: it keeps what it owns and may do, and its sessions.
    #[serde(default)]
    pub was: Vec<RoleName>,
    /// What it is let do in the database. Only of one that is [`CredentialOf::Own`] and not the
    /// owner's.
    #[serde(default)]
    pub permission: Permission,
}

/// For whom a role is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialOf {
    /// For the database itself.
    #[default]
    Own,
    /// For a follower, where it comes by replication, or for a link from another database: it logs
    /// in and is the owner from there on (`ALTER ROLE … SET role`). A follower's opens nothing on the
    /// leader, as no route leads there.
    Follower,
    /// For those who still log in by the name and password from before a rotation: it acts as the
    /// role that had this name before ([`CredentialSpec::was`]).
    Former,
}

/// What the agent saw of its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerObservation {
    /// Which server.
    pub server: ServerId,
    /// When it was looked at.
    pub at: Timestamp,
    /// Grows with every change of anything below but counters; for `?after=`. Starts anew with
    /// the agent, from a number that is higher than any before.
    pub change: u64,
    /// The PostgreSQL versions that are installed.
    pub installed: Vec<Installed>,
    /// Memory of the server, in bytes.
    pub memory_total: u64,
    /// Size of the file system that holds the participants, in bytes.
    pub disk_total: u64,
    /// What is free of it, in bytes.
    pub disk_free: u64,
    /// What the agent does about it.
    #[serde(default)]
    pub disk: DiskStage,
    /// The timelines that the agent has removed from the archive since it began, as it was told.
    #[serde(default)]
    pub erased: Vec<TimelineId>,
    /// The transfers that the agent was told of since it began, but for those that were forgotten
    /// after they had ended long ago.
    #[serde(default)]
    pub transfers: Vec<TransferObservation>,
    /// All participants that the agent has.
    pub participants: Vec<ParticipantObservation>,
}

/// A PostgreSQL version that is installed on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its version.
    pub version: Version,
    /// Where its programs are.
    pub bindir: PathBuf,
}

/// How an instance fares.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum InstanceState {
    /// Its directory is being made.
    Making,
    /// A process is there and not ready yet, or recovers.
    Starting,
    /// It answered the last time it was asked.
    Answering,
    /// A process is there and did not answer in time.
    Silent,
    /// There is no process.
    Down,
    /// Its process is being stopped and its directory removed.
    Removing,
}

/// What the agent saw of one participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantObservation {
    /// Which participant.
    pub id: ParticipantId,
    /// The epoch of the spec that the agent has.
    pub epoch: Epoch,
    /// The revision of the spec that the agent has.
    pub revision: Revision,
    /// The newest revision that the world has been brought to, if any.
    pub applied: Option<Revision>,
    /// How the instance fares.
    pub instance: InstanceState,
    /// Since when.
    pub since: Timestamp,
    /// How many of the wanted restarts were done.
    pub restarts: i32,
    /// How often the postmaster was found dead and was started again.
    pub deaths: u32,
    /// The directory of its unix socket (the port in the socket's name is always 5432).
    pub socket_dir: PathBuf,
    /// The running version.
    pub version: Option<Version>,
    /// What stands in the way of the spec, for people.
    pub error: Option<String>,
    /// The databases that are there.
    pub databases: BTreeMap<DatabaseName, DatabaseObservation>,
    /// Where it is in WAL. A counter: it makes no new observation by itself.
    #[serde(default)]
    pub position: Option<Position>,
    /// While it is made from another's data: how far that is.
    #[serde(default)]
    pub making: Option<Making>,
    /// Of a follower: how it follows.
    #[serde(default)]
    pub following: Option<Following>,
    /// Of a leader: its protection. Its numbers are counters.
    #[serde(default)]
    pub protected: Option<Protected>,
}

/// What the agent saw of one database. The counters are of the last look (K5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseObservation {
    /// Which incarnation is there.
    pub incarnation: Incarnation,
    /// The last look into it, if there was one.
    pub look: Option<DatabaseLook>,
    /// How it stands to its limit of rows, if it has one and was counted.
    #[serde(default)]
    pub compliance: Option<Compliance>,
}

/// Figures of one database at one moment (K5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseLook {
    /// When.
    pub at: Timestamp,
    /// Sessions of tenants.
    pub connections: i64,
    /// Size on disk, in bytes.
    pub size_bytes: i64,
    /// Live rows of all user tables but temporary ones and the platform's: estimated, or counted
    /// where there is a limit.
    pub row_count: i64,
    /// User tables.
    pub table_count: i64,
    /// Sequential scans of all user tables since the statistics were reset.
    pub seq_scans: i64,
    /// Index scans of all user tables since the statistics were reset.
    pub index_scans: i64,
}

/// An object of the archive that is no longer needed: what `GET /expiry` lists and `POST /expiry`
/// removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Its name below the archive's prefix.
    pub place: String,
    /// Its size there, in bytes.
    pub bytes: u64,
    /// Why: `wal` and `backup` are too old, `superseded` is there as a whole, `unfinished` was
    /// broken off.
    pub why: String,
}

/// Why an agent refused a spec. Answered with status 409.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A newer one has been taken already.
    #[error("participant {id} has revision {has:?} of epoch {epoch:?}; an older one was sent")]
    Older {
        /// Which participant.
        id: ParticipantId,
        /// The epoch that it has.
        epoch: Epoch,
        /// The revision that it has.
        has: Revision,
    },
}
