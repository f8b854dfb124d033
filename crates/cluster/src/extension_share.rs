//! What the platform adds when a tenant creates or drops an extension: scripts that `pgextwlist`
//! runs as the platform around the tenant's command.

use std::io;
use std::path::{Path, PathBuf};

use crate::{RunAs, durable};

/// The scripts: extension, file, content. `pgextwlist` replaces `@database_owner@`.
const SCRIPTS: &[(&str, &str, &str)] = &[
    // Extensions belong to the platform, and without this right the tenant could not use it.
    (
        "postgres_fdw",
        "after-create.sql",
        "grant usage on foreign data wrapper postgres_fdw to @database_owner@;\n",
    ),
    (
        "dblink",
        "after-create.sql",
        "grant usage on foreign data wrapper dblink_fdw to @database_owner@;\n",
    ),
    // The guard over the list of extensions is a member of it: see `guard.sql`.
    (
        "plpgsql",
        "before-drop.sql",
        "do $$ begin raise insufficient_privilege using message = \
         'extension \"plpgsql\" belongs to the platform and cannot be dropped'; end $$;\n",
    ),
];

/// What the owner of a database may use when their extension is there.
pub(crate) const FOREIGN_DATA_WRAPPERS: [&str; 2] = ["postgres_fdw", "dblink_fdw"];

/// Where the scripts of a cluster are: beside its socket, so that every server has its own.
#[must_use]
pub fn dir(socket_dir: &Path) -> PathBuf {
    socket_dir.join("extensions")
}

/// Writes the scripts of a cluster. Done before every start.
///
/// # Errors
/// Those of the file system.
pub fn write(socket_dir: &Path, owner: &RunAs) -> io::Result<()> {
    let dir = dir(socket_dir);
    owner.make_dir(&dir)?;
    for (extension, file, content) in SCRIPTS {
        let dir = dir.join(extension);
        owner.make_dir(&dir)?;
        durable::refresh(&dir.join(file), content.as_bytes(), Some(owner))?;
    }
    Ok(())
}
