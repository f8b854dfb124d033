//! The figures of a database, on a real PostgreSQL of every version: nothing in it, much in it, and
//! locks that are held.

use super::psql::{Server, pid};
use super::*;

/// Each command and its columns, in their order (I31–I38).
const COLUMNS: &[(&str, &str)] = &[
    ("bloat", "type schemaname object_name bloat waste"),
    (
        "blocking",
        "blocked_pid blocking_statement blocking_duration blocking_pid blocked_statement \
         blocked_duration",
    ),
    ("cache-hit", "name ratio"),
    ("calls", "total_exec_time prop_exec_time ncalls sync_io_time query"),
    ("calls -t", "total_exec_time prop_exec_time ncalls sync_io_time query"),
    ("extensions", "name default_version installed_version comment"),
    ("index-size", "name size"),
    ("index-usage", "relname percent_of_times_index_used rows_in_table"),
    ("locks", "pid relname transactionid granted query_snippet age"),
    ("long-running-queries", "pid duration query"),
    ("mandelbrot", "mandelbrot"),
    ("outliers", "total_exec_time prop_exec_time ncalls sync_io_time query"),
    ("records-rank", "name estimated_count"),
    ("seq-scans", "name count"),
    ("table-indexes-size", "table index_size"),
    ("table-size", "name size"),
    ("total-index-size", "size"),
    ("total-table-size", "name size"),
    ("unused-indexes", "table index index_size index_scans"),
    ("user-connections", "credential connections"),
    (
        "vacuum-stats",
        "schema table last_vacuum last_autovacuum rowcount dead_rowcount autovacuum_threshold \
         expect_autovacuum",
    ),
];

/// Tables, indexes and rows of every kind, one table of them ten times too large (I31).
const LOAD: &str = "
create schema \"Odd one\"; create table \"Odd one\".\"Tab le\" (a int, \"B\" text);
create table bloated (id int primary key, a text) with (autovacuum_enabled = off);
insert into bloated select i, repeat('x', 50) from generate_series(1, 20000) i; analyze bloated;
update bloated set id = -id; update bloated set id = -id; update bloated set id = -id;
create table part (a int) partition by range (a);
create table part_1 partition of part for values from (0) to (10);
create index on bloated (lower(a)) where id > 5; create unlogged table u (a int);
create table vacuumed (a int) with (autovacuum_vacuum_threshold = 60,
  autovacuum_vacuum_scale_factor = 0.4, autovacuum_enabled = off);
insert into vacuumed select generate_series(1, 201); delete from vacuumed where a <= 101;
vacuum (index_cleanup off) part_1; create materialized view m as select 1 as a;
create view v as select a from bloated; insert into u values (1);
select pg_stat_force_next_flush()";

/// The columns of a table of psql's: the names in its second line.
fn columns(said: &str) -> Vec<&str> {
    said.lines().nth(1).unwrap_or_default().split('|').map(str::trim).collect()
}

fn rows(platform: &Platform, line: &str) -> Vec<Value> {
    let said = platform.howdah(&format!("pg:{line} -a demo --json"));
    let json = said.find('{').zip(said.rfind('}')).unwrap_or_else(|| panic!("{said}"));
    let all: Value = serde_json::from_str(&said[json.0..=json.1]).expect("JSON");
    all["data"].as_array().unwrap_or_else(|| panic!("{said}")).clone()
}

fn all_have_their_columns(platform: &Platform) {
    for (line, names) in COLUMNS {
        let said = platform.howdah(&format!("pg:{line} -a demo"));
        let expected: Vec<_> = names.split_whitespace().collect();
        assert_eq!(columns(&said), expected, "{said}");
        assert!(said.contains(" row") && said.ends_with("exit 0"), "{said}");
    }
}

fn all_say_the_same_as_json(platform: &Platform) {
    for (line, names) in COLUMNS.iter().filter(|(line, _)| *line != "mandelbrot") {
        for row in rows(platform, line) {
            let keys = row.as_object().expect("an object");
            assert!(names.split_whitespace().all(|name| keys.contains_key(name)), "{line}: {row}");
        }
    }
}

