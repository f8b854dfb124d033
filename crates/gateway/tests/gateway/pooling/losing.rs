//! Pools whose servers go away, or move.

use std::time::Duration;

use howdah_model::route::Target;

use super::{pooled, process, refused, rig, run, servers};

const LONG: Duration = Duration::from_secs(20);

/// H17: a restart between transactions is not noticed.
#[tokio::test(flavor = "multi_thread")]
async fn h17_clients_outlive_their_servers() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 2).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "set work_mem = '7MB'; create table t (n int)").await;
    let prepared = one.client.prepare("select $1::int + 1").await.expect("prepared");
    run(&two, "begin; insert into t values (1)").await;
    rig.cluster.kill();
    rig.cluster.restart().await;
    assert_eq!(one.ask("show work_mem").await, "7MB");
    let sum: i32 = one.client.query_one(&prepared, &[&1]).await.expect("kept").get(0);
    assert_eq!(sum, 2);
    // A transaction is lost with one clean error.
    assert_eq!(refused(&two, "insert into t values (2)").await, "40001");
    assert_eq!(refused(&two, "insert into t values (2)").await, "25P02");
    run(&two, "rollback").await;
    assert_eq!(two.ask("select count(*) from t").await, "0");
}

/// L3: new transactions wait for a held database and then go where its route leads.
#[tokio::test(flavor = "multi_thread")]
async fn l3_a_held_pool_moves() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 2).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "set work_mem = '7MB'; create table t (n int)").await;
    run(&two, "begin; insert into t values (1)").await;
    let before = process(&one).await;
    let there = rig.cluster.other_dir();
    let report = rig.gateway.prepare(tenant.id, there.clone(), Duration::from_millis(100)).await;
    assert_eq!(report.sessions.len(), 2);
    let hold = rig.gateway.hold(tenant.id, LONG);
    let work = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        run(&two, "insert into t values (2); commit").await;
    };
    let (report, ()) = tokio::join!(hold, work);
    assert!(report.is_held(), "{report:?}");
    let asked = one.ask("select concat(count(*), current_setting('work_mem')) from t");
    let release = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.gateway.release(tenant.id, Some(there));
    };
    let (answer, ()) = tokio::join!(asked, release);
    assert_eq!(answer, "27MB");
    assert_ne!(process(&one).await, before);
    assert_eq!(two.ask("select count(*) from t").await, "2");
    assert!(servers(&rig, &tenant).await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_route_ends_has_no_servers() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 2).await;
    let mut one = rig.connect(&tenant).await.expect("in");
    run(&one, "select 1").await;
    rig.platform.retarget(&tenant.role, Target::Revoked);
    assert_eq!(one.end().await.as_deref(), Some("57P01"));
    crate::rig::until("its servers have gone", || async { servers(&rig, &tenant).await == 0 })
        .await;
}
