//! What the platform adds when a tenant creates or drops an extension: scripts that `pgextwlist`
//! runs as the platform around the tenant's command.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use howdah_model::extension::EXTENSIONS;

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
    // As in new databases, when a tenant has dropped it and wants it back: see `statements.sql`.
    // There is no such function in databases of before.
    (
        "pg_stat_statements",
        "after-create.sql",
        "do $$ begin \
         if pg_catalog.to_regproc('pg_catalog.howdah_tame_statements') is not null then \
         perform pg_catalog.howdah_tame_statements(); end if; end $$;\n",
    ),
    // The guard over the list of extensions is a member of it: see `guard.sql`.
    (
        "plpgsql",
        "before-drop.sql",
        "do $$ begin raise insufficient_privilege using message = \
         'extension \"plpgsql\" belongs to the platform and cannot be dropped'; end $$;\n",
    ),
];

/// After any: what PostgreSQL itself would let the owner of a database create and own belongs to
/// those who may look at statistics, which every tenant may, rather than to the platform. A restore
/// of the tenant's own can then put its comment right.
const OWNED: &str = "\
update pg_catalog.pg_extension e set extowner = 'pg_stat_scan_tables'::pg_catalog.regrole
from pg_catalog.pg_available_extension_versions v
where v.name = e.extname and v.version = e.extversion and v.trusted and e.extname <> 'plpgsql'
  and e.extowner = (select oid from pg_catalog.pg_roles where rolname = 'howdah')
  and e.extname = any (pg_catalog.string_to_array(
    pg_catalog.replace(pg_catalog.current_setting('extwlist.extensions'), ' ', ''), ','));
";
const AFTER: &str = "after-create.sql";

/// Where the scripts of a cluster are: beside its socket, so that every server has its own.
#[must_use]
pub fn dir(socket_dir: &Path) -> PathBuf {
    socket_dir.join("extensions")
}

/// The script that a cluster has for after an extension was created.
pub(crate) fn after_create(socket_dir: &Path, extension: &str) -> Option<String> {
    if extension.contains('/') || extension.starts_with('.') {
        return None;
    }
    std::fs::read_to_string(dir(socket_dir).join(extension).join("after-create.sql")).ok()
}

/// Writes the scripts of a cluster. Done before every start.
///
/// # Errors
/// Those of the file system.
pub fn write(socket_dir: &Path, owner: &RunAs) -> io::Result<()> {
    let dir = dir(socket_dir);
    owner.make_dir(&dir)?;
    let mut all: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for one in EXTENSIONS {
        all.insert((one.name, AFTER), OWNED.to_owned());
    }
    for (extension, file, content) in SCRIPTS {
        all.entry((extension, file)).or_default().push_str(content);
    }
    for ((extension, file), content) in all {
        let dir = dir.join(extension);
        owner.make_dir(&dir)?;
        durable::refresh(&dir.join(file), content.as_bytes(), Some(owner))?;
    }
    Ok(())
}
