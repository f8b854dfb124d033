//! G1, G3, G6: recoveries to a point.

use std::path::Path;

use howdah_cluster::{Recovery, RecoveryTarget, StartError, StopMode, canary};
use howdah_model::lsn::Tli;
use howdah_testkit::clusters::majors;
use jiff::Timestamp;

use super::*;

/// A leader that archives by `cp`, a base backup of it, and rows with the times of their commits.
struct Bed {
    home: Home,
    leader: Cluster,
    archive: std::path::PathBuf,
    base: Cluster,
}

impl Bed {
    async fn new(major: &Installed) -> Self {
        let home = Home::new();
        let archive = home.path().join("archive of 100% \"it's\"");
        home.run_as.make_dir(&archive).unwrap();
        let quoted = howdah_cluster::commands::argument(&archive.display().to_string());
        let archiving = [
            ("archive_mode", "on"),
            (
                "archive_command",
                &format!(
                    "test ! -f {quoted}/%f && cp %p {quoted}/%f.new && mv {quoted}/%f.new {quoted}/%f"
                ),
            ),
            ("track_commit_timestamp", "on"),
        ];
        let leader = running(&home, major, "a", &archiving).await;
        run(&leader, "create table t (n bigint)").await;
        run(&leader, "create table noise ()").await;
        let busy = async {
            let session = session(&leader).await;
            loop {
                session.run("insert into noise default values").await.unwrap();
            }
        };
        let settings = small();
        let base = tokio::select! {
            base = copied(&leader, &home, "base", &settings) => base.0,
            () = busy => unreachable!(),
        };
        Self { home, leader, archive, base }
    }

    async fn archive_all(&self) {
        let switch = "select pg_walfile_name(pg_switch_wal())";
        let session = session(&self.leader).await;
        let last: String = session.rows(switch, &[]).await.unwrap()[0].get(0);
        let done = || self.archive.join(&last).exists();
        howdah_testkit::clusters::until("WAL is archived", || async { done() }).await;
    }

    /// Another copy of the base backup.
    async fn restored(&self, name: &str) -> Cluster {
        let cluster = self.home.cluster(&self.base.installed, name);
        std::fs::create_dir_all(cluster.data.parent().unwrap()).unwrap();
        howdah_cluster::copy::tree(&self.base.data, &cluster.data, &cluster.run_as, &|| false)
            .unwrap();
        // A smaller plan than the leader's.
        cluster.configure(&with(&[("max_connections", "20")])).await.unwrap();
        cluster
    }

    fn mode(&self, target: RecoveryTarget) -> Mode {
        let archive = howdah_cluster::commands::argument(&self.archive.display().to_string());
        let restore_command = format!("cp {archive}/%f \"%p\"");
        Mode::Recover(Recovery { restore_command, target, timeline: Some(Tli(1)) })
    }
}

async fn rows(cluster: &Cluster) -> i64 {
    number(cluster, "select count(*) from t").await
}

/// The times of the commits of all rows, in their order.
async fn commit_times(leader: &Cluster) -> Vec<Timestamp> {
    let times = "select (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint \
         from t order by n";
    let session = session(leader).await;
    let rows = session.rows(times, &[]).await.unwrap();
    rows.iter().map(|row| Timestamp::from_microsecond(row.get(0)).unwrap()).collect()
}

