//! What keeps tenants from writing when a disk is nearly full.
//!
//! PostgreSQL has nothing that holds against the owner of a database: what a role may do with its
//! own tables cannot be taken from it, and `default_transaction_read_only` is anybody's to set.
//! So this is two things. The setting, for everybody who does not set it otherwise: it needs no
//! room in the database, works for sessions that are there, and goes without a trace. And the end
//! of whoever writes all the same, as often as the caller asks: what such a one can write is what
//! fits between two calls.

use std::io;

use crate::cluster::{Cluster, Written};
use crate::connection::{Connection, SqlError};
use crate::durable;

/// The file of the settings, in the socket directory.
pub(crate) const BRAKE_CONF: &str = "brake.conf";

const READ_ONLY: &str = "\
# Written by Howdah while the disk is nearly full.
default_transaction_read_only = on
";

/// Whether tenants may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// They may.
    Allowed,
    /// New transactions only read.
    Refused,
}

impl Cluster {
    /// Writes what tenants may do. A running server must be told ([`Cluster::reload`]); its
    /// transactions that have begun go on. It holds over restarts.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn brake(&self, writes: Writes) -> io::Result<Written> {
        let path = self.socket_dir.join(BRAKE_CONF);
        let changed = match writes {
            Writes::Allowed => {
                let there = path.exists();
                durable::remove_file(&path)?;
                there
            }
            Writes::Refused => durable::refresh(&path, READ_ONLY.as_bytes(), Some(&self.run_as))?,
        };
        Ok(if changed { Written::Changed } else { Written::Same })
    }

    /// Whether tenants may write, by what was last written.
    #[must_use]
    pub fn braked(&self) -> Writes {
        let there = self.socket_dir.join(BRAKE_CONF).exists();
        if there { Writes::Refused } else { Writes::Allowed }
    }
}

/// Ends the sessions of tenants that have written in their running transaction. Returns how many.
///
/// # Errors
/// See [`SqlError`].
pub async fn end_writers(connection: &Connection) -> Result<i64, SqlError> {
    let end = "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity \
         where backend_xid is not null and usename <> current_user \
         and backend_type in ('client backend', 'parallel worker')";
    let rows = connection.rows(end, &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
