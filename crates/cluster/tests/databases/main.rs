//! Bringing databases and roles to a spec, against servers of every installed major.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod adoption;
mod owners;
mod permissions;
mod rotation;
mod spares;

use std::collections::BTreeMap;
use std::time::Instant;

use howdah_cluster::connection::Limits;
use howdah_cluster::databases::{Databases, Look, Report, Wanted};
use howdah_cluster::{Cluster, Connection, look};
use howdah_model::agent::{CredentialOf, CredentialSpec, Incarnation};
use howdah_model::permission::Permission;
use howdah_testkit::clusters::{Cutter, Home, Tenant, majors, until, verifier};

fn wanted(tenants: &[&Tenant]) -> Wanted {
    tenants.iter().map(|tenant| (tenant.name.clone(), tenant.spec.clone())).collect()
}

async fn converge(cluster: &Cluster, wanted: &Wanted) -> Report {
    let mut databases = Databases::open(cluster).await.unwrap();
    let report = databases.converge(wanted, Look::Everything).await.unwrap();
    assert_eq!(report.errors, [""; 0]);
    report
}

async fn platform(cluster: &Cluster) -> Connection {
    cluster.connect("postgres", Limits::WORK).await.unwrap()
}

/// All databases and roles but PostgreSQL's own and the spare, and our records.
async fn inventory(cluster: &Cluster) -> Vec<String> {
    let all = "select 'database ' || datname from pg_database \
         where datname not in ('postgres', 'template0', 'template1', 'howdah_spare') \
         union all select 'role ' || rolname from pg_roles \
         where rolname !~ '^pg_' and rolname not in ('howdah', 'howdah_replication') \
         union all select 'record ' || name || ' ' || incarnation from howdah.databases \
         union all select 'role record ' || name from howdah.roles order by 1";
    platform(cluster).await.rows(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn databases_are_made_and_dropped_and_a_repeated_convergence_does_nothing() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, two) = (Tenant::new("one"), Tenant::new("two"));
        let mut databases = Databases::open(&cluster).await.unwrap();
        let first = databases.converge(&wanted(&[&one]), Look::Differences).await.unwrap();
        assert_eq!((first.errors.len(), first.tasks), (0, 1));
        let both = databases.converge(&wanted(&[&one, &two]), Look::Differences).await.unwrap();
        assert_eq!((both.errors.len(), both.tasks), (0, 1));
        assert_eq!(both.present.len(), 2);
        for look in [Look::Differences, Look::Everything] {
            let again = databases.converge(&wanted(&[&one, &two]), look).await.unwrap();
            assert_eq!((again.tasks, again.present.len()), (0, 2), "{look:?}");
        }
        assert_eq!(converge(&cluster, &wanted(&[&one, &two])).await.tasks, 0);
        let session = two.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(session.ask("select current_database()").await.unwrap(), "d_two");
        let left = converge(&cluster, &wanted(&[&one])).await;
        assert_eq!(left.present.len(), 1);
        assert_eq!(
            inventory(&cluster).await,
            ["database d_one", "record d_one 1", "role record u_one", "role u_one"]
        );
        assert!(two.connect(&cluster.socket_dir).await.is_err());
        converge(&cluster, &BTreeMap::new()).await;
        assert_eq!(inventory(&cluster).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_reset_gives_an_empty_database_with_the_same_name_and_password() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let mut one = Tenant::new("one");
        converge(&cluster, &wanted(&[&one])).await;
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        session.ask("create table t (x int)").await.unwrap();
        one.spec.incarnation = Incarnation(2);
        one.spec.extensions = vec!["hstore".to_owned(), "earthdistance".to_owned()];
        let report = converge(&cluster, &wanted(&[&one])).await;
        assert_eq!(report.present[&one.name], Incarnation(2));
        assert!(session.ask("select 1").await.is_err());
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(
            session
                .ask("select count(*) from pg_tables where schemaname = 'public'")
                .await
                .unwrap(),
            "0"
        );
        assert_eq!(session.ask("select count(*) from pg_extension").await.unwrap(), "5");
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0);
    }
}

