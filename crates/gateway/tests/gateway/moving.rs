//! Planned moves: sessions are held at a boundary and go on at another server, with their state.

use std::time::{Duration, Instant};

use howdah_gateway::registry::Standing;
use howdah_model::route::{Stage, Target};
use tokio::time::timeout;

use crate::cluster::{Cluster, majors};
use crate::rig::{Rig, Session, Tenant, said, until};

const LONG: Duration = Duration::from_secs(20);

fn there(rig: &Rig) -> Target {
    Target::Local { socket_dir: rig.cluster.other_dir() }
}

/// How many sessions of a tenant came by which socket is not told by PostgreSQL; by which process
/// they are served is.
async fn process(session: &Session) -> String {
    session.ask("select pg_backend_pid()").await
}

async fn code(session: &Session, sql: &str) -> String {
    let error = session.client.simple_query(sql).await.expect_err(sql);
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| error.to_string())
}

/// Moves by the stages of a route, as the platform does.
async fn move_all(rig: &Rig, tenant: &Tenant, to: Target) {
    let Target::Local { socket_dir } = &to else { panic!("a server") };
    let report = rig.gateway.prepare(tenant.id, socket_dir.clone(), LONG).await;
    assert!(report.is_prepared(), "{report:?}");
    let report = rig.gateway.hold(tenant.id, LONG).await;
    assert!(report.is_held(), "{report:?}");
    rig.gateway.release(tenant.id, Some(socket_dir.clone()));
    let report = rig.gateway.released(tenant.id, LONG).await;
    assert!(report.is_released(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_l2_a_session_takes_its_state_to_another_server() {
    for bin in majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        let tenant = rig.tenant("a").await;
        let mut session = rig.connect(&tenant).await.expect("in");
        session.ask("select 1").await;
        for sql in [
            "create table t (n int)",
            "set work_mem = '7MB'",
            "set timezone = 'Asia/Tokyo'",
            "set app.tenant = 'forty two'",
            "set search_path = \"a b\", public",
            "prepare in_sql (int) as insert into public.t values ($1)",
            "listen news",
        ] {
            session.client.simple_query(sql).await.expect(sql);
        }
        let prepared = session.client.prepare("select $1::int + 1").await.expect("prepared");
        let before = process(&session).await;
        move_all(&rig, &tenant, there(&rig)).await;
        let added: i32 = session.client.query_one(&prepared, &[&41]).await.expect("kept").get(0);
        assert_eq!(added, 42);
        assert_ne!(process(&session).await, before);
        session.client.simple_query("execute in_sql (5)").await.expect("kept");
        assert_eq!(session.ask("select count(*) from public.t").await, "1");
        for (name, value) in [
            ("work_mem", "7MB"),
            ("timezone", "Asia/Tokyo"),
            ("app.tenant", "forty two"),
            ("search_path", "\"a b\", public"),
        ] {
            assert_eq!(session.ask(&format!("show {name}")).await, value, "{name}");
        }
        let other = rig.connect(&tenant).await.expect("in");
        other.client.simple_query("notify news, 'heard'").await.expect("sent");
        let heard = timeout(LONG, session.notifications.recv()).await.expect("in time");
        assert_eq!(heard.expect("a notification").payload(), "heard");
        assert_eq!(rig.gateway.stats().moves, 1);
    }
}

/// L3: the stages come from the platform, pushed.
#[tokio::test(flavor = "multi_thread")]
async fn l2_l3_a_route_that_changes_takes_idle_sessions_along() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let session = rig.connect(&tenant).await.expect("in");
    let before = process(&session).await;
    let begun = Instant::now();
    rig.platform.retarget(&tenant.role, there(&rig));
    until("it has moved", || async { rig.gateway.stats().moves == 1 }).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_ne!(process(&session).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_a_hold_lets_what_runs_end_and_new_clients_wait() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let (busy, idle) = futures_util::join!(rig.connect(&tenant), rig.connect(&tenant));
    let (busy, idle) = (busy.expect("in"), idle.expect("in"));
    busy.client.simple_query("begin; create table t (n int)").await.expect("begun");
    let report = rig.gateway.hold(tenant.id, Duration::from_millis(300)).await;
    // At the bound what still runs is told and then ended; here the platform lets go just before.
    assert_eq!(report.sessions.len(), 2);
    assert_eq!(report.blockers().count(), 1, "{report:?}");
    rig.gateway.release(tenant.id, None);
    let _ = busy.client.simple_query("rollback").await;

    let busy = rig.connect(&tenant).await.expect("in");
    busy.client.simple_query("begin; create table u (n int)").await.expect("begun");
    let hold = rig.gateway.hold(tenant.id, LONG);
    let work = async {
        until("it is held", || async {
            rig.gateway.report(tenant.id).sessions.iter().any(|s| s.standing == Standing::Held)
        })
        .await;
        // Statements of the transaction go on; the one after it waits.
        busy.client.simple_query("insert into u values (1)").await.expect("within");
        busy.client.simple_query("commit").await.expect("committed");
    };
    let (report, ()) = futures_util::join!(hold, work);
    assert!(report.is_held(), "{report:?}");
    let asked = timeout(Duration::from_millis(200), idle.ask("select 1")).await;
    assert!(asked.is_err(), "nothing begins while it is held");
    let entering = rig.connect(&tenant);
    let released = async {
        tokio::task::yield_now().await;
        rig.gateway.release(tenant.id, Some(rig.cluster.other_dir()));
    };
    let (entered, ()) = futures_util::join!(entering, released);
    assert_eq!(entered.expect("in").ask("select count(*) from u").await, "1");
    assert_eq!(idle.ask("select 2").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn h18_a_hold_has_an_end_for_who_asks() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.timeouts.hold = Duration::from_millis(300);
    })
    .await;
    let tenant = rig.tenant("a").await;
    let (asks, silent) = futures_util::join!(rig.connect(&tenant), rig.connect(&tenant));
    let (asks, silent) = (asks.expect("in"), silent.expect("in"));
    let report = rig.gateway.hold(tenant.id, LONG).await;
    assert!(report.is_held(), "{report:?}");
    assert_eq!(code(&asks, "select 1").await, "57P03");
    rig.gateway.release(tenant.id, None);
    assert_eq!(silent.ask("select 'still here'").await, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_waited_for_and_then_ended() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let pins = [
        ("temporary tables", "create temp table x (n int)", "drop table x"),
        ("session advisory locks", "select pg_advisory_lock(5)", "select pg_advisory_unlock(5)"),
        ("cursors with hold", "declare c cursor with hold for select 1", "close c"),
    ];
    for (words, pin, free) in pins {
        let session = rig.connect(&tenant).await.expect("in");
        let stubborn = rig.connect(&tenant).await.expect("in");
        let own = pin.replace('5', "6");
        session.client.simple_query(pin).await.expect(pin);
        stubborn.client.simple_query(&own).await.expect(pin);
        let held = rig.gateway.hold(tenant.id, Duration::from_secs(2));
        let work = async {
            let why = || async {
                let report = rig.gateway.report(tenant.id);
                report.blockers().filter(|seen| seen.why.as_deref() == Some(words)).count() == 2
            };
            until("both are told as blockers", why).await;
            session.client.simple_query(free).await.expect(free);
        };
        let (report, ()) = futures_util::join!(held, work);
        let blockers: Vec<_> = report.blockers().collect();
        assert!(blockers.len() <= 1, "{report:?}");
        until("the other is ended", || async { rig.gateway.report(tenant.id).is_held() }).await;
        rig.gateway.release(tenant.id, Some(rig.cluster.other_dir()));
        assert_eq!(session.ask("select 1").await, "1", "{words}");
        assert!(stubborn.client.simple_query("select 1").await.is_err(), "{words}");
        rig.gateway.release(tenant.id, Some(rig.cluster.socket_dir()));
    }
    let errors = rig.gateway.stats();
    assert_eq!(errors.errors(howdah_gateway::error::ErrorKind::Evicted), 3);
}

/// H17, H23: 50 clients, 20 moves, no error, and exactly what was acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn h17_h23_clients_under_load_notice_nothing_of_moves() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let setup = rig.connect(&tenant).await.expect("in");
    setup
        .client
        .simple_query("create table ledger (id bigserial, client int)")
        .await
        .expect("made");
    let script = rig.dir.path().join("ledger.sql");
    std::fs::write(&script, "insert into ledger (client) values (:client_id);\n").expect("script");
    for mode in ["simple", "extended", "prepared"] {
        let run = rig
            .program("pgbench", &tenant, "sslmode=disable")
            .args(["-n", "-M", mode, "-c", "20", "-t", "200", "-R", "1500", "-f"])
            .arg(&script)
            .output();
        let moves = async {
            let begun = rig.gateway.stats().moves;
            until("it runs", || async { rig.gateway.sessions().count(tenant.id) > 20 }).await;
            for turn in 0..7 {
                let to = if turn % 2 == 0 { there(&rig) } else { rig.target() };
                if rig.gateway.sessions().count(tenant.id) <= 1 {
                    break;
                }
                move_all(&rig, &tenant, to).await;
            }
            rig.gateway.stats().moves - begun
        };
        let (run, moved) = futures_util::join!(run, moves);
        let told = said(&run.expect("pgbench")).expect("no error");
        assert!(told.contains("processed: 4000/4000"), "{told}");
        assert!(moved > 0, "{mode}: nothing was moved");
        setup.client.simple_query("begin").await.expect("begun");
        assert_eq!(setup.ask("select count(*) from ledger").await, "4000", "{mode}");
        setup.client.simple_query("truncate ledger; commit").await.expect("emptied");
    }
    let stage = |route: &howdah_model::route::Route| route.stage == Stage::Open;
    assert!(rig.platform.current().routes.iter().all(stage));
}
