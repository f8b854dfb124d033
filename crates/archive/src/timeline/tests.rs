//! A history on a real store: WAL put, fetched and put together, whole histories erased.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::Duration;

use howdah_model::lsn::Tli;
use howdah_testkit::s3::{ACCESS_KEY_ID, S3, SECRET_ACCESS_KEY};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tempfile::TempDir;

use super::*;
use crate::Archive;
use crate::config::{Config, Key};
use crate::expiry::Why;
use crate::layout::{Generation, Piece};
use crate::store::Stored;
use crate::wal::index::Gap;
use crate::wal::{Fetched, SEGMENT_SIZE, Segment, WalName};

const SIZE: usize = SEGMENT_SIZE as usize;
const ONE: Generation = Generation(1);

/// A history in an archive of its own.
struct Bed {
    archive: Archive,
    timeline: Timeline,
    directory: TempDir,
    _server: Option<S3>,
}

impl Bed {
    fn local() -> Self {
        let directory = temporary();
        let path = directory.path().join("archive");
        let config = Config::parse(&path.display().to_string(), None).expect("parse");
        Self::of(&config, directory, None)
    }

    async fn remote() -> Self {
        let server = S3::start().await;
        let config = Config::parse(&server.url(), None).expect("parse");
        let config = config.with_credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        let config = Config { key: Some(Key::new([7; 32])), ..config };
        Self::of(&config, temporary(), Some(server))
    }

