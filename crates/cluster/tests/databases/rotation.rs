//! Roles that get another name and password, and those who still log in by the old ones.

use howdah_model::name::RoleName;
use howdah_testkit::clusters::Session;

use super::*;

/// What is wanted after a rotation of a tenant's own credential: the next one's name and password;
/// the one before opens the database until it is revoked.
fn rotated(before: &Tenant, name: &str) -> (Tenant, CredentialSpec) {
    let mut after = Tenant::new(name);
    after.name = before.name.clone();
    let old = &before.spec.credentials[0];
    after.spec.credentials[0].was = [vec![old.role.clone()], old.was.clone()].concat();
    let former = CredentialSpec { of: CredentialOf::Former, was: Vec::new(), ..old.clone() };
    (after, former)
}

async fn asked(session: &Session, sql: &str) -> String {
    session.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[tokio::test]
async fn d25_d26_a_rotation_keeps_sessions_objects_grants_and_the_old_login_until_it_is_revoked() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let mut one = Tenant::new("one");
        let reports: RoleName = "u_reports".parse().unwrap();
        let named = CredentialSpec { role: reports.clone(), ..one.spec.credentials[0].clone() };
        one.spec.credentials.push(named.clone());
        converge(&cluster, &wanted(&[&one])).await;
        let old = one.connect(&cluster.socket_dir).await.unwrap();
        for sql in [
            "create table t (a int)",
            "grant select on t to u_reports",
            "alter role u_one set search_path = mine, public",
            "alter role u_one in database d_one set work_mem = '3MB'",
        ] {
            asked(&old, sql).await;
        }

        let (mut two, former) = rotated(&one, "two");
        two.spec.credentials.extend([named.clone(), former.clone()]);
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 1);
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 0, "and it is done");
        let new = two.connect(&cluster.socket_dir).await.unwrap();
        asked(&new, "alter table t add b int").await;
        assert_eq!(asked(&old, "select current_user").await, "u_two", "it has lived on");
        asked(&old, "alter table t add c int").await;
        let late = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(asked(&late, "select current_user").await, "u_two");
        assert_eq!(asked(&late, "show search_path").await, "mine, public");
        assert_eq!(asked(&late, "show work_mem").await, "3MB");
        asked(&late, "create table public.by_old (a int)").await;
        // A pool says so between two clients.
        asked(&late, "reset all").await;
        assert_eq!(asked(&late, "select current_user").await, "u_two");
        asked(&late, "set role none").await;
        asked(&late, "create table public.by_alias (a int)").await;
        let may = "select has_table_privilege('u_reports', 't', 'select')";
        assert_eq!(asked(&new, may).await, "t");

        // A second rotation, while the first is still in use.
        let (mut three, second) = rotated(&two, "three");
        three.spec.credentials.extend([named.clone(), former, second]);
        converge(&cluster, &wanted(&[&three])).await;
        for tenant in [&one, &two, &three] {
            let session = tenant.connect(&cluster.socket_dir).await.unwrap();
            assert_eq!(asked(&session, "select current_user").await, "u_three");
        }
        // The old logins are revoked; a session from before the first rotation is the gateway's to
        // end.
        three.spec.credentials.truncate(2);
        converge(&cluster, &wanted(&[&three])).await;
        for tenant in [&one, &two] {
            assert!(tenant.connect(&cluster.socket_dir).await.is_err());
        }
        assert!(late.ask("select 1").await.is_err(), "its session has ended");
        let last = three.connect(&cluster.socket_dir).await.unwrap();
        let owners =
            "select string_agg(tableowner, ' ') from pg_tables where schemaname = 'public'";
        assert_eq!(asked(&last, owners).await, "u_three u_three u_three");
        assert_eq!(
            inventory(&cluster).await,
            [
                "database d_one",
                "record d_one 1",
                "role record u_reports",
                "role record u_three",
                "role u_reports",
                "role u_three"
            ]
        );
        assert_eq!(converge(&cluster, &wanted(&[&three])).await.tasks, 0);
    }
}

