//! What a session has, it has on every server; what only one server can have keeps that server.

use std::time::Duration;

use howdah_gateway::Config;
use tokio::time::timeout;

use super::{all_free, pooled, process, refused, rig, run, servers};
use crate::cluster::Cluster;
use crate::rig::{Rig, Session, until};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn clients_take_turns_on_a_server() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    let server = process(&one).await;
    assert_eq!(process(&two).await, server);
    run(&one, "begin; create table t (n int); insert into t values (1); commit").await;
    assert_eq!(two.ask("select n from t").await, "1");
    assert_eq!(servers(&rig, &tenant).await, 1);
}

/// A credential whose sessions have servers of their own can be pooled by the port.
#[tokio::test(flavor = "multi_thread")]
async fn the_pooling_port_is_by_transaction_for_everybody() {
    let listen = |config: &mut Config| {
        config.pool_listen = Some("127.0.0.1:0".parse().expect("an address"));
    };
    let rig = Rig::with(Cluster::start().await, listen).await;
    let tenant = rig.tenant("a").await;
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(rig.gateway.pool_addr().expect("a port").port())
        .user(&tenant.role)
        .password(&tenant.password)
        .dbname(&tenant.database);
    for _ in 0..5 {
        let pooled = Session::open(&config).await.expect("in");
        assert_eq!(pooled.ask("select 1").await, "1");
    }
    assert!(servers(&rig, &tenant).await <= 2, "one for each thread at most");
    let _own = [rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in")];
    assert!(servers(&rig, &tenant).await >= 3);
}

/// H22: each has its own settings, however the clients take turns.
#[tokio::test(flavor = "multi_thread")]
async fn h22_settings_are_the_sessions_own() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(rig.address.port())
        .user(&tenant.role)
        .password(&tenant.password)
        .dbname(&tenant.database)
        .application_name("first")
        .options("-c statement_timeout=7s");
    let one = Session::open(&config).await.expect("in");
    let two = rig.connect(&tenant).await.expect("in");
    run(&one, "set work_mem = '7MB'; set timezone = 'Asia/Tokyo'; set app.tenant = 'forty two'")
        .await;
    run(&one, "set search_path = \"a b\", public").await;
    run(&two, "set timezone = 'Europe/Paris'").await;
    let all = "select concat_ws('|', current_setting('work_mem'), current_setting('timezone'),
        current_setting('app.tenant', true), current_setting('search_path'),
        current_setting('application_name'), current_setting('statement_timeout'))";
    for _ in 0..3 {
        let own = "7MB|Asia/Tokyo|forty two|\"a b\", public|first|7s";
        assert_eq!(one.ask(all).await, own);
        let own = "4MB|Europe/Paris||\"$user\", public||0";
        assert_eq!(two.ask(all).await, own);
    }
    // What ends with its transaction is nobody's after it.
    run(&two, "begin; set local work_mem = '9MB'; commit").await;
    assert_eq!(two.ask("show work_mem").await, "4MB");
    run(&one, "reset all").await;
    assert_eq!(one.ask("show work_mem").await, "4MB");
    assert_eq!(servers(&rig, &tenant).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_a_role_is_the_sessions_own() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    rig.cluster.sql(&format!("create role team; grant team to {}", tenant.role)).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "set role team").await;
    assert_eq!(two.ask("select current_user").await, tenant.role);
    assert_eq!(one.ask("select current_user").await, "team");
    run(&one, "reset role").await;
    assert_eq!(one.ask("select current_user").await, tenant.role);
}

/// H22: what cannot be shared keeps its server, and only for as long as it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn h22_state_of_one_server_keeps_it() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 2).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    for (begin, look, end) in [
        ("create temp table t as select 42 n", "select n from t", "drop table t"),
        ("prepare p as select 42", "execute p", "deallocate p"),
        (
            "begin; declare c scroll cursor with hold for select 42; commit",
            "fetch first from c",
            "close c",
        ),
        (
            "select pg_advisory_lock(42)",
            "select objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
            "select pg_advisory_unlock(42)",
        ),
    ] {
        one.client.simple_query(begin).await.expect(begin);
        let server = process(&one).await;
        for _ in 0..3 {
            assert_ne!(process(&two).await, server, "{begin}");
            assert_eq!(process(&one).await, server, "{begin}");
            assert_eq!(one.ask(look).await, "42");
        }
        one.client.simple_query(end).await.expect(end);
        all_free(&rig, &tenant).await;
    }
}

/// L6: whoever listens keeps a server and hears everything.
#[tokio::test(flavor = "multi_thread")]
async fn l6_who_listens_hears() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 2).await;
    let (mut one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "listen news").await;
    for n in 0..5 {
        run(&two, &format!("notify news, '{n}'")).await;
        let heard = timeout(LONG, one.notifications.recv()).await.expect("in time");
        assert_eq!(heard.expect("a notification").payload(), n.to_string());
    }
    run(&one, "unlisten *").await;
    all_free(&rig, &tenant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_server_in_time_is_told_and_stays() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "begin").await;
    assert_eq!(refused(&two, "select 1").await, "57P03");
    let error = two.client.query("select 1", &[]).await.expect_err("no server");
    assert_eq!(error.code().expect("an error").code(), "57P03");
    run(&one, "commit").await;
    assert_eq!(two.ask("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_client_leaves_is_rolled_back() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let two = rig.connect(&tenant).await.expect("in");
    run(&two, "create table t (n int)").await;
    for sql in
        ["begin; insert into t values (1)", "begin; insert into t values (1); select pg_sleep(60)"]
    {
        let one = rig.connect(&tenant).await.expect("in");
        let work = one.client.simple_query(sql);
        let _ = timeout(Duration::from_millis(200), work).await;
        drop(one);
        until("its server is free", || async {
            two.client.simple_query("select count(*) from t").await.is_ok()
        })
        .await;
        assert_eq!(two.ask("select count(*) from t").await, "0", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_its_own_query_only() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    let token = one.client.cancel_token();
    let (cancelled, ()) = tokio::join!(refused(&one, "select pg_sleep(60)"), async {
        until("it runs", || async {
            rig.cluster
                .sql("select count(*) from pg_stat_activity where query ~ '^select pg_sleep'")
                .await
                == "1"
        })
        .await;
        token.cancel_query(tokio_postgres::NoTls).await.expect("sent");
    });
    assert_eq!(cancelled, "57014");
    // Nothing of the first client runs: what runs is the other's.
    let (slept, sent) = tokio::join!(
        two.client.simple_query("select pg_sleep(0.3)"),
        token.cancel_query(tokio_postgres::NoTls)
    );
    assert!(slept.is_ok() && sent.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_no_settings_are_refused_at_the_door() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let said =
        rig.ask(&tenant, "options='-c work_mem=none'", "select 1").await.expect_err("refused");
    assert!(said.contains("invalid value for parameter \"work_mem\""), "{said}");
    assert_eq!(rig.ask(&tenant, "", "select 1").await.expect("in"), "1");
}
