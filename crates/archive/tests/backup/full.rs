//! Disks without room.

use std::path::PathBuf;
use std::process::Command;

use howdah_archive::backup::{self, Error, Progress};
use howdah_archive::{Archive, Config, Error as ArchiveError, Location, restore};
use howdah_model::ids::TimelineId;
use howdah_testkit::clusters::majors;

use crate::bed::{Bed, never};

/// A small file system in memory, which only root can make. It is gone when this is dropped.
struct Small(PathBuf);

impl Small {
    fn new(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("make a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at);
        let is_mounted = mount.status().is_ok_and(|status| status.success());
        is_mounted.then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Where only a part of the backup fits: it is told, nothing is listed, and what is there stays.
#[tokio::test]
async fn an_archive_without_room_is_told() {
    let mut bed = Bed::new(&majors().remove(0)).await;
    let Some(small) = Small::new(bed.archive_dir(), "4m") else {
        eprintln!("left out: a file system can only be made by root");
        return;
    };
    let config = Config { location: Location::Directory(small.0.clone()), key: None };
    bed.timeline = Archive::open(&config).expect("open").timeline(TimelineId::new());
    let how = bed.taking();
    let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
    assert!(matches!(taken, Err(Error::Archive(ArchiveError::Full { .. }))), "{taken:?}");
    assert_eq!(bed.timeline.backups().await.expect("list"), []);
}

/// A place that is too small is refused before anything is written; one that others fill meanwhile
/// is told, and what was written is gone on with when there is room again.
#[tokio::test]
async fn a_restore_without_room_is_told() {
    let bed = Bed::new(&majors().remove(0)).await;
    let backup = bed.take(&bed.taking()).await;
    let (cluster, mut how) = bed.restoring("restored");
    let Some(small) = Small::new(cluster.data.clone(), "30m") else {
        eprintln!("left out: a file system can only be made by root");
        return;
    };
    how.to = small.0.join("data");
    let restored = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    assert!(matches!(restored, Err(restore::Error::NoRoom { .. })), "{restored:?}");
    assert!(!how.to.join("global").exists());

    let grow = |size: u64| {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(&small.0);
        assert!(mount.status().expect("mount").success());
    };
    // Files take whole pages, and the manifest comes beside them: enough at first sight only.
    grow(backup.bytes + (32 << 10));
    let restored = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    assert!(matches!(restored, Err(restore::Error::File { .. })), "{restored:?}");
    assert!(!how.to.join("global/pg_control").exists(), "it looks like a cluster");

    grow(2 * backup.bytes);
    let restored = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    restored.expect("there is room");
    assert!(how.to.join("global/pg_control").exists());
}
