//! In an object store.

use howdah_archive::backup::{self, Error, Progress};
use howdah_archive::{Archive, Config, Credentials, Key, Location, quiet, restore};
use howdah_model::ids::TimelineId;
use howdah_model::secret::Secret;
use howdah_testkit::clusters::majors;
use howdah_testkit::faults::{Fault, Proxy};
use howdah_testkit::s3::{ACCESS_KEY_ID, S3, SECRET_ACCESS_KEY, url_at};

use crate::bed::{Bed, never};

/// With an archive at an address.
async fn bed(address: std::net::SocketAddr) -> Bed {
    let mut bed = Bed::new(&majors().remove(0)).await;
    let mut config = Config::parse(&url_at(address), None).expect("a good URL");
    if let Location::Url(remote) = &mut config.location {
        remote.credentials = Credentials::Given {
            id: ACCESS_KEY_ID.to_owned(),
            secret: Secret::new(SECRET_ACCESS_KEY.to_owned()),
        };
    }
    config.key = Some(Key::new([3; 32]));
    bed.timeline = Archive::open(&config).expect("open").timeline(TimelineId::new());
    bed
}

/// Encrypted, by threads that come and go, whose connections to the store go with them.
#[tokio::test]
async fn m12_a_backup_in_s3_is_restored() {
    let s3 = S3::start().await;
    let bed = bed(s3.address()).await;
    for _ in 0..3 {
        let (timeline, how) = (bed.timeline.clone(), bed.taking());
        let taken = quiet::run(move || async move {
            backup::take(&timeline, &how, &Progress::default(), &never()).await
        });
        taken.await.expect("a thread").expect("take a base backup");
        // Here the client of the store meets what those threads have left.
        assert!(!bed.timeline.backups().await.expect("list").is_empty());
    }
    let listed = bed.timeline.backups().await.expect("list");
    assert_eq!(listed.len(), 3);
    let restored = bed.restore(&listed[1], "restored").await;
    bed.start(&restored).await;
    bed.check(&restored).await;
}

/// Connections that break in the middle cost time, not the backup; and not the restore.
#[tokio::test]
async fn connections_that_break_are_made_again() {
    let s3 = S3::start().await;
    let proxy = Proxy::start(s3.address()).await;
    let bed = bed(proxy.address()).await;
    bed.timeline.backups().await.expect("list");
    proxy.fail_times(Fault::CutUp(300_000), 2);
    let backup = bed.take(&bed.taking()).await;
    assert!(proxy.met() > 0, "nothing was cut");
    proxy.fail_times(Fault::CutDown(300_000), 2);
    bed.restore(&backup, "restored").await;
    assert!(proxy.met() > 0, "nothing was cut");
}

/// A store that goes away fails the backup and the restore, and both can be had again.
#[tokio::test]
async fn a_store_that_goes_away_is_told() {
    let s3 = S3::start().await;
    let proxy = Proxy::start(s3.address()).await;
    let bed = bed(proxy.address()).await;
    bed.timeline.backups().await.expect("list");
    let (how, progress, stop) = (bed.taking(), Progress::default(), never());
    let (taken, ()) = tokio::join!(backup::take(&bed.timeline, &how, &progress, &stop), async {
        while progress.done() < 1_000_000 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        proxy.fail(Fault::Drop);
    });
    assert!(matches!(taken, Err(Error::Archive(_))), "{taken:?}");
    proxy.fail(Fault::None);
    assert_eq!(bed.timeline.backups().await.expect("list"), []);
    let backup = bed.take(&how).await;

    proxy.fail(Fault::Drop);
    let (cluster, how) = bed.restoring("restored");
    let restored = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    assert!(matches!(restored, Err(restore::Error::Archive(_))), "{restored:?}");
    assert!(!cluster.data.join("global/pg_control").exists(), "it looks like a cluster");
    proxy.fail(Fault::None);
    bed.restore(&backup, "restored").await;
}