#[tokio::test]
async fn g1_g3_a_recovery_to_any_instant_has_exactly_what_was_committed_until_then() {
    for major in majors() {
        let bed = Bed::new(&major).await;
        let writes = session(&bed.leader).await;
        for n in 1..=200 {
            writes.run(&format!("insert into t values ({n})")).await.unwrap();
        }
        let times = commit_times(&bed.leader).await;
        canary::commit(&writes).await.unwrap();
        bed.archive_all().await;
        // At a commit, a microsecond before it, and between two.
        let micro = jiff::SignedDuration::from_micros(1);
        let instants = (0..20).map(|turn| {
            let at = times[turn * 9 + 5];
            match turn % 3 {
                0 => at,
                1 => at - micro,
                _ => at + jiff::SignedDuration::from_nanos(999),
            }
        });
        for (turn, at) in instants.enumerate() {
            let copy = bed.restored(&format!("r{turn}")).await;
            let mode = bed.mode(RecoveryTarget::Time(at));
            if turn % 4 == 0 {
                // Killed on its way, at its end, or when it is there: it goes on, or is.
                for step in 1..=8 {
                    let soon = Duration::from_millis(15 * step + turn as u64);
                    let _ = copy.start_as(&mode, soon).await;
                    if copy.postmaster().is_some() {
                        kill(&copy).await;
                    }
                }
            }
            start_as(&copy, &mode).await;
            let right = times.iter().filter(|committed| **committed <= at).count();
            assert_eq!(rows(&copy).await, i64::try_from(right).unwrap(), "{at}");
            run(&copy, "insert into t values (0)").await;
            // In the same mode again: what it has recovered to stays.
            copy.stop(StopMode::Fast, PATIENCE).await.unwrap();
            start_as(&copy, &mode).await;
            assert_eq!(rows(&copy).await, i64::try_from(right + 1).unwrap());
            copy.remove().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_target_that_wal_does_not_reach_or_that_is_before_the_backup_is_told_from_other_errors() {
    for major in majors() {
        let bed = Bed::new(&major).await;
        run(&bed.leader, "insert into t values (1)").await;
        let last = commit_times(&bed.leader).await[0];
        bed.archive_all().await;
        let copy = bed.restored("r").await;
        let later = last + jiff::SignedDuration::from_secs(3600);
        let error = copy.start_as(&bed.mode(RecoveryTarget::Time(later)), PATIENCE).await;
        assert!(matches!(error, Err(StartError::NotReached)), "{error:?}");
        // The same data can then be recovered to the end.
        start_as(&copy, &bed.mode(RecoveryTarget::End)).await;
        assert_eq!(rows(&copy).await, 1);
        let copy = bed.restored("early").await;
        let early = last - jiff::SignedDuration::from_secs(3600);
        let error = copy.start_as(&bed.mode(RecoveryTarget::Time(early)), PATIENCE).await;
        assert!(matches!(error, Err(StartError::BeforeConsistency)), "{error:?}");
        let copy = bed.restored("immediate").await;
        start_as(&copy, &bed.mode(RecoveryTarget::Immediate)).await;
        assert_eq!(rows(&copy).await, 0);
        let connection = session(&copy).await;
        assert_eq!(copy.position(&connection).await.unwrap().tli, Tli(2));
        let copy = bed.restored("bad").await;
        std::fs::write(copy.data.join("PG_VERSION"), "7\n").unwrap();
        let error = copy.start_as(&bed.mode(RecoveryTarget::End), PATIENCE).await;
        assert!(matches!(error, Err(StartError::Ended(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_recovery_lets_nobody_in_and_shows_how_far_it_is() {
    let major = &majors()[0];
    let bed = Bed::new(major).await;
    run(&bed.leader, "insert into t values (1)").await;
    bed.archive_all().await;
    let copy = bed.restored("r").await;
    // A command that waits until the test lets it go on.
    let go = bed.home.path().join("go");
    let wait = until_there(&go);
    let mode = match bed.mode(RecoveryTarget::End) {
        Mode::Recover(recovery) => Mode::Recover(Recovery {
            restore_command: format!("{wait}; {}", recovery.restore_command),
            ..recovery
        }),
        _ => unreachable!(),
    };
    let slow = copy.start_as(&mode, Duration::from_secs(1)).await;
    assert!(matches!(slow, Err(StartError::TooSlow(_))), "{slow:?}");
    assert!(copy.connect("postgres", Limits::LOOK).await.is_err());
    let at = copy.recovering_segment().unwrap();
    assert!(at.starts_with("00000001") && at.len() == 24, "{at}");
    std::fs::write(Path::new(&go), "").unwrap();
    start_as(&copy, &mode).await;
    assert_eq!(rows(&copy).await, 1);
    assert_eq!(copy.recovering_segment(), None);
}

/// What is given to PostgreSQL and the shell comes to the program as it was meant.
#[tokio::test]
async fn the_commands_of_wal_reach_a_program_whose_path_needs_every_kind_of_quoting() {
    use std::os::unix::fs::PermissionsExt;
    for major in majors() {
        let home = Home::new();
        let dir = home.path().join(r#"a b'c"d%p$e\f;g`h"#);
        home.run_as.make_dir(&dir).unwrap();
        let (program, socket) = (dir.join("how'dah %f"), dir.join("the socket's $HOME"));
        let script = "#!/bin/sh\ncase \"$1\" in\n\
             wal-archive) cp \"$4\" \"$2.$3.new\" && mv \"$2.$3.new\" \"$2.$3\" ;;\n\
             wal-restore) cp \"$2.$3\" \"$4\" ;;\n\
             *) exit 1 ;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let archiving = howdah_cluster::commands::archive_settings(&program, &socket).unwrap();
        let archiving: Vec<_> =
            archiving.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let leader = running(&home, &major, "a", &archiving).await;
        run(&leader, "create table t (n bigint)").await;
        let (copy, _) = copied(&leader, &home, "b", &small()).await;
        run(&leader, "insert into t values (1)").await;
        let switch = "select pg_walfile_name(pg_switch_wal())";
        let name: String = session(&leader).await.rows(switch, &[]).await.unwrap()[0].get(0);
        let archived = dir.join(format!("the socket's $HOME.{name}"));
        howdah_testkit::clusters::until("WAL is archived", || async { archived.exists() }).await;
        let mode = Mode::Recover(Recovery {
            restore_command: howdah_cluster::commands::restore(&program, &socket).unwrap(),
            target: RecoveryTarget::End,
            timeline: None,
        });
        start_as(&copy, &mode).await;
        assert_eq!(rows(&copy).await, 1);
    }
}

/// A recovery ends in steps: a timeline is chosen and named, the signal is removed, the end is
/// written to WAL and to the control file, and the server is in production. Killed between any two
/// of them it must come to the same end.
#[tokio::test]
async fn g1_a_recovery_that_is_killed_while_it_ends_has_neither_more_nor_less() {
    for major in majors() {
        let bed = Bed::new(&major).await;
        let writes = session(&bed.leader).await;
        for n in 1..=50 {
            writes.run(&format!("insert into t values ({n})")).await.unwrap();
        }
        let times = commit_times(&bed.leader).await;
        canary::commit(&writes).await.unwrap();
        bed.archive_all().await;
        let Mode::Recover(recovery) = bed.mode(RecoveryTarget::Time(times[24])) else {
            unreachable!("it recovers")
        };
        for timeline in [None, Some(Tli(1))] {
            let mode = Mode::Recover(Recovery { timeline, ..recovery.clone() });
            // The end is written, and the server is not in production yet.
            let copy = bed.restored(&format!("late{}", timeline.is_some())).await;
            let go = bed.home.path().join("go");
            let wait = until_there(&go);
            copy.configure(&with(&[("recovery_end_command", &wait)])).await.unwrap();
            let log = || std::fs::read_to_string(&copy.log).unwrap_or_default();
            let begun = copy.start_as(&mode, Duration::from_millis(100)).await;
            assert!(matches!(begun, Err(StartError::TooSlow(_))), "{begun:?}");
            howdah_testkit::clusters::until("it ends", || async {
                log().contains("selected new timeline ID") && waits(&copy)
            })
            .await;
            kill(&copy).await;
            std::fs::write(&go, "").unwrap();
            start_as(&copy, &mode).await;
            assert_eq!(rows(&copy).await, 25);
            kill(&copy).await;
            start_as(&copy, &mode).await;
            assert_eq!(rows(&copy).await, 25);
            std::fs::remove_file(&go).unwrap();
            // The timeline is named, and no more.
            let copy = bed.restored(&format!("early{}", timeline.is_some())).await;
            let label = std::fs::read_to_string(copy.data.join("backup_label")).unwrap();
            let first = &label.split_once("(file ").unwrap().1[..24];
            let command = &recovery.restore_command;
            let held = Mode::Recover(Recovery {
                restore_command: format!(
                    "case %f in {first} | *.history) ;; *) {wait} ;; esac; {command}"
                ),
                timeline,
                ..recovery.clone()
            });
            let begun = copy.start_as(&held, Duration::from_secs(1)).await;
            assert!(matches!(begun, Err(StartError::TooSlow(_))), "{begun:?}");
            kill(&copy).await;
            let control = copy.control_data().await.unwrap();
            assert!(control.state.recovers() && !copy.data.join("backup_label").exists());
            let history = copy.data.join("pg_wal/00000002.history");
            let place = control.checkpoint;
            std::fs::write(&history, format!("1\t{place}\tbefore 2026-01-01 00:00:00+00\n"))
                .unwrap();
            copy.run_as.give(&history).unwrap();
            std::fs::remove_file(copy.data.join("recovery.signal")).unwrap();
            start_as(&copy, &mode).await;
            assert_eq!(rows(&copy).await, 25);
        }
    }
}

/// Whether a server waits for its `recovery_end_command`.
fn waits(cluster: &Cluster) -> bool {
    let ready = std::fs::read_to_string(cluster.data.join("postmaster.pid")).unwrap_or_default();
    !cluster.data.join("recovery.signal").exists() && !ready.contains("ready")
}
