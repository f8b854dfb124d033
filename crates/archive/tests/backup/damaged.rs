//! Archives in which something is missing or was changed: it is always told, and nothing that could
//! be taken for a cluster comes of it.

use std::fs;
use std::path::Path;

use howdah_archive::Error as ArchiveError;
use howdah_archive::backup::{Backup, Progress};
use howdah_archive::restore::{self, Error};
use howdah_testkit::clusters::majors;

use crate::bed::{Bed, files};

/// Every object that a restore needs is missed by its name.
#[tokio::test]
async fn what_is_missing_or_damaged_is_found_and_named() {
    for installed in majors() {
        let bed = Bed::new(&installed).await;
        let backup = bed.take(&bed.taking()).await;
        let objects: Vec<_> = files(&bed.archive_dir())
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(backup.id.as_str()))
            .filter(|path| !path.ends_with("backup.json"))
            .collect();
        assert!(objects.len() >= 4, "a few parts, the manifest and the index: {objects:?}");
        for object in &objects {
            let name = object.file_name().expect("a name").to_string_lossy().into_owned();
            let content = fs::read(object).expect("read an object");

            fs::remove_file(object).expect("remove it");
            let error = refused(&bed, &backup).await;
            assert!(matches!(error, Error::Archive(ArchiveError::Missing { .. })), "{error}");
            assert!(error.to_string().contains(&name), "{error}");

            for at in [0, content.len() / 2, content.len() - 1] {
                let mut changed = content.clone();
                changed[at] ^= 0x10;
                fs::write(object, changed).expect("damage it");
                let error = refused(&bed, &backup).await;
                assert!(matches!(error, Error::Archive(ArchiveError::Corrupt { .. })), "{error}");
                assert!(error.to_string().contains(&name), "{error}");
            }
            fs::write(object, &content[..content.len() / 2]).expect("cut it");
            let error = refused(&bed, &backup).await;
            assert!(error.to_string().contains(&name), "{error}");
            fs::write(object, content).expect("repair it");
        }
        bed.restore(&backup, "repaired").await;
    }
}

/// Objects that are whole, each for itself, but in another's place.
#[tokio::test]
async fn objects_in_each_others_places_are_found() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let (first, second) = (bed.take(&bed.taking()).await, bed.take(&bed.taking()).await);
    let place = |backup: &Backup, name: &str| {
        let all = files(&bed.archive_dir());
        let ends = format!("{}/{name}", backup.id);
        all.into_iter().find(|path| path.ends_with(&ends)).expect("an object")
    };
    let swaps = [
        (place(&first, "part-000000"), place(&first, "part-000001")),
        (place(&first, "manifest"), place(&second, "manifest")),
        (place(&first, "index"), place(&second, "index")),
    ];
    for (one, other) in swaps {
        exchange(&one, &other);
        let is_same = fs::read(&one).expect("read") == fs::read(&other).expect("read");
        if !is_same {
            let error = refused(&bed, &first).await;
            let told = matches!(error, Error::Damaged { .. } | Error::Disagrees { .. });
            assert!(told, "{}: {error}", one.display());
        }
        exchange(&one, &other);
    }
    bed.restore(&first, "repaired").await;
}

fn exchange(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).expect("rename");
    fs::rename(other, one).expect("rename");
    fs::rename(aside, other).expect("rename");
}

/// The error of a restore, which leaves nothing that would start.
async fn refused(bed: &Bed, backup: &Backup) -> Error {
    let (cluster, how) = bed.restoring("refused");
    let restored = restore::restore(&bed.timeline, backup, &how, &Progress::default()).await;
    assert!(!cluster.data.join("global/pg_control").exists(), "it looks like a cluster");
    let error = restored.expect_err("it must not restore that");
    let _ = fs::remove_dir_all(&cluster.data);
    error
}
