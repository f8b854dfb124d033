//! G13, G16, G18-G20: standbys.

use std::path::PathBuf;

use howdah_cluster::{Standby, Standing, StopMode};
use howdah_testkit::clusters::{majors, until};
use tokio::time::Instant;

use super::*;

fn standby(primary: Option<PathBuf>) -> Mode {
    let application_name = "f's \\ 1".to_owned();
    Mode::Standby(Standby { primary, restore_command: None, application_name })
}

/// A running leader with a table, and a running standby of it.
async fn pair(home: &Home, major: &Installed) -> (Cluster, Cluster) {
    let leader = home.running(major, "a").await;
    run(&leader, "create table t (n bigint)").await;
    let (follower, _) = copied(&leader, home, "b", &small()).await;
    start_as(&follower, &standby(Some(leader.socket_dir.clone()))).await;
    (leader, follower)
}

#[tokio::test]
async fn g13_a_follower_has_what_is_committed_within_a_second_and_only_reads() {
    for major in majors() {
        let home = Home::new();
        let (leader, follower) = pair(&home, &major).await;
        let (writes, reads) = (session(&leader).await, session(&follower).await);
        assert_eq!(leader.standing(&writes).await.unwrap(), Standing::Primary);
        assert_eq!(
            follower.standing(&reads).await.unwrap(),
            Standing::Recovering { paused: false }
        );
        until("it streams", || async { follower.receiving(&reads).await.unwrap().streams }).await;
        for n in 1..=20_i64 {
            writes.run(&format!("insert into t values ({n})")).await.unwrap();
            let committed = Instant::now();
            while reads.rows("select from t where n = $1", &[&n]).await.unwrap().is_empty() {
                assert!(committed.elapsed() < Duration::from_secs(1), "row {n} is late");
            }
        }
        let error = reads.run("insert into t values (0)").await.unwrap_err();
        assert!(error.to_string().contains("read-only transaction"), "{error}");
        let name = "select count(*) from pg_stat_replication \
             where application_name = E'f\\'s \\\\ 1' and usename = 'howdah_replication'";
        assert_eq!(number(&leader, name).await, 1);
    }
}

#[tokio::test]
async fn g19_the_numbers_of_transactions_tell_how_far_a_follower_is_behind() {
    for major in majors() {
        let home = Home::new();
        let (leader, follower) = pair(&home, &major).await;
        let (writes, reads) = (session(&leader).await, session(&follower).await);
        let behind = async || {
            let theirs = leader.position(&writes).await.unwrap();
            let ours = follower.position(&reads).await.unwrap();
            assert_eq!((theirs.tli, ours.tli), (howdah_model::lsn::Tli(1), ours.tli));
            (theirs.next_xid - ours.next_xid, theirs.lsn.ahead_of(ours.lsn))
        };
        until("it has caught up", || async { behind().await.0 == 0 }).await;
        reads.run("select pg_wal_replay_pause()").await.unwrap();
        let paused = Standing::Recovering { paused: true };
        until("it pauses", || async { follower.standing(&reads).await.unwrap() == paused }).await;
        let (first, _) = behind().await;
        for n in 1..=100 {
            writes.run(&format!("insert into t values ({n})")).await.unwrap();
        }
        let (commits, bytes) = behind().await;
        assert_eq!(commits - first, 100);
        assert!(bytes > 0);
        reads.run("select pg_wal_replay_resume()").await.unwrap();
        until("it has caught up again", || async { behind().await.0 == 0 }).await;
    }
}

#[tokio::test]
async fn g20_a_follower_that_was_killed_and_lost_its_leader_starts_is_promoted_and_writes() {
    for major in majors() {
        let home = Home::new();
        let (leader, follower) = pair(&home, &major).await;
        run(&leader, "insert into t select generate_series(1, 1000)").await;
        let all = "select count(*) from t";
        until("it has the rows", || async { number(&follower, all).await == 1000 }).await;
        kill(&follower).await;
        kill(&leader).await;
        for mode in [standby(Some(leader.socket_dir.clone())), standby(None)] {
            start_as(&follower, &mode).await;
            assert_eq!(number(&follower, all).await, 1000);
            kill(&follower).await;
        }
        start_as(&follower, &standby(None)).await;
        let connection = session(&follower).await;
        for _ in 0..2 {
            follower.promote(&connection, PATIENCE).await.unwrap();
        }
        connection.run("insert into t values (0)").await.unwrap();
        assert_eq!(follower.position(&connection).await.unwrap().tli.0, 2);
        kill(&follower).await;
        start_as(&follower, &Mode::Primary).await;
        assert_eq!(number(&follower, all).await, 1001);
        assert!(!follower.data.join("standby.signal").exists());
    }
}

#[tokio::test]
async fn g16_a_follower_never_has_less_than_its_leader_of_what_standbys_need() {
    for major in majors() {
        let home = Home::new();
        let leader = running(&home, &major, "a", &[("max_connections", "60")]).await;
        let (follower, _) = copied(&leader, &home, "b", &small()).await;
        let mode = standby(Some(leader.socket_dir.clone()));
        start_as(&follower, &mode).await;
        let setting = "select setting::bigint from pg_settings where name = 'max_connections'";
        assert_eq!(number(&follower, setting).await, 60);
        // The leader gets more: the follower pauses, and has as much after a restart.
        leader.configure(&with(&[("max_connections", "80")])).await.unwrap();
        leader.stop(StopMode::Fast, PATIENCE).await.unwrap();
        leader.start(PATIENCE).await.unwrap();
        run(&leader, "create table after_restart ()").await;
        let reads = session(&follower).await;
        let paused = Standing::Recovering { paused: true };
        until("it pauses", || async { follower.standing(&reads).await.unwrap() == paused }).await;
        reads.close().await;
        follower.stop(StopMode::Fast, PATIENCE).await.unwrap();
        start_as(&follower, &mode).await;
        assert_eq!(number(&follower, setting).await, 80);
        let there = "select count(*) from pg_class where relname = 'after_restart'";
        until("it goes on", || async { number(&follower, there).await == 1 }).await;
        let connection = session(&follower).await;
        follower.promote(&connection, PATIENCE).await.unwrap();
        follower.stop(StopMode::Fast, PATIENCE).await.unwrap();
        start_as(&follower, &Mode::Primary).await;
        assert_eq!(number(&follower, setting).await, 40, "its own plan's");
    }
}
