//! pg:import and pg:import:verify: the source is a real PostgreSQL, and so is the target; that the
//! platform copies is prepared.

use super::backups::transfer;
use super::server::Server;
use super::*;

const SHOP: &str = r#"
create type mood as enum ('good', 'bad');
create schema "odd; schema";
create table items (id bigint generated always as identity primary key, name text, m mood,
  price numeric(10, 2), at timestamptz default '2026-01-02 03:04:05+02', f float8, j jsonb, b bytea);
insert into items (name, m, price, f, j, b)
  select 'item ' || n, 'good', n / 7.0, n / 3.0, jsonb_build_object('n', n), decode(md5(n::text), 'hex')
  from generate_series(1, 3000) n;
create table "odd; schema"."Tab	""le" (t text);
insert into "odd; schema"."Tab	""le" values (E'a\tb\nc');
create unlogged table cache (x int);
create view cheap as select * from items where price < 10;
create materialized view dear as select * from items where price > 10;
create function half(n int) returns int language sql as 'select n / 2';
select lo_from_bytea(0, '\x00ff');
create schema _heroku;
create table _heroku.secret (a int);
create function _heroku.validate() returns event_trigger language plpgsql as 'begin end';
create event trigger validate_extension on ddl_command_end execute function _heroku.validate();
create function on_ddl() returns event_trigger language plpgsql as 'begin end';
create event trigger on_ddl on ddl_command_end execute function on_ddl();
"#;

fn prepared() -> (Server, Platform, String) {
    let server = Server::start();
    server.sql("postgres", "create database shop");
    server.sql("shop", SHOP);
    server.sql("postgres", "create database copy template shop");
    server.sql("postgres", "create role reader login password 'p2'");
    let url = |name: &str| format!("postgres://u1:p1@127.0.0.1:{}/{name}", server.port);
    let copied = transfer(5, "pg_dump", "pg_restore");
    let platform = Platform::with(&[
        (
            "GET /apps/demo/addon-attachments",
            200,
            json!([attachment("HEROKU_POSTGRESQL_RED", RED)]),
        ),
        ("GET /apps/demo/config-vars", 200, json!({ "HEROKU_POSTGRESQL_RED_URL": url("copy") })),
        ("POST /client/v11/databases/id-postgresql-wise-22222/transfers", 201, copied.clone()),
        ("GET /client/v11/apps/demo/transfers/uuid-5", 200, copied),
    ]);
    let source = url("shop");
    (server, platform, source)
}

