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
    /// The database that its sessions are counted for.
    pub database_id: DatabaseId,
    /// What the client's password is checked against.
    pub verifier: Verifier,
    /// The most sessions that all credentials of the database may have together.
    pub connection_limit: u32,
    /// Where to.
    pub target: Target,
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
