//! Backups and restores that are broken off at every step.

use std::fs;
use std::time::Duration;

use howdah_archive::backup::{self, Error, Progress};
use howdah_archive::restore;
use howdah_cluster::StopMode;
use howdah_testkit::clusters::{majors, until};
use tokio_util::sync::CancellationToken;

use crate::bed::{BOUND, Bed, files, never};

/// Dropped at more and more progress, until one gets through: only that one is listed.
#[tokio::test]
async fn a_backup_that_is_broken_off_does_not_exist() {
    let installed = majors().pop().expect("one");
    let bed = Bed::new(&installed).await;
    let mut broken = 0;
    for limit in (0..).map(|step: u64| step * 4_000_000) {
        let progress = Progress::default();
        let (how, stop) = (bed.taking(), never());
        let done = tokio::select! {
            biased;
            () = reaches(&progress, limit) => None,
            taken = backup::take(&bed.timeline, &how, &progress, &stop) => {
                Some(taken.expect("take a base backup"))
            }
        };
        let listed = bed.timeline.backups().await.expect("list");
        if let Some(backup) = done {
            assert_eq!(listed, std::slice::from_ref(&backup));
            bed.restore(&backup, "restored").await;
            break;
        }
        broken += 1;
        assert_eq!(listed, [], "broken off at {limit}");
    }
    assert!(broken > 5, "it was broken off only {broken} times");
    until("the server has noticed", || async {
        Bed::number(&bed.source, "select count(*) from pg_stat_replication").await == 0
    })
    .await;
}

/// A stopped one says so, and an end of the server in the middle is an error too.
#[tokio::test]
async fn it_is_told_to_stop_or_the_server_dies() {
    for installed in majors() {
        let bed = Bed::new(&installed).await;
        let mut how = bed.taking();
        how.rate = Some(1 << 20);
        let (progress, stop) = (Progress::default(), CancellationToken::new());
        let (taken, ()) =
            tokio::join!(backup::take(&bed.timeline, &how, &progress, &stop), async {
                reaches(&progress, 500_000).await;
                stop.cancel();
            });
        assert!(matches!(taken, Err(Error::Stopped)), "{taken:?}");

        let progress = Progress::default();
        let stop = never();
        let (taken, stopped) =
            tokio::join!(backup::take(&bed.timeline, &how, &progress, &stop), async {
                reaches(&progress, 500_000).await;
                bed.source.stop(StopMode::Immediate, BOUND).await
            });
        stopped.expect("stop the server");
        assert!(matches!(taken, Err(Error::Server(_))), "{taken:?}");
        assert_eq!(bed.timeline.backups().await.expect("list"), []);

        bed.source.start(BOUND).await.expect("start again");
        let backup = bed.take(&bed.taking()).await;
        bed.restore(&backup, "restored").await;
    }
}

/// A restore that is dropped again and again gets on each time, and is right in the end.
#[tokio::test]
async fn a_restore_goes_on_where_it_was_broken_off() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let backup = bed.take(&bed.taking()).await;
    let (cluster, how) = bed.restoring("restored");
    let (mut broken, mut resumed) = (0, 0);
    for limit in (0..).map(|step: u64| step * 3_000_000) {
        let progress = Progress::default();
        let done = tokio::select! {
            biased;
            () = reaches(&progress, limit) => false,
            restored = restore::restore(&bed.timeline, &backup, &how, &progress) => {
                match restored {
                    Ok(()) => true,
                    // What was dropped has not quite ended yet.
                    Err(restore::Error::Busy(_)) => false,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        if done {
            break;
        }
        broken += 1;
        let is_whole = cluster.data.join("global/pg_control").exists();
        assert!(!is_whole || progress.done() >= backup.bytes, "it would start");
        if limit > 0 && progress.done() >= limit {
            resumed += 1;
        }
    }
    assert!(broken > 3 && resumed > 0, "broken off {broken} times, resumed {resumed} times");
    assert_eq!(files(&cluster.data).iter().filter(|path| is_ours(path)).count(), 0);
    bed.verify(&cluster);
    bed.start(&cluster).await;
    bed.check(&cluster).await;
}

/// What an earlier attempt left is not trusted: a file that was changed or cut is made anew.
#[tokio::test]
async fn what_is_left_of_a_restore_is_checked() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let backup = bed.take(&bed.taking()).await;
    let whole = bed.restore(&backup, "whole").await;
    let (cluster, how) = bed.restoring("left");
    let progress = Progress::default();
    tokio::select! {
        biased;
        () = reaches(&progress, 1) => {}
        restored = restore::restore(&bed.timeline, &backup, &how, &progress) => {
            panic!("it should have been broken off: {restored:?}")
        }
    }
    for (nth, path) in files(&whole.data).into_iter().enumerate() {
        let below = path.strip_prefix(&whole.data).expect("below");
        let (left, content) = (cluster.data.join(below), fs::read(&path).expect("read"));
        if content.is_empty() || below.ends_with("pg_control") || !left.exists() {
            continue;
        }
        match nth % 3 {
            0 => fs::write(left, &content[..content.len() / 2]).expect("cut"),
            1 => fs::write(left, [&content[..], b"more"].concat()).expect("lengthen"),
            _ => fs::write(left, vec![7; content.len()]).expect("change"),
        }
    }
    until("the earlier attempt has ended", || async {
        let again = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
        match again {
            Ok(()) => true,
            Err(restore::Error::Busy(_)) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    bed.verify(&cluster);
}

fn is_ours(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("howdah-"))
}

async fn reaches(progress: &Progress, bytes: u64) {
    while progress.done() < bytes.max(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
