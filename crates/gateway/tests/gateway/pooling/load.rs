//! Many clients, few servers.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{pooled, rig, run, servers};
use crate::cluster::{Cluster, majors};
use crate::rig::{Rig, Tenant, said};

async fn bench(rig: &Rig, tenant: &Tenant, arguments: &[&str]) -> String {
    let output =
        rig.program("pgbench", tenant, "").args(arguments).output().await.expect("pgbench");
    said(&output).expect("no error")
}

/// H22: no client is refused or confused, whatever protocol it uses.
#[tokio::test(flavor = "multi_thread")]
async fn h22_fifty_clients_work_with_five_servers() {
    for bin in majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        let tenant = pooled(&rig, "a", 5).await;
        // PostgreSQL itself refuses more.
        rig.cluster.sql(&format!("alter role {} connection limit 5", tenant.role)).await;
        bench(&rig, &tenant, &["-i", "-I", "dtGvp", "-s", "1", "-q"]).await;
        for mode in ["simple", "extended", "prepared"] {
            for script in ["select-only", "tpcb-like"] {
                let arguments = ["-n", "-M", mode, "-b", script, "-c", "50", "-j", "1", "-t", "20"];
                if (mode, script) == ("prepared", "tpcb-like") {
                    // pgbench prepares within transactions and blocks all its clients meanwhile.
                    continue;
                }
                let told = bench(&rig, &tenant, &arguments).await;
                assert!(told.contains("processed: 1000/1000"), "{mode} {script}: {told}");
            }
        }
        let client = rig.connect(&tenant).await.expect("in");
        let sums = "select (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)
            and (select count(*) from pgbench_history) = 2000";
        assert_eq!(client.ask(sums).await, "t");
    }
}

/// M18: an owner with many clients has as many servers as the plan allows, and harms no other.
#[tokio::test(flavor = "multi_thread")]
async fn m18_an_owner_of_many_clients_has_no_more_servers() {
    let rig = rig().await;
    let (hostile, other) = (pooled(&rig, "a", 3).await, pooled(&rig, "b", 2).await);
    rig.cluster.sql(&format!("alter role {} connection limit 3", hostile.role)).await;
    let mut clients = JoinSet::new();
    let (mut let_in, mut turned_away) = (Vec::new(), 0);
    for _ in 0..250 {
        match rig.connect(&hostile).await {
            Ok(client) => let_in.push(client),
            Err(error) => {
                assert_eq!(error.code().expect("an error").code(), "53300");
                turned_away += 1;
            }
        }
    }
    // Fifty for each place of the plan.
    assert_eq!((let_in.len(), turned_away), (200, 50));
    for client in let_in {
        clients.spawn(async move {
            let _ = client.client.batch_execute("begin; select pg_sleep(0.05); commit").await;
        });
    }
    let well = rig.connect(&other).await.expect("in");
    let mut longest = Duration::ZERO;
    while clients.try_join_next().is_some() || !clients.is_empty() {
        let begun = Instant::now();
        run(&well, "select 1").await;
        longest = longest.max(begun.elapsed());
        assert!(servers(&rig, &hostile).await <= 3);
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