/// What holds after every convergence, whatever came before.
async fn is_whole(cluster: &Cluster, tenant: &Tenant) {
    let (name, role, incarnation) = (&tenant.name, &tenant.spec.owner, tenant.spec.incarnation.0);
    assert_eq!(
        inventory(cluster).await,
        [
            format!("database {name}"),
            format!("record {name} {incarnation}"),
            format!("role record {role}"),
            format!("role {role}")
        ]
    );
    let session = tenant.connect(&cluster.socket_dir).await.unwrap();
    let tables = session.ask("select count(*) from pg_tables where schemaname = 'public'").await;
    assert_eq!(tables.unwrap(), "0");
}

/// The statements before the first that is cut: to end other sessions, for the lock, for ours,
/// and the five queries of a look.
const QUESTIONS: usize = 8;

/// Runs a convergence with the wire cut after every statement, before its answer comes back, until
/// one comes through. After each cut a second convergence must bring everything to what is wanted,
/// although the server may still be busy with the statement. Returns how many cuts there were.
async fn cut_everywhere(
    cluster: &Cluster,
    prepare: impl AsyncFn(&Cluster, i32) -> Wanted,
    check: impl AsyncFn(&Cluster, i32),
) -> i32 {
    for turn in 1.. {
        let nth = QUESTIONS + usize::try_from(turn).unwrap() - 1;
        let wanted = prepare(cluster, turn).await;
        let dir = cluster.socket_dir.join(format!("cut-{nth}"));
        let cutter = Cutter::new(&cluster.socket_dir, dir, nth);
        let through = Cluster { socket_dir: cutter.socket_dir.clone(), ..cluster.clone() };
        let mut databases = Databases::open(&through).await.unwrap();
        let cut = databases.converge(&wanted, Look::Everything).await.is_err();
        assert_eq!(cut, cutter.has_cut());
        drop(databases);
        converge(cluster, &wanted).await;
        check(cluster, turn).await;
        if !cut {
            return turn - 1;
        }
    }
    unreachable!("the statements of a convergence come to an end")
}

async fn drop_spare(cluster: &Cluster) {
    platform(cluster).await.run("drop database if exists howdah_spare").await.unwrap();
}

async fn renew_spare(cluster: &Cluster) {
    let mut databases = Databases::open(cluster).await.unwrap();
    databases.renew_spare().await.unwrap();
    until("there is a spare", || async { databases.has_spare().await.unwrap() }).await;
}

