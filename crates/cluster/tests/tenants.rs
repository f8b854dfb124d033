//! What a tenant can do and cannot do, on servers of every installed major.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use howdah_cluster::databases::{Databases, Look, Wanted};
use howdah_cluster::{Cluster, RunAs, StopMode, installed, settings};
use howdah_model::agent::Installed;
use howdah_model::extension::EXTENSIONS;
use howdah_model::version::Major;
use howdah_testkit::clusters::{Home, Session, Tenant, majors};

/// A server with two tenants, and a session of the first.
async fn two_tenants(cluster: &Cluster) -> (Tenant, Tenant, Session) {
    let (one, two) = (Tenant::new("one"), Tenant::new("two"));
    let both = [&one, &two].map(|tenant| (tenant.name.clone(), tenant.spec.clone()));
    let mut databases = Databases::open(cluster).await.unwrap();
    let report = databases.converge(&Wanted::from(both), Look::Everything).await.unwrap();
    assert_eq!(report.errors, [""; 0]);
    let session = one.connect(&cluster.socket_dir).await.unwrap();
    (one, two, session)
}

fn program(cluster: &Cluster, name: &str, tenant: &Tenant) -> Command {
    let mut command = Command::new(cluster.installed.bindir.join(name));
    command
        .env("PGHOST", &cluster.socket_dir)
        .env("PGUSER", tenant.spec.owner.as_str())
        .env("PGDATABASE", tenant.name.as_str())
        .env("PGPASSWORD", &tenant.password)
        .stdin(Stdio::null());
    command
}

#[tokio::test]
async fn m2_a_tenant_has_all_rights_on_what_it_makes_and_no_other_rights() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (_, _, session) = two_tenants(&cluster).await;
        for allowed in [
            "create schema s; create table s.t (x int primary key); create table s.u (x int references s.t)",
            "insert into s.t values (1); update s.t set x = 2; delete from s.t; truncate s.t, s.u",
            "create function s.f() returns trigger language plpgsql as $$ begin return new;end $$",
            "create trigger g before insert on s.t for each row execute function s.f()",
            "create temporary table x (y int); create index on s.u (x); vacuum full s.t",
            "create table public.p (x int); drop table public.p; drop schema s cascade",
            "alter database d_one set vacuum_cost_limit = 300; alter database d_one reset all",
            "alter role u_one set statement_timeout = '1h'",
        ] {
            for part in allowed.split("; ") {
                assert_eq!(session.ask(part).await, Ok(String::new()), "{part}");
            }
        }
        let rights = "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls \
             from pg_roles where rolname = current_user";
        assert_eq!(session.ask(rights).await.unwrap(), "f");
    }
}

#[tokio::test]
async fn m3_m4_m5_a_tenant_reaches_no_role_file_program_server_setting_or_other_tenant() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, two, session) = two_tenants(&cluster).await;
        let other = two.connect(&cluster.socket_dir).await.unwrap();
        let pid = other.ask("select pg_backend_pid()").await.unwrap();
        let end_other = format!("select pg_terminate_backend({pid})");
        for refused in [
            "create role x",
            "alter role u_two password 'x'",
            "alter role u_one createdb",
            "alter role u_one connection limit 100",
            "set role howdah",
            "set session authorization howdah",
            "grant pg_read_all_data to u_one",
            "copy (select 1) to '/tmp/x'",
            "copy (select 1) to program 'true'",
            "create temporary table s (line text); copy s from '/etc/passwd'",
            "alter system set work_mem = '1GB'",
            "select pg_read_file('postgresql.conf')",
            "select pg_ls_dir('.')",
            "select lo_import('/etc/passwd')",
            "select pg_reload_conf()",
            "set extwlist.extensions = 'file_fdw'",
            "set shared_preload_libraries = ''",
            "set session_replication_role = replica",
            "load 'pg_stat_statements'",
            "create function f() returns int language c as '$libdir/pgcrypto', 'x'",
            "create database x",
            "alter database d_one rename to d_mine",
            "drop database d_one",
            "drop database d_two",
            "alter database d_two set work_mem = '1MB'",
            "create event trigger e on ddl_command_end execute function howdah_extension_guard()",
            "drop event trigger howdah_extension_guard",
            "drop extension plpgsql cascade",
            "drop function pg_catalog.howdah_extension_guard() cascade",
            "alter event trigger howdah_extension_guard disable",
            "select rolpassword from pg_authid",
            &end_other,
        ] {
            let error = session.ask(refused).await.expect_err(refused);
            let codes = ["42501", "42704", "55P02", "55006", "0A000", "2BP01"];
            assert!(codes.iter().any(|code| error.starts_with(code)), "{refused}: {error}");
        }
        for database in ["postgres", "template1", "template0", "d_two"] {
            assert!(one.connect_to(&cluster.socket_dir, database).await.is_err(), "{database}");
        }
        other.ask("select 1").await.unwrap();
    }
}

