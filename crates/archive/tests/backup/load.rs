//! While others write.

use std::process::{Command, Stdio};

use howdah_archive::backup::{self, Progress};
use howdah_archive::quiet;
use howdah_cluster::settings::PLATFORM_ROLE;
use howdah_testkit::clusters::{majors, until};

use crate::bed::{Bed, never};

/// M12: what was committed before the backup ended is in what is restored of it, once WAL has been
/// replayed, and everything is sound.
#[tokio::test]
async fn m12_a_backup_under_load_is_restored_whole() {
    for installed in majors() {
        let bed = Bed::new(&installed).await;
        assert!(pgbench(&bed, &["-i", "-s", "2", "-q"]).wait().expect("fill").success());
        let mut load = pgbench(&bed, &["-n", "-c", "3", "-T", "120"]);
        until("pgbench writes", || async {
            Bed::number(&bed.source, "select count(*) from pgbench_history").await > 10
        })
        .await;

        let progress = Progress::default();
        let taken = backup::take(&bed.timeline, &bed.taking(), &progress, &never()).await;
        let backup = taken.expect("take a base backup");
        assert!(backup.start < backup.stop && backup.began_at <= backup.ended_at);
        assert!(backup.stored < backup.bytes && backup.bytes <= progress.done());
        assert_eq!(backup.major, installed.version.major);
        let committed = Bed::number(&bed.source, "select count(*) from pgbench_history").await;
        load.kill().expect("end the load");
        load.wait().expect("wait for it");
        until("the load's sessions have ended", || async {
            let sql = "select count(*) from pg_stat_activity where application_name = 'pgbench'";
            Bed::number(&bed.source, sql).await == 0
        })
        .await;

        let restored = bed.restore(&backup, "restored").await;
        bed.start(&restored).await;
        for sql in [
            "select count(*) from pgbench_history",
            "select coalesce(sum(delta), 0)::bigint from pgbench_history",
            "select sum(abalance)::bigint from pgbench_accounts",
            "select sum(hashtext(text))::bigint from numbers",
        ] {
            let (is, was) =
                (Bed::number(&restored, sql).await, Bed::number(&bed.source, sql).await);
            assert_eq!(is, was, "{sql}");
        }
        let there = Bed::number(&restored, "select count(*) from pgbench_history").await;
        assert!(there >= committed, "{there} of {committed}");
        let differ = "select sum(abalance)::bigint - (select sum(delta) from pgbench_history)::bigint \
                      from pgbench_accounts";
        assert_eq!(Bed::number(&restored, differ).await, 0, "transactions are whole");
        bed.check(&restored).await;
    }
}

fn pgbench(bed: &Bed, arguments: &[&str]) -> std::process::Child {
    Command::new(bed.installed.bindir.join("pgbench"))
        .args(arguments)
        .args(["-U", PLATFORM_ROLE, "-h"])
        .arg(&bed.source.socket_dir)
        .arg("postgres")
        .env("PGAPPNAME", "pgbench")
        .env("PGOPTIONS", "-c search_path=public")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run pgbench")
}

/// The server's process that sends the cluster is as little felt as our threads.
#[tokio::test]
async fn a_quiet_backup_is_quiet_at_the_server_too() {
    let bed = Bed::new(&majors().remove(0)).await;
    for (is_quiet, nice) in [(false, 0), (true, 10)] {
        let (timeline, mut how, stop) = (bed.timeline.clone(), bed.taking(), never());
        how.rate = Some(1 << 20);
        let stopped = stop.clone();
        let progress = Progress::default();
        let seen = progress.clone();
        let take = async move || backup::take(&timeline, &how, &progress, &stopped).await;
        let taken = async {
            if is_quiet { quiet::run(take).await.expect("a thread") } else { take().await }
        };
        let (taken, ()) = tokio::join!(taken, async {
            until("it is under way", || async { seen.done() > 0 }).await;
            let sql = "select max(pid)::bigint from pg_stat_progress_basebackup";
            let pid = Bed::number(&bed.source, sql).await;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
            assert_eq!(fields[16].parse(), Ok(nice), "{stat}");
            stop.cancel();
        });
        assert!(taken.is_err(), "it was stopped");
    }
}
