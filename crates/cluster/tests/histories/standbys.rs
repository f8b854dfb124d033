//! G13, G16, G18-G20: standbys.

use std::path::PathBuf;

use howdah_cluster::cluster::Written;
use howdah_cluster::databases::{Databases, Look, Wanted};
use howdah_cluster::{Recovery, RecoveryTarget, Standby, Standing, StopMode};
use howdah_model::agent::{CredentialOf, CredentialSpec};
use howdah_testkit::clusters::{Tenant, majors, until, verifier};
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
        until("it has caught up again", || async { behind().await == (0, 0) }).await;
        // Also where a segment ends, which is not where a record does.
        for end in ["select pg_switch_wal()", "checkpoint", "select pg_switch_wal()"] {
            writes.run(end).await.unwrap();
            until(end, || async { behind().await == (0, 0) }).await;
        }
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

#[tokio::test]
async fn g18_a_follower_that_was_away_for_longer_than_wal_is_kept_catches_up_from_the_archive() {
    for major in majors() {
        let home = Home::new();
        let archive = home.path().join("archive");
        home.run_as.make_dir(&archive).unwrap();
        let dir = howdah_cluster::commands::argument(&archive.display().to_string());
        let keep = format!("cp %p {dir}/%f.new && mv {dir}/%f.new {dir}/%f");
        let little = [
            ("max_wal_size", "32MB"),
            ("min_wal_size", "32MB"),
            ("wal_keep_size", "0"),
            ("archive_mode", "on"),
            ("archive_command", &keep),
        ];
        let leader = running(&home, &major, "a", &little).await;
        run(&leader, "create table t (n bigint)").await;
        let (follower, _) = copied(&leader, &home, "b", &small()).await;
        let mode = |restore: Option<String>| {
            Mode::Standby(Standby {
                primary: Some(leader.socket_dir.clone()),
                restore_command: restore,
                application_name: "f".to_owned(),
            })
        };
        start_as(&follower, &mode(None)).await;
        follower.stop(StopMode::Fast, PATIENCE).await.unwrap();
        let first = "select count(*) from pg_ls_waldir() where name = '000000010000000000000003'";
        for n in 1..200 {
            run(&leader, &format!("insert into t values ({n}); select pg_switch_wal()")).await;
            run(&leader, "checkpoint").await;
            if n > 10 && number(&leader, first).await == 0 {
                break;
            }
        }
        assert_eq!(number(&leader, first).await, 0, "the leader has it still");
        let all = number(&leader, "select count(*) from t").await;
        // Without the archive it cannot go on, and can be read.
        start_as(&follower, &mode(None)).await;
        let reads = session(&follower).await;
        assert!(!follower.receiving(&reads).await.unwrap().streams);
        // It is told of the archive while it runs.
        let changed = follower.write_mode(&mode(Some(format!("cp {dir}/%f %p")))).await.unwrap();
        assert_eq!(changed, Written::Changed);
        follower.reload(&reads).await.unwrap();
        until("it has all", || async { number(&follower, "select count(*) from t").await == all })
            .await;
        until("it streams", || async { follower.receiving(&reads).await.unwrap().streams }).await;
        run(&leader, "insert into t values (0)").await;
        until("it follows", || async {
            number(&follower, "select count(*) from t").await == all + 1
        })
        .await;
    }
}

async fn converge(cluster: &Cluster, tenant: &Tenant) -> Databases {
    let mut databases = Databases::open(cluster).await.unwrap();
    let wanted = Wanted::from([(tenant.name.clone(), tenant.spec.clone())]);
    let report = databases.converge(&wanted, Look::Everything).await.unwrap();
    assert_eq!(report.errors, [""; 0]);
    databases
}

