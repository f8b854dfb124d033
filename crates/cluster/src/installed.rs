//! Which PostgreSQL versions are installed, and where their parts are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use howdah_model::agent::Installed;
use howdah_model::version::{Major, Version};

/// Where packages put PostgreSQL's programs: `/usr/lib/postgresql/*/bin`.
#[must_use]
pub fn default_dirs() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut dirs: Vec<_> = entries.flatten().map(|entry| entry.path().join("bin")).collect();
    dirs.sort();
    dirs
}

/// Looks into each directory for a PostgreSQL server and asks for its version. Of several with the
/// same major the newest minor wins, and of equals the first. Directories without one are skipped.
#[must_use]
pub fn find(dirs: &[PathBuf]) -> Vec<Installed> {
    let mut newest: BTreeMap<Major, Installed> = BTreeMap::new();
    for bindir in dirs {
        let Some(version) = version_of(bindir) else { continue };
        let known = newest.get(&version.major);
        if known.is_none_or(|known| known.version < version) {
            newest.insert(version.major, Installed { version, bindir: bindir.clone() });
        }
    }
    newest.into_values().collect()
}

fn version_of(bindir: &Path) -> Option<Version> {
    let initdb = bindir.join("initdb");
    let printed = printed(&bindir.join("postgres"), "--version")?;
    let version = printed.split_whitespace().nth(2)?.parse().ok()?;
    initdb.is_file().then_some(version)
}

/// Where the loadable libraries of an installation are.
#[must_use]
pub fn library_dir(installed: &Installed) -> PathBuf {
    let prefix = installed.bindir.join("..");
    let likely = ["lib", "lib/postgresql", "lib64"].map(|dir| prefix.join(dir));
    directory(installed, &likely, "plpgsql.so", "--pkglibdir")
}

/// Where the control files of extensions are.
#[must_use]
pub fn extension_dir(installed: &Installed) -> PathBuf {
    let prefix = installed.bindir.join("..");
    let mut likely = ["share", "share/postgresql"].map(|dir| prefix.join(dir)).to_vec();
    if installed.bindir.starts_with("/usr/lib/postgresql") {
        likely.push(format!("/usr/share/postgresql/{}", installed.version.major).into());
    }
    let likely: Vec<_> = likely.into_iter().map(|dir| dir.join("extension")).collect();
    directory(installed, &likely, "plpgsql.control", "--sharedir")
}

/// The first of the likely places that has what every installation has. Otherwise `pg_config`
/// knows, which comes with the development package in some distributions and may be missing.
fn directory(installed: &Installed, likely: &[PathBuf], has: &str, option: &str) -> PathBuf {
    if let Some(found) = likely.iter().find(|dir| dir.join(has).is_file()) {
        return found.clone();
    }
    let told = printed(&installed.bindir.join("pg_config"), option);
    let told = told.map(|line| PathBuf::from(line.trim()));
    match told {
        Some(dir) if option == "--sharedir" => dir.join("extension"),
        Some(dir) => dir,
        None => likely[0].clone(),
    }
}

/// Whether a library can be loaded by an installation, for example `pgextwlist`.
#[must_use]
pub fn has_library(installed: &Installed, name: &str) -> bool {
    library_dir(installed).join(format!("{name}.so")).is_file()
}

/// Whether an extension's files are there.
#[must_use]
pub fn has_extension(installed: &Installed, name: &str) -> bool {
    extension_dir(installed).join(format!("{name}.control")).is_file()
}

fn printed(program: &Path, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg(argument).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_minor_of_each_major_is_found_and_other_directories_are_skipped() {
        let home = tempfile::tempdir().expect("make a directory");
        let mut dirs = vec![home.path().join("nowhere")];
        for (dir, version) in [("a", "15.3"), ("b", "15.20 (Debian)"), ("c", "18.1"), ("d", "?")] {
            let bindir = home.path().join(dir);
            std::fs::create_dir(&bindir).expect("make a directory");
            for program in ["postgres", "initdb"] {
                let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n");
                let path = bindir.join(program);
                std::fs::write(&path, script).expect("write");
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(&path, mode).expect("set the mode");
            }
            dirs.push(bindir);
        }
        let found: Vec<_> =
            find(&dirs).into_iter().map(|i| (i.version.to_string(), i.bindir)).collect();
        let dir = |name: &str| home.path().join(name);
        assert_eq!(found, [("15.20".to_owned(), dir("b")), ("18.1".to_owned(), dir("c"))]);
    }
}
