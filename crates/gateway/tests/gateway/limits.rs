//! How many sessions there may be.

use std::time::{Duration, Instant};

use howdah_gateway::Capacity;
use howdah_gateway::error::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::rig::{Rig, until, verifier};

#[tokio::test(flavor = "multi_thread")]
async fn c30_the_session_above_the_limit_is_refused_over_all_credentials_and_threads() {
    let rig = Rig::start().await;
    let (tenant, other) = (rig.tenant("a").await, rig.tenant("b").await);
    // A second credential of the same database.
    let mut second = tenant.clone();
    second.role = "u_second".into();
    rig.cluster.sql(&format!("create role u_second login password '{}'", verifier("x"))).await;
    let text =
        rig.cluster.sql("select rolpassword from pg_authid where rolname = 'u_second'").await;
    second.password = "x".into();
    rig.platform.change(|routes| {
        let first = routes.iter_mut().find(|route| route.role.as_str() == "u_a").expect("route");
        first.connection_limit = 20;
        let mut route = first.clone();
        route.role = "u_second".parse().expect("role");
        route.verifier = text.parse().expect("verifier");
        routes.push(route);
    });
    until("the second credential works", || async { rig.connect(&second).await.is_ok() }).await;
    until("that session is gone", || async { rig.gateway.stats().sessions == 0 }).await;

    let mut sessions = Vec::new();
    for number in 0..20 {
        let who = if number % 2 == 0 { &tenant } else { &second };
        sessions.push(rig.connect(who).await.expect("within the limit"));
    }
    for who in [&tenant, &second] {
        let error = rig.connect(who).await.err().expect("above the limit");
        let error = error.as_db_error().expect("PostgreSQL's form");
        assert_eq!((error.severity(), error.code().code()), ("FATAL", "53300"));
        assert_eq!(error.message(), format!("too many connections for role \"{}\"", who.role));
    }
    let refusal =
        rig.ask(&tenant, "sslmode=require", "select 1").await.expect_err("above the limit");
    assert!(refusal.contains("FATAL:  too many connections for role \"u_a\""), "{refusal}");
    // Another database has its own, and one that ends makes room.
    assert_eq!(rig.connect(&other).await.expect("in").one("select 'ok'").await, "ok");
    sessions.pop();
    until("there is room again", || async { rig.connect(&tenant).await.is_ok() }).await;
    until("19 are left", || async { rig.gateway.sessions().count(tenant.id) == 19 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_were_left_behind_count_until_they_end() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    rig.platform.change(|routes| routes[0].connection_limit = 1);
    let trap = "do $$ begin perform pg_sleep(60); exception when query_canceled then perform pg_sleep(6); end $$";
    let running =
        "select count(*) from pg_stat_activity where state = 'active' and usename = 'u_a'";
    let asleep =
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and usename = 'u_a'";
    // One says good-bye without waiting; the other vanishes, and its query survives a cancel.
    for (sql, terminate) in [("select pg_sleep(6)", &b"X\0\0\0\x04"[..]), (trap, b"")] {
        let sessions = "select count(*) from pg_stat_activity where usename = 'u_a'";
        until("there is room", || async { rig.cluster.sql(sessions).await == "0" }).await;
        let mut stream = crate::raw::log_in(&rig, &tenant).await;
        let query = crate::raw::query(sql);
        stream.write_all(&[&query, terminate].concat()).await.expect("sent");
        // Asleep, and not merely begun: a cancel before the block would not meet its handler.
        until("it sleeps", || async { rig.cluster.sql(asleep).await == "1" }).await;
        drop(stream);
        let error = rig.connect(&tenant).await.err().expect("its place is taken");
        assert_eq!(error.code().expect("code").code(), "53300");
        assert_eq!(rig.cluster.sql(running).await, "1");
    }
    until("there is room in the end", || async { rig.connect(&tenant).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_gateway_says_so() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.capacity = Capacity { clients: 2, handshakes: 2 };
    })
    .await;
    let tenant = rig.tenant("a").await;
    let _sessions =
        [rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in")];
    let error = rig.connect(&tenant).await.err().expect("full");
    let told = error.as_db_error().map(|error| error.message().to_owned());
    assert_eq!(told.as_deref(), Some("sorry, too many clients already"), "{error}");
    assert_eq!(rig.gateway.stats().errors(ErrorKind::GatewayFull), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_unfinished_log_ins() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.capacity = Capacity { clients: 100, handshakes: 6 };
    })
    .await;
    let tenant = rig.tenant("a").await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(rig.address).await.expect("connected"));
    }
    until("they are taken on", || async { rig.gateway.stats().clients == 3 }).await;
    let mut fourth = TcpStream::connect(rig.address).await.expect("connected");
    let mut answer = Vec::new();
    fourth.read_to_end(&mut answer).await.expect("an end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("Too many log-ins from this address are unfinished"), "{answer}");
    assert_eq!(rig.gateway.stats().errors(ErrorKind::TooManyUnfinished), 1);
    silent.pop();
    until("there is room again", || async { rig.connect(&tenant).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_counted_until_it_has_gone() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.capacity = Capacity { clients: 100, handshakes: 4 };
        config.timeouts.farewell = Duration::from_secs(10);
    })
    .await;
    let mut refused = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(rig.address).await.expect("connected");
        stream.write_all(&[0, 0, 0, 8, 0, 2, 0, 0]).await.expect("sent");
        assert_eq!(stream.read_u8().await.expect("an answer"), b'E');
        refused.push(stream);
    }
    let mut third = TcpStream::connect(rig.address).await.expect("connected");
    let mut answer = vec![0; 100];
    third.read_exact(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("sorry, too many clients already"), "{answer}");
    drop((refused, third));
    until("they are gone", || async { rig.gateway.stats().clients == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_failing_waits_and_who_knows_the_password_does_not() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut wrong = tenant.clone();
    wrong.password = "no".into();
    let timed = async |who| {
        let begun = Instant::now();
        let outcome = rig.connect(who).await.is_ok();
        (outcome, begun.elapsed())
    };
    for _ in 0..7 {
        assert!(!timed(&wrong).await.0);
    }
    let (entered, taken) = timed(&wrong).await;
    assert!(!entered && taken >= Duration::from_millis(390), "{taken:?}");
    // Also while another one waits for its answer.
    let ((_, waited), (entered, taken)) = futures_util::join!(timed(&wrong), timed(&tenant));
    assert!(entered && taken < waited, "{taken:?} {waited:?}");
    assert!(waited >= Duration::from_millis(790), "{waited:?}");
}
