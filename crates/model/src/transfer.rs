//! Transfers: logical copies of a database, made by `pg_dump` and `pg_restore` on an agent.
//!
//! `PUT /transfers/ID` carries a [`TransferSpec`] and may be sent again at any time; how the transfer
//! fares is in the agent's observation, and in the answer. A transfer that is done in the archive or in
//! PostgreSQL stays done when the agent forgets it, an hour after its end or when it is started anew:
//! told again, the agent finds what it made and says `Done` at once. One that has failed begins anew
//! when it is told again; one that was broken off stays so. `422` says that no agent can do it.
//!
//! `GET /dumps/ID` gives a complete dump as it is downloaded, also a part of it (`Range`), and `404`
//! when there is none. `DELETE /dumps/ID` removes it, and answers `409` while it is being made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::Wanted;
use crate::ids::{ParticipantId, TransferId};
use crate::name::{DatabaseName, RoleName};
use crate::secret::Secret;
use crate::version::Major;

/// What an agent shall copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferSpec {
    /// Which transfer. A dump in the archive has the id of the transfer that made it.
    pub id: TransferId,
    /// `Absent` breaks it off and takes back what it has made and nobody uses yet. A dump that is
    /// complete by then stays, and the transfer is `Done`: dumps are deleted by `DELETE /dumps/ID`.
    pub wanted: Wanted,
    /// What is copied.
    pub from: From,
    /// Where to.
    pub into: Into,
    /// How many sessions may work side by side where the format allows it; at least 1.
    pub jobs: u16,
}

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum From {
    /// A database of this server.
    Database {
        /// The participant that it is read from: a leader or a follower.
        participant: ParticipantId,
        /// Its name within PostgreSQL.
        database: DatabaseName,
        /// The role that owns it.
        owner: RoleName,
    },
    /// A dump in the archive.
    Dump {
        /// The transfer that made it.
        transfer: TransferId,
    },
    /// A dump in the custom format at an HTTP or HTTPS address.
    Web {
        /// The address, which may hold a signature.
        url: Secret,
    },
    /// A database that is not ours.
    Foreign {
        /// `postgres://…`, with its password.
        url: Secret,
    },
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "into")]
pub enum Into {
    /// The archive: a dump in the custom format.
    Archive,
    /// A new database beside one of this server, which takes that one's place when the spec of the
    /// participant says so ([`crate::agent::DatabaseSpec::filled`]). Until then nobody can enter it.
    Database {
        /// The participant, a leader.
        participant: ParticipantId,
        /// The name of the database whose place it will take.
        database: DatabaseName,
        /// The role that will own all that is in it.
        owner: RoleName,
        /// Created in it first, beside those that the copy needs.
        extensions: Vec<String>,
    },
}

/// How a transfer fares.
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
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TransferState {
    /// It waits for its turn: an agent runs few at a time.
    Waiting,
    /// It is being copied.
    Running,
    /// All is copied, durable and checked.
    Done,
    /// It could not be copied; nothing of it is left.
    Failed,
    /// It was broken off as it was told; nothing of it is left.
    Absent,
}

/// What an agent says of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferObservation {
    /// Which.
    pub id: TransferId,
    /// How it fares.
    pub state: TransferState,
    /// What is done now, for people: `dumping`, `fetching`, `restoring`, `building indexes`.
    pub step: String,
    /// Bytes copied in this step. A counter: it makes no new observation by itself. It goes on as long
    /// as there is work: what stands still waits for something or hangs.
    pub processed: u64,
    /// Bytes of this step in all, where that is known or estimated.
    pub total: Option<u64>,
    /// Why it failed, for people, without secrets.
    pub error: Option<String>,
    /// What was made, once it is done.
    pub made: Option<Made>,
    /// The newest lines of its log, oldest first, at most [`LOG_LINES`], without secrets.
    pub log: Vec<LogLine>,
}

/// The most lines of a transfer's log that an observation carries.
pub const LOG_LINES: usize = 100;

/// What a transfer made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Size of the database that was copied, as PostgreSQL says it; 0 when that is not known.
    pub source_bytes: u64,
    /// Size of the dump in bytes: as it is downloaded, or as it came.
    pub dump_bytes: u64,
    /// Tables that were copied.
    pub tables: u64,
    /// Objects that were left out or could not be made, each with a line in the log.
    pub warnings: u32,
    /// The major version of the server that was dumped, when it is known.
    pub major: Option<Major>,
}

/// A line of a transfer's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How bad it is.
    pub level: LogLevel,
    /// What, without secrets.
    pub message: String,
}

/// How bad a line of a log is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LogLevel {
    /// What goes on.
    Info,
    /// Something was left out.
    Warning,
    /// It ends here.
    Error,
}