#[tokio::test]
async fn a_creation_that_is_cut_at_any_statement_is_completed_by_the_next() {
    // What is sent: whether there is a spare; create or take, open, what is installed, create
    // extension; exchange.
    let cases = [
        (Spare::Missing, &["hstore", "not_installed"][..], 6),
        (Spare::There, &["hstore", "not_installed"], 6),
        (Spare::Missing, &[], 3),
        (Spare::There, &[], 2),
    ];
    for major in majors() {
        for (spare, extensions, statements) in cases {
            let home = Home::new();
            let cluster = home.running(&major, "a").await;
            let mut one = Tenant::new("one");
            one.spec.extensions = extensions.iter().map(|name| (*name).to_owned()).collect();
            let cuts = cut_everywhere(
                &cluster,
                async |cluster, _| {
                    converge(cluster, &BTreeMap::new()).await;
                    spare.prepare(cluster).await;
                    wanted(&[&one])
                },
                async |cluster, _| is_whole(cluster, &one).await,
            )
            .await;
            // The last question of the look, and all of these.
            assert_eq!(cuts, 1 + statements, "{spare:?} {extensions:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Spare {
    There,
    Missing,
}

impl Spare {
    async fn prepare(self, cluster: &Cluster) {
        match self {
            Self::There => renew_spare(cluster).await,
            Self::Missing => drop_spare(cluster).await,
        }
    }
}

#[tokio::test]
async fn a_renewal_that_is_cut_at_any_statement_is_completed_by_the_next() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        // Two to be alone, two questions, drop what is unfit, create, mark.
        for nth in 1..=7 {
            let old = "comment on database howdah_spare is 'howdah spare of another version'";
            platform(&cluster).await.run(old).await.unwrap();
            let dir = cluster.socket_dir.join(format!("cut-{nth}"));
            // Its own three statements and its question come before.
            let cutter = Cutter::new(&cluster.socket_dir, dir, 4 + nth);
            let through = Cluster { socket_dir: cutter.socket_dir.clone(), ..cluster.clone() };
            let mut databases = Databases::open(&through).await.unwrap();
            databases.renew_spare().await.unwrap();
            until("it is cut", || async { cutter.has_cut() }).await;
            converge(&cluster, &wanted(&[&one])).await;
            is_whole(&cluster, &one).await;
            renew_spare(&cluster).await;
            drop(databases);
            converge(&cluster, &BTreeMap::new()).await;
        }
    }
}

#[tokio::test]
async fn a_reset_that_is_cut_at_any_statement_leaves_the_old_or_the_new_database() {
    // What is sent: whether there is a spare; create, close, end sessions, exchange, commit, drop.
    cut_resets(Spare::Missing, 7).await;
}

#[tokio::test]
async fn a_reset_with_a_spare_that_is_cut_at_any_statement_leaves_the_old_or_the_new_database() {
    cut_resets(Spare::There, 6).await;
}

async fn cut_resets(spare: Spare, statements: i32) {
    let tenant = |turn: i32| {
        let mut tenant = Tenant::new("one");
        tenant.spec.incarnation = Incarnation(turn);
        tenant
    };
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        converge(&cluster, &wanted(&[&tenant(1)])).await;
        let cuts = cut_everywhere(
            &cluster,
            async |cluster, turn| {
                let session = tenant(turn).connect(&cluster.socket_dir).await.unwrap();
                session.ask("create table t as select 42 as x").await.unwrap();
                spare.prepare(cluster).await;
                wanted(&[&tenant(turn + 1)])
            },
            async |cluster, turn| is_whole(cluster, &tenant(turn + 1)).await,
        )
        .await;
        // The last question of the look, and all of these.
        assert_eq!(cuts, 1 + statements, "{spare:?}");
    }
}

#[tokio::test]
async fn a_drop_that_is_cut_at_any_statement_leaves_nothing_after_the_next() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        let cuts = cut_everywhere(
            &cluster,
            async |cluster, _| {
                converge(cluster, &wanted(&[&one])).await;
                BTreeMap::new()
            },
            async |cluster, _| assert_eq!(inventory(cluster).await, [""; 0]),
        )
        .await;
        // The look, then: commit, drop, forget, drop the role.
        assert_eq!(cuts, 5);
    }
}

#[tokio::test]
async fn a_database_that_the_platform_has_not_made_is_never_dropped_or_taken() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    platform(&cluster).await.run("create database d_one").await.unwrap();
    converge(&cluster, &BTreeMap::new()).await;
    let (one, two) = (Tenant::new("one"), Tenant::new("two"));
    let mut databases = Databases::open(&cluster).await.unwrap();
    let report = databases.converge(&wanted(&[&one, &two]), Look::Everything).await.unwrap();
    assert_eq!(report.errors.len(), 1);
    assert!(report.errors[0].contains("d_one"), "{}", report.errors[0]);
    assert_eq!(report.present.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["d_two"]);
}

/// PostgreSQL marks a database so before it removes its files, and lets nobody in any more.
#[tokio::test]
async fn a_database_whose_drop_was_interrupted_is_dropped_and_made_anew_if_it_is_wanted() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, two) = (Tenant::new("one"), Tenant::new("two"));
        converge(&cluster, &wanted(&[&one, &two])).await;
        let half_drop = "set allow_system_table_mods = on; \
             update pg_database set datconnlimit = -2 where datname like 'd\\_%'";
        platform(&cluster).await.run(half_drop).await.unwrap();
        assert!(one.connect(&cluster.socket_dir).await.is_err());
        converge(&cluster, &wanted(&[&one])).await;
        is_whole(&cluster, &one).await;
    }
}