#[tokio::test]
async fn g20_g24_a_followers_url_opens_it_while_it_follows_and_after_it_was_unfollowed() {
    for major in majors() {
        let home = Home::new();
        let leader = home.running(&major, "a").await;
        let (mut one, mut login) = (Tenant::new("one"), Tenant::new("f"));
        login.name = one.name.clone();
        converge(&leader, &one).await;
        let (follower, _) = copied(&leader, &home, "b", &small()).await;
        let mode = standby(Some(leader.socket_dir.clone()));
        start_as(&follower, &mode).await;
        // The login is made on the leader, and comes.
        let of = CredentialOf::Follower;
        one.spec.credentials.push(CredentialSpec { of, ..login.spec.credentials[0].clone() });
        converge(&leader, &one).await;
        let session_of = one.connect(&leader.socket_dir).await.unwrap();
        session_of.ask("create table t as select 42 as x").await.unwrap();
        until("the table has come", || async {
            match login.connect(&follower.socket_dir).await {
                Ok(reader) => reader.ask("select x from t").await == Ok("42".to_owned()),
                Err(_) => false,
            }
        })
        .await;
        let reader = login.connect(&follower.socket_dir).await.unwrap();
        assert_eq!(reader.ask("select current_user").await.unwrap(), "u_one");
        let refused = reader.ask("insert into t values (1)").await.unwrap_err();
        assert!(refused.starts_with("25006"), "{refused}");
        let there = Databases::open(&follower).await.unwrap().present().await.unwrap();
        assert_eq!(there.keys().collect::<Vec<_>>(), [&one.name]);
        // A new password of the leader is the follower's as well, once it has come.
        login.password = "another".to_owned();
        one.spec.credentials[1].verifier = verifier("another");
        converge(&leader, &one).await;
        until("the password has come", || async {
            login.connect(&follower.socket_dir).await.is_ok()
        })
        .await;
        let connection = session(&follower).await;
        follower.promote(&connection, PATIENCE).await.unwrap();
        login.spec.credentials[0].verifier = verifier("another");
        login.spec.adopts = Some(one.name.clone());
        converge(&follower, &login).await;
        let writer = login.connect(&follower.socket_dir).await.unwrap();
        writer.ask("insert into t values (1)").await.unwrap();
        assert_eq!(writer.ask("select session_user").await.unwrap(), "u_f");
        assert!(one.connect(&follower.socket_dir).await.is_err());
        assert_eq!(session_of.ask("select count(*) from t").await.unwrap(), "1");
    }
}

#[tokio::test]
async fn g29_what_was_promoted_can_be_copied_and_followed_again() {
    for major in majors() {
        let home = Home::new();
        let (_, second) = pair(&home, &major).await;
        second.promote(&session(&second).await, PATIENCE).await.unwrap();
        run(&second, "insert into t values (2)").await;
        let (fork, of) = copied(&second, &home, "c", &small()).await;
        assert_eq!(of.tli.0, 2);
        start_as(&fork, &Mode::Primary).await;
        run(&fork, "insert into t values (3)").await;
        let (follower, _) = copied(&fork, &home, "d", &small()).await;
        start_as(&follower, &standby(Some(fork.socket_dir.clone()))).await;
        let reads = session(&follower).await;
        until("it streams", || async { follower.receiving(&reads).await.unwrap().streams }).await;
        run(&fork, "insert into t values (4)").await;
        let sum = "select sum(n)::bigint from t";
        until("it follows", || async { number(&follower, sum).await == 9 }).await;
        assert_eq!(follower.position(&reads).await.unwrap().tli.0, 2);
        assert_eq!(number(&second, sum).await, 2);
        follower.promote(&reads, PATIENCE).await.unwrap();
        assert_eq!(follower.position(&reads).await.unwrap().tli.0, 3);
        reads.run("insert into t values (5)").await.unwrap();
    }
}

/// Whoever is told that it is a leader now may find its follower down, or killed while it was
/// promoted: it then recovers to the end.
#[tokio::test]
async fn g20_a_follower_that_is_down_or_killed_while_it_is_promoted_becomes_a_leader_all_the_same()
{
    for major in majors() {
        for killed in [false, true] {
            let home = Home::new();
            let (leader, follower) = pair(&home, &major).await;
            run(&leader, "insert into t values (1)").await;
            let all = "select count(*) from t";
            until("it has the row", || async { number(&follower, all).await == 1 }).await;
            if killed {
                let wait = until_there(&home.path().join("go"));
                let hang = with(&[("recovery_end_command", &wait)]);
                follower.configure(&hang).await.unwrap();
                let connection = session(&follower).await;
                follower.reload(&connection).await.unwrap();
                let setting = "select count(*) from pg_settings \
                     where name = 'recovery_end_command' and setting <> ''";
                until("it is told", || async { number(&follower, setting).await == 1 }).await;
                let soon = Duration::from_millis(300);
                follower.promote(&connection, soon).await.unwrap_err();
                until("it ends", || async { !follower.data.join("standby.signal").exists() }).await;
                kill(&follower).await;
                follower.configure(&small()).await.unwrap();
            } else {
                follower.stop(StopMode::Fast, PATIENCE).await.unwrap();
            }
            let mode = Mode::Recover(Recovery {
                restore_command: "false".to_owned(),
                target: RecoveryTarget::End,
                timeline: None,
            });
            for _ in 0..2 {
                start_as(&follower, &mode).await;
                run(&follower, "insert into t values (2)").await;
                kill(&follower).await;
            }
            start_as(&follower, &mode).await;
            assert_eq!(number(&follower, all).await, 3);
            let connection = session(&follower).await;
            assert_eq!(follower.position(&connection).await.unwrap().tli.0, 2);
        }
    }
}
