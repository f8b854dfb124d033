//! Processes that are killed at every step.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use howdah_archive::backup::{self, Progress};
use howdah_archive::restore::{self, Restoring};
use howdah_archive::{Archive, Config, Timeline};
use howdah_model::ids::TimelineId;
use howdah_testkit::clusters::majors;

use crate::bed::{Bed, files, never};

/// What the child of a test is told in variables.
const WORK: &str = "HOWDAH_TEST_CHILD";
const ARCHIVE: &str = "HOWDAH_TEST_ARCHIVE";
const TIMELINE: &str = "HOWDAH_TEST_TIMELINE";
const PLACE: &str = "HOWDAH_TEST_PLACE";

/// A backup that is killed when so many of its objects are there is none.
#[tokio::test]
async fn a_killed_backup_does_not_exist() {
    let bed = Bed::new(&majors().remove(0)).await;
    let whole = bed.take(&bed.taking()).await;
    let objects = || files(&bed.archive_dir()).len();
    for more in 0..whole.parts as usize {
        let before = objects();
        let mut child = child(&bed, "backup", &bed.source.socket_dir);
        let killed = killed_when(&mut child, || objects() >= before + more).await;
        assert!(killed, "it ended before it could be killed");
        let listed = bed.timeline.backups().await.expect("list");
        assert_eq!(listed, std::slice::from_ref(&whole), "killed at {more}");
    }
    bed.restore(&whole, "restored").await;
    let next = bed.take(&bed.taking()).await;
    bed.restore(&next, "next").await;
}

/// A restore that is killed at more and more bytes is gone on with by the next process.
#[tokio::test]
async fn a_killed_restore_is_gone_on_with() {
    let bed = Bed::new(&majors().remove(0)).await;
    let backup = bed.take(&bed.taking()).await;
    let (cluster, how) = bed.restoring("restored");
    let size = || -> u64 {
        let all = files(&cluster.data);
        all.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum()
    };
    let mut kills = 0;
    for share in 0..4 {
        let mut child = child(&bed, "restore", &cluster.data);
        if !killed_when(&mut child, || size() >= share * backup.bytes / 5).await {
            break;
        }
        kills += 1;
        assert!(!cluster.data.join("global/pg_control").exists(), "it would start");
    }
    assert!(kills > 1, "a machine that is busy was too slow to kill it in its middle");
    if kills == 4 {
        let progress = Progress::default();
        restore::restore(&bed.timeline, &backup, &how, &progress).await.expect("go on");
    }
    bed.verify(&cluster);
    bed.start(&cluster).await;
    bed.check(&cluster).await;
}

/// Not a test by itself: what the others run and kill.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(work) = std::env::var(WORK) else { return };
    let of = |name: &str| std::env::var(name).expect("a variable");
    let config = Config::parse(&of(ARCHIVE), None).expect("a directory");
    let id: TimelineId = of(TIMELINE).parse().expect("an id");
    let timeline: Timeline = Archive::open(&config).expect("open").timeline(id);
    let (place, progress) = (PathBuf::from(of(PLACE)), Progress::default());
    if work == "backup" {
        let mut how = crate::bed::taking_at(&place);
        how.rate = Some(20 << 20);
        backup::take(&timeline, &how, &progress, &never()).await.expect("take");
    } else {
        let backup = timeline.backups().await.expect("list").remove(0);
        // One part at a time, so that there is a middle.
        let owner = None;
        let how = Restoring { to: place, owner, parallel: 1, bindir: PathBuf::new() };
        restore::restore(&timeline, &backup, &how, &progress).await.expect("restore");
    }
}

fn child(bed: &Bed, work: &str, place: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "killed::child_that_is_killed", "--nocapture"])
        .env(WORK, work)
        .env(ARCHIVE, bed.archive_dir())
        .env(TIMELINE, bed.timeline.id().to_string())
        .env(PLACE, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run this program")
}

/// Kills a child as soon as something holds; says whether it did not end before.
async fn killed_when(child: &mut Child, holds: impl Fn() -> bool) -> bool {
    while !holds() && child.try_wait().expect("look at the child").is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ended = child.try_wait().expect("look at the child");
    if let Some(ended) = ended {
        assert!(ended.success(), "it did not do its work: {ended}");
        return false;
    }
    child.kill().expect("kill the child");
    child.wait().expect("wait for the child");
    true
}