#[tokio::test]
async fn j1_j3_j4_listed_extensions_are_created_and_no_others_whatever_their_trust() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (_, _, session) = two_tenants(&cluster).await;
        let there = |name: &str| installed::has_extension(&major, name);
        let offered = |name: &str| there(name) && safe(name, &major);
        assert!(installed::has_library(&major, "pgextwlist"), "script/setup installs it");
        let wanted: Vec<_> =
            EXTENSIONS.iter().map(|one| one.name).filter(|one| offered(one)).collect();
        for setting in ["extwlist.extensions", "rds.allowed_extensions"] {
            let shown = session.ask(&format!("show {setting}")).await.unwrap();
            assert_eq!(shown.split(',').collect::<Vec<_>>(), wanted);
        }
        assert_eq!(
            session
                .ask("select string_agg(extname, ' ' order by oid) from pg_extension")
                .await
                .unwrap(),
            "plpgsql pg_stat_statements"
        );
        for name in &wanted {
            let create = format!("create extension if not exists \"{name}\" cascade");
            assert_eq!(session.ask(&create).await, Ok(String::new()), "{name}");
        }
        assert_eq!(
            session.ask("select usesuper from pg_user where usename = current_user").await.unwrap(),
            "f"
        );
        // `lo`, `seg` and `tcn` are trusted: PostgreSQL itself would let the owner create them.
        for name in [
            "lo",
            "seg",
            "tcn",
            "btree_gin",
            "file_fdw",
            "pageinspect",
            "pg_buffercache",
            "amcheck",
        ] {
            assert!(there(name), "{name}");
            let error = session.ask(&format!("create extension {name}")).await.expect_err(name);
            assert!(error.starts_with("42501"), "{error}");
        }
        // A restore of the tenant's own puts comments right, where PostgreSQL's owners could.
        for name in ["citext", "hstore", "cube", "uuid-ossp", "pg_stat_statements"] {
            let comment = format!("comment on extension \"{name}\" is 'mine'");
            assert_eq!(session.ask(&comment).await, Ok(String::new()), "{name}");
        }
        session.ask("drop extension earthdistance, cube").await.unwrap();
        if safe("postgres_fdw", &major) {
            session
                .ask("create server s foreign data wrapper postgres_fdw options (host '/x')")
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn i28_a_tenant_counts_its_statements_and_begins_anew_without_touching_its_neighbours() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (_, two, session) = two_tenants(&cluster).await;
        let other = two.connect(&cluster.socket_dir).await.unwrap();
        let counted = async |session: &Session, mark: &str| {
            let count = format!("select count(*) from pg_stat_statements where query ~ '{mark}'");
            session.ask(&count).await.unwrap()
        };
        let reset = async |schema: &str| {
            session.ask(&format!("select {schema}.pg_stat_statements_reset()")).await
        };
        let again = "drop extension pg_stat_statements; create schema mine; \
                     create extension pg_stat_statements schema mine; set search_path = mine";
        for (schema, move_it) in [("public", ""), ("_heroku", ""), ("mine", again), ("_heroku", "")]
        {
            for statement in move_it.split("; ").filter(|one| !one.is_empty()) {
                assert_eq!(session.ask(statement).await, Ok(String::new()), "{statement}");
            }
            session.ask("select 1 as marked_one").await.unwrap();
            other.ask("select 1 as marked_two").await.unwrap();
            assert_eq!(counted(&session, "marked_one").await, "1", "{schema}");
            assert!(reset(schema).await.is_ok(), "{schema}");
            assert_eq!(counted(&session, "marked_one").await, "0", "{schema}");
            assert_eq!(counted(&other, "marked_two").await, "1", "the neighbour's stay");
            assert_eq!(counted(&session, "marked_two").await, "0", "and are not read");
        }
        // Whatever is asked for, the neighbours' counts stay.
        other.ask("select 1 as marked_two").await.unwrap();
        session.ask("select pg_stat_statements_reset(0, 0, 0)").await.unwrap();
        let all = "select pg_stat_statements_reset((select oid from pg_roles where rolname = 'u_two'), (select oid from pg_database where datname = 'd_two'), 0)";
        session.ask(all).await.unwrap();
        assert_ne!(counted(&other, "marked_two").await, "0");
        let extra = if major.version.major.0 >= 17 { ", false" } else { "" };
        let real = format!("select pg_catalog.howdah_statements_reset(0, 0, 0{extra})");
        for refused in [
            real.as_str(),
            "select pg_catalog.howdah_tame_statements()",
            "create or replace function _heroku.pg_stat_statements_reset() returns void language sql as ''",
            "alter function mine.pg_stat_statements_reset owner to u_one",
            "alter extension pg_stat_statements drop function mine.pg_stat_statements_reset",
            "create table _heroku.t (a int)",
            "drop schema _heroku cascade",
            "drop function _heroku.pg_stat_statements_reset() cascade",
        ] {
            let error = session.ask(refused).await.expect_err(refused);
            let codes = ["42501", "2BP01"];
            assert!(codes.iter().any(|code| error.starts_with(code)), "{refused}: {error}");
        }
        // Functions of the tenant's own with better fitting arguments are not taken for it.
        session.ask("create function public.howdah_statements_reset(oid, oid, int) returns void language plpgsql as $$ begin raise 'run as %', current_user; end $$").await.unwrap();
        assert_eq!(reset("_heroku").await, Ok(String::new()));
    }
}

