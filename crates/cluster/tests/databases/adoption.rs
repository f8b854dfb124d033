//! G8, G20, G32: databases that came with the data of another cluster get another name, another
//! owner and other credentials; and the logins of followers.

use howdah_model::name::DatabaseName;

use super::*;

/// The tenant that a copy of another one's database is for.
fn heir(name: &str, from: &Tenant) -> Tenant {
    let mut heir = Tenant::new(name);
    heir.spec.adopts = Some(from.name.clone());
    heir
}

fn credential(tenant: &Tenant, of: CredentialOf) -> CredentialSpec {
    CredentialSpec { of, ..tenant.spec.credentials[0].clone() }
}

async fn refused(cluster: &Cluster, tenant: &Tenant, databases: &[&DatabaseName]) {
    for database in databases {
        let entered = tenant.connect_to(&cluster.socket_dir, database.as_str()).await;
        assert!(entered.is_err(), "{} enters {database}", tenant.spec.owner);
    }
}

#[tokio::test]
async fn g32_a_copy_has_its_own_names_and_credentials_whatever_the_owner_did_before() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, two, three) = (Tenant::new("one"), Tenant::new("two"), Tenant::new("three"));
        one.spec.credentials.push(credential(&two, CredentialOf::Own));
        one.spec.incarnation = Incarnation(4);
        one.spec.settings = [("work_mem".to_owned(), "3MB".to_owned())].into();
        converge(&cluster, &wanted(&[&one, &three])).await;
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        for change in [
            "create table t as select 42 as x; grant all on t to public, u_two",
            "create schema s; grant all on schema s to u_two",
            "alter default privileges grant all on tables to u_two",
            "alter database d_one is_template true",
            "alter database d_one connection limit 0",
            "alter database d_one set maintenance_work_mem = '7MB'",
            "alter role u_one set default_transaction_read_only = on",
            "grant all on database d_one to public",
            "revoke all on database d_one from u_one",
        ] {
            session.ask(change).await.unwrap();
        }
        let second = Tenant { name: one.name.clone(), ..two.clone() };
        // PostgreSQL lets no tenant do it; older versions did.
        platform(&cluster).await.run("grant u_one to u_two").await.unwrap();
        let new = heir("new", &one);
        let report = converge(&cluster, &wanted(&[&new])).await;
        assert_eq!(report.present, BTreeMap::from([(new.name.clone(), Incarnation(1))]));
        assert!(session.ask("select 1").await.is_err(), "sessions end");
        assert_eq!(converge(&cluster, &wanted(&[&new])).await.tasks, 0);
        assert_eq!(
            inventory(&cluster).await,
            ["database d_new", "record d_new 1", "role record u_new", "role u_new"]
        );
        for old in [&one, &second, &three] {
            refused(&cluster, old, &[&new.name, &one.name]).await;
        }
        let session = new.connect(&cluster.socket_dir).await.unwrap();
        for (question, answer) in [
            ("select x from t", "42"),
            ("select tableowner from pg_tables where tablename = 't'", "u_new"),
            ("show maintenance_work_mem", "7MB"),
            ("show work_mem", "4MB"),
            ("set default_transaction_read_only = off", ""),
            ("drop table t", ""),
        ] {
            assert_eq!(session.ask(question).await.as_deref(), Ok(answer), "{question}");
        }
        // The next reset is one as of every other database.
        let mut reset = new.clone();
        reset.spec.incarnation = Incarnation(2);
        converge(&cluster, &wanted(&[&reset])).await;
        is_whole(&cluster, &reset).await;
    }
}

#[tokio::test]
async fn g32_an_owner_who_has_locked_itself_out_does_not_stop_the_adoption() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        converge(&cluster, &wanted(&[&one])).await;
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        for change in [
            "alter database d_one set local_preload_libraries = 'nothing'",
            "alter role u_one set local_preload_libraries = 'nothing'",
            "alter database d_one set statement_timeout = 1",
            "alter database d_one allow_connections false",
        ] {
            // The last is a superuser's.
            let done = session.ask(change).await;
            assert!(done.is_ok() || change.contains("allow_connections"), "{done:?}");
        }
        let new = heir("new", &one);
        converge(&cluster, &wanted(&[&new])).await;
        assert_eq!(converge(&cluster, &wanted(&[&new])).await.tasks, 0);
        refused(&cluster, &one, &[&new.name]).await;
    }
}

#[tokio::test]
async fn an_adoption_that_is_cut_at_any_statement_is_completed_by_the_next() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, two) = (Tenant::new("one"), Tenant::new("two"));
        one.spec.credentials.push(credential(&Tenant::new("more"), CredentialOf::Own));
        one.spec.credentials.push(credential(&Tenant::new("f"), CredentialOf::Follower));
        let new = heir("new", &one);
        let cuts = cut_everywhere(
            &cluster,
            async |cluster, _| {
                converge(cluster, &wanted(&[&one, &two])).await;
                let session = one.connect(&cluster.socket_dir).await.unwrap();
                session.ask("create table t as select 42 as x").await.unwrap();
                wanted(&[&new])
            },
            async |cluster, _| {
                assert_eq!(converge(cluster, &wanted(&[&new])).await.tasks, 0);
                let right = ["database d_new", "record d_new 1", "role record u_new", "role u_new"];
                assert_eq!(inventory(cluster).await, right);
                let session = new.connect(&cluster.socket_dir).await.unwrap();
                assert_eq!(session.ask("select x from t").await.unwrap(), "42");
            },
        )
        .await;
        // The look; close, end sessions, exchange; commit, drop the other database, forget it, and
        // drop three roles.
        assert_eq!(cuts, 1 + 3 + 3 + 3);
    }
}