/// With `--force` the old login goes at once; and an agent that was away sees only the outcome of
/// several rotations.
#[tokio::test]
async fn d28_a_forced_rotation_leaves_nothing_and_several_at_once_are_one() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        converge(&cluster, &wanted(&[&one])).await;
        asked(&one.connect(&cluster.socket_dir).await.unwrap(), "create table t (a int)").await;
        let (two, _) = rotated(&one, "two");
        let (three, _) = rotated(&two, "three");
        assert_eq!(converge(&cluster, &wanted(&[&three])).await.tasks, 1);
        assert!(one.connect(&cluster.socket_dir).await.is_err());
        let last = three.connect(&cluster.socket_dir).await.unwrap();
        asked(&last, "alter table t add b int").await;
        // A reset in the same moment as a rotation.
        let (mut four, _) = rotated(&three, "four");
        four.spec.incarnation = Incarnation(2);
        converge(&cluster, &wanted(&[&four])).await;
        assert_eq!(
            inventory(&cluster).await,
            ["database d_one", "record d_one 2", "role record u_four", "role u_four"]
        );
        four.connect(&cluster.socket_dir).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_tenant_changes_of_a_former_login_is_put_right() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        converge(&cluster, &wanted(&[&one])).await;
        let (mut two, former) = rotated(&one, "two");
        two.spec.credentials.push(former);
        converge(&cluster, &wanted(&[&two])).await;
        let old = one.connect(&cluster.socket_dir).await.unwrap();
        asked(&old, "set role none").await;
        for sql in ["alter role u_one password 'mine'", "alter role u_one reset role"] {
            asked(&old, sql).await;
        }
        assert!(one.connect(&cluster.socket_dir).await.is_err());
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 1);
        let again = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(asked(&again, "select current_user").await, "u_two");
        for sql in ["create role mine", "alter role u_two rename to mine"] {
            assert!(again.ask(sql).await.is_err(), "{sql}");
        }
        // PostgreSQL 15 lets a role lend itself.
        let _ = again.ask("grant u_two to u_one with admin option").await;
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.errors, [""; 0]);
    }
}

#[tokio::test]
async fn a_rotation_that_is_cut_at_any_statement_is_whole_or_not_begun() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let mut last = Tenant::new("v0");
        last.name = "d_one".parse().unwrap();
        converge(&cluster, &wanted(&[&last])).await;
        asked(&last.connect(&cluster.socket_dir).await.unwrap(), "create table t (a int)").await;
        for nth in QUESTIONS..QUESTIONS + 10 {
            let (mut next, former) = rotated(&last, &format!("v{nth}"));
            next.spec.credentials.push(former);
            let all = wanted(&[&next]);
            let dir = cluster.socket_dir.join(format!("cut-{nth}"));
            let cutter = Cutter::new(&cluster.socket_dir, dir, nth);
            let through = Cluster { socket_dir: cutter.socket_dir.clone(), ..cluster.clone() };
            let mut databases = Databases::open(&through).await.unwrap();
            let cut = databases.converge(&all, Look::Everything).await.is_err();
            drop(databases);
            let old = last.connect(&cluster.socket_dir).await.unwrap();
            asked(&old, "insert into t values (1)").await;
            converge(&cluster, &all).await;
            let new = next.connect(&cluster.socket_dir).await.unwrap();
            asked(&new, "alter table t add x int; alter table t drop x").await;
            last = next;
            if !cut {
                assert!(nth > QUESTIONS + 1, "the last question and the transaction were cut");
                break;
            }
            assert!(nth < QUESTIONS + 9, "the statements of a convergence come to an end");
        }
    }
}

#[tokio::test]
async fn d28_the_default_credential_gets_back_what_is_in_its_database() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let mut one = Tenant::new("one");
        let mut named = Tenant::new("named");
        named.name = one.name.clone();
        one.spec.credentials.push(named.spec.credentials[0].clone());
        converge(&cluster, &wanted(&[&one])).await;
        let owner = one.connect(&cluster.socket_dir).await.unwrap();
        asked(&owner, "grant all on schema public to u_named").await;
        asked(&owner, "create table mine (a int)").await;
        asked(&owner, "revoke all on mine from u_one").await;
        let other = named.connect(&cluster.socket_dir).await.unwrap();
        for sql in [
            r#"create table "It's; drop" (a serial)"#,
            "create function f(text) returns int language sql as 'select 7'",
            "create view v as select 1 as x",
            "select lo_create(77)",
            "alter role u_named set search_path = public",
        ] {
            asked(&other, sql).await;
        }
        assert!(owner.ask(r#"select * from "It's; drop""#).await.is_err());
        assert!(owner.ask("select * from mine").await.is_err());
        howdah_cluster::ownership::repair(&cluster.socket_dir, &one.name).await.unwrap();
        for sql in [
            r#"alter table "It's; drop" add b int"#,
            "select * from mine",
            "alter function f(text) cost 1",
            "drop view v",
            "select lo_unlink(77)",
        ] {
            asked(&owner, sql).await;
        }
        asked(&other, r#"insert into "It's; drop" values (default)"#).await;
        howdah_cluster::ownership::repair(&cluster.socket_dir, &one.name).await.unwrap();
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0);
    }
}
