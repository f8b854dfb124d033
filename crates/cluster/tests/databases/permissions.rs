//! What named credentials may do by the platform's doing (D28).

use howdah_testkit::clusters::Session;

use super::*;

/// A tenant with a named credential, `u_named`, and who logs in with that.
fn with_named() -> (Tenant, Tenant) {
    let (mut one, mut named) = (Tenant::new("one"), Tenant::new("named"));
    named.name = one.name.clone();
    one.spec.credentials.push(named.spec.credentials[0].clone());
    (one, named)
}

fn permit(tenant: &mut Tenant, permission: Permission) {
    tenant.spec.credentials[1].permission = permission;
}

async fn done(session: &Session, all: &[&str]) {
    for sql in all {
        session.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn refused(session: &Session, all: &[&str]) {
    for sql in all {
        let error = session.ask(sql).await.expect_err(sql);
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}

/// What is left of grants to the credential in the database and of our record.
async fn left(cluster: &Cluster, tenant: &Tenant) -> String {
    let inside = cluster.connect(tenant.name.as_str(), Limits::WORK).await.unwrap();
    let count = "select (select count(*) from pg_shdepend where refobjid = 'u_named'::regrole \
         and deptype = 'a' and dbid <> 0) || ' ' || (select count(*) from pg_default_acl)";
    let grants: String = inside.rows(count, &[]).await.unwrap()[0].get(0);
    let count = "select count(*) from howdah.permissions";
    let records: i64 = platform(cluster).await.rows(count, &[]).await.unwrap()[0].get(0);
    format!("{grants} {records}")
}

const READ: &[&str] = &[
    "select * from t",
    "select * from v",
    r#"select * from "It's; drop"."T ""x""#,
    "select last_value from t_a_seq",
];
const WRITE: &[&str] =
    &["insert into t default values", "update t set b = 1", r#"delete from "It's; drop"."T ""x""#];
const NEVER: &[&str] = &["truncate t", "create table public.mine (a int)"];

#[tokio::test]
async fn d28_a_permission_covers_what_is_there_and_what_the_owner_makes_later() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, named) = with_named();
        converge(&cluster, &wanted(&[&one])).await;
        let owner = one.connect(&cluster.socket_dir).await.unwrap();
        let other = named.connect(&cluster.socket_dir).await.unwrap();
        done(
            &owner,
            &[
                "create table t (a serial, b int)",
                "create view v as select * from t",
                r#"create schema "It's; drop""#,
                r#"create table "It's; drop"."T ""x" (a int)"#,
                "create extension hstore",
                // Nothing of a tenant's is called, and nothing that it sets is heeded.
                "create schema evil",
                "create function evil.to_regclass(text) returns regclass language plpgsql \
                 as 'begin raise exception ''evil''; end'",
                "alter database d_one set search_path = evil, public, pg_catalog",
                // It owns a thing itself, which is not touched.
                "grant create on schema evil to u_named",
            ],
        )
        .await;
        refused(&other, READ).await;

        permit(&mut one, Permission::Readonly);
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 1);
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0, "and it is done");
        done(&other, READ).await;
        refused(&other, WRITE).await;
        refused(&other, NEVER).await;
        refused(&other, &["select nextval('t_a_seq')", "create table evil.more (a int)"]).await;
        done(
            &owner,
            &["create table later (a int)", "create schema s", "create table s.u (a serial)"],
        )
        .await;
        done(&other, &["select * from later", "select * from s.u"]).await;
        refused(&other, &["insert into later values (1)", "insert into s.u values (1)"]).await;

        permit(&mut one, Permission::Readwrite);
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 1);
        done(&other, READ).await;
        done(&other, WRITE).await;
        refused(&other, NEVER).await;
        done(&owner, &["create table s.last (a serial)"]).await;
        done(&other, &["insert into s.u default values", "insert into s.last default values"])
            .await;

        done(
            &owner,
            &["grant create, usage on schema evil to u_named", "grant truncate on t to u_named"],
        )
        .await;
        done(&other, &["create table evil.own (a int)", "truncate t"]).await;
        permit(&mut one, Permission::Readonly);
        converge(&cluster, &wanted(&[&one])).await;
        done(&other, READ).await;
        done(&other, &["select * from s.last", "insert into evil.own values (1)"]).await;
        refused(&other, WRITE).await;
        refused(&other, NEVER).await;
        refused(&other, &["insert into s.last default values"]).await;

        permit(&mut one, Permission::None);
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 1);
        refused(&other, READ).await;
        refused(&other, &["select * from s.last"]).await;
        assert_eq!(left(&cluster, &one).await, "0 0 0");
        done(&owner, &["grant select on t to u_named"]).await;
        assert_eq!(converge(&cluster, &wanted(&[&one])).await.tasks, 0);
        done(&other, &["select * from t"]).await;
    }
}

