//! pg:push and pg:pull between two databases of a real PostgreSQL: one that is the person's, and one
//! of a tenant that may do little.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::server::Server;
use super::*;

/// A database with several schemas, odd names, and what a tenant may not make.
const MINE: &str = r#"
create extension pg_stat_statements;
create schema "odd; schema";
create table places (id int primary key, name text not null, at timestamptz default now());
insert into places select n, 'place ' || n from generate_series(1, 2000) n;
create table logs (line text);
insert into logs select repeat('x', n) from generate_series(1, 50) n;
create table "odd; schema"."Tab ""le" ("a b" jsonb);
insert into "odd; schema"."Tab ""le" values ('{"a": [1, "\u00e4"]}');
comment on table places is 'kept';
create view big as select * from places where id > 1000;
select lo_from_bytea(4711, '\x00ff');
create function public.on_ddl() returns event_trigger language plpgsql as 'begin end';
create event trigger on_ddl on ddl_command_end execute function public.on_ddl();
"#;

const SUMS: &str = r#"
select (select count(*) || ' ' || sum(hashtextextended(p::text, 0)) from places p)
|| ' ' || (select string_agg(t::text, ',') from "odd; schema"."Tab ""le" t)
|| ' ' || (select count(*) from big) || ' ' || obj_description('places'::regclass)
|| ' ' || encode(lo_get(4711), 'hex')"#;

/// A server on which a person is `u1`, and a platform with two databases of a tenant's there.
fn prepared() -> (Server, Platform) {
    let server = Server::start();
    server.sql("postgres", "create role tenant login password 't3nant-s3cret'");
    for name in ["d1", "d2"] {
        server.sql("postgres", &format!("create database {name} owner tenant"));
        server.sql(name, "create extension pg_stat_statements");
    }
    server.sql("postgres", "create database mine");
    server.sql("mine", MINE);
    let url =
        |name: &str| format!("postgres://tenant:t3nant-s3cret@127.0.0.1:{}/{name}", server.port);
    let platform = Platform::with(&[
        (
            "GET /apps/demo/addon-attachments",
            200,
            json!([attachment("DATABASE", GOLD), attachment("HEROKU_POSTGRESQL_RED", RED)]),
        ),
        (
            "GET /apps/demo/config-vars",
            200,
            json!({ "DATABASE_URL": url("d1"), "HEROKU_POSTGRESQL_RED_URL": url("d2") }),
        ),
    ]);
    (server, platform)
}

/// One call of a person whose own server is this one.
fn mine(server: &Server, platform: &Platform, line: &str) -> String {
    let port = server.port.to_string();
    let variables = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGUSER", "u1"),
        ("PGPASSWORD", "p1"),
    ];
    platform.call(line, "", &variables)
}

