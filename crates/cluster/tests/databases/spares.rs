//! The spare database of a cluster: taken, renewed, and never anybody's.

use super::*;

/// What is known of a database but its number, its name and its owner, and what is in it.
async fn traits(cluster: &Cluster, name: &str) -> Vec<String> {
    let server = platform(cluster).await;
    let all = "select (to_jsonb(d) - '{oid,datname,datdba,datacl,datfrozenxid,datminmxid}'::text[] \
             || jsonb_build_object('comment', shobj_description(d.oid, 'pg_database'), \
                 'acl', replace(d.datacl::text, right(d.datname, 3), '')))::text \
         from pg_database d where datname = $1";
    let mut traits: Vec<String> =
        server.rows(all, &[&name]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let inside = cluster.connect(name, Limits::WORK).await.unwrap();
    for what in [
        "select relname || ':' || relkind::text || coalesce(relacl::text, '') from pg_class order by 1",
        "select proname || ':' || coalesce(proacl::text, '') from pg_proc order by 1",
        "select evtname || ':' || evtenabled::text from pg_event_trigger order by 1",
        "select extname || extversion from pg_extension order by 1",
        "select nspname || coalesce(nspacl::text, '') from pg_namespace order by 1",
    ] {
        let rows = inside.rows(what, &[]).await.unwrap();
        traits.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    traits
}

#[tokio::test]
async fn a_database_that_was_the_spare_is_as_one_that_was_made() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let tenants = ["one", "two", "six"].map(Tenant::new);
        let mut databases = Databases::open(&cluster).await.unwrap();
        assert!(databases.has_spare().await.unwrap(), "the template holds one");
        databases.converge(&wanted(&[&tenants[0]]), Look::Differences).await.unwrap();
        assert!(!databases.has_spare().await.unwrap());
        let both = wanted(&[&tenants[0], &tenants[1]]);
        databases.converge(&both, Look::Differences).await.unwrap();
        renew_spare(&cluster).await;
        converge(&cluster, &wanted(&[&tenants[0], &tenants[1], &tenants[2]])).await;
        let made = traits(&cluster, "d_two").await;
        assert!(made.len() > 1000 && made[0].contains("\"datallowconn\": true"), "{}", made[0]);
        for name in ["d_one", "d_six"] {
            let spare = traits(&cluster, name).await;
            let differs = made.iter().zip(&spare).find(|(made, spare)| made != spare);
            assert_eq!((differs, made.len()), (None, spare.len()), "{name}");
        }
        assert!(tenants[1].connect_to(&cluster.socket_dir, "d_six").await.is_err());
    }
}

#[tokio::test]
async fn nobody_enters_the_spare_and_it_is_neither_dropped_nor_counted() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, two) = (Tenant::new("one"), Tenant::new("two"));
        converge(&cluster, &wanted(&[&one, &two])).await;
        renew_spare(&cluster).await;
        let entered = one.connect_to(&cluster.socket_dir, "howdah_spare").await;
        assert!(entered.is_err());
        assert!(cluster.connect("howdah_spare", Limits::LOOK).await.is_err());
        let report = converge(&cluster, &wanted(&[&one, &two])).await;
        assert_eq!((report.tasks, report.present.len()), (0, 2));
        converge(&cluster, &BTreeMap::new()).await;
        assert!(Databases::open(&cluster).await.unwrap().has_spare().await.unwrap());
    }
}

/// Each is what an old version, a crash or an operator may leave. The database is made all the
/// same, and the next spare is a good one.
#[tokio::test]
async fn a_spare_that_is_not_fit_is_not_used_and_is_renewed() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        for spoil in [
            "comment on database howdah_spare is null",
            "comment on database howdah_spare is 'howdah spare of another version'",
            "alter database howdah_spare with allow_connections true",
            "alter database howdah_spare with is_template true",
            "alter database howdah_spare with connection limit 3",
            "alter database howdah_spare set work_mem = '1MB'",
            "grant connect on database howdah_spare to public",
            "create role stranger; alter database howdah_spare owner to stranger",
            "drop database howdah_spare; \
             create database howdah_spare template template0 encoding latin1 locale 'C'; \
             alter database howdah_spare with allow_connections false",
        ] {
            renew_spare(&cluster).await;
            for statement in spoil.split("; ") {
                platform(&cluster).await.run(statement).await.unwrap();
            }
            let databases = Databases::open(&cluster).await.unwrap();
            assert!(!databases.has_spare().await.unwrap(), "{spoil}");
            converge(&cluster, &wanted(&[&one])).await;
            let session = one.connect(&cluster.socket_dir).await.unwrap();
            assert_eq!(session.ask("show work_mem").await.unwrap(), "4MB");
            assert_eq!(session.ask("show server_encoding").await.unwrap(), "UTF8");
            drop(session);
            converge(&cluster, &BTreeMap::new()).await;
        }
        platform(&cluster)
            .await
            .run("alter database howdah_spare allow_connections true")
            .await
            .unwrap();
        let inside = cluster.connect("howdah_spare", Limits::LOOK).await.unwrap();
        platform(&cluster)
            .await
            .run("alter database howdah_spare allow_connections false")
            .await
            .unwrap();
        let databases = Databases::open(&cluster).await.unwrap();
        assert!(!databases.has_spare().await.unwrap(), "somebody is in it");
        inside.close().await;
    }
}

#[tokio::test]
async fn a_database_of_someone_else_that_is_called_so_is_left_alone() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    drop_spare(&cluster).await;
    platform(&cluster).await.run("create database howdah_spare").await.unwrap();
    let inside = cluster.connect("howdah_spare", Limits::WORK).await.unwrap();
    inside.run("create table public.t (x int)").await.unwrap();
    let one = Tenant::new("one");
    let mut databases = Databases::open(&cluster).await.unwrap();
    databases.renew_spare().await.unwrap();
    databases.converge(&wanted(&[&one]), Look::Everything).await.unwrap();
    one.connect(&cluster.socket_dir).await.unwrap();
    inside.run("select from public.t").await.unwrap();
}

#[tokio::test]
async fn databases_are_made_while_a_spare_is_made() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let mut databases = Databases::open(&cluster).await.unwrap();
        let mut tenants = Vec::new();
        for n in 0..6 {
            tenants.push(Tenant::new(&format!("n{n}")));
            let all: Vec<_> = tenants.iter().collect();
            let report = databases.converge(&wanted(&all), Look::Differences).await.unwrap();
            assert_eq!((report.errors, report.present.len()), (Vec::new(), n + 1));
            databases.renew_spare().await.unwrap();
        }
        until("there is a spare", || async { databases.has_spare().await.unwrap() }).await;
        let all: Vec<_> = tenants.iter().collect();
        assert_eq!(converge(&cluster, &wanted(&all)).await.tasks, 0);
    }
}
