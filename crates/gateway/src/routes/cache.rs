//! The last routes on disk, so that a gateway can start while the platform is away.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use howdah_model::route::RouteTable;

/// Reads the routes that were kept. Without a file there are none.
///
/// # Errors
/// When there is a file that cannot be read as routes.
pub fn load(path: &Path) -> anyhow::Result<RouteTable> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("read the routes kept in `{}`", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(RouteTable::default()),
        Err(error) => Err(error).with_context(|| format!("open `{}`", path.display())),
    }
}

/// Keeps routes: the file is whole at every moment, and for its owner only as it has verifiers.
///
/// # Errors
/// When the file cannot be written; the one before it is then untouched.
pub fn store(path: &Path, table: &RouteTable) -> anyhow::Result<()> {
    // Another gateway of the home may keep its own at the same time.
    let draft = path.with_extension(format!("json.{}.new", std::process::id()));
    let bytes = serde_json::to_vec(table).context("write routes as JSON")?;
    write_private(&draft, &bytes).with_context(|| format!("write `{}`", draft.display()))?;
    std::fs::rename(&draft, path).with_context(|| format!("replace `{}`", path.display()))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A draft that a crash left behind may have other permissions.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn routes_are_kept_privately_and_read_again() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("routes.json");
        assert_eq!(load(&path).expect("no file"), RouteTable::default());
        let table = RouteTable { version: 7, routes: vec![] };
        store(&path, &RouteTable::default()).expect("stored");
        store(&path, &table).expect("stored again");
        assert_eq!(load(&path).expect("read"), table);
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "{").expect("broken");
        assert!(load(&path).is_err());
    }
}
