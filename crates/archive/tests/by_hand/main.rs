//! A stranger restores: with what docs/archive.md says, a shell, zstd and PostgreSQL, and nothing of
//! ours.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use howdah_archive::backup::{self, Checkpoint, Progress, Taking};
use howdah_archive::{Archive, Config, Generation, Location, SEGMENT_SIZE, Segment, Timeline};
use howdah_cluster::connection::Limits;
use howdah_cluster::settings::PLATFORM_ROLE;
use howdah_cluster::{Cluster, Connection};
use howdah_model::ids::{TimelineId, TransferId};
use howdah_model::lsn::{Lsn, Tli};
use howdah_model::transfer::Made;
use howdah_testkit::clusters::{Home, majors, small};
use tokio_util::sync::CancellationToken;

const BOUND: Duration = Duration::from_secs(60);

/// The steps of the page, in their order.
fn steps() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/archive.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks = page.split("\n```sh\n").skip(1);
    let blocks: Vec<_> = blocks.map(|from| from.split("\n```").next().expect("its end")).collect();
    assert!(blocks.len() >= 3, "the page has lost its steps");
    format!("set -eu\n{}\n", blocks.join("\n"))
}

async fn connect(cluster: &Cluster) -> Connection {
    let connection = cluster.connect("postgres", Limits::WORK).await.expect("connect");
    connection.run("set search_path = public").await.expect("choose the schema");
    connection
}

async fn number(cluster: &Cluster, sql: &str) -> i64 {
    let rows = connect(cluster).await.rows(sql, &[]).await.expect(sql);
    rows[0].get(0)
}

/// Puts all WAL from a place on, as an agent would: whole segments, and the last in parts.
async fn archive_wal(timeline: &Timeline, source: &Cluster, from: Lsn) {
    let flushed = connect(source).await;
    let flushed = flushed.rows("select pg_current_wal_flush_lsn()::text", &[]).await;
    let text: String = flushed.expect("ask where it is")[0].get(0);
    let end: Lsn = text.parse().expect("a place");
    let mut segment = Segment::of(Tli(1), from);
    let last = Segment::of(Tli(1), end);
    while segment < last {
        let path = source.data.join("pg_wal").join(segment.to_string());
        let name = howdah_archive::WalName::Segment(segment);
        timeline.put_wal(&name, &path).await.expect("put a segment");
        segment = segment.next();
    }
    let file = fs::File::open(source.data.join("pg_wal").join(last.to_string())).expect("open");
    let mut wal = vec![0; usize::try_from(end.0 % SEGMENT_SIZE).expect("an offset")];
    file.read_exact_at(&mut wal, 0).expect("read");
    // What an earlier run of the server has left, which says nothing any more.
    let other = Bytes::from([&wal[..40], &[9; 60]].concat());
    timeline.put_tail(last, Generation(1), 0, other).await.expect("put");
    for (number, part) in wal.chunks(wal.len() / 3 + 1).enumerate() {
        let from = u32::try_from(number * (wal.len() / 3 + 1)).expect("an offset");
        let part = Bytes::copy_from_slice(part);
        timeline.put_tail(last, Generation(2), from, part).await.expect("put a part");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m10_whoever_has_the_archive_alone_restores_all_that_was_committed() {
    for installed in majors() {
        let home = Home::new();
        let source = home.running(&installed, "source").await;
        let location = home.path().join("archive");
        let config = Config { location: Location::Directory(location.clone()), key: None };
        let timeline = Archive::open(&config).expect("open").timeline(TimelineId::new());
        connect(&source).await.run("create table numbers (n bigint)").await.expect("create");
        let how = Taking {
            socket_dir: source.socket_dir.clone(),
            user: PLATFORM_ROLE.to_owned(),
            checkpoint: Checkpoint::Fast,
            rate: None,
            parallel: 2,
            base: None,
            label: "by hand".to_owned(),
        };
        let (progress, stop) = (Progress::default(), CancellationToken::new());
        let backup = backup::take(&timeline, &how, &progress, &stop).await.expect("a backup");
        // Some segments, and the beginning of one.
        let fill = "insert into numbers select generate_series(1, 400000)";
        connect(&source).await.run(fill).await.expect("insert");
        connect(&source).await.run("insert into numbers values (0)").await.expect("insert");
        archive_wal(&timeline, &source, backup.start).await;
        connect(&source).await.run("insert into numbers values (-1)").await.expect("too late");

        let dumped: Vec<u8> = (0..9_000_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
        let dump = Archive::open(&config).expect("open").dump(TransferId::new());
        let mut writer = dump.begin();
        writer.write(&dumped).await.expect("write a dump");
        let made = Made { source_bytes: 0, dump_bytes: 0, tables: 0, warnings: 0, major: None };
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        writer.finish(made, at).await.expect("finish a dump");
        let dumps = fs::read_dir(location.join("dumps")).expect("list the dumps");
        let dump_dir = dumps.flatten().next().expect("a dump").path();

        let restored = home.cluster(&installed, "restored");
        fs::create_dir_all(restored.data.parent().expect("a parent")).expect("make a directory");
        let restore = || {
            Command::new("sh")
                .args(["-c", &steps()])
                .env("TIMELINE_DIR", location.join(format!("timelines/{}", timeline.id())))
                .env("DATA", &restored.data)
                .env("DUMP_DIR", &dump_dir)
                .env("DUMP", home.path().join("latest.dump"))
                .env("TMPDIR", home.path())
                .output()
                .expect("run a shell")
        };
        let output = restore();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains(&backup.id.to_string()));
        let by_hand = fs::read(home.path().join("latest.dump")).expect("read the dump");
        assert!(by_hand == dumped, "the dump is another");
        let user = restored.run_as.name().to_owned();
        let owned = Command::new("chown").args(["-R", &user]).arg(&restored.data).status();
        assert!(owned.expect("run chown").success());
        restored.configure(&small()).await.expect("configure");
        restored.start(BOUND).await.expect("start what was restored");
        assert_eq!(number(&restored, "select count(*) from numbers").await, 400_001);
        assert_eq!(number(&restored, "select min(n) from numbers").await, 0);

        // Damage is not restored.
        let part =
            location.join(format!("timelines/{}/backups/{}/part-000000", timeline.id(), backup.id));
        let mut bytes = fs::read(&part).expect("read");
        bytes[20] ^= 1;
        fs::write(&part, bytes).expect("write");
        fs::rename(&restored.data, home.path().join("gone")).expect("move it away");
        let output = restore();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("part-000000 is damaged"), "{said}");
    }
}
