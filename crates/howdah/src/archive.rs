//! The archive of a platform: where it is, and the program by which PostgreSQL gets at it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use howdah_agent::ArchiveConfig;
use howdah_archive::{Archive, Config, Error};
use howdah_cluster::RunAs;

use crate::home::Home;
use crate::settings::Settings;

/// Opens the archive and makes sure that it can be used.
///
/// # Errors
/// When it was written by a later version, or has another key, or a setting is wrong.
pub(crate) async fn open(
    settings: &Settings,
    home: &Home,
    run_as: &RunAs,
) -> Result<ArchiveConfig> {
    let config = config(settings, home)?;
    let archive = Archive::open(&config).context("open the archive")?;
    match archive.check().await {
        Ok(_) => {}
        Err(error) if stands_in_the_way(&error) => {
            return Err(error).context("check the archive (HOWDAH_ARCHIVE_URL)");
        }
        // Databases go on without it; it is told as trouble of each, and caught up with.
        Err(error) => tracing::error!("the archive cannot be used now: {error}"),
    }
    Ok(ArchiveConfig { archive, program: program(home, run_as)? })
}

/// Whether an archive is not ours to write: with it, what is there would be spoilt or unreadable.
pub(crate) fn stands_in_the_way(error: &Error) -> bool {
    matches!(
        error,
        Error::KeyNeeded { .. }
            | Error::NotEncrypted { .. }
            | Error::WrongKey { .. }
            | Error::NewerFormat { .. }
    )
}

/// Where the archive is, for people, with a word on a place that fails together with the databases.
pub(crate) fn remark(settings: &Settings, archive: &ArchiveConfig) -> String {
    let location = archive.archive.location();
    match settings.archive_url {
        Some(_) => location.to_owned(),
        None => format!("{location}  (on this machine: HOWDAH_ARCHIVE_URL moves it)"),
    }
}

/// Where the archive is.
///
/// # Errors
/// When a setting cannot be understood.
pub(crate) fn config(settings: &Settings, home: &Home) -> Result<Config> {
    let inside = home.join("archive").display().to_string();
    let url = settings.archive_url.as_deref().unwrap_or(&inside);
    let key = settings.archive_key.as_ref().map(|key| key.reveal());
    Config::parse(url, key).context("HOWDAH_ARCHIVE_URL or HOWDAH_ARCHIVE_KEY")
}

/// The program that PostgreSQL runs for each file of WAL: this one, where PostgreSQL's user can get
/// at it, else a copy below the home.
fn program(home: &Home, run_as: &RunAs) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program's file")?;
    if !RunAs::is_someone_else() || can_run(&own, run_as) {
        return Ok(own);
    }
    let dir = home.join("bin");
    std::fs::create_dir_all(&dir).context("make a directory for the program")?;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711))?;
    let copy = dir.join("howdah");
    if !is_same(&own, &copy) {
        let beside = dir.join("howdah.new");
        std::fs::copy(&own, &beside).context("copy the program to where PostgreSQL can run it")?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755))?;
        let times = std::fs::metadata(&own)?.modified()?;
        std::fs::File::options().write(true).open(&beside)?.set_modified(times)?;
        std::fs::rename(&beside, &copy)?;
    }
    Ok(copy)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) else { return false };
    (one.len(), one.mtime(), one.mtime_nsec()) == (other.len(), other.mtime(), other.mtime_nsec())
}

/// Whether a user can run a program: pass through all directories above it, and read and run it.
fn can_run(program: &Path, run_as: &RunAs) -> bool {
    let bits = |meta: &std::fs::Metadata, wanted: u32| {
        let shift = if meta.uid() == run_as.uid() {
            6
        } else if meta.gid() == run_as.gid() {
            3
        } else {
            0
        };
        (meta.mode() >> shift) & wanted == wanted
    };
    let way = program.ancestors().skip(1).all(|dir| dir.metadata().is_ok_and(|m| bits(&m, 0o1)));
    way && program.metadata().is_ok_and(|meta| bits(&meta, 0o5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_a_closed_directory_cannot_be_run_by_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("program");
        std::fs::write(&program, "").expect("a file");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        let Ok(nobody) = RunAs::named("nobody") else { return };
        mode(dir.path(), 0o755);
        mode(&program, 0o755);
        let above = dir
            .path()
            .ancestors()
            .skip(1)
            .all(|d| d.metadata().is_ok_and(|meta| meta.mode() & 0o1 != 0));
        assert_eq!(can_run(&program, &nobody), above);
        mode(&program, 0o700);
        assert!(!can_run(&program, &nobody));
        mode(&program, 0o755);
        mode(dir.path(), 0o700);
        assert!(!can_run(&program, &nobody));
        mode(dir.path(), 0o755);
    }
}