/// What is said of a port, a version, a size, or of rows by who counts them, differs each time.
fn steady(server: &Server, told: &str) -> String {
    let told = told.replace(&server.port.to_string(), "PORT");
    let differs =
        |line: &str| ["PG Version", "Data Size", "Rows"].map(|label| line.starts_with(label));
    let lines = told.lines().filter(|line| !differs(line).contains(&true));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn h24_h27_a_database_is_looked_at_copied_and_compared() {
    let (server, platform, source) = prepared();
    let told = platform.howdah(&format!("pg:import {source} --into red -a demo --check"));
    insta::assert_snapshot!(steady(&server, &told), @r#"
    $ howdah pg:import postgres://u1:p1@127.0.0.1:PORT/shop --into red -a demo --check
    === database shop on 127.0.0.1:PORT

    Tables:         3 in 2 schemas
    Large Objects:  1
    Extensions:     plpgsql
    Encoding:       UTF8, sorted as C
    Writable:       yes

    WARNING: Event triggers stay behind, as only superusers make them: on_ddl
    WARNING: It can still be written to: what is written after the copy has begun will be missing. Stop its app, or ALTER DATABASE … SET default_transaction_read_only = on
    note: Unlogged tables are empty after a crash and on followers: public.cache
    note: Large objects are copied too: 1
    note: No primary key or replica identity: 2 tables ("odd; schema"."Tab	""le", public.cache) (a dump does not need one, replication does)
    2> Looking at database shop on 127.0.0.1:PORT... done
    exit 0
    "#);
    assert!(platform.changes().is_empty());
    let told = platform.howdah(&format!("pg:import {source} --into red -a demo --confirm demo"));
    insta::assert_snapshot!(steady(&server, &told), @r#"
    $ howdah pg:import postgres://u1:p1@127.0.0.1:PORT/shop --into red -a demo --confirm demo
    Tables:         4 with 5931 equal rows
    Sequences:      1
    Other objects:  18
    Differences:    0
    2> Looking at database shop on 127.0.0.1:PORT... done
    2>  !    WARNING: Event triggers stay behind, as only superusers make them: on_ddl
    2>  !    WARNING: It can still be written to: what is written after the copy has begun will be missing. Stop its app, or ALTER DATABASE … SET default_transaction_read_only = on
    2>  !    note: Unlogged tables are empty after a crash and on followers: public.cache
    2>  !    note: Large objects are copied too: 1
    2>  !    note: No primary key or replica identity: 2 tables ("odd; schema"."Tab	""le", public.cache) (a dump does not need one, replication does)
    2> Starting copy of database shop on 127.0.0.1:PORT to HEROKU_POSTGRESQL_RED_URL... done
    2> Copying... done
    2> Comparing both sides... equal
    2>  !    WARNING: the source can still be written to; what is written there is not in the copy.
    2> Next, when it is right: `howdah pg:promote HEROKU_POSTGRESQL_RED_URL -a demo`
    exit 0
    "#);
    let asked = platform.changes().join("\n");
    assert!(asked.contains(&format!("\"from_url\":\"{source}\"")), "{asked}");

    // Whatever differs is named.
    server.sql("copy", "update items set name = 'x' where id = 7; delete from only \"odd; schema\".\"Tab\t\"\"le\"; \
                        drop view cheap; create table more (); drop function half; \
                        select lo_unlink(oid) from pg_largeobject_metadata; create table cheap ()");
    server.sql("shop", "alter table items alter name set not null; alter database shop set default_transaction_read_only = on");
    let told = platform.howdah(&format!("pg:import:verify {source} red -a demo"));
    insta::assert_snapshot!(steady(&server, &told), @r#"
    $ howdah pg:import:verify postgres://u1:p1@127.0.0.1:PORT/shop red -a demo
    Tables:         4 with 2930 equal rows
    Sequences:      1
    Other objects:  15
    Differences:    9
    column public.items.name text not null is missing in the target
    function public.half(integer) is missing in the target
    view public.cheap is missing in the target
    column public.items.name text is only in the target
    table public.cheap is only in the target
    table public.more is only in the target
    table "odd; schema"."Tab	""le" has 1 rows in the source and 0 in the target
    table public.items has 3000 rows on both sides, with other content
    large objects are 1 in the source and 0 in the target
    2> Comparing both sides... different
    2>  !    The source and HEROKU_POSTGRESQL_RED_URL differ
    2>  !    hint: compare again: `howdah pg:import:verify SOURCE HEROKU_POSTGRESQL_RED_URL -a demo`
    exit 1
    "#);
}

#[test]
fn h24_what_cannot_be_moved_is_refused_before_anything_is_made() {
    let (_server, platform, source) = prepared();
    let reader = source.replace("u1:p1", "reader:p2");
    let told = platform.howdah(&format!("pg:import {reader} --plan standard-0 -a demo"));
    assert!(
        told.contains("You may not read all rows of 5 tables") && told.ends_with("exit 6"),
        "{told}"
    );
    let wrong = source.replace("p1@", "s3cret@");
    let told = platform.howdah(&format!("pg:import {wrong} --plan standard-0 -a demo"));
    let (_, told) = told.split_once('\n').expect("lines");
    assert!(told.contains("password authentication failed") && !told.contains("s3cret"), "{told}");
    for (line, exit) in [
        (format!("pg:import {source} -a demo"), "exit 2"),
        (format!("pg:import {source} --plan none -a demo"), "exit 3"),
        ("pg:import mydb --into red -a demo".to_owned(), "exit 2"),
        (format!("pg:import {source} --into red -a demo --no-input"), "exit 5"),
    ] {
        assert!(platform.howdah(&line).ends_with(exit), "{line}");
    }
    assert!(platform.changes().is_empty());
    // The password need not be in the URL.
    let bare = source.replace("u1:p1@", "u1@");
    let line = format!("pg:verify {bare} red -a demo --json");
    let told = platform.call(&line, "", &[("PGPASSWORD", "p1")]);
    assert!(told.contains("\"differences\": []") && told.ends_with("exit 0"), "{told}");
    assert!(!told.contains("p1"), "{told}");
}
