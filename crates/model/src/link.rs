//! Links: a database reads and writes another's tables by `postgres_fdw` (`pg:links`).

use serde::{Deserialize, Serialize};

use crate::ids::LinkId;
use crate::name::{DatabaseName, LinkName, RoleName};
use crate::secret::Secret;

/// A link that an agent shall make: `PUT /participants/ID/databases/NAME/links/LINK`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Which link.
    pub id: LinkId,
    /// The name of its server and of the schema that the other's tables are in.
    pub name: LinkName,
    /// The gateway's host.
    pub host: String,
    /// The gateway's port.
    pub port: u16,
    /// The other database, as its clients know it.
    pub database: DatabaseName,
    /// The role that was made there for this link.
    pub role: RoleName,
    /// Its password.
    pub password: Secret,
}