    fn of(config: &Config, directory: TempDir, server: Option<S3>) -> Self {
        let archive = Archive::open(config).expect("open");
        let timeline = archive.timeline(TimelineId::new());
        Self { archive, timeline, directory, _server: server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts content as the file that PostgreSQL would archive.
    async fn put(&self, name: &str, content: &[u8]) -> Result<Stored, Error> {
        let path = self.path("wal");
        fs::write(&path, content).expect("write");
        self.timeline.put_wal(&name.parse().expect("a name"), &path).await
    }

    async fn tail(&self, of: Segment, generation: Generation, wal: &[u8], piece: (u32, u32)) {
        let part = Bytes::copy_from_slice(&wal[piece.0 as usize..piece.1 as usize]);
        self.timeline.put_tail(of, generation, piece.0, part).await.expect("put a part");
    }

    async fn fetch(&self, name: &str) -> Result<(Fetched, Vec<u8>), Error> {
        let to = self.path("fetched");
        let _ = fs::remove_file(&to);
        let fetched = self.timeline.fetch_wal(&name.parse().expect("a name"), &to).await;
        let content = fs::read(&to);
        assert_eq!(content.is_ok(), fetched.as_ref().is_ok_and(|of| *of != Fetched::Missing));
        // Nothing half stays beside it.
        let beside = fs::read_dir(self.directory.path()).expect("list");
        let half = |name: &str| name.ends_with(".part");
        assert!(!beside.flatten().any(|entry| half(&entry.file_name().to_string_lossy())));
        fetched.map(|fetched| (fetched, content.unwrap_or_default()))
    }
}

fn temporary() -> TempDir {
    let base = std::env::var_os("HOWDAH_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new().prefix("howdah-archive-").tempdir_in(base).expect("a directory")
}

fn segment(number: u64) -> Segment {
    Segment { tli: Tli(1), number }
}

/// What a segment could hold: the address where PostgreSQL has it, then what is not zero.
fn wal(of: Segment) -> Vec<u8> {
    let mut wal: Vec<u8> = (0..SIZE).map(|at| (at / 512 + at % 251) as u8 | 1).collect();
    wal[8..16].copy_from_slice(&of.start().0.to_le_bytes());
    wal
}

#[tokio::test]
async fn k15_wal_is_kept_as_it_is_and_never_replaced() {
    for bed in [Bed::local(), Bed::remote().await] {
        let (one, two) = (wal(segment(1)), wal(segment(2)));
        let name = segment(1).to_string();
        let first = bed.put(&name, &one).await.expect("put");
        assert!(matches!(first, Stored::New { bytes } if bytes < SEGMENT_SIZE / 4), "{first:?}");
        assert_eq!(bed.put(&name, &one).await.expect("put again"), Stored::Already);
        let mut other = one.clone();
        other[SIZE - 1] ^= 1;
        let conflict = bed.put(&name, &other).await.expect_err("another");
        assert!(matches!(conflict, Error::Conflict { .. }) && conflict.to_string().contains(&name));
        assert_eq!(bed.fetch(&name).await.expect("fetch"), (Fetched::Whole, one));

        let history = b"1\t0/3000148\tno recovery target specified\n";
        bed.put("00000002.history", history).await.expect("put");
        bed.put("000000010000000000000002.partial", &two).await.expect("put");
        bed.put("000000010000000000000001.00000028.backup", b"START").await.expect("put");
        let (_, there) = bed.fetch("00000002.history").await.expect("fetch");
        assert_eq!(there, history);
        let (_, there) = bed.fetch("000000010000000000000002.partial").await.expect("fetch");
        assert_eq!(there, two);
        for missing in ["000000010000000000000002", "00000003.history", "000000020000000000000001"]
        {
            assert_eq!(bed.fetch(missing).await.expect("fetch").0, Fetched::Missing);
        }
        let index = bed.timeline.wal().await.expect("list");
        assert_eq!(index.reaches(Tli(1)), Some(segment(2).start()));
        assert_eq!(index.newest(), Some(Tli(2)));
        assert_eq!(index.history(Tli(2)).len(), 1);
        assert_eq!(bed.archive.timelines().await.expect("list"), [bed.timeline.id()]);
    }
}

#[tokio::test]
async fn what_is_no_segment_of_that_name_is_refused() {
    let bed = Bed::local();
    let one = wal(segment(1));
    let short = bed.put(&segment(1).to_string(), &one[..SIZE - 1]).await;
    let long = bed.put(&segment(1).to_string(), &[&one[..], &[0]].concat()).await;
    let another = bed.put(&segment(2).to_string(), &one).await;
    let text = bed.put("00000002.history", &[b' '; 2 << 20]).await;
    let missing = bed.timeline.put_wal(&WalName::Segment(segment(1)), &bed.path("nothing")).await;
    for refused in [short, long, another, text] {
        assert!(matches!(refused, Err(Error::Unfit { .. })), "{refused:?}");
    }
    assert!(matches!(missing, Err(Error::File { .. })));
    let part = |from, bytes: &[u8]| {
        let part = Bytes::copy_from_slice(bytes);
        let timeline = bed.timeline.clone();
        async move { timeline.put_tail(segment(1), ONE, from, part).await.is_err() }
    };
    assert!(part(0, &[]).await);
    assert!(part(SIZE as u32 - 1, &[1, 2]).await);
    assert!(part(u32::MAX, &[1]).await);
    assert!(part(0, &wal(segment(3))[..100]).await);
    assert!(bed.timeline.wal().await.expect("list").newest().is_none());
}

/// The parts of a segment in any order, with holes and overlaps: what is put together is WAL up to
/// the first hole and zero from there on.
#[test]
fn m10_the_last_segment_is_put_together_from_its_parts() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let piece = (0u32..2000, 1u32..700).prop_map(|(from, length)| (from * 8192, length * 8192));
    let pieces = prop::collection::vec(piece, 0..12);
    let mut runner = TestRunner::new(Cases { cases: 24, ..Cases::default() });
    let bed = Bed::local();
    let one = wal(segment(1));
    let outcome = runner.run(&(pieces, any::<bool>()), |(pieces, begins)| {
        let timeline = bed.archive.timeline(TimelineId::new());
        let pieces = pieces
            .into_iter()
            .map(|(from, length)| (from, SIZE.min((from + length) as usize) as u32));
        let pieces: Vec<_> = pieces.chain(begins.then_some((0, 8192))).collect();
        let mut known = vec![false; SIZE / 8192];
        let to = bed.path("fetched");
        let fetched = runtime.block_on(async {
            for (from, to) in &pieces {
                let part = Bytes::copy_from_slice(&one[*from as usize..*to as usize]);
                timeline.put_tail(segment(1), ONE, *from, part).await.expect("put");
            }
            timeline.fetch_wal(&WalName::Segment(segment(1)), &to).await.expect("fetch")
        });
        for (from, to) in pieces {
            known[from as usize / 8192..(to as usize).div_ceil(8192)].fill(true);
        }
        let valid = known.iter().position(|known| !known).map_or(SIZE, |page| page * 8192);
        if valid == 0 {
            prop_assert_eq!(fetched, Fetched::Missing);
            return Ok(());
        }
        prop_assert_eq!(fetched, Fetched::FromTail { valid_to: valid as u32 });
        let content = fs::read(&to).expect("read");
        prop_assert_eq!(content.len(), SIZE);
        prop_assert!(content[..valid] == one[..valid] && content[valid..].iter().all(|b| *b == 0));
        Ok(())
    });
    outcome.expect("every way of parts");
}

#[tokio::test]
async fn a_later_run_of_the_server_is_believed() {
    for bed in [Bed::local(), Bed::remote().await] {
        let (before, mut after) = (wal(segment(1)), wal(segment(1)));
        after[150..].fill(9);
        bed.tail(segment(1), Generation(7), &before, (0, 100)).await;
        bed.tail(segment(1), Generation(7), &before, (100, 300)).await;
        bed.tail(segment(1), Generation(u64::MAX), &after, (0, 160)).await;
        bed.tail(segment(1), Generation(u64::MAX), &after, (160, 170)).await;
        let name = segment(1).to_string();
        let (fetched, content) = bed.fetch(&name).await.expect("fetch");
        assert_eq!(fetched, Fetched::FromTail { valid_to: 170 });
        assert!(content[..170] == after[..170] && content[170..].iter().all(|byte| *byte == 0));
        // The whole counts more than any part, and the parts go when it is there.
        let early = bed.timeline.clear_tail(segment(1)).await;
        assert!(matches!(early, Err(Error::Missing { .. })));
        bed.put(&name, &after).await.expect("put");
        assert!(bed.fetch(&name).await.expect("fetch") == (Fetched::Whole, after));
        bed.timeline.clear_tail(segment(1)).await.expect("clear");
        bed.timeline.clear_tail(segment(1)).await.expect("clear again");
        let index = bed.timeline.wal().await.expect("list");
        assert!(index.timelines().all(|(_, line)| line.tails.is_empty()));
    }
}

/// Whoever fetches while the whole comes and the parts go gets all that was there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_while_parts_become_the_whole() {
    let bed = Bed::local();
    let (mut from_parts, mut as_whole) = (0, 0);
    for number in 1..=3 {
        let one = wal(segment(number));
        let all = 40 * 8192;
        for part in 0..40 {
            bed.tail(segment(number), ONE, &one, (part * 8192, (part + 1) * 8192)).await;
        }
        let (timeline, path) = (bed.timeline.clone(), bed.path("wal"));
        fs::write(&path, &one).expect("write");
        let mut replacing = tokio::task::JoinSet::new();
        replacing.spawn(async move {
            timeline.put_wal(&WalName::Segment(segment(number)), &path).await.expect("put");
            timeline.clear_tail(segment(number)).await.expect("clear");
        });
        loop {
            let is_replaced = replacing.is_empty();
            match bed.fetch(&segment(number).to_string()).await.expect("fetch").0 {
                Fetched::FromTail { valid_to } => {
                    assert_eq!(valid_to, all);
                    from_parts += 1;
                }
                Fetched::Whole => as_whole += 1,
                Fetched::Missing => panic!("it is there in one way or the other"),
            }
            if is_replaced {
                break;
            }
            if let Some(replaced) = replacing.try_join_next() {
                replaced.expect("replace");
            }
        }
    }
    // Seen when the whole has come and the first parts to go are gone: what is left is not all.
    let some = bed.archive.timeline(TimelineId::new());
    let one = wal(segment(1));
    some.put_tail(segment(1), ONE, 0, Bytes::copy_from_slice(&one[..8192])).await.expect("put");
    let path = bed.path("wal");
    fs::write(&path, &one).expect("write");
    some.put_wal(&WalName::Segment(segment(1)), &path).await.expect("put");
    let whole = Place::wal(some.id(), &WalName::Segment(segment(1)));
    let found = some.in_parts(segment(1), &whole).await.expect("fetch");
    assert!(found == Some((one.into(), Fetched::Whole)));
    assert!(from_parts > 0 && as_whole >= 3, "{from_parts} {as_whole}");
}

#[tokio::test]
async fn parts_that_differ_or_are_damaged_make_no_file() {
    let bed = Bed::local();
    let (one, mut other) = (wal(segment(1)), wal(segment(1)));
    other[150] ^= 1;
    bed.tail(segment(1), ONE, &one, (0, 200)).await;
    bed.tail(segment(1), ONE, &other, (100, 300)).await;
    let diverged = bed.fetch(&segment(1).to_string()).await.expect_err("two histories");
    assert!(matches!(diverged, Error::Diverged { at: 150, .. }), "{diverged:?}");

    let two = wal(segment(2));
    bed.tail(segment(2), ONE, &two, (0, 5000)).await;
    bed.tail(segment(2), ONE, &two, (5000, 9000)).await;
    let piece = Piece { generation: ONE, from: 5000, to: 9000 };
    let file = Place::tail(bed.timeline.id(), segment(2), piece);
    let file = bed.path("archive").join(file.as_str());
    let mut bytes = fs::read(&file).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 0x55;
    fs::write(&file, bytes).expect("write");
    let damaged = bed.fetch(&segment(2).to_string()).await.expect_err("damaged");
    assert!(matches!(damaged, Error::Corrupt { .. }), "{damaged:?}");
}

/// As root the agent writes what PostgreSQL's own user reads and renames.
#[tokio::test]
async fn a_fetched_file_belongs_to_whom_its_directory_belongs() {
    let bed = Bed::local();
    bed.put("00000002.history", b"1\t0/3000148\tx\n").await.expect("put");
    let directory = bed.path("pg_wal");
    fs::create_dir(&directory).expect("a directory");
    let (uid, gid) = {
        let ours = fs::metadata(&directory).expect("its owner");
        // Only root can give it away.
        if ours.uid() == 0 { (12_345, 23_456) } else { (ours.uid(), ours.gid()) }
    };
    chown(&directory, Some(uid), Some(gid)).expect("give it away");
    let to = directory.join("RECOVERYHISTORY");
    fs::write(&to, "an older one").expect("write");
    bed.timeline.fetch_wal(&WalName::History(Tli(2)), &to).await.expect("fetch");
    let file = fs::metadata(&to).expect("the file");
    assert_eq!((file.uid(), file.gid(), file.permissions().mode() & 0o777), (uid, gid, 0o600));
    assert_eq!(fs::read(&to).expect("read"), b"1\t0/3000148\tx\n");
    let nowhere = bed.timeline.fetch_wal(&WalName::History(Tli(2)), &bed.path("no/where")).await;
    assert!(matches!(nowhere, Err(Error::File { .. })));
}

#[tokio::test]
async fn a_history_says_once_whose_it_is() {
    let bed = Bed::local();
    assert_eq!(bed.timeline.about().await.expect("about"), None);
    let about = About {
        major: "18".parse().expect("a version"),
        system_identifier: 7_000_000_000_000_000_001,
        parent: Some((TimelineId::new(), Lsn(0x300_0148))),
    };
    bed.timeline.describe(&about).await.expect("describe");
    bed.timeline.describe(&about).await.expect("describe again");
    assert_eq!(bed.timeline.about().await.expect("about"), Some(about));
    let others = [
        About { system_identifier: 1, ..about },
        About { major: "15".parse().expect("a version"), ..about },
        About { parent: None, ..about },
    ];
    for other in others {
        let refused = bed.timeline.describe(&other).await;
        assert!(matches!(refused, Err(Error::OtherHistory { .. })), "{refused:?}");
    }
}

/// The description of a base backup, without the backup.
async fn backup(bed: &Bed, ended_at: Timestamp, start: Lsn) -> BackupId {
    let id = format!("{}-00000000", ended_at.strftime("%Y%m%dT%H%M%S.%3fZ"));
    let described = serde_json::json!({
        "id": id, "began_at": ended_at, "ended_at": ended_at, "tli": 1, "start": start,
        "stop": start, "bytes": 1, "stored": 1, "base": null, "major": "18".parse::<Major>().expect("a version"),
        "system_identifier": 1, "parts": 1, "label": "",
    });
    let id: BackupId = id.parse().expect("a name");
    for (name, content) in [("part-000000", "x".to_owned()), ("backup.json", described.to_string())]
    {
        let place = Place::of_backup(bed.timeline.id(), &id, name);
        bed.timeline.store.put_new(&place, content.into(), How::Fast).await.expect("put");
    }
    id
}

#[tokio::test]
async fn m12_what_is_too_old_goes_and_the_rest_can_be_restored() {
    for bed in [Bed::local(), Bed::remote().await] {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().expect("a moment");
        for number in 1..=12 {
            bed.put(&segment(number).to_string(), &wal(segment(number))).await.expect("put");
            bed.tail(segment(number), ONE, &wal(segment(number)), (0, 9000)).await;
        }
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let old = backup(&bed, now - days(9), segment(1).start()).await;
        let kept = backup(&bed, now - days(5), segment(3).start()).await;
        let new = backup(&bed, now - days(1), segment(4).start()).await;
        assert_eq!(bed.timeline.gaps().await.expect("gaps"), []);
        assert_eq!(bed.timeline.earliest().await.expect("earliest"), Some(now - days(9)));

        let expiry = bed.timeline.expiry(days(4), now).await.expect("plan");
        assert_eq!(expiry.kept, [kept.clone(), new.clone()]);
        let count = |why| expiry.objects.iter().filter(|of| of.why == why).count();
        assert_eq!((count(Why::Backup), count(Why::Wal), count(Why::Superseded)), (2, 2, 12));
        assert!(expiry.bytes() > 0);
        // Broken off after the first deletions, and done again.
        let first = crate::Expiry { objects: expiry.objects[..3].to_vec(), ..expiry.clone() };
        bed.timeline.expire(&first).await.expect("expire");
        bed.timeline.expire(&expiry).await.expect("expire");
        let again = bed.timeline.expiry(days(4), now).await.expect("plan");
        assert_eq!(again.objects, []);
        let there: Vec<_> =
            bed.timeline.backups().await.expect("list").into_iter().map(|of| of.id).collect();
        assert!(there == [kept, new] && !there.contains(&old));
        assert_eq!(bed.timeline.earliest().await.expect("earliest"), Some(now - days(5)));

        // A hole behind the older one: only the newer is a promise.
        let third = WalName::Segment(segment(3));
        let place = Place::wal(bed.timeline.id(), &third);
        bed.timeline.store.delete(&[place]).await.expect("delete");
        let gap = Gap::Segments { first: segment(3), last: segment(3) };
        assert_eq!(bed.timeline.gaps().await.expect("gaps"), [gap]);
        assert_eq!(bed.timeline.earliest().await.expect("earliest"), Some(now - days(1)));
    }
}

#[tokio::test]
async fn an_erased_history_leaves_nothing() {
    for bed in [Bed::local(), Bed::remote().await] {
        let about = About { major: "18".parse().expect("18"), system_identifier: 1, parent: None };
        bed.timeline.describe(&about).await.expect("describe");
        bed.put(&segment(1).to_string(), &wal(segment(1))).await.expect("put");
        bed.tail(segment(2), ONE, &wal(segment(2)), (0, 9000)).await;
        backup(&bed, Timestamp::UNIX_EPOCH, segment(1).start()).await;
        let other = bed.archive.timeline(TimelineId::new());
        other.describe(&about).await.expect("describe");
        bed.timeline.erase().await.expect("erase");
        bed.timeline.erase().await.expect("erase again");
        assert_eq!(bed.archive.timelines().await.expect("list"), [other.id()]);
        let left = bed.timeline.store.list(&Place::timeline(bed.timeline.id())).await;
        assert_eq!(left.expect("list"), []);
        assert_eq!(bed.timeline.earliest().await.expect("earliest"), None);
        assert_eq!(other.about().await.expect("about"), Some(about));
        let directory = bed.path(&format!("archive/timelines/{}", bed.timeline.id()));
        assert!(!directory.exists());
    }
}

#[tokio::test]
async fn a_damaged_description_hides_no_other_backup() {
    let bed = Bed::local();
    let first = backup(&bed, Timestamp::UNIX_EPOCH, segment(1).start()).await;
    let second =
        backup(&bed, Timestamp::UNIX_EPOCH + Duration::from_secs(9), segment(1).start()).await;
    let file = Place::backup(bed.timeline.id(), &first);
    fs::write(bed.path("archive").join(file.as_str()), b"rubbish").expect("write");
    let there = bed.timeline.backups().await.expect("list");
    assert_eq!(there.iter().map(|of| &of.id).collect::<Vec<_>>(), [&second]);
}