#[test]
fn d11_d18_a_database_goes_there_and_back_and_nothing_is_ever_overwritten() {
    let (server, platform) = prepared();
    let told = mine(&server, &platform, "pg:push mine DATABASE_URL -a demo");
    assert!(told.contains("2> Pushing mine to DATABASE_URL... done, "), "{told}");
    assert!(told.contains("left out: event trigger on_ddl"), "{told}");
    assert!(!told.contains("differ") && told.ends_with("exit 0"), "{told}");
    let sums = server.sql("mine", SUMS);
    assert_eq!(server.sql("d1", SUMS), sums);
    let owner = "select distinct tableowner from pg_tables where schemaname !~ '^(pg_|inf)'";
    assert_eq!(server.sql("d1", owner), "tenant");
    // D14: the other database was not touched.
    assert_eq!(server.sql("d2", "select count(*) from pg_tables where schemaname = 'public'"), "0");

    let told = mine(&server, &platform, "pg:push mine DATABASE_URL -a demo");
    insta::assert_snapshot!(told, @r"
    $ howdah pg:push mine DATABASE_URL -a demo
    2>  !    Remote database is not empty.
    2>  !    Please create a new database, or use `howdah pg:reset`
    2>  !    hint: to empty it: `howdah pg:reset DATABASE_URL -a demo`
    exit 6
    ");
    // D12: a relation in any schema counts, rows or not.
    server.sql("d2", "create schema apart; create table apart.empty ()");
    assert!(mine(&server, &platform, "pg:push mine red -a demo").ends_with("exit 6"));
    server.sql("d2", "drop schema apart cascade");
    let line = "pg:push mine red -a demo --exclude-table-data=logs;places";
    assert!(mine(&server, &platform, line).ends_with("exit 0"));
    let counts = "select (select count(*) from logs) + (select count(*) from places)";
    assert_eq!(server.sql("d2", counts), "0");

    let told = mine(&server, &platform, "pg:pull DATABASE_URL copy -a demo --json=bytes,left_out");
    assert!(told.contains("\"left_out\": []") && told.ends_with("exit 0"), "{told}");
    assert_eq!(server.sql("copy", SUMS), sums);
    let told = mine(&server, &platform, "pg:pull DATABASE_URL copy -a demo");
    insta::assert_snapshot!(told, @r#"
    $ howdah pg:pull DATABASE_URL copy -a demo
    2>  !    createdb: error: database creation failed: ERROR:  database "copy" already exists
    2>  !    Please drop the local database (`dropdb copy`) and try again.
    exit 6
    "#);
    let url = format!("postgres://u1:p1@127.0.0.1:{}/copy", server.port);
    let told = mine(&server, &platform, &format!("pg:pull DATABASE_URL {url} -a demo"));
    assert!(told.contains("is not empty") && told.ends_with("exit 6"), "{told}");
    server.sql("postgres", "create database other template template0");
    let url = url.replace("/copy", "/other");
    let line = format!("pg:pull DATABASE_URL {url} -a demo --exclude-table-data logs");
    assert!(mine(&server, &platform, &line).ends_with("exit 0"));
    assert_eq!(server.sql("other", SUMS), sums);
    assert_eq!(server.sql("other", "select count(*) from logs"), "0");
}

#[test]
fn d13_d15_what_stands_in_the_way_is_told() {
    let (server, platform) = prepared();
    let port = server.port.to_string();
    let without =
        [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", "u1"), ("HOME", "/")];
    let told = platform.call("pg:push mine DATABASE_URL -a demo", "", &without);
    insta::assert_snapshot!(told, @r"
    $ howdah pg:push mine DATABASE_URL -a demo
    2>  !    mine wants a password, and there is nobody to ask: set PGPASSWORD
    exit 4
    ");
    let told = mine(&server, &platform, "pg:push nothing DATABASE_URL -a demo");
    assert!(told.contains("database \"nothing\" does not exist"), "{told}");
    // What needs an extension that is not there is missing, and that is told.
    server.sql(
        "mine",
        "create extension dblink; create table f (a text default dblink_error_message('x'))",
    );
    let told = mine(&server, &platform, "pg:push mine DATABASE_URL -a demo");
    assert!(told.contains("dblink_error_message") && told.ends_with("exit 1"), "{told}");
    assert!(told.contains("howdah pg:reset DATABASE_URL -a demo"), "{told}");
    // Nobody can read this table: the dump fails, and that is the reason that is told.
    server.sql(
        "d2",
        "create table locked (a int); alter table locked owner to u1; \
                      revoke all on locked from public",
    );
    let told = mine(&server, &platform, "pg:pull red theirs -a demo");
    assert!(told.contains("permission denied for table locked"), "{told}");
    assert!(told.contains("theirs is not complete") && told.ends_with("exit 1"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

/// What the processes of this machine were started with that have this word among their own.
fn command_lines(word: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let text = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    text.filter(|line| line.contains(word)).collect()
}

#[test]
fn d13_a_password_is_asked_for_and_is_in_no_list_of_processes() {
    let (server, platform) = prepared();
    let port = server.port.to_string();
    let mut holder = server.psql("mine");
    holder
        .env("PGAPPNAME", "holder")
        .args(["-c", "begin; lock table places; select pg_sleep(600)"]);
    let mut holder = holder.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql runs");
    let until = |count: &str, sql: &str| {
        let until = Instant::now() + Duration::from_secs(30);
        while server.sql("mine", sql) != count {
            assert!(Instant::now() < until, "it is never {count}: {sql}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    };
    until("1", "select count(*) from pg_locks where relation = 'places'::regclass and granted");
    let said = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let variables = [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", "u1")];
            platform.typed("pg:push mine DATABASE_URL -a demo", "p1\n", &variables)
        });
        until("1", "select count(*) from pg_locks where not granted");
        assert!(!command_lines("pg_dump").is_empty(), "pg_dump does not run");
        let shown = command_lines("t3nant-s3cret");
        server.sql("mine", "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'holder'");
        assert!(shown.is_empty(), "{shown:?}");
        pushing.join().expect("it ends")
    });
    holder.wait().expect("psql ends");
    assert!(said.starts_with("Password for mine: "), "{said}");
    assert!(said.contains("... done, ") && said.ends_with("Code(0)"), "{said}");
}
