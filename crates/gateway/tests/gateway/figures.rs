//! What a gateway counts of each credential is what its clients have done, to the last statement.

use howdah_model::pool::{Clients, Pool, Servers};

use crate::rig::{Rig, Tenant};

/// The only pool of a tenant.
fn pool(rig: &Rig, tenant: &Tenant) -> Pool {
    let pools = rig.gateway.figures().pools.pools;
    let mut mine = pools.into_iter().filter(|pool| pool.database_id == tenant.id);
    mine.next().expect("a pool")
}

async fn pgbench(rig: &Rig, tenant: &Tenant, script: &str, options: &[&str]) {
    let path = rig.dir.path().join("script.sql");
    std::fs::write(&path, script).expect("a script");
    let mut command = rig.program("pgbench", tenant, "sslmode=disable");
    let output = command.args(["-n", "-f"]).arg(path).args(options).output().await;
    let output = output.expect("pgbench");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until no client is left.
async fn until_gone(rig: &Rig) {
    while rig.gateway.clients() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn figures_add_up_over_runs_of_pgbench() {
    const CLIENTS: u64 = 4;
    const TIMES: u64 = 50;
    let rig = Rig::start().await;
    let tenant = rig.tenant("figures").await;
    let options = |mode| ["-c", "4", "-t", "50", "-M", mode];
    let block = "begin; select 1; select 2; commit;";
    // Statements and transactions of each script; a prepared statement is prepared once by each.
    for (script, mode, statements, transactions, prepares) in [
        ("select 1;", "simple", 1, 1, 0),
        ("select 1;", "extended", 1, 1, 0),
        ("select 1;", "prepared", 1, 1, 1),
        (block, "simple", 4, 1, 0),
        (block, "extended", 4, 1, 0),
    ] {
        // The figures of a credential go on from one run to the next.
        let before = rig.gateway.figures().pools.pools;
        let before = before.into_iter().find(|pool| pool.database_id == tenant.id);
        let before = before.map(|pool| pool.totals).unwrap_or_default();
        pgbench(&rig, &tenant, script, &options(mode)).await;
        until_gone(&rig).await;
        let totals = pool(&rig, &tenant).totals;
        // Pgbench makes one more connection than it has clients, to look around.
        assert_eq!(totals.clients - before.clients, CLIENTS + 1, "{mode} {script}");
        let all = CLIENTS * TIMES;
        let prepares = CLIENTS * prepares;
        assert_eq!(totals.queries - before.queries, all * statements + prepares, "{mode} {script}");
        assert_eq!(
            totals.transactions - before.transactions,
            all * transactions + prepares,
            "{mode} {script}"
        );
    }
    let pool = pool(&rig, &tenant);
    assert_eq!((pool.clients, pool.servers), (Clients::default(), Servers::default()));
    let stats = rig.gateway.stats();
    assert_eq!(pool.totals.bytes_from_clients, stats.bytes_to_server);
    assert_eq!(pool.totals.bytes_to_clients, stats.bytes_to_client);
    assert!(pool.totals.errors.is_empty(), "{:?}", pool.totals.errors);
}

#[tokio::test]
async fn times_are_those_of_statements_and_transactions() {
    const TIMES: u64 = 20;
    let rig = Rig::start().await;
    let tenant = rig.tenant("times").await;
    let script = "begin; select pg_sleep(0.02); \\sleep 30 ms\nselect pg_sleep(0.02); commit;";
    pgbench(&rig, &tenant, script, &["-c", "1", "-t", "20"]).await;
    until_gone(&rig).await;
    let totals = pool(&rig, &tenant).totals;
    // The clock steps every few milliseconds; over many statements that comes out even.
    let (least, step) = (TIMES * 40_000, TIMES * 2 * 4_000);
    assert!(totals.query_micros + step >= least, "{totals:?}");
    assert!(totals.transaction_micros + step >= least + TIMES * 30_000, "{totals:?}");
    assert!(totals.transaction_micros > totals.query_micros, "{totals:?}");
}

#[tokio::test]
async fn clients_are_told_apart_by_what_they_do_and_errors_by_whose_they_are() {
    let rig = Rig::start().await;
    let (mut busy, mut idle) = (rig.tenant("busy").await, rig.tenant("idle").await);
    let waits = rig.connect(&busy).await.expect("a session");
    let works = rig.connect(&busy).await.expect("a session");
    let _rests = rig.connect(&idle).await.expect("a session");
    works.client.batch_execute("begin").await.expect("begun");
    let sleeping = waits.client.batch_execute("select pg_sleep(600)");
    let looked = async {
        while pool(&rig, &busy).clients != (Clients { active: 2, waiting: 0, idle: 0 }) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = sleeping => panic!("{ended:?}"),
        () = looked => {}
    }
    assert_eq!(pool(&rig, &busy).servers, Servers { active: 2, pinned: 0, idle: 0 });
    assert_eq!(pool(&rig, &idle).clients, Clients { active: 0, waiting: 0, idle: 1 });
    assert_eq!(pool(&rig, &idle).servers, Servers { active: 0, pinned: 1, idle: 0 });
    assert_eq!((pool(&rig, &busy).size, pool(&rig, &busy).connection_limit), (50, 50));

    "another".clone_into(&mut busy.database);
    rig.connect(&busy).await.map(|_| ()).expect_err("no such database");
    idle.password.push('x');
    rig.connect(&idle).await.map(|_| ()).expect_err("a wrong password");
    assert_eq!(pool(&rig, &busy).totals.errors["wrong_database"], 1);
    // Who does not know the password is a stranger.
    assert!(pool(&rig, &idle).totals.errors.is_empty());
}
