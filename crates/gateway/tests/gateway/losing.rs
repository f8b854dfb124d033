//! Servers that go away unplanned: what was not done is done elsewhere or told, once.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;

use howdah_gateway::registry::Standing;

use crate::cluster::{Cluster, majors};
use crate::rig::{Rig, Session, until};

fn code(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}

async fn runs(rig: &Rig, what: &str) {
    let sql = format!(
        "select count(*) from pg_stat_activity where query like '{what}%' and state = 'active'"
    );
    until("it runs", || async { rig.cluster.sql(&sql).await != "0" }).await;
}

async fn ok(session: &Session, sql: &str) {
    session.client.simple_query(sql).await.expect(sql);
}

/// H17, and the first column of the table that nobody else fills: an unannounced restart.
#[tokio::test(flavor = "multi_thread")]
async fn h17_an_orderly_restart_that_nobody_announced_costs_no_client_anything() {
    for bin in majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        let tenant = rig.tenant("a").await;
        let idle = rig.connect(&tenant).await.expect("in");
        for sql in ["create table t (n int)", "set work_mem = '9MB'", "set timezone = 'Asia/Tokyo'"]
        {
            ok(&idle, sql).await;
        }
        let prepared = idle.client.prepare("select $1::int + 1").await.expect("prepared");
        idle.client.query_one(&prepared, &[&1]).await.expect("used");
        let busy = rig.connect(&tenant).await.expect("in");
        let asked = busy.client.simple_query("insert into t select 1 from pg_sleep(1)");
        let extended = rig.connect(&tenant).await.expect("in");
        let insert =
            extended.client.prepare("insert into t select 2 from pg_sleep($1)").await.expect("p");
        let also = extended.client.execute(&insert, &[&1.0f64]);
        let restart = async {
            runs(&rig, "insert into t select 1").await;
            runs(&rig, "insert into t select 2").await;
            rig.cluster.stop_fast().await;
            rig.cluster.restart().await;
        };
        let (asked, also, ()) = futures_util::join!(asked, also, restart);
        asked.expect("sent again");
        assert_eq!(also.expect("sent again"), 1);
        assert_eq!(idle.ask("select string_agg(n::text, ',' order by n) from t").await, "1,2");
        assert_eq!(idle.ask("show work_mem").await, "9MB");
        assert_eq!(idle.ask("show timezone").await, "Asia/Tokyo");
        let kept: i32 = idle.client.query_one(&prepared, &[&41]).await.expect("kept").get(0);
        assert_eq!(kept, 42);
        assert_eq!(rig.gateway.stats().sent_again, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_a_transaction_that_loses_its_server_has_one_clean_error() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let quiet = rig.connect(&tenant).await.expect("in");
    let commits = rig.connect(&tenant).await.expect("in");
    let rolls_back = rig.connect(&tenant).await.expect("in");
    let busy = rig.connect(&tenant).await.expect("in");
    ok(&quiet, "create table t (n int)").await;
    for session in [&quiet, &commits, &rolls_back, &busy] {
        ok(session, "begin").await;
        ok(session, "insert into t values (1)").await;
    }
    let asked = busy.client.simple_query("select pg_sleep(100)");
    let restart = async {
        runs(&rig, "select pg_sleep(100)").await;
        rig.cluster.stop_fast().await;
        rig.cluster.restart().await;
    };
    let (asked, ()) = futures_util::join!(asked, restart);
    assert_eq!(code(&asked.expect_err("lost")), "40001");
    let told = busy.client.simple_query("select 1").await.expect_err("failed");
    assert_eq!(code(&told), "25P02");
    ok(&busy, "rollback").await;
    assert_eq!(busy.ask("select count(*) from t").await, "0");

    let told = quiet.client.query("select 1", &[]).await.expect_err("lost");
    assert_eq!(code(&told), "40001");
    ok(&quiet, "rollback").await;
    let told = commits.client.simple_query("commit").await.expect_err("lost");
    assert_eq!(code(&told), "40001");
    assert_eq!(commits.ask("select count(*) from t").await, "0");
    ok(&rolls_back, "rollback").await;
    for session in [&quiet, &commits, &rolls_back, &busy] {
        ok(session, "insert into t values (2)").await;
    }
    assert_eq!(quiet.ask("select count(*) from t").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_after_a_crash_what_was_under_way_is_in_doubt_and_the_rest_goes_on() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut listens = rig.connect(&tenant).await.expect("in");
    let idle = rig.connect(&tenant).await.expect("in");
    let busy = rig.connect(&tenant).await.expect("in");
    let within = rig.connect(&tenant).await.expect("in");
    ok(&idle, "create table t (n int)").await;
    ok(&idle, "set app.kept = 'yes'").await;
    ok(&listens, "listen news").await;
    ok(&within, "begin").await;
    // Its state is asked for after its answer; a crash before that would lose it.
    until("it is known", || async {
        rig.cluster.sql("select count(*) from pg_stat_activity where query like '%app.kept%' and pid <> pg_backend_pid()").await
            == "0"
    })
    .await;
    let asked = busy.client.simple_query("insert into t select 1 from pg_sleep(100)");
    let crash = async {
        runs(&rig, "insert into t").await;
        rig.cluster.kill();
        rig.cluster.restart().await;
    };
    let (asked, ()) = futures_util::join!(asked, crash);
    assert_eq!(code(&asked.expect_err("unknown")), "08007");
    assert_eq!(busy.ask("select count(*) from t").await, "0");
    assert_eq!(idle.ask("show app.kept").await, "yes");
    let told = within.client.simple_query("insert into t values (1)").await.expect_err("lost");
    assert_eq!(code(&told), "40001");
    ok(&within, "rollback").await;
    let news = "select count(*) from pg_stat_activity where query ilike 'listen%'";
    until("it listens again", || async { rig.cluster.sql(news).await != "0" }).await;
    ok(&idle, "notify news, 'heard'").await;
    let heard = timeout(Duration::from_secs(10), listens.notifications.recv()).await;
    assert_eq!(heard.expect("in time").expect("one").payload(), "heard");
}

/// H17: the commit is held up by a lock on what it must check last, and the server crashes in it.
#[tokio::test(flavor = "multi_thread")]
async fn h17_a_commit_in_doubt_is_resolved_by_its_number() {
    for bin in majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        let tenant = rig.tenant("a").await;
        let session = rig.connect(&tenant).await.expect("in");
        ok(&session, "create table t (n int)").await;
        // A trigger that runs at the commit makes it take its time.
        let slow = "create function slow() returns trigger language plpgsql as \
            'begin perform pg_sleep(100); return null; end'; \
            create constraint trigger slow after insert on t deferrable initially deferred \
            for each row execute function slow()";
        ok(&session, slow).await;
        ok(&session, "begin; insert into t values (1)").await;
        let asked = session.client.simple_query("commit");
        let crash = async {
            runs(&rig, "commit").await;
            rig.cluster.kill();
            rig.cluster.restart().await;
        };
        let (asked, ()) = futures_util::join!(asked, crash);
        assert_eq!(code(&asked.expect_err("it did not come about")), "40001");
        assert_eq!(session.ask("select count(*) from t").await, "0");
        assert_eq!(rig.gateway.stats().in_doubt, 0);
        // A transaction that has written nothing has lost nothing.
        ok(&session, "drop table t; begin; select 1").await;
        ok(&session, "commit").await;
    }
}

/// A query that somebody has killed must not come back to life.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_terminated_stays_terminated() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut killed = rig.connect(&tenant).await.expect("in");
    let pid = killed.ask("select pg_backend_pid()").await;
    let end = format!("select pg_terminate_backend({pid})");
    let asked = killed.client.simple_query("select pg_sleep(77)");
    let (asked, ()) = futures_util::join!(asked, async {
        runs(&rig, "select pg_sleep(77)").await;
        rig.cluster.sql(&end).await;
    });
    assert_eq!(code(&asked.expect_err("killed")), "57P01");
    assert_eq!(killed.end().await.as_deref(), None);
    assert_eq!(rig.gateway.stats().sent_again, 0);
    assert_eq!(
        rig.cluster
            .sql("select count(*) from pg_stat_activity where query = 'select pg_sleep(77)'")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_killed_costs_its_neighbours_nothing_but_time() {
    let rig = Rig::with(Cluster::start().await, |_| {}).await;
    let tenant = rig.tenant("a").await;
    let idle = rig.connect(&tenant).await.expect("in");
    let killed = rig.connect(&tenant).await.expect("in");
    let pid = killed.ask("select pg_backend_pid()").await.parse().expect("pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("killed");
    let gone = || async {
        let seen = rig.gateway.report(tenant.id).sessions;
        seen.iter().all(|seen| seen.standing == Standing::Detached)
    };
    // The postmaster then ends all others and starts again.
    until("both have lost theirs", gone).await;
    assert_eq!(killed.ask("select 'again'").await, "again");
    assert_eq!(idle.ask("select 'as before'").await, "as before");
}

/// H18.
#[tokio::test(flavor = "multi_thread")]
async fn h18_who_waits_for_a_server_waits_no_longer_than_the_bound() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.timeouts.hold = Duration::from_millis(500);
    })
    .await;
    let tenant = rig.tenant("a").await;
    let asks = rig.connect(&tenant).await.expect("in");
    let silent = rig.connect(&tenant).await.expect("in");
    rig.cluster.stop_fast().await;
    let told = asks.client.simple_query("select 1").await.expect_err("too long");
    assert_eq!(code(&told), "57P03");
    let refused = rig.connect(&tenant).await.err().expect("too long");
    assert_eq!(code(&refused), "57P03");
    rig.cluster.restart().await;
    assert_eq!(silent.ask("select 'still here'").await, "still here");
}
