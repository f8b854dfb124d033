use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// In the environment of a child: the directory that it puts objects into.
const CHILD: &str = "HOWDAH_TEST_ARCHIVE_CHILD";

/// This program again, running one of the tests below as somebody who can be killed.
fn child(test: &str, archive: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", &format!("store::tests::crash::{test}"), "--nocapture"])
        .env(CHILD, archive)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Large enough that putting it takes a while.
const SIZE: usize = 4 << 20;

/// A child that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn store_of_child() -> Option<Store> {
    let path = std::env::var_os(CHILD)?;
    let config = Config { location: Location::Directory(path.into()), key: None };
    Some(Store::open(&config).expect("open"))
}

/// Not a test when it runs by itself: it puts objects until it is killed.
#[tokio::test]
async fn putting() {
    let Some(store) = store_of_child() else { return };
    // Not for ever, should nobody kill it.
    for number in 0..300 {
        let place = place(&format!("{number:04}"));
        store.put_new(&place, content(number, SIZE), How::Plain).await.expect("put");
    }
}

/// Whoever is killed in the middle of a put leaves either the whole object or nothing that is seen.
#[tokio::test]
async fn a_writer_that_is_killed_leaves_no_half_of_an_object() {
    let bed = Bed::new(Kind::Directory, None).await;
    let mut leftovers = 0;
    for round in 0..200u64 {
        if round >= 12 && leftovers > 0 {
            break;
        }
        let mut writer = Killed(child("putting", &bed.directory).spawn().expect("a child"));
        let before = count(&bed.directory.join("timelines/x"));
        while count(&bed.directory.join("timelines/x")) == before {
            assert!(writer.0.try_wait().expect("the child").is_none(), "the child has ended");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        // Somewhere within a put, a little later each time.
        tokio::time::sleep(Duration::from_micros(round % 12 * 400)).await;
        drop(writer);
        let listed = bed.store.list(&Place::timelines()).await.expect("list");
        for object in &listed {
            let number = object.place.name().parse().expect("a number");
            let got = bed.store.get(&object.place).await.expect("whole");
            assert!(got == content(number, SIZE));
        }
        leftovers += count(&bed.directory.join("timelines/x")) - listed.len();
        bed.store.delete(&[place("0000")]).await.expect("delete");
    }
    // Else nothing was tried.
    assert!(leftovers > 0, "no child was killed in the middle of a put");
    bed.store.sweep(&place("."), Duration::from_secs(3600)).await.expect("sweep");
    bed.store.sweep(&Place::timelines(), Duration::ZERO).await.expect("sweep");
    let listed = bed.store.list(&Place::timelines()).await.expect("list").len();
    assert_eq!(count(&bed.directory.join("timelines/x")), listed);
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Not a test when it runs by itself: its archive is on a disk that fills up.
#[tokio::test]
async fn filling() {
    let Some(store) = store_of_child() else { return };
    let mut put = 0;
    let full = loop {
        match store.put_new(&place(&put.to_string()), content(put, 100_000), How::Plain).await {
            Ok(_) => put += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full { .. }) && full.is_transient(), "{full:?}");
    assert!((1..=10).contains(&put), "{put}");
    assert_eq!(store.list(&Place::timelines()).await.expect("list").len(), put as usize);
    // What was not stored takes no space, and with space it goes on.
    store.delete(&[place("0")]).await.expect("delete");
    store.put_new(&place("late"), content(9, 100_000), How::Plain).await.expect("put");
}

#[tokio::test]
async fn m11_a_full_disk_is_told_and_leaves_nothing_half() {
    let directory = temporary();
    let child = child("filling", directory.path());
    let mount = r#"mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@""#;
    let unshared = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", mount]).arg(directory.path());
        command
    };
    if !unshared().arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("left out: no file system can be made here");
        return;
    }
    let status = unshared()
        .arg(child.get_program())
        .args(child.get_args())
        .env(CHILD, directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("unshare").success());
}
