use proptest::prelude::*;

use super::*;

fn looks(text: &str) -> Looks {
    Looks::at(text.as_bytes())
}

fn names(text: &str) -> Vec<String> {
    let mut notes = Notes::default();
    look(text.as_bytes(), &mut notes);
    notes.names.iter().map(ToString::to_string).collect()
}

#[test]
fn ordinary_statements_show_nothing() {
    for text in [
        "",
        ";",
        "select abalance from pgbench_accounts where aid = 1",
        "begin; update t set a = 1 where b = 'set x.y = 1'; commit",
        "select temp, temporary from attempts",
        "insert into temp values (1)",
        "insert into t values ('create temp table', 'set_config')",
        "select pg_advisory_xact_lock(1), PG_TRY_ADVISORY_XACT_LOCK(2)",
        "select set_config('a.b', $1, true), pg_catalog.set_config('role', $2, 't')",
        "select set_config('a.b', f(1, 2), TRUE)",
        "set constraints all deferred",
        "update t set a.b = 1",
        "declare c cursor for select 1 -- with hold",
        "declare c no scroll cursor without hold for select 1",
        "-- set x\nselect 1 -- temp",
        "do $$ begin update t set a = 1; set local b = 1; end $$",
    ] {
        assert_eq!(looks(text), Looks::default(), "{text}");
    }
}

#[test]
fn changes_that_have_no_tag_are_seen() {
    for text in [
        "select set_config('work_mem', '1MB', false)",
        "SELECT Set_Config('work_mem', '1MB', $1)",
        "select set_config('a', 'b', not true)",
        "select 1; select set_config('a.b', 'c', 'false')",
        "select pg_advisory_lock(1)",
        "select * from pg_try_advisory_lock_shared(1, 2)",
        "create temp table t (a int)",
        "CREATE LOCAL TEMPORARY VIEW v AS SELECT 1",
        "create or replace temp view v as select 1",
        "select 1 as a into temp t",
        "with x as (select 1) select * into temporary table t from x",
        "create function pg_temp.f() returns int language sql as 'select 1'",
        "declare c scroll cursor with hold for select 1",
        "select dblink_connect('a', 'b')",
        "select pg_create_logical_replication_slot('a', 'b', true)",
        "do $$ begin perform set_config('a.b', 'c', false); end $$",
        "do $$ begin update t set a = 1; set b = 1; end $$",
        "do $$ begin if a then set b = 1; end if; end $$",
        r"select 'a\', set_config('a.b', 'c', true), 'b'",
    ] {
        assert!(looks(text).has(Looks::CHANGES), "{text}");
    }
    assert!(looks("select dblink_connect('a', 'b')").has(Looks::CONNECTS));
    assert!(looks("select set_config($1, $2, false)").has(Looks::UNNAMED));
    assert!(looks("select set_config('a.' || $1, $2, false)").has(Looks::UNNAMED));
    assert!(!looks("select set_config('a.b', $1, false)").has(Looks::UNNAMED));
    assert!(looks("/* x */ execute p (1)").has(Looks::EXECUTES));
}

#[test]
fn a_set_that_ends_with_its_transaction_is_told_from_one_that_does_not() {
    for text in ["set local a.b = 1", "SET TRANSACTION READ ONLY", "begin; set local x to 1"] {
        assert_eq!(looks(text), Looks::SETS_LOCALLY, "{text}");
    }
    for text in [
        "set work_mem = '1MB'",
        "set session work_mem = '1MB'",
        "set session characteristics as transaction read only",
        "/* a */ Set role x",
        "select 1;set time zone 'UTC'",
    ] {
        assert_eq!(looks(text), Looks::SETS, "{text}");
    }
    let both = looks("begin; set local a = 1; set b = 2; commit");
    assert!(both.has(Looks::SETS) && both.has(Looks::SETS_LOCALLY));
}

