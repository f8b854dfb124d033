//! The checks of `pg:diagnose`, on servers of every installed major.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeMap;

use howdah_cluster::connection::{Connection, Limits};
use howdah_cluster::databases::{Databases, Look, Wanted};
use howdah_cluster::{Cluster, diagnose};
use howdah_model::diagnosis::{Asked, Check, Name, Status, THRESHOLDS, Threshold, threshold};
use howdah_testkit::clusters::{Home, Tenant, majors};
use serde_json::Value;

const ASKED: Asked = Asked { connections: 20 };

async fn checks(cluster: &Cluster, tenant: &Tenant) -> BTreeMap<String, Check> {
    let all = diagnose::diagnose(&cluster.socket_dir, &tenant.name, ASKED).await.unwrap();
    all.into_iter().map(|check| (check.name.to_string(), check)).collect()
}

/// What a tenant may have that is no good, and one row of what is said of it.
const TROUBLE: &[(Name, &str, &str, &str)] = &[
    (
        Name::Sequences,
        "create table ids (id serial); select setval('ids_id_seq', 1900000000)",
        "column",
        "ids.id",
    ),
    (
        Name::Sequences,
        "create sequence free; create table uses (n int4 default nextval('free')); select setval('free', 1800000000)",
        "column",
        "uses.n",
    ),
    (Name::UnloggedTables, "create unlogged table u (a int primary key)", "table", "public.u"),
    (
        Name::AutovacuumDisabled,
        "create table never (a int primary key) with (autovacuum_enabled = off)",
        "table",
        "public.never",
    ),
    (
        Name::Indexes,
        "create index twice on big (a); create index twice_b on big (a)",
        "index",
        "public.big::twice_b",
    ),
    (Name::PrimaryKeys, "", "table", "public.big"),
    (
        Name::ForeignKeys,
        "create table other (a int primary key); alter table big add foreign key (a, b) references pair",
        "columns",
        "a, b",
    ),
    (Name::StaleStatistics, "", "table", "public.big"),
    (
        Name::Durability,
        "alter database d_one set synchronous_commit = off",
        "setting",
        "synchronous_commit=off",
    ),
    (
        Name::SchemaCount,
        "do $$ begin for i in 1..50 loop execute 'create schema s' || i; end loop; end $$",
        "schemas",
        "51",
    ),
];

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[tokio::test]
async fn i32_every_check_is_green_on_an_empty_database_and_says_what_is_wrong_with_another() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let tenant = Tenant::new("one");
        let mut databases = Databases::open(&cluster).await.unwrap();
        let wanted = Wanted::from([(tenant.name.clone(), tenant.spec.clone())]);
        let report = databases.converge(&wanted, Look::Everything).await.unwrap();
        assert_eq!(report.errors, [""; 0]);
        let all = checks(&cluster, &tenant).await;
        let cannot_tell = [Name::HitRate, Name::CpuBurst].map(|name| name.to_string());
        let of_machine = [Name::Load, Name::Memory].map(|name| name.to_string());
        for (name, check) in &all {
            let wrong = match check.status {
                Status::Green => false,
                Status::Skipped => !cannot_tell.contains(name),
                Status::Red | Status::Yellow => !of_machine.contains(name),
            };
            assert!(!wrong, "{check:#?}");
        }
        assert_eq!(all.len(), THRESHOLDS.len() - 3, "the others are not the server's");

        let session = tenant.connect(&cluster.socket_dir).await.unwrap();
        let big = "create table pair (a int, b int, primary key (a, b)); create table big (a int, b int); \
                   insert into pair values (1, 1); \
                   insert into big select 1, 1 from generate_series(1, 60000)";
        let all_of_it = big.split("; ").chain(TROUBLE.iter().flat_map(|(_, sql, ..)| split(sql)));
        for statement in all_of_it {
            session.ask(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        session.ask("select pg_stat_force_next_flush()").await.unwrap();
        // `reltuples` is what is known of the size of tables; the statistics are not to be fresh.
        let platform = Connection::open(&cluster.socket_dir, "d_one", Limits::WORK).await.unwrap();
        let known = "update pg_class set reltuples = 60000 where relname = 'big'";
        platform.run(known).await.unwrap();
        let all = checks(&cluster, &tenant).await;
        for (name, _, key, value) in TROUBLE {
            let check = &all[&name.to_string()];
            let says = check.results.iter().any(|row| text(&row[*key]) == *value);
            assert!(says && check.status == Status::Yellow, "{key}={value}: {check:#?}");
            assert!(!check.why.is_empty() && !check.fix.is_empty(), "{check:#?}");
        }
        let sequences = &all["Sequences"].results;
        assert!(sequences.iter().any(|row| text(&row["per_cent"]) == "88.48"), "{sequences:#?}");
        session.ask("select setval('ids_id_seq', 2100000000)").await.unwrap();
        assert_eq!(checks(&cluster, &tenant).await["Sequences"].status, Status::Red);
    }
}

fn split(sql: &'static str) -> Vec<&'static str> {
    if sql.starts_with("do ") {
        vec![sql]
    } else {
        sql.split("; ").filter(|one| !one.is_empty()).collect()
    }
}

#[tokio::test]
async fn what_lasts_long_is_found_with_who_does_it_and_hurtful_objects_of_a_tenant_are_not_run() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let tenant = Tenant::new("one");
        let mut databases = Databases::open(&cluster).await.unwrap();
        let wanted = Wanted::from([(tenant.name.clone(), tenant.spec.clone())]);
        databases.converge(&wanted, Look::Everything).await.unwrap();
        let session = tenant.connect(&cluster.socket_dir).await.unwrap();
        for statement in [
            "create function public.now() returns timestamptz language plpgsql as $$ begin raise 'run'; end $$",
            "create function public.now(text) returns int language sql as 'select 1/0'",
            "create table t (a int)",
            "create function f(int) returns int immutable language plpgsql as $$ begin if current_user = 'howdah' then raise 'run'; end if; return 1; end $$",
            "create index hurts on t (f(a)) where f(a) > 0",
            "begin",
            "lock table t",
        ] {
            session.ask(statement).await.unwrap();
        }
        let waiting = tenant.connect(&cluster.socket_dir).await.unwrap();
        let waits = async { waiting.ask("select count(*) from t").await };
        let looks = async {
            let platform =
                Connection::open(&cluster.socket_dir, "d_one", Limits::WORK).await.unwrap();
            for name in [
                Name::LongQueries,
                Name::LongTransactions,
                Name::IdleInTransaction,
                Name::BlockingQueries,
                Name::ConnectionCount,
            ] {
                let with = Threshold { yellow: 0.0, red: 1e6, ..*threshold(name) };
                let query = diagnose::query(&with, ASKED).unwrap();
                let query =
                    format!("select coalesce(json_agg(q), '[]')::text from (\n{query}\n) q");
                let mut found = String::new();
                for _ in 0..1000 {
                    let rows = platform.rows(&query, &[]).await.unwrap();
                    found = rows[0].get(0);
                    if found != "[]" {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                assert!(
                    found.contains("u_one") || found.contains("lock table t"),
                    "{name}: {found}"
                );
            }
            let all = checks(&cluster, &tenant).await;
            assert!(all.values().all(|check| !format!("{check:?}").contains("\"run")), "{all:#?}");
            session.ask("rollback").await.unwrap();
        };
        let (answer, ()) = tokio::join!(waits, looks);
        assert_eq!(answer.unwrap(), "0");
    }
}