fn run(server: &Server, sql: &str) {
    let output = server.session("loader", sql).wait_with_output().expect("psql ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until a row of a command says something.
fn until(platform: &Platform, line: &str, says: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let all = rows(platform, line);
        if let Some(row) = all.iter().find(|row| says(row)) {
            return row.clone();
        }
        assert!(std::time::Instant::now() < end, "{line}: {all:?}");
    }
}

#[test]
fn d32_i31_i38_figures_have_the_books_columns_on_an_empty_and_on_a_loaded_database() {
    for installed in howdah_testkit::clusters::majors() {
        let server = Server::of(&installed);
        let platform = server.platform();
        let missing = platform.howdah("pg:outliers -a demo");
        assert!(missing.contains("create extension pg_stat_statements"), "{missing}");
        assert!(missing.ends_with("exit 1"), "{missing}");
        run(&server, "create schema s; create extension pg_stat_statements schema s");
        all_have_their_columns(&platform);

        for statement in LOAD.split(';') {
            run(&server, statement);
        }
        all_have_their_columns(&platform);
        all_say_the_same_as_json(&platform);
        let worst = &rows(&platform, "bloat")[0];
        assert_eq!((&worst["type"], &worst["object_name"]), (&"table".into(), &"bloated".into()));
        assert!(
            worst["bloat"].as_f64().is_some_and(|bloat| (2.0..6.0).contains(&bloat)),
            "{worst}"
        );
        let flushed = |row: &Value| row["table"] == "vacuumed" && row["dead_rowcount"] != "0";
        run(&server, "analyze vacuumed");
        let stats = until(&platform, "vacuum-stats", flushed);
        // I37: 60 + 0.4 * 100 is 100, and 101 are dead.
        let number = |name: &str| stats[name].as_str().expect("text").trim().to_owned();
        assert_eq!(
            (number("autovacuum_threshold"), number("dead_rowcount")),
            ("100".into(), "101".into())
        );
        assert_eq!(stats["expect_autovacuum"], Value::Null, "it is switched off for this table");
        run(&server, "alter table vacuumed reset (autovacuum_enabled)");

        assert!(!rows(&platform, "outliers -n 1").is_empty());
        assert_eq!(rows(&platform, "outliers -n 1").len(), 1);
        let said = platform.howdah("pg:outliers --reset -a demo");
        assert!(said.ends_with("exit 0"), "{said}");
        assert!(rows(&platform, "outliers").len() < 5, "{:?}", rows(&platform, "outliers"));
        let wrong = platform.howdah("pg:outliers -n few -a demo");
        assert!(wrong.contains("takes a number") && wrong.ends_with("exit 2"), "{wrong}");
    }
}

#[test]
fn i35_a_waiting_statement_is_shown_with_who_blocks_it_and_fdwsql_and_vacuum_work() {
    for installed in howdah_testkit::clusters::majors() {
        let server = Server::of(&installed);
        let platform = server.platform();
        run(&server, "create table t (a int, \"B c\" varchar(7))");
        let holder = "begin; lock table t in access exclusive mode; select pg_sleep(60)";
        let mut holding = server.session("holder", holder);
        let holder = pid(&platform, "holder");
        until(&platform, "locks", |row| row["relname"] == "t" && row["pid"] == holder);
        let mut waiting = server.session("waiter", "select * from t");
        let blocked = until(&platform, "blocking", |row| row["blocking_pid"] == holder);
        assert_eq!(blocked["blocked_statement"], "select * from t", "{blocked}");
        assert!(blocked["blocking_statement"].as_str().is_some_and(|sql| sql.contains("pg_sleep")));
        assert_eq!(blocked["blocked_pid"], pid(&platform, "waiter"));
        let killed = platform.howdah(&format!("pg:kill {holder} -f -a demo"));
        assert!(killed.ends_with("exit 0"), "{killed}");
        holding.wait().expect("ends");
        assert!(waiting.wait().expect("ends").success());

        let said = platform.howdah("pg:fdwsql 9bad -a demo");
        assert!(said.contains("PREFIX") && said.ends_with("exit 2"), "{said}");
        let said = platform.howdah("pg:fdwsql far -a demo");
        for part in [
            "CREATE SERVER far_db FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'postgres', host '127.0.0.1'",
            "CREATE FOREIGN TABLE far_t(a integer, \"B c\" character varying(7)) SERVER far_db OPTIONS (schema_name 'public', table_name 't');",
        ] {
            assert!(said.contains(part), "{said}");
        }
        for line in ["", " DATABASE t", " DATABASE public.t --full --analyze", " -v"] {
            let said = platform.howdah(&format!("pg:vacuum{line} -a demo"));
            assert!(said.contains("VACUUM") && said.ends_with("exit 0"), "{said}");
        }
        let said = platform.howdah("pg:vacuum DATABASE nothing -a demo");
        assert!(said.contains("does not exist") && said.ends_with("exit 1"), "{said}");
    }
}
