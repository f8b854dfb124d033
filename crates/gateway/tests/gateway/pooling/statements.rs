//! Prepared statements, pipelines and COPY over shared servers.

use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};

use super::{all_free, pooled, process, refused, rig, run, servers};
use crate::cluster::{Cluster, majors};
use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn h22_prepared_statements_work_on_every_server() {
    for bin in majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        let tenant = pooled(&rig, "a", 2).await;
        let (one, two) =
            (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
        let add = one.client.prepare("select $1::int + 1").await.expect("prepared");
        let same = two.client.prepare("select $1::int + 1").await.expect("prepared");
        let other = two.client.prepare("select $1::int + 2").await.expect("prepared");
        for n in 0..10 {
            // Now the one, now the other server.
            let held = (n % 2 == 0).then_some(&two);
            if let Some(two) = held {
                run(two, "begin").await;
            }
            let sum: i32 = one.client.query_one(&add, &[&n]).await.expect("one").get(0);
            assert_eq!(sum, n + 1);
            let sum: i32 = two.client.query_one(&same, &[&n]).await.expect("two").get(0);
            assert_eq!(sum, n + 1);
            let sum: i32 = two.client.query_one(&other, &[&n]).await.expect("two").get(0);
            assert_eq!(sum, n + 2);
            if held.is_some() {
                run(&two, "commit").await;
            }
        }
        drop(add);
        run(&one, "deallocate all").await;
        let sum: i32 = two.client.query_one(&same, &[&1]).await.expect("two").get(0);
        assert_eq!(sum, 2);
    }
}

/// A table changes under a prepared statement: its client is told once, as by PostgreSQL, and who
/// prepares anew has the new form.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_table_is_told_once() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "create table t as select 1 a").await;
    let before = one.client.prepare("select * from t").await.expect("prepared");
    assert_eq!(one.client.query_one(&before, &[]).await.expect("a row").len(), 1);
    run(&two, "alter table t add b int").await;
    let error = one.client.query_one(&before, &[]).await.expect_err("another form");
    assert_eq!(error.code().expect("an error").code(), "0A000");
    let after = one.client.prepare("select * from t").await.expect("prepared");
    assert_eq!(one.client.query_one(&after, &[]).await.expect("a row").len(), 2);
    let after = two.client.prepare("select * from t").await.expect("prepared");
    assert_eq!(two.client.query_one(&after, &[]).await.expect("a row").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_and_copies_come_to_an_end() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let (one, two) =
        (rig.connect(&tenant).await.expect("in"), rig.connect(&tenant).await.expect("in"));
    run(&one, "create table t (n int)").await;
    let insert = one.client.prepare("insert into t values ($1)").await.expect("prepared");
    let all: Vec<i32> = (0..500).collect();
    let work = all.iter().map(|n| one.client.execute_raw(&insert, [n]));
    let others = async {
        for _ in 0..50 {
            assert_eq!(two.ask("select 1").await, "1");
        }
    };
    let (done, ()) = tokio::join!(futures_util::future::try_join_all(work), others);
    assert_eq!(done.expect("all of them").len(), 500);
    let copy = one.client.copy_in("copy t from stdin").await.expect("begun");
    let mut copy = Box::pin(copy);
    for n in 0..1000 {
        copy.send(Bytes::from(format!("{n}\n"))).await.expect("sent");
    }
    assert_eq!(copy.as_mut().finish().await.expect("done"), 1000);
    // The server is free again.
    assert_eq!(process(&two).await, process(&one).await);
    let rows = one.client.copy_out("copy t to stdout").await.expect("begun");
    let rows: Vec<Bytes> = rows.try_collect().await.expect("all of it");
    assert_eq!(rows.len(), 1500);
    assert_eq!(process(&two).await, process(&one).await);
    let failing = one.client.copy_in("copy t from stdin").await.expect("begun");
    let mut failing = Box::pin(failing);
    failing.send(Bytes::from("none\n")).await.expect("sent");
    assert!(failing.as_mut().finish().await.is_err());
    all_free(&rig, &tenant).await;
    assert_eq!(servers(&rig, &tenant).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_transaction_leaves_it_failed_until_its_end() {
    let rig = rig().await;
    let tenant = pooled(&rig, "a", 1).await;
    let one = rig.connect(&tenant).await.expect("in");
    let known = one.client.prepare("select 1").await.expect("prepared");
    run(&one, "begin").await;
    assert_eq!(refused(&one, "select 1/0").await, "22012");
    assert_eq!(refused(&one, "select 1").await, "25P02");
    let error = one.client.query(&known, &[]).await.expect_err("failed");
    assert_eq!(error.code().expect("an error").code(), "25P02");
    run(&one, "rollback").await;
    assert_eq!(one.client.query(&known, &[]).await.expect("again").len(), 1);
}
