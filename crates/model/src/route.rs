//! Where the gateway sends a credential's sessions. Made by the control plane from the store,
//! fetched by gateways (`GET /routes?after=VERSION&wait_ms=N` on the platform's internal socket).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::DatabaseId;
use crate::name::{DatabaseName, RoleName};
use crate::scram::Verifier;

/// All routes of the platform at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Grows with every change.
    pub version: u64,
    /// One for each credential, in no order.
    pub routes: Vec<Route>,
}

/// Where the sessions of one credential go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The role that the client names in its first message. Unique on the platform.
    pub role: RoleName,
    /// The only database that the role may open.
    pub database: DatabaseName,
    /// The name by which its clients open it, where that is another one: a follower has its leader's
    /// name within PostgreSQL, and a name of its own in its URL.
    #[serde(default)]
    pub known_as: Option<DatabaseName>,
    /// The database that its sessions are counted for.
    pub database_id: DatabaseId,
    /// What the client's password is checked against.
    pub verifier: Verifier,
    /// The most sessions that all credentials of the database may have together, counted where they
    /// cost something: in PostgreSQL.
    pub connection_limit: u32,
    /// How its clients come by a server on the gateway's usual port. On the pooling port it is by
    /// transaction for everybody.
    #[serde(default)]
    pub mode: Mode,
    /// Whether it may open replication connections.
    #[serde(default)]
    pub replication: Replication,
    /// Where to.
    pub target: Target,
    /// Where in a planned move its database is.
    #[serde(default)]
    pub stage: Stage,
}

impl Route {
    /// The most servers that sessions by transaction may have together. The rest of the database's
    /// limit is left for those that need a server of their own (`psql`, migrations).
    #[must_use]
    pub fn pool_servers(&self) -> u32 {
        (self.connection_limit.saturating_mul(3) / 4).max(1)
    }

    /// The most clients of the pooling port that one database may have at one time.
    #[must_use]
    pub fn pool_clients(&self) -> u32 {
        self.connection_limit.saturating_mul(50).max(50)
    }
}

/// How a client comes by a server.
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
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// A server of its own for as long as it is there.
    #[default]
    Session,
    /// A server for each transaction, from a pool.
    Transaction,
}

/// Whether a credential may open replication connections (`pg_basebackup`, `pg_receivewal`, logical).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// The gateway refuses them.
    #[default]
    Refused,
    /// The gateway passes them on; PostgreSQL still asks for the role's REPLICATION.
    Allowed,
}

/// Where in a planned move a database is. It is changed centrally and pushed to all gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum Stage {
    /// Sessions go on where the target says; those that are elsewhere move there at their next
    /// boundary.
    #[default]
    Open,
    /// Sessions go on where they are; meanwhile each opens and fills a session at `next`.
    Prepare {
        /// The socket directory of the server that will be next.
        next: PathBuf,
    },
    /// No new transaction begins. What runs may end, and sessions with state that cannot be carried
    /// may go on to get rid of it; what is left after the grace is ended with 57P01.
    Hold {
        /// Milliseconds from when a gateway hears of it.
        grace_ms: u64,
    },
}

/// Where to, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "target")]
pub enum Target {
    /// A participant of this machine, by the directory of its unix socket (port 5432).
    Local {
        /// The directory.
        socket_dir: PathBuf,
    },
    /// No session can be opened now; the text says why, in PostgreSQL's style (57P03).
    Unready {
        /// For example `the database system is starting up`.
        why: String,
    },
    /// The credential has been removed and may not log in any more (28000).
    Revoked,
}
