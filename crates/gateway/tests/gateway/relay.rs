//! What goes through a session: every form of query, large and small, unchanged.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use crate::cluster::majors;
use crate::rig::{Rig, said, until};

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_prepared_pipelined_and_repeated() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let session = rig.connect(&tenant).await.expect("in");
    let double = session.client.prepare("select $1::int8 * 2").await.expect("prepared");
    for round in 0..3 {
        let queries =
            (0..200i64).map(|n| {
                let (client, double) = (&session.client, &double);
                async move {
                    client.query_one(double, &[&(n + round)]).await.expect("row").get::<_, i64>(0)
                }
            });
        let doubled = futures_util::future::join_all(queries).await;
        let wanted: Vec<_> = (0..200).map(|n| (n + round) * 2).collect();
        assert_eq!(doubled, wanted);
    }
    // An error in a pipeline harms only its own statement.
    let (good, bad, after) = futures_util::join!(
        session.client.query_one("select 1", &[]),
        session.client.query_one("select 1/0", &[]),
        session.client.query_one("select 2", &[]),
    );
    assert_eq!(bad.expect_err("division").code().expect("code").code(), "22012");
    assert_eq!((good.expect("1").get::<_, i32>(0), after.expect("2").get::<_, i32>(0)), (1, 2));
    let several = session.client.simple_query("select 1; select 2; begin; select 3; commit").await;
    assert_eq!(several.expect("rows").len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_go_through_copy_both_ways_unchanged() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let sum = "select md5(string_agg(md5(line), '' order by n)) from lines";
    let make = "create table lines (n int, line text);
        insert into lines select n, repeat(md5(n::text), 125) from generate_series(1, 25000) n";
    rig.ask(&tenant, "sslmode=require", make).await.expect("made");
    let before = rig.ask(&tenant, "sslmode=require", sum).await.expect("summed");
    let file = rig.dir.path().join("copy");
    for options in ["sslmode=require", "sslmode=disable"] {
        let out = format!("\\copy lines to '{}'", file.display());
        rig.ask(&tenant, options, &out).await.expect("copied out");
        assert!(std::fs::metadata(&file).expect("file").len() > 100_000_000);
        let back = format!("\\copy lines from '{}'", file.display());
        rig.ask(&tenant, options, "truncate lines").await.expect("emptied");
        rig.ask(&tenant, options, &back).await.expect("copied in");
        assert_eq!(rig.ask(&tenant, options, sum).await.as_ref(), Ok(&before));
    }
    assert!(rig.gateway.stats().bytes_to_client > 200_000_000);
    assert!(rig.gateway.stats().bytes_to_server > 200_000_000);
    // A COPY that the client gives up leaves the session usable.
    let script = "begin; copy lines from stdin;\n1\tx\n2\n\\.\n";
    let mut psql = rig.psql(&tenant, "sslmode=require");
    let failed = psql.args(["-c", script]).output().await.expect("psql");
    assert!(!failed.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_rows_and_large_parameters_arrive_whole() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let session = rig.connect(&tenant).await.expect("in");
    let large = "x".repeat(30_000_000);
    let row = session.client.query_one("select $1::text, length($1), md5($1)", &[&large]).await;
    let row = row.expect("row");
    assert!(row.get::<_, &str>(0) == large);
    assert_eq!(row.get::<_, i32>(1), 30_000_000);
    let md5 = rig.ask(&tenant, "sslmode=require", "select md5(repeat('x', 30000000))").await;
    assert_eq!(md5.as_deref(), Ok(row.get::<_, &str>(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_and_notices_come_through_and_know_their_sender() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut listener = rig.connect(&tenant).await.expect("in");
    let sender = rig.connect(&tenant).await.expect("in");
    listener.client.batch_execute("listen news").await.expect("listening");
    sender.client.batch_execute("notify news, 'hello'").await.expect("notified");
    // It comes while the session is idle, without any question of the client.
    let heard = timeout(Duration::from_secs(10), listener.notifications.recv()).await;
    let heard = heard.expect("in time").expect("heard");
    assert_eq!((heard.channel(), heard.payload()), ("news", "hello"));
    let pid = sender.client.query_one("select pg_backend_pid()", &[]).await.expect("pid");
    assert_eq!(heard.process_id(), pid.get::<_, i32>(0));
    let notice = rig
        .psql(&tenant, "sslmode=require")
        .args(["-c", "do $$ begin raise notice 'look'; end $$"])
        .output();
    let notice = notice.await.expect("psql");
    assert!(String::from_utf8_lossy(&notice.stderr).contains("look"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_hits_its_own_session_and_no_other() {
    let rig = Rig::start().await;
    let (tenant, other) = (rig.tenant("a").await, rig.tenant("b").await);
    let victim = rig.connect(&tenant).await.expect("in");
    let bystanders =
        [rig.connect(&tenant).await.expect("in"), rig.connect(&other).await.expect("in")];
    let sleep = victim.client.query("select pg_sleep(60)", &[]);
    let others = bystanders.iter().map(|b| b.client.query("select pg_sleep(1.5)", &[]));
    let cancel = async {
        until("the victim sleeps", || async {
            let active = "select count(*) from pg_stat_activity where query like '%sleep%' and state = 'active' and pid <> pg_backend_pid()";
            rig.cluster.sql(active).await == "3"
        })
        .await;
        victim.client.cancel_token().cancel_query(tokio_postgres::NoTls).await.expect("cancelled");
    };
    let begun = Instant::now();
    let (slept, others, ()) =
        futures_util::join!(sleep, futures_util::future::join_all(others), cancel);
    assert_eq!(slept.expect_err("cancelled").code().expect("code").code(), "57014");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(others.into_iter().all(|slept| slept.is_ok()));
    assert_eq!(victim.one("select 'alive'").await, "alive");
    // A key whose session has ended hits nobody.
    let token = victim.client.cancel_token();
    drop(victim);
    until("the session is gone", || async { rig.gateway.stats().sessions == 2 }).await;
    token.cancel_query(tokio_postgres::NoTls).await.expect("dropped without a word");
    until("it is counted", || async { rig.gateway.stats().cancels_unknown == 1 }).await;
    assert_eq!(rig.gateway.stats().cancels, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_psql_cancels_over_tls_with_every_libpq() {
    for bin in majors() {
        let rig = Rig::start().await;
        let tenant = rig.tenant("a").await;
        let psql = bin.join("psql").display().to_string();
        let mut child = rig
            .program(&psql, &tenant, "sslmode=require")
            .args(["-X", "-c", "select pg_sleep(60)"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        until("it sleeps", || async {
            rig.cluster
                .sql("select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'")
                .await
                == "1"
        })
        .await;
        let pid = child.id().expect("pid").try_into().expect("pid");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("interrupted");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.expect("line") {
            said.push_str(&line);
        }
        assert!(said.contains("canceling statement due to user request"), "{psql}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbench_runs_without_errors_in_every_protocol() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let setup =
        rig.program("pgbench", &tenant, "sslmode=require").args(["-i", "-q", "-s", "1"]).output();
    said(&setup.await.expect("pgbench")).expect("initialised");
    for protocol in ["simple", "extended", "prepared"] {
        for options in ["sslmode=require", "sslmode=disable"] {
            let run = rig
                .program("pgbench", &tenant, options)
                .args(["-n", "-c", "16", "-j", "2", "-t", "30", "-M", protocol])
                .output();
            let output = run.await.expect("pgbench");
            let told = said(&output).expect("no error");
            assert!(told.contains("number of transactions actually processed: 480/480"), "{told}");
            assert!(told.contains("number of failed transactions: 0"), "{told}");
        }
    }
    let sum = "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches), (select count(*) from pgbench_history)";
    assert_eq!(rig.ask(&tenant, "sslmode=require", sum).await, Ok("t|2880".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_come_and_go_leave_nothing_behind() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let script = rig.dir.path().join("one.sql");
    std::fs::write(&script, "select 1;\n").expect("script");
    for options in ["sslmode=require", "sslmode=disable"] {
        let run = rig
            .program("pgbench", &tenant, options)
            .args(["-n", "-C", "-c", "8", "-t", "10", "-f"])
            .arg(&script)
            .output();
        let told = said(&run.await.expect("pgbench")).expect("no error");
        assert!(told.contains("processed: 80/80"), "{told}");
    }
    until("nothing is left", || async { rig.gateway.stats().clients == 0 }).await;
    let stats = rig.gateway.stats();
    assert_eq!((stats.sessions, stats.sessions_total >= 160), (0, true));
    assert_eq!(rig.gateway.sessions().count(tenant.id), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_within_a_message_adds_nothing_to_it() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut stream = crate::raw::log_in(&rig, &tenant).await;
    let query = crate::raw::query("select repeat('x', 100000000)");
    stream.write_all(&query).await.expect("sent");
    let waiting =
        "select coalesce(max(pid), 0) from pg_stat_activity where wait_event = 'ClientWrite'";
    until("the row is on its way", || async { rig.cluster.sql(waiting).await != "0" }).await;
    let pid = rig.cluster.sql(waiting).await.parse().expect("pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("killed");
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    ended.expect("the gateway closes").expect("no reset");
    assert!(answer.len() < 100_000_000 && answer.ends_with(b"xxxx"), "{}", answer.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_a_client_that_went_away_is_cancelled() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut stream = crate::raw::log_in(&rig, &tenant).await;
    stream.write_all(&crate::raw::query("select pg_sleep(61)")).await.expect("sent");
    let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(61)'";
    until("it runs", || async { rig.cluster.sql(running).await == "1" }).await;
    drop(stream);
    until("it runs no more", || async { rig.cluster.sql(running).await == "0" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_told_when_the_gateway_stops() {
    let mut rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(rig.connect(&tenant).await.expect("in"));
    }
    rig.stop().await;
    let mut ends = HashSet::new();
    for session in &mut sessions {
        ends.insert(session.end().await);
    }
    assert_eq!(ends, HashSet::from([Some("57P01".to_owned())]));
}