/// Whether tenants have it on a server that this test runs.
fn safe(name: &str, major: &Installed) -> bool {
    settings::is_safe(name, major.version.major, RunAs::is_someone_else())
}

#[test]
fn j1_what_connects_from_inside_is_withheld_where_it_could_reach_the_platform() {
    let safe = |name, major, apart| settings::is_safe(name, Major(major), apart);
    assert!(safe("dblink", 17, true) && safe("postgres_fdw", 18, true));
    assert!(!safe("dblink", 18, true), "libpq 18 writes to a file that its caller names");
    for name in ["dblink", "postgres_fdw"] {
        assert!(!safe(name, 15, false), "{name}: `peer` cannot tell it from the platform");
    }
    assert!(safe("hstore", 18, false));
}

/// A tenant that manages to put a file into the data directory does not decide how the server
/// starts.
#[tokio::test]
async fn stray_files_in_the_data_directory_do_not_decide_how_a_server_starts() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    let (one, _, session) = two_tenants(&cluster).await;
    drop(session);
    cluster.stop(StopMode::Fast, Duration::from_secs(20)).await.unwrap();
    for (name, text) in [("standby.signal", ""), ("postgresql.auto.conf", "port = 1\n")] {
        std::fs::write(cluster.data.join(name), text).unwrap();
    }
    cluster.start(Duration::from_secs(20)).await.unwrap();
    let session = one.connect(&cluster.socket_dir).await.unwrap();
    assert_eq!(session.ask("select pg_is_in_recovery()").await, Ok("f".to_owned()));
}

#[tokio::test]
async fn j25_a_tenant_cannot_come_in_as_the_platform_from_inside() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (_, _, session) = two_tenants(&cluster).await;
        let created = session.ask("create extension dblink").await;
        assert_eq!(created.is_ok(), safe("dblink", &major), "{created:?}");
        if created.is_err() {
            continue;
        }
        let standby = "howdah_replication replication=true";
        for user in ["howdah", "postgres", "u_two", "howdah_replication", standby] {
            let host = cluster.socket_dir.display();
            let connect =
                format!("select dblink_connect('host={host} dbname=postgres user={user}')");
            assert!(session.ask(&connect).await.is_err(), "{user}");
            let with = format!(
                "select dblink_connect('host={host} dbname=postgres user={user} password=x')"
            );
            assert!(session.ask(&with).await.is_err(), "{user}");
        }
    }
}

#[tokio::test]
async fn a_dump_has_nothing_of_the_platform_in_it() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, _, session) = two_tenants(&cluster).await;
        session.ask("create table t (x int)").await.unwrap();
        let dump = program(&cluster, "pg_dump", &one).output().unwrap();
        let text = String::from_utf8(dump.stdout).unwrap();
        assert!(dump.status.success() && text.contains("CREATE TABLE public.t"), "{text}");
        for foreign in ["howdah", "EVENT TRIGGER", "CREATE EXTENSION"] {
            assert!(!text.contains(foreign), "{foreign}: {text}");
        }
    }
}

#[tokio::test]
async fn m7_the_acceptance_tests_of_the_extensions_chapter_pass_for_a_tenant() {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance_ch8.sql");
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, _, _) = two_tenants(&cluster).await;
        let mut psql = program(&cluster, "psql", &one);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&script);
        if !installed::has_extension(&major, "uuid-ossp") {
            psql.args(["-v", "skip_uuid=1"]);
        }
        let output = psql.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "PostgreSQL {}: {said}", major.version);
    }
}

#[tokio::test]
async fn where_pgextwlist_is_missing_only_trusted_extensions_of_the_list_can_be_created() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    let (one, _, _) = two_tenants(&cluster).await;
    // As on a machine without the library: the server does not load it.
    let conf = cluster.data.join("postgresql.conf");
    let text = std::fs::read_to_string(&conf).unwrap().replace(",pgextwlist", "");
    std::fs::write(&conf, text).unwrap();
    cluster.stop(StopMode::Fast, Duration::from_secs(20)).await.unwrap();
    cluster.start(Duration::from_secs(20)).await.unwrap();
    let session = one.connect(&cluster.socket_dir).await.unwrap();
    assert_eq!(session.ask("create extension hstore").await, Ok(String::new()));
    for name in ["lo", "dblink", "pageinspect"] {
        let error = session.ask(&format!("create extension {name}")).await.expect_err(name);
        assert!(error.starts_with("42501"), "{error}");
    }
}