#[test]
fn one_set_alone_says_what_it_sets() {
    let set = |text: &str| {
        let mut notes = Notes::default();
        look(text.as_bytes(), &mut notes);
        notes.set.map(String::from)
    };
    for (text, name) in [
        ("set work_mem = '1MB'", "work_mem"),
        ("/* x */ SET SESSION Search_Path TO a, b;", "search_path"),
        ("set datestyle to iso", "DateStyle"),
        ("set time zone 'UTC'", "TimeZone"),
        ("set \"TimeZone\" = 'UTC' ; -- end", "TimeZone"),
        ("set app.tenant = 1", "app.tenant"),
        ("set role x", "role"),
        ("set role = x", "role"),
        ("set role to x", "role"),
        ("set role none", "role"),
    ] {
        assert_eq!(set(text).as_deref(), Some(name), "{text}");
    }
    for text in [
        "set work_mem = default",
        "set work_mem to DEFAULT",
        "set time zone local",
        "set a = 1; set b = 2",
        "begin; set a = 1",
        "set local a = 1",
        "set session authorization x",
        "set session_authorization = x",
        "set session characteristics as transaction read only",
        "set seed = 0.5",
        "set transaction_isolation = serializable",
        "set \"a b\" = 1",
        "set names 'UTF8'",
        "set",
        "set a",
        "set a.",
        r"set a = 'x\' ; set b = '1'",
    ] {
        assert_eq!(set(text), None, "{text}");
    }
}

#[test]
fn names_of_custom_settings_are_found() {
    assert_eq!(names("set app.tenant = '42'"), ["app.tenant"]);
    assert_eq!(names("SET SESSION App . \"Tenant\" TO x"), ["app.tenant"]);
    assert_eq!(names("set a.b.c = 1; set work_mem = 1; set a.d = 1"), ["a.b.c", "a.d"]);
    assert_eq!(names("select set_config('a.b', $1, false)"), ["a.b"]);
    assert_eq!(names("select set_config('A.b'::text, 'x.y', f(',', true))"), ["a.b"]);
    assert_eq!(
        names("select set_config('a.b', set_config('c.d', '', false), false)"),
        ["a.b", "c.d"]
    );
    assert_eq!(
        names("do $x$ begin set a.b = 1; execute $y$set c.d to 2$y$; end $x$"),
        ["a.b", "c.d"]
    );
    assert_eq!(names("DO 'begin perform set_config(''a.b'', ''1'', false); end'"), ["a.b"]);
    assert_eq!(names("do language plpgsql 'begin set session a.b = 1; end'"), ["a.b"]);
    assert_eq!(names("do $$ begin execute 'set a.b = 1'; end $$"), ["a.b"]);
    assert_eq!(names("set \"a b\".c = 1; set größe.x = 1; set a. = 1; set .a = 1"), [""; 0]);
}

#[test]
fn libraries_are_found() {
    let mut notes = Notes::default();
    look(b"load 'auto_explain'; LOAD '$libdir/plugins/x'", &mut notes);
    assert_eq!(notes.libraries, ["auto_explain".into(), "$libdir/plugins/x".into()]);
}

#[test]
fn hostile_nesting_costs_no_more_than_its_length() {
    let calls = "set_config(".repeat(200_000);
    assert!(looks(&calls).has(Looks::CHANGES));
    let dollars: String = (0..20_000).map(|n| format!("$a{n}$")).collect();
    looks(&format!("do {dollars}"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
        look_closely(&text, &mut Notes::default());
    }

    #[test]
    fn no_sql_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "set ", "local ", "set_config", "(", ")", "'", "a.b", ",", "true", "$$", "do ", ";", "=",
            "temp ", "into ", "create ", "pg_temp", "\"", "--", "\n", "/*", "*/", "$1", "é", ".",
        ]), 0..60),
    ) {
        look_closely(pieces.concat().as_bytes(), &mut Notes::default());
    }

    #[test]
    fn a_name_is_found_behind_anything_that_ends(
        before in prop::sample::select(vec![
            "", "select 1;", "select 'a'';';", "/* ; set x */ ", "-- '\n", "select $x$;$x$ ;", "select e'\\';';",
            "create function f() returns int language sql as $$ select 1; $$;",
        ]),
        first in "[a-zA-Z_][a-zA-Z0-9_]{0,8}", second in "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        form in 0usize..4,
    ) {
        let name = format!("{first}.{second}");
        let text = match form {
            0 => format!("{before}set {name} = 'x'"),
            1 => format!("{before}SET SESSION {first} /* . */ . {second} TO 'x'"),
            2 => format!("{before}select set_config('{name}', 'x', false)"),
            _ => format!("{before}do $q$ begin set {name} to 1; end $q$"),
        };
        // A word that is a part of the syntax is no name.
        prop_assume!(!["session", "local", "transaction", "constraints"]
            .contains(&first.to_ascii_lowercase().as_str()));
        prop_assume!(!["e", "b", "x", "n", "u"].contains(&first.as_str()) || form != 2);
        prop_assert!(names(&text).contains(&name.to_ascii_lowercase()), "{}", text);
    }
}
