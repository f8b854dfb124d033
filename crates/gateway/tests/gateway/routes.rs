//! Routes that come, change and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_gateway::Gateway;
use howdah_gateway::error::ErrorKind;
use howdah_model::route::{RouteTable, Target};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, config, until};

fn unready() -> Target {
    Target::Unready { why: "the database system is starting up".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_made_a_moment_ago_is_found() {
    let rig = Rig::start().await;
    for number in 0..5 {
        let (tenant, route) = rig.make(&format!("n{number}")).await;
        rig.platform.change(|routes| routes.push(route));
        assert_eq!(rig.connect(&tenant).await.expect("found").one("select 'in'").await, "in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_waits_for_a_database_that_is_about_to_be_ready() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    rig.platform.retarget("u_a", unready());
    until("the route is known", || async {
        let begun = Instant::now();
        let error = rig.connect(&tenant).await.err();
        let error = error.and_then(|error| error.as_db_error().cloned());
        error.is_some_and(|error| {
            assert_eq!(error.code().code(), "57P03");
            assert_eq!(error.message(), "the database system is starting up");
            assert!(
                begun.elapsed() >= Duration::from_millis(1900)
                    && begun.elapsed() < Duration::from_secs(5)
            );
            true
        })
    })
    .await;
    assert_eq!(rig.gateway.stats().sessions, 0);
    let ready = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        rig.platform.retarget("u_a", rig.target());
    };
    let (session, ()) = futures_util::join!(rig.connect(&tenant), ready);
    assert_eq!(session.expect("it became ready").one("select 'in'").await, "in");
}

#[tokio::test(flavor = "multi_thread")]
async fn c14_a_revoked_credential_loses_its_sessions_and_may_not_log_in() {
    let rig = Rig::start().await;
    let (tenant, other) = (rig.tenant("a").await, rig.tenant("b").await);
    let removed = rig.tenant("c").await;
    let mut ended =
        [rig.connect(&tenant).await.expect("in"), rig.connect(&removed).await.expect("in")];
    let mut busy = rig.connect(&tenant).await.expect("in");
    let kept = rig.connect(&other).await.expect("in");
    let mut sleeping = JoinSet::new();
    let client = std::mem::replace(&mut busy.client, rig.connect(&other).await.expect("in").client);
    sleeping.spawn(async move { client.query("select pg_sleep(62)", &[]).await.map(|_| ()) });
    let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(62)'";
    until("it sleeps", || async { rig.cluster.sql(running).await == "1" }).await;

    rig.platform.change(|routes| {
        routes.retain(|route| route.role.as_str() != "u_c");
        routes.iter_mut().find(|route| route.role.as_str() == "u_a").expect("route").target =
            Target::Revoked;
    });
    for session in &mut ended {
        assert_eq!(session.end().await.as_deref(), Some("57P01"));
    }
    let cut_off = sleeping.join_next().await.expect("one").expect("no panic").expect_err("ended");
    assert_eq!(cut_off.code().map(|code| code.code().to_owned()).as_deref(), Some("57P01"));
    until("its query ends too", || async { rig.cluster.sql(running).await == "0" }).await;
    assert_eq!(kept.one("select 'kept'").await, "kept");

    let error = rig.connect(&tenant).await.err().expect("refused");
    let error = error.as_db_error().expect("PostgreSQL's form");
    assert_eq!(error.code().code(), "28000");
    assert_eq!(error.message(), "role \"u_a\" is not permitted to log in");
    let error = rig.connect(&removed).await.err().expect("refused");
    assert_eq!(error.code().expect("code").code(), "28P01");
    assert_eq!(rig.gateway.stats().errors(ErrorKind::Terminated), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_starts_and_works_without_the_platform() {
    let mut rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    drop(rig.connect(&tenant).await.expect("in"));
    let cache = rig.dir.path().join("routes.json");
    assert!(std::fs::read_to_string(&cache).expect("kept").contains("u_a"));
    rig.serving.shutdown().await;
    rig.stop().await;

    let gateway = Arc::new(Gateway::bind(config(rig.dir.path())).await.expect("bind"));
    rig.address = gateway.local_addr();
    let (stop, runs) = (CancellationToken::new(), gateway.clone());
    let (mut running, until_stop) = (JoinSet::new(), stop.clone());
    running.spawn(async move { runs.run(until_stop).await.expect("run") });
    assert_eq!(rig.connect(&tenant).await.expect("in").one("select 'in'").await, "in");
    // Strangers are told at once, not after the whole wait for a platform that is away.
    let mut unknown = tenant.clone();
    unknown.role = "nobody".into();
    let begun = Instant::now();
    assert_eq!(
        rig.connect(&unknown).await.err().expect("refused").code().expect("code").code(),
        "28P01"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The platform comes back, with fewer routes: what it says holds again.
    rig.platform.change(Vec::clear);
    let socket = rig.dir.path().join("control.sock");
    let _serving = rig.platform.serve(&socket);
    until("the routes are newer", || async { rig.connect(&tenant).await.is_err() }).await;
    stop.cancel();
    running.join_next().await.expect("one").expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_has_not_made_its_routes_ends_no_session_and_an_older_past_holds() {
    let rig = Rig::start().await;
    let (tenant, other) = (rig.tenant("a").await, rig.tenant("b").await);
    let mut session = rig.connect(&tenant).await.expect("in");
    let kept = rig.connect(&other).await.expect("in");
    let before = rig.platform.current();
    rig.platform.set(RouteTable::default());
    let mut unknown = tenant.clone();
    unknown.role = "nobody".into();
    assert!(rig.connect(&unknown).await.is_err());
    assert_eq!(session.one("select 'kept'").await, "kept");
    // A lower version with other routes: the platform was set back.
    let mut older = before;
    (older.version, older.routes) = (1, older.routes.split_off(1));
    rig.platform.set(older);
    assert_eq!(session.end().await.as_deref(), Some("57P01"));
    assert_eq!(kept.one("select 'kept'").await, "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told() {
    let rig = Rig::start().await;
    let mut second = config(rig.dir.path());
    second.listen = rig.address;
    let error = Gateway::bind(second).await.expect_err("taken");
    let told = format!("{error:#}");
    assert!(
        told.contains(&format!("listen on {}", rig.address)) && told.contains("in use"),
        "{told}"
    );
}