#[tokio::test]
async fn passwords_limits_settings_and_further_credentials_follow_the_spec() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let mut one = Tenant::new("one");
        one.spec.settings = [("work_mem", "3MB"), ("rds.allowed_extensions", "hstore,no_such")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let mut databases = Databases::open(&cluster).await.unwrap();
        databases.converge(&wanted(&[&one]), Look::Everything).await.unwrap();
        let old = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(old.ask("show work_mem").await.unwrap(), "3MB");
        assert_eq!(old.ask("show rds.allowed_extensions").await.unwrap(), "hstore");
        one.password = "another".to_owned();
        one.spec.settings = [("work_mem".to_owned(), "5MB".to_owned())].into();
        one.spec.credentials[0].verifier = verifier("another");
        one.spec.credentials[0].connection_limit = 7;
        let mut second = one.clone();
        second.spec.owner = "u_second".parse().unwrap();
        one.spec.credentials.push(CredentialSpec {
            role: second.spec.owner.clone(),
            verifier: verifier("another"),
            connection_limit: 1,
            of: CredentialOf::Own,
            was: Vec::new(),
            permission: Permission::None,
        });
        let report = databases.converge(&wanted(&[&one]), Look::Differences).await.unwrap();
        assert_eq!((report.errors, report.tasks), (Vec::new(), 1));
        let new = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(new.ask("show work_mem").await.unwrap(), "5MB");
        assert_eq!(
            new.ask("select rolconnlimit from pg_roles where rolname = 'u_one'").await.unwrap(),
            "7"
        );
        let other = second.connect(&cluster.socket_dir).await.unwrap();
        new.ask("create table t (x int); grant all on schema public to u_second").await.unwrap();
        other.ask("create table hers (x int)").await.unwrap();
        one.spec.credentials.pop();
        let report = databases.converge(&wanted(&[&one]), Look::Differences).await.unwrap();
        assert_eq!((report.errors, report.tasks), (Vec::new(), 2));
        assert!(second.connect(&cluster.socket_dir).await.is_err());
        assert_eq!(
            new.ask("select tableowner from pg_tables where tablename = 'hers'").await.unwrap(),
            "u_one"
        );
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0);
    }
}

#[tokio::test]
async fn k5_a_look_has_the_figures_and_sessions_can_be_ended_in_one_database_only() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, two) = (Tenant::new("one"), Tenant::new("two"));
        converge(&cluster, &wanted(&[&one, &two])).await;
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        let other = two.connect(&cluster.socket_dir).await.unwrap();
        for sql in [
            "create table t as select generate_series(1, 1000) as x",
            "create table u (x int primary key)",
            "insert into u select * from t",
            "select pg_stat_force_next_flush()",
            "analyze",
            "select count(*) from t",
        ] {
            session.ask(sql).await.unwrap();
        }
        session.ask("select pg_stat_force_next_flush()").await.unwrap();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let seen = look::look(&cluster.socket_dir, &one.name, at).await.unwrap();
        assert_eq!((seen.connections, seen.table_count, seen.row_count), (1, 2, 2000));
        assert!(seen.size_bytes > 1_000_000 && seen.seq_scans >= 2);
        look::reset_statistics(&cluster.socket_dir, &one.name).await.unwrap();
        let seen = look::look(&cluster.socket_dir, &one.name, at).await.unwrap();
        assert_eq!((seen.seq_scans, seen.connections), (0, 1));
        let begin = Instant::now();
        let ended =
            look::terminate(&cluster.socket_dir, &one.name, look::Which::All, look::How::Terminate);
        assert_eq!(ended.await.unwrap(), 1);
        assert!(begin.elapsed().as_secs() < 2);
        assert!(session.ask("select 1").await.is_err());
        other.ask("select 1").await.unwrap();
        let pid: i32 = other.ask("select pg_backend_pid()").await.unwrap().parse().unwrap();
        let which = look::Which::Pid(pid);
        let none =
            look::terminate(&cluster.socket_dir, &one.name, which, look::How::Terminate).await;
        assert_eq!(none.unwrap(), 0, "it is in another database");
        let one = look::terminate(&cluster.socket_dir, &two.name, which, look::How::Cancel).await;
        assert_eq!(one.unwrap(), 1);
        other.ask("select 1").await.unwrap();
    }
}
