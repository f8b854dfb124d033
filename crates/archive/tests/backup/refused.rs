//! What is refused, and how it is said.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use howdah_archive::backup::{self, Error, Progress, WireError};
use howdah_archive::restore;
use howdah_cluster::StopMode;
use howdah_testkit::clusters::majors;
use howdah_testkit::servers::Server;

use crate::bed::{BOUND, Bed, files, never};

#[tokio::test]
async fn directories_that_hold_something_else_are_left_alone() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let backup = bed.take(&bed.taking()).await;
    let (cluster, how) = bed.restoring("taken");
    fs::create_dir(&cluster.data).expect("make a directory");
    fs::write(cluster.data.join("precious"), "data").expect("write");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&cluster.data, open).expect("open the directory");
    let before = fs::metadata(&cluster.data).expect("look");
    let restored = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    assert!(matches!(restored, Err(restore::Error::Occupied(_))), "{restored:?}");
    assert_eq!(files(&cluster.data), [cluster.data.join("precious")]);
    let (is, was) = (fs::metadata(&cluster.data).expect("look"), before);
    assert_eq!((is.mode(), is.uid()), (was.mode(), was.uid()), "it was changed");

    fs::remove_file(cluster.data.join("precious")).expect("remove");
    bed.restore(&backup, "taken").await;
    for path in files(&cluster.data) {
        let mode = fs::metadata(&path).expect("look").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    // The very same is there already; once a server has been started it is something else.
    let again = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    again.expect("it is there");
    bed.start(&cluster).await;
    cluster.stop(StopMode::Fast, BOUND).await.expect("stop");
    let again = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
    assert!(matches!(again, Err(restore::Error::Occupied(_))), "{again:?}");
}

/// The marker of a restore that was broken off lets another backup in; what was there goes.
#[tokio::test]
async fn the_rest_of_another_restore_gives_way() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let (first, second) = (bed.take(&bed.taking()).await, bed.take(&bed.taking()).await);
    let (cluster, _) = bed.restoring("both");
    let restored = bed.restore(&first, "both").await;
    let marker = format!("{{\"timeline\":\"{}\",\"backup\":\"{}\"}}", bed.timeline.id(), first.id);
    fs::write(restored.data.join("howdah-restoring"), marker).expect("write");
    fs::write(restored.data.join("left"), "over").expect("write");
    bed.restore(&second, "both").await;
    assert!(!cluster.data.join("left").exists());
}

#[tokio::test]
async fn clusters_with_tablespaces_are_refused() {
    for installed in majors() {
        let bed = Bed::new(&installed).await;
        let at = bed.home.path().join("space");
        bed.home.run_as.make_dir(&at).expect("make a directory");
        bed.sql(&format!("create tablespace space location '{}'", at.display())).await;
        let how = bed.taking();
        let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
        let error = taken.expect_err("it has a tablespace").to_string();
        assert!(error.contains(&at.display().to_string()), "{error}");
        assert_eq!(bed.timeline.backups().await.expect("list"), []);
    }
}

#[tokio::test]
async fn strangers_and_absent_servers_are_told() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let mut how = bed.taking();
    how.user = "nobody".to_owned();
    let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
    assert!(matches!(taken, Err(Error::Server(WireError::Refused { .. }))), "{taken:?}");
    how.socket_dir = bed.home.path().join("nowhere");
    let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
    assert!(matches!(taken, Err(Error::Server(WireError::Broken { .. }))), "{taken:?}");
}

/// The archive has names for segments of 16 MB only.
#[tokio::test]
async fn other_segments_are_refused() {
    let installed = majors().remove(0);
    let bed = Bed::new(&installed).await;
    let server = Server::start(15, &["shared_buffers=16MB"]).await;
    let mut how = bed.taking();
    (how.socket_dir, how.user) = (server.socket_dir().to_owned(), "postgres".to_owned());
    let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
    assert!(matches!(&taken, Err(Error::Segments(size)) if size == "1MB"), "{taken:?}");
}

/// A page whose checksum is wrong fails the backup, with the file's name.
#[tokio::test]
async fn a_damaged_page_fails_the_backup() {
    for installed in majors() {
        let bed = Bed::new(&installed).await;
        let sql = "select pg_relation_filenode('numbers')::bigint";
        let node = Bed::number(&bed.source, sql).await;
        bed.sql("checkpoint").await;
        let mut relation = files(&bed.source.data).into_iter();
        let relation = relation.rfind(|path| path.ends_with(node.to_string()));
        let relation = relation.expect("its file");
        let mut content = fs::read(&relation).expect("read");
        content[8192 + 4000] ^= 1;
        fs::write(&relation, content).expect("write");
        let how = bed.taking();
        let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
        let error = taken.expect_err("a page is damaged").to_string();
        assert!(error.contains("checksum") && error.contains(&node.to_string()), "{error}");
        assert_eq!(bed.timeline.backups().await.expect("list"), []);
    }
}
