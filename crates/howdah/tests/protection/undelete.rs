//! Databases that were removed.

use super::*;

#[test]
fn a_removed_database_comes_back_as_it_was_under_its_name() {
    let demo = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &url, "create table t as select generate_series(1, 500) a");
    protected(&demo, "DATABASE");
    ask(&demo, &url, "insert into t values (501)");
    demo.say("addons:destroy DATABASE --wait -a demo --confirm demo").ok();
    assert_ne!(demo.psql(&url, "select 1").code, 0);
    let none = demo.say("pg:undelete postgresql-never-1 -a demo");
    assert_eq!(none.code, 3, "{none:?}");
    demo.say("apps:create other --no-remote").ok();
    let back = demo.say("pg:undelete pg-source-1 -a demo --wait");
    assert_eq!(back.code, 0, "{back:?}");
    has(&back.stdout, "DATABASE_URL");
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), url, "the same login");
    assert_eq!(ask(&demo, &url, "select count(*) from t"), "501");
    ask(&demo, &url, "insert into t values (502); create table more (a int)");
    has(&demo.say("addons -a demo").ok(), "pg-source-1");
    let twice = demo.say("pg:undelete pg-source-1 -a demo");
    assert_ne!(twice.code, 0, "{twice:?}");

    // Again, with what was written since.
    protected(&demo, "DATABASE");
    demo.say("addons:destroy DATABASE --wait -a demo --confirm demo").ok();
    demo.say("pg:undelete pg-source-1 -a demo --wait").ok();
    assert_eq!(ask(&demo, &url, "select count(*) from t"), "502");
}

#[test]
fn m10_a_removed_hobby_database_comes_back_without_its_neighbours() {
    let demo = Platform::start(BINARY, &[("HOWDAH_POOL_SIZE", "0")]);
    demo.say("apps:create demo --no-remote").ok();
    for name in ["FIRST", "OTHER"] {
        let line = format!("--name pg-{} --as {name} --wait -a demo", name.to_lowercase());
        demo.say(&format!("addons:create heroku-postgresql:hobby-dev {line}")).ok();
    }
    let (url, other) = (demo.config_var("FIRST_URL", "demo"), demo.config_var("OTHER_URL", "demo"));
    ask(&demo, &url, "create table t as select 23 as a");
    ask(&demo, &other, "create table secret as select 42 as a");
    let backup = || protection(&demo, "FIRST")["protected"]["backup"].is_object();
    wait_until("there is a base backup of all", backup);
    demo.say("addons:destroy FIRST --wait -a demo --confirm demo").ok();
    ask(&demo, &other, "insert into secret values (43)");
    demo.say("pg:undelete pg-first -a demo --wait").ok();
    assert_eq!(ask(&demo, &url, "select a from t"), "23");
    assert_eq!(ask(&demo, &other, "select count(*) from secret"), "2", "it went on");
    let databases = "select count(*) from pg_database where datname ~ '^d'";
    assert_eq!(ask(&demo, &url, databases), "1", "no neighbour came along");
}