#[tokio::test]
async fn d28_d25_a_permission_is_kept_by_rotations_and_given_again_after_a_reset() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, named) = with_named();
        permit(&mut one, Permission::Readwrite);
        let mut databases = Databases::open(&cluster).await.unwrap();
        // What all else is known to be as it is wanted is not looked at.
        databases.converge(&BTreeMap::new(), Look::Everything).await.unwrap();
        let made = databases.converge(&wanted(&[&one]), Look::Differences).await.unwrap();
        assert_eq!((made.errors, made.tasks), (Vec::new(), 2));
        done(&one.connect(&cluster.socket_dir).await.unwrap(), &["create table t (a serial)"])
            .await;
        let other = named.connect(&cluster.socket_dir).await.unwrap();
        done(&other, &["insert into t default values"]).await;

        // Both get other names at once.
        let (mut two, mut next) = (Tenant::new("two"), Tenant::new("next"));
        (two.name, next.name) = (one.name.clone(), one.name.clone());
        let [own, others] = &one.spec.credentials[..] else { unreachable!("it has two") };
        let former = |one: &CredentialSpec| CredentialSpec {
            of: CredentialOf::Former,
            permission: Permission::None,
            ..one.clone()
        };
        two.spec.credentials[0].was = vec![own.role.clone()];
        two.spec.credentials.push(CredentialSpec {
            was: vec![others.role.clone()],
            permission: Permission::Readwrite,
            ..next.spec.credentials[0].clone()
        });
        two.spec.credentials.extend([former(own), former(others)]);
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 1);
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 0);
        let owner = two.connect(&cluster.socket_dir).await.unwrap();
        done(&owner, &["create table u (a serial)"]).await;
        let old = named.connect(&cluster.socket_dir).await.unwrap();
        let new = next.connect(&cluster.socket_dir).await.unwrap();
        for session in [&other, &old, &new] {
            done(session, &["insert into t default values", "insert into u default values"]).await;
        }
        two.spec.credentials.truncate(2);
        two.spec.incarnation = Incarnation(2);
        // The new database, what may be done in it, and two former logins.
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 4);
        assert_eq!(converge(&cluster, &wanted(&[&two])).await.tasks, 0);
        let owner = two.connect(&cluster.socket_dir).await.unwrap();
        done(&owner, &["create table again (a serial)"]).await;
        let new = next.connect(&cluster.socket_dir).await.unwrap();
        done(&new, &["insert into again default values"]).await;
        // A credential that ends leaves nothing.
        two.spec.credentials.pop();
        converge(&cluster, &wanted(&[&two])).await;
        let records = platform(&cluster).await.rows("select from howdah.permissions", &[]).await;
        assert_eq!(records.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn what_was_given_before_a_crash_can_be_taken_back_and_a_busy_table_is_told() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, named) = with_named();
        converge(&cluster, &wanted(&[&one])).await;
        let owner = one.connect(&cluster.socket_dir).await.unwrap();
        done(&owner, &["create table t (a int)", "create table u (a int)"]).await;
        for nth in QUESTIONS.. {
            let dir = cluster.socket_dir.join(format!("cut-{nth}"));
            let cutter = Cutter::new(&cluster.socket_dir, dir, nth);
            let through = Cluster { socket_dir: cutter.socket_dir.clone(), ..cluster.clone() };
            let mut databases = Databases::open(&through).await.unwrap();
            permit(&mut one, Permission::Readonly);
            let report = databases.converge(&wanted(&[&one]), Look::Everything).await;
            drop(databases);
            permit(&mut one, Permission::None);
            converge(&cluster, &wanted(&[&one])).await;
            assert_eq!(left(&cluster, &one).await, "0 0 0", "cut at {nth}");
            if !cutter.has_cut() {
                assert_eq!(report.unwrap().errors, [""; 0]);
                assert!(nth > QUESTIONS + 6, "what is given was cut");
                break;
            }
        }

        // One table is being changed by a session that takes its time: the others have it at once.
        permit(&mut one, Permission::Readonly);
        done(&owner, &["begin", "alter table t add b int"]).await;
        let mut databases = Databases::open(&cluster).await.unwrap();
        let report = databases.converge(&wanted(&[&one]), Look::Everything).await.unwrap();
        assert!(report.errors[0].contains("are being changed by others"), "{:?}", report.errors);
        let other = named.connect(&cluster.socket_dir).await.unwrap();
        done(&other, &["select * from u"]).await;
        done(&owner, &["commit"]).await;
        let report = databases.converge(&wanted(&[&one]), Look::Differences).await.unwrap();
        assert_eq!((report.errors, report.tasks), (Vec::new(), 1));
        done(&other, &["select * from t"]).await;
    }
}
