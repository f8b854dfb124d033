use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use howdah_testkit::s3::{ACCESS_KEY_ID, S3, SECRET_ACCESS_KEY, url_at};

use super::*;
use crate::config::{Config, Key, Location};

fn made() -> Made {
    Made { source_bytes: 5, dump_bytes: 3, tables: 1, warnings: 0, major: "18".parse().ok() }
}

fn at() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

/// Bytes that nothing makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

async fn read(dump: &Dump, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let known = dump.description().await?.expect("complete");
    let parts: Vec<Bytes> = dump.read(&known, range).try_collect().await?;
    Ok(parts.concat())
}

async fn put(dump: &Dump, content: &[u8]) -> Description {
    let mut writer = dump.begin();
    for bit in content.chunks(1_000_003) {
        writer.write(bit).await.expect("write");
    }
    writer.finish(made(), at()).await.expect("finish")
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return all };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// E6, E18: what is read is what was written, from any byte on; it is complete with its description
/// only, one attempt makes it, and nothing is left of it when it is deleted.
#[tokio::test]
async fn e6_a_dump_is_complete_or_nothing_and_read_from_anywhere() {
    let server = S3::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let remote = Config::parse(&url_at(server.address()), None).expect("parse");
    let remote = Config {
        key: Some(Key::new([7; 32])),
        ..remote.with_credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    };
    let local = Config { location: Location::Directory(directory.path().join("a")), key: None };
    for config in [local, remote] {
        let archive = Archive::open(&config).expect("open");
        let dump = archive.dump(TransferId::new());
        let content = noise(2 * PART as usize + 77);
        assert!(dump.description().await.expect("ask").is_none());
        let mut given_up = dump.begin();
        given_up.write(&content[..PART as usize + 1]).await.expect("write");
        let mut slow = dump.begin();
        slow.write(&content[..PART as usize + 2]).await.expect("write");
        assert!(dump.description().await.expect("ask").is_none());

        let known = put(&dump, &content).await;
        assert_eq!((known.bytes, known.parts), (content.len() as u64, 3));
        let part = u64::from(PART);
        let end = content.len() as u64;
        for range in
            [0..end, 0..1, 5..part, part - 1..part + 1, part..part, 2 * part..end, end..end]
        {
            let bounds = usize::try_from(range.start).expect("small")
                ..usize::try_from(range.end).expect("small");
            assert_eq!(read(&dump, range).await.expect("read"), content[bounds]);
        }
        // Whoever comes later finds that it is done.
        let other = slow.finish(Made { tables: 9, ..made() }, at()).await.expect("finish");
        assert_eq!(other, known);
        given_up.give_up().await.expect("give up");
        assert_eq!(read(&dump, 0..end).await.expect("read"), content);
        assert_eq!(archive.dumps().await.expect("list").len(), 1);
        dump.delete().await.expect("delete");
        dump.delete().await.expect("delete again");
        assert!(dump.description().await.expect("ask").is_none());
    }
    assert!(files(&directory.path().join("a/dumps")).is_empty());
    let left = files(&server.bucket());
    assert!(!left.iter().any(|path| path.to_string_lossy().contains("dumps")), "{left:?}");
}

/// What is damaged is an error that names it, and what is not finished goes after a day.
#[tokio::test]
async fn damage_is_found_and_what_is_left_is_reaped() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("a");
    let config = Config { location: Location::Directory(root.clone()), key: None };
    let archive = Archive::open(&config).expect("open");
    let (dump, other) = (archive.dump(TransferId::new()), archive.dump(TransferId::new()));
    let content = noise(PART as usize + 5);
    let known = put(&dump, &content).await;
    // A writer that dies, of a dump that is complete and of one that is not.
    for of in [&dump, &other] {
        let mut dies = of.begin();
        dies.write(&content).await.expect("write");
        while dies.tasks.join_next().await.is_some() {}
    }
    assert_eq!(files(&root.join("dumps")).len(), 5);
    let now = newest(&root);
    assert_eq!(archive.reap_dumps(now).await.expect("reap"), 0);
    let later = now + Duration::from_secs(25 * 3600);
    assert_eq!(archive.reap_dumps(later).await.expect("reap"), 2);
    assert_eq!(archive.reap_dumps(later).await.expect("reap"), 0);
    assert_eq!(files(&root.join("dumps")).len(), 3);
    assert_eq!(read(&dump, 0..known.bytes).await.expect("read"), content);

    let place = Place::of_dump(dump.id, &known.attempt, 1);
    let file = root.join(place.as_str());
    let sound = std::fs::read(&file).expect("read");
    let mut bad = sound.clone();
    *bad.last_mut().expect("not empty") ^= 1;
    std::fs::write(&file, bad).expect("write");
    let error = read(&dump, 0..known.bytes).await.expect_err("damaged").to_string();
    assert!(error.contains("part-000001") && error.contains("damaged"), "{error}");
    // One part in the place of another is sound by itself.
    let first = root.join(Place::of_dump(dump.id, &known.attempt, 0).as_str());
    std::fs::write(&file, std::fs::read(first).expect("read")).expect("write");
    assert!(matches!(read(&dump, 0..known.bytes).await, Err(Error::Corrupt { .. })));
    std::fs::remove_file(&file).expect("remove");
    assert!(matches!(read(&dump, 0..known.bytes).await, Err(Error::Missing { .. })));
    let stream = dump.read(&known, 0..10);
    assert_eq!(std::pin::pin!(stream).next().await.expect("one").expect("read"), content[..10]);
}

fn newest(root: &std::path::Path) -> Timestamp {
    let modified = |path: std::path::PathBuf| path.metadata().ok()?.modified().ok();
    let newest = files(root).into_iter().filter_map(modified).max().expect("files");
    Timestamp::try_from(newest).expect("a time")
}