#[tokio::test]
async fn g20_a_followers_login_becomes_the_owner_with_its_password_and_all_that_is_the_owners() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, mut follower) = (Tenant::new("one"), Tenant::new("f"));
        let other = Tenant::new("g");
        follower.name = one.name.clone();
        follower.spec.incarnation = Incarnation(3);
        follower.spec.adopts = Some(one.name.clone());
        one.spec.credentials.push(credential(&follower, CredentialOf::Follower));
        one.spec.credentials.push(credential(&other, CredentialOf::Follower));
        let cuts = cut_everywhere(
            &cluster,
            async |cluster, _| {
                converge(cluster, &BTreeMap::new()).await;
                converge(cluster, &wanted(&[&one])).await;
                let session = one.connect(&cluster.socket_dir).await.unwrap();
                for entangle in [
                    "create table t as select 42 as x",
                    "grant all on t to u_f",
                    "alter default privileges grant select on tables to u_f",
                    "create policy p on t to u_f using (true)",
                ] {
                    session.ask(entangle).await.unwrap();
                }
                wanted(&[&follower])
            },
            async |cluster, _| {
                assert_eq!(converge(cluster, &wanted(&[&follower])).await.tasks, 0);
                assert_eq!(
                    inventory(cluster).await,
                    ["database d_one", "record d_one 3", "role record u_f", "role u_f"]
                );
                let session = follower.connect(&cluster.socket_dir).await.unwrap();
                let who = "select current_user || ' ' || session_user || ' ' || tableowner \
                     from pg_tables where tablename = 't'";
                assert_eq!(session.ask(who).await.unwrap(), "u_f u_f u_f");
                session.ask("drop table t").await.unwrap();
                refused(cluster, &one, &[&one.name]).await;
            },
        )
        .await;
        // The look; exchange; and drop what is left of the logins, as often as they are held.
        assert!(cuts > 4, "{cuts}");
    }
}

#[tokio::test]
async fn g13_a_followers_login_is_the_owner_from_its_first_statement_and_no_other() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, mut follower) = (Tenant::new("one"), Tenant::new("f"));
        follower.name = one.name.clone();
        converge(&cluster, &wanted(&[&one])).await;
        one.spec.credentials.push(credential(&follower, CredentialOf::Follower));
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 1);
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0);
        let owner = one.connect(&cluster.socket_dir).await.unwrap();
        owner.ask("create table t as select 1 as x").await.unwrap();
        let session = follower.connect(&cluster.socket_dir).await.unwrap();
        let who = "select current_user || ' ' || session_user || ' ' || x from t";
        assert_eq!(session.ask(who).await.unwrap(), "u_one u_f 1");
        for harm in [
            "alter role u_f password 'mine'",
            "alter role u_f set role = none",
            "grant u_f to u_one",
            "alter role u_f connection limit 100",
        ] {
            assert!(owner.ask(harm).await.is_err(), "{harm}");
        }
        // What a superuser, or a bug, has broken.
        for harm in [
            "revoke u_one from u_f",
            "alter role u_f reset role",
            "alter role u_f set search_path = nowhere",
            "alter role u_f createdb",
            "grant u_f to u_one",
        ] {
            if platform(&cluster).await.run(harm).await.is_err() {
                assert_eq!(harm, "grant u_f to u_one", "a circle");
                continue;
            }
            assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 1, "{harm}");
            assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0, "{harm}");
            let session = follower.connect(&cluster.socket_dir).await.unwrap();
            assert_eq!(session.ask(who).await.unwrap(), "u_one u_f 1", "{harm}");
        }
        // A reset of the leader keeps the follower's login.
        one.spec.incarnation = Incarnation(2);
        converge(&cluster, &wanted(&[&one])).await;
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0);
        let session = follower.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(session.ask("select current_user").await.unwrap(), "u_one");
        // And it goes when it is not wanted any more.
        one.spec.credentials.pop();
        converge(&cluster, &wanted(&[&one])).await;
        refused(&cluster, &follower, &[&one.name]).await;
        is_whole(&cluster, &one).await;
    }
}

#[tokio::test]
async fn what_is_to_be_adopted_and_is_not_there_is_never_replaced_by_an_empty_database() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    let one = Tenant::new("one");
    let new = heir("new", &one);
    let mut databases = Databases::open(&cluster).await.unwrap();
    for _ in 0..2 {
        let report = databases.converge(&wanted(&[&new]), Look::Differences).await.unwrap();
        assert_eq!(report.errors.len(), 1);
        assert!(report.errors[0].contains("`d_one`"), "{}", report.errors[0]);
        assert!(report.present.is_empty());
    }
    // Nor is one adopted that the platform has not made.
    platform(&cluster).await.run("create database d_one").await.unwrap();
    let report = databases.converge(&wanted(&[&new]), Look::Everything).await.unwrap();
    assert_eq!(report.errors.len(), 1);
    assert_eq!(inventory(&cluster).await, ["database d_one"]);
}
