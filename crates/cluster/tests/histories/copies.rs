//! G27: copies of a running server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use howdah_cluster::{RunAs, StopMode};
use howdah_testkit::clusters::majors;
use tokio::task::JoinSet;

use super::*;

/// Commits rows that are numbered from 1 until it is told to stop, and makes checkpoints and new
/// segments of WAL as it goes.
struct Writer {
    committed: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    task: JoinSet<()>,
}

impl Writer {
    async fn begin(cluster: &Cluster) -> Self {
        run(cluster, "create table rows (n bigint primary key, filler text)").await;
        let (committed, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut task = JoinSet::new();
        let (cluster, count, end) = (cluster.clone(), Arc::clone(&committed), Arc::clone(&stop));
        task.spawn(async move {
            let session = session(&cluster).await;
            for n in 1_i64.. {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let insert = format!("insert into rows values ({n}, repeat('x', 2000))");
                session.run(&insert).await.unwrap();
                count.store(n, Ordering::SeqCst);
                if n % 50 == 0 {
                    // WAL that nobody keeps is gone after two checkpoints.
                    session.run("select pg_switch_wal()").await.unwrap();
                    session.run("checkpoint").await.unwrap();
                }
            }
        });
        Self { committed, stop, task }
    }

    fn committed(&self) -> i64 {
        self.committed.load(Ordering::SeqCst)
    }

    async fn end(mut self) -> i64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.join_next().await.unwrap().unwrap();
        self.committed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g27_a_copy_that_is_made_while_rows_are_written_has_all_that_was_committed_before() {
    for major in majors() {
        let home = Home::new();
        let little = [("max_wal_size", "32MB"), ("min_wal_size", "32MB"), ("wal_keep_size", "0")];
        let source = running(&home, &major, "a", &little).await;
        let writer = Writer::begin(&source).await;
        for turn in 0..4 {
            while writer.committed() < 100 * (turn + 1) {
                tokio::task::yield_now().await;
            }
            let before = writer.committed();
            let (copy, of) = copied(&source, &home, &format!("b{turn}"), &small()).await;
            let after = writer.committed();
            assert!(of.start < of.stop && of.tli.0 == 1, "{of:?}");
            start_as(&copy, &Mode::Primary).await;
            let rows = number(&copy, "select count(*) from rows").await;
            let last = number(&copy, "select max(n) from rows").await;
            assert_eq!(rows, last, "the copy has a hole");
            assert!(before <= last && last <= after + 1, "{before} {last} {after}");
            run(&copy, "insert into rows values (-1)").await;
            if turn == 0 {
                // It is whole: it can be killed, and started again.
                kill(&copy).await;
                start_as(&copy, &Mode::Primary).await;
                assert_eq!(number(&copy, "select count(*) from rows").await, rows + 1);
            }
            copy.stop(StopMode::Fast, PATIENCE).await.unwrap();
        }
        let all = writer.end().await;
        assert_eq!(number(&source, "select count(*) from rows").await, all, "none of the copies'");
        assert_eq!(number(&source, "select count(*) from pg_replication_slots").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_broken_off_or_fails_leaves_nothing_behind() {
    let home = Home::new();
    let source = home.running(&majors()[0], "a").await;
    let to = home.cluster(&source.installed, "b");
    let left = || std::fs::read_dir(to.data.parent().unwrap()).map_or(0, Iterator::count);
    let stopped = Progress::default();
    stopped.stop();
    copy_running(&source, &to.data, &to.run_as, &stopped).await.unwrap_err();
    assert_eq!(left(), 0);
    // A future that is dropped at any time; and the next one begins at once, and is whole.
    for polls in 1..60 {
        let progress = Progress::default();
        let mut copy = Box::pin(copy_running(&source, &to.data, &to.run_as, &progress));
        let mut is_done = false;
        for _ in 0..polls {
            is_done |= tokio::time::timeout(Duration::from_millis(2), &mut copy).await.is_ok();
            if is_done {
                break;
            }
        }
        drop(copy);
        if polls % 8 == 1 {
            to.remove().await.unwrap();
            copied(&source, &home, "b", &small()).await;
            start_as(&to, &Mode::Primary).await;
            howdah_cluster::sound::check(&to, PATIENCE).await.unwrap();
        }
        to.remove().await.unwrap();
        assert_eq!(left(), 0);
        howdah_testkit::clusters::until("no slot is left", || async {
            number(&source, "select count(*) from pg_replication_slots").await == 0
        })
        .await;
        if is_done {
            return;
        }
    }
    panic!("a copy is never done");
}

#[tokio::test]
async fn what_is_no_file_of_postgresql_or_no_primary_is_not_copied() {
    let home = Home::new();
    let source = home.running(&majors()[0], "a").await;
    let to = home.cluster(&source.installed, "b");
    std::os::unix::fs::symlink("/etc/passwd", source.data.join("base/stray")).unwrap();
    let error =
        copy_running(&source, &to.data, &to.run_as, &Progress::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("neither a file"), "{error:#}");
    assert!(!to.data.exists());
    std::fs::remove_file(source.data.join("base/stray")).unwrap();
    // As a file that the platform may not read would, on a disk that is going.
    let nobody = RunAs::current().unwrap();
    copy_running(&source, &to.data, &nobody, &Progress::default()).await.unwrap();
    assert!(to.is_made());
    for name in ["postmaster.pid", "postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
        assert!(!to.data.join(name).exists(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_copies_can_be_made_at_once_and_one_that_was_left_half_made_is_made_anew() {
    let home = Home::new();
    let source = home.running(&majors()[0], "a").await;
    run(&source, "create table t as select generate_series(1, 1000) as n").await;
    run(&source, "create unlogged table u as select generate_series(1, 1000) as n").await;
    let to = ["b", "c"].map(|name| home.cluster(&source.installed, name));
    // As a platform that was killed leaves it.
    let left = howdah_cluster::durable::beside(&to[0].data);
    std::fs::create_dir_all(left.join("base")).unwrap();
    std::fs::write(left.join("base/1"), "half").unwrap();
    let progress = Progress::default();
    let (one, two) = tokio::join!(
        copy_running(&source, &to[0].data, &to[0].run_as, &progress),
        copy_running(&source, &to[1].data, &to[1].run_as, &progress)
    );
    for (cluster, copied) in to.iter().zip([one, two]) {
        copied.unwrap();
        cluster.configure(&small()).await.unwrap();
        start_as(cluster, &Mode::Primary).await;
        assert_eq!(number(cluster, "select count(*) from t").await, 1000);
        assert_eq!(number(cluster, "select count(*) from u").await, 0, "as after a crash");
    }
    assert!(!to[0].data.join("base/1").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_source_is_killed_fails_and_leaves_nothing() {
    for major in majors() {
        let home = Home::new();
        let source = home.running(&major, "a").await;
        run(
            &source,
            "create table t as select repeat('x', 500) as x from generate_series(1, 50000)",
        )
        .await;
        let to = home.cluster(&major, "b");
        let progress = Progress::default();
        let mut copy = Box::pin(copy_running(&source, &to.data, &to.run_as, &progress));
        let mut failed = false;
        while progress.done() == 0 {
            let step = tokio::time::timeout(Duration::from_millis(1), &mut copy).await;
            failed |= step.is_ok();
            assert!(!failed, "it was over before it could be killed");
        }
        kill(&source).await;
        copy.await.unwrap_err();
        assert_eq!(std::fs::read_dir(to.data.parent().unwrap()).unwrap().count(), 0);
        source.start(PATIENCE).await.unwrap();
        copied(&source, &home, "b", &small()).await;
        start_as(&to, &Mode::Primary).await;
        assert_eq!(number(&to, "select count(*) from t").await, 50_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k14_what_was_committed_is_there_after_all_processes_were_killed() {
    for major in majors() {
        let home = Home::new();
        let cluster = running(&home, &major, "a", &[("fsync", "on")]).await;
        run(&cluster, "create table rows (n bigint)").await;
        let mut last = 0;
        for _ in 0..3 {
            let writer = session(&cluster).await;
            let write = async {
                loop {
                    let insert = format!("insert into rows values ({})", last + 1);
                    if writer.run(&insert).await.is_err() {
                        return;
                    }
                    last += 1;
                }
            };
            let kill = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                kill(&cluster).await;
            };
            tokio::join!(write, kill);
            start_as(&cluster, &Mode::Primary).await;
            let rows = number(&cluster, "select count(*) from rows").await;
            // One may have been committed although nobody was told.
            assert!(rows == last || rows == last + 1, "{rows} {last}");
            assert_eq!(number(&cluster, "select max(n) from rows").await, rows);
            last = rows;
        }
        assert!(last > 20, "it wrote");
    }
}

#[tokio::test]
async fn a_server_can_be_put_behind_everything_else() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    howdah_cluster::postmaster::step_back(&cluster.data, 15);
    let pid = session(&cluster).await.rows("select pg_backend_pid()", &[]).await.unwrap()[0]
        .get::<_, i32>(0);
    let nice = rustix::process::getpriority_process(rustix::process::Pid::from_raw(pid));
    // The session is over, perhaps with its process.
    assert!(nice.is_err() || nice == Ok(15), "{nice:?}");
    let server = cluster.postmaster().unwrap().pid;
    assert_eq!(rustix::process::getpriority_process(Some(server)), Ok(15));
}

/// Files and whole directories come, change, are cut and vanish while they are copied.
#[tokio::test(flavor = "multi_thread")]
async fn g27_a_copy_of_a_server_whose_files_come_and_go_is_sound() {
    for major in majors() {
        let home = Home::new();
        let source = home.running(&major, "a").await;
        run(&source, "create table kept as select generate_series(1, 20000) as n").await;
        run(&source, "create index on kept (n)").await;
        let churn = async |round: usize| {
            let session = session(&source).await;
            for n in round.. {
                for sql in [
                    format!("create table t{n} as select generate_series(1, 2000) as x"),
                    format!("create index on t{n} (x); truncate t{n}; drop table t{n}"),
                    "update kept set n = -n where n % 7 = 0; vacuum kept".to_owned(),
                    "reindex table kept".to_owned(),
                    format!("create database d{n} strategy file_copy"),
                    format!("drop database d{n}"),
                ] {
                    for part in sql.split("; ") {
                        session.run(part).await.unwrap();
                    }
                }
            }
        };
        for turn in 0..3_usize {
            let (name, settings) = (format!("b{turn}"), small());
            let copy = tokio::select! {
                copy = copied(&source, &home, &name, &settings) => copy.0,
                () = churn(turn * 1000) => unreachable!(),
            };
            start_as(&copy, &Mode::Primary).await;
            assert_eq!(number(&copy, "select count(distinct abs(n)) from kept").await, 20_000);
            howdah_cluster::sound::check(&copy, PATIENCE).await.unwrap();
            copy.stop(StopMode::Fast, PATIENCE).await.unwrap();
            howdah_cluster::sound::checksums(&copy, PATIENCE).await.unwrap();
        }
    }
}
