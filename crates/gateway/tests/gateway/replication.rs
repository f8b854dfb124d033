//! Replication connections, with PostgreSQL's own programs.

use std::path::Path;
use std::process::Output;

use howdah_gateway::error::ErrorKind;
use howdah_model::route::Replication;
use tokio::process::Command;

use crate::cluster::{Cluster, majors};
use crate::rig::{Rig, Tenant, said, until};

/// A tenant whose role and credential may replicate, in a cluster that decodes its log.
async fn replicating(bin: &Path) -> (Rig, Tenant) {
    let settings = ["wal_level=logical".to_owned()];
    let cluster = Cluster::start_set(bin, &settings).await.expect("it starts");
    let rig = Rig::with(cluster, |_| {}).await;
    let (tenant, mut route) = rig.make("a").await;
    route.replication = Replication::Allowed;
    rig.cluster.sql("alter role u_a replication").await;
    rig.platform.change(|routes| routes.push(route));
    (rig, tenant)
}

/// One of the programs of that major, by TLS.
async fn run(rig: &Rig, tenant: &Tenant, program: &Path, arguments: &[&str]) -> Output {
    let connection = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={} dbname={} sslmode=require",
        rig.address.port(),
        tenant.role,
        tenant.database
    );
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PGPASSWORD", &tenant.password)
        .args(["-d", &connection])
        .args(arguments)
        .kill_on_drop(true);
    command.output().await.expect("the program runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_pg_basebackup_takes_a_backup_that_verifies() {
    for bin in majors() {
        let (rig, tenant) = replicating(&bin).await;
        let target = rig.dir.path().join("backup");
        let path = target.display().to_string();
        let arguments = ["-D", &path, "-X", "stream", "--checkpoint=fast", "--no-sync"];
        let output = run(&rig, &tenant, &bin.join("pg_basebackup"), &arguments).await;
        said(&output).expect("a backup");
        let verified = Command::new(bin.join("pg_verifybackup")).arg(&target).output().await;
        said(&verified.expect("pg_verifybackup")).expect("it is whole");
        until("the sessions end", || async { rig.gateway.stats().sessions == 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_pg_receivewal_streams_the_log_up_to_a_position() {
    for bin in majors() {
        let (rig, tenant) = replicating(&bin).await;
        let target = rig.dir.path().join("wal");
        std::fs::create_dir(&target).expect("directory");
        let path = target.display().to_string();
        let program = bin.join("pg_receivewal");
        rig.cluster.sql("select pg_create_physical_replication_slot('s', true)").await;
        let start = rig.cluster.sql("select pg_walfile_name(pg_current_wal_lsn())").await;
        rig.cluster.sql("create table t as select generate_series(1, 50000) n").await;
        let end = rig.cluster.sql("select pg_current_wal_lsn()").await;
        rig.cluster.sql("create table u as select 1 n").await;
        let arguments = ["-D", &path, "--slot=s", "--no-loop", "--no-sync", "--endpos", &end];
        let output = run(&rig, &tenant, &program, &arguments).await;
        said(&output).expect("the log");
        let segments = std::fs::read_dir(&target).expect("directory").count();
        assert!(segments >= 2, "{segments}");
        // What came by the gateway is what the server wrote, as far as it goes.
        let ours = std::fs::read(target.join(&start)).expect("the first segment");
        let theirs = rig.cluster.socket_dir().join("data/pg_wal").join(&start);
        let theirs = std::fs::read(theirs).expect("the server's segment");
        assert!(ours == theirs, "{start} differs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_pg_recvlogical_follows_the_changes_of_a_database() {
    for bin in majors() {
        let (rig, tenant) = replicating(&bin).await;
        let program = bin.join("pg_recvlogical");
        let arguments = ["--slot=s", "--create-slot", "--plugin=test_decoding"];
        said(&run(&rig, &tenant, &program, &arguments).await).expect("a slot");
        let session = rig.connect(&tenant).await.expect("in");
        session
            .client
            .batch_execute("create table t (n int); insert into t values (42)")
            .await
            .expect("changes");
        let end = session.one("select pg_current_wal_insert_lsn()::text").await;
        let arguments = ["--slot=s", "--start", "--no-loop", "--endpos", &end, "-f", "-"];
        let changes = said(&run(&rig, &tenant, &program, &arguments).await).expect("changes");
        assert!(changes.contains("table public.t: INSERT: n[integer]:42"), "{changes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_connection_takes_commands_and_obeys_postgresqls_rules() {
    for bin in majors() {
        let (rig, tenant) = replicating(&bin).await;
        let logical = "sslmode=require replication=database";
        let identified = rig.ask(&tenant, logical, "IDENTIFY_SYSTEM").await.expect("identified");
        assert!(identified.ends_with("|d_a"), "{identified}");
        assert_eq!(rig.ask(&tenant, logical, "select 1").await, Ok("1".into()));
        let physical = "sslmode=require replication=on dbname=anything";
        let identified = rig.ask(&tenant, physical, "IDENTIFY_SYSTEM").await.expect("identified");
        assert!(identified.ends_with('|'), "{identified}");
        let invalid = rig
            .ask(&tenant, "sslmode=require replication=maybe", "select 1")
            .await
            .expect_err("refused");
        assert!(
            invalid.contains("invalid value for parameter \"replication\": \"maybe\""),
            "{invalid}"
        );
        assert_eq!(rig.gateway.stats().errors(ErrorKind::InvalidParameter), 1);
        // The credential may, the role may not: PostgreSQL's own words.
        rig.cluster.sql("alter role u_a noreplication").await;
        let refusal = rig.ask(&tenant, physical, "IDENTIFY_SYSTEM").await.expect_err("refused");
        assert!(refusal.contains("walsender") || refusal.contains("WAL sender"), "{refusal}");
        assert_eq!(rig.gateway.stats().errors(ErrorKind::ServerRefused), 1);
    }
}
