//! Forks.

use super::*;

#[test]
fn g27_g30_g32_a_fork_has_the_data_and_a_life_of_its_own() {
    let demo = platform();
    let source = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &source, "create table t as select generate_series(1, 1000) a");
    let made = demo.say("addons:create heroku-postgresql --fork DATABASE --as COPY -a demo");
    has(&made.stderr, "Database will become available after it completes forking");
    has(&made.stderr, "`pg:wait`");
    has(&made.ok(), "Attached as COPY_URL");
    demo.say("pg:wait -a demo").ok();
    let quiet = demo.say("pg:wait -a demo");
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "g10");

    let copy = demo.config_var("COPY_URL", "demo");
    assert_eq!(ask(&demo, &copy, "select count(*) from t"), "1000");
    has(&demo.say("addons:info COPY -a demo").ok(), "standard-0");
    ask(&demo, &copy, "insert into t values (0); create table only_copy (a int)");
    ask(&demo, &source, "delete from t where a > 10");
    assert_eq!(ask(&demo, &source, "select count(*), min(a) from t"), "10|1");
    assert_eq!(ask(&demo, &copy, "select count(*), min(a) from t"), "1001|0");

    assert_ne!(user(&copy), user(&source));
    let (_, place) = copy.rsplit_once('@').expect("a place");
    let (login, _) = source.rsplit_once('@').expect("a login");
    let intruder = demo.psql(&format!("{login}@{place}"), "select 1");
    assert_ne!(intruder.code, 0, "the source's login opens the fork: {intruder:?}");
    let inside = ask(&demo, &copy, "select string_agg(rolname, ' ') from pg_roles");
    lacks(&inside, user(&source));
    ask(&demo, &copy, "alter table t add b int; create schema mine");

    assert_eq!(row(&demo, "COPY", "Forked From").as_deref(), Some("DATABASE"));
    has(&row(&demo, "DATABASE", "Forks").expect("a row"), "COPY");
    assert_eq!(row(&demo, "DATABASE", "Forked From"), None);
    assert_eq!(row(&demo, "COPY", "Fork/Follow").as_deref(), Some("Available"));

    // G29: a fork of a fork.
    demo.say("addons:create heroku-postgresql --fork COPY --as SECOND --wait -a demo").ok();
    let second = demo.config_var("SECOND_URL", "demo");
    assert_eq!(ask(&demo, &second, "select count(*) from t"), "1001");
    demo.say("addons:destroy DATABASE -a demo --confirm demo").ok();
    assert_eq!(ask(&demo, &copy, "select count(*) from t"), "1001");
    // D5: where it was, as it has no name here any more.
    has(&row(&demo, "COPY", "Forked From").expect("still told"), "Database on 127.0.0.1:");
}

#[test]
fn g14_g33_sources_have_many_names_and_hobby_databases_are_refused() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:hobby-dev --as SMALL --wait -a demo").ok();
    for option in ["--fork", "--follow"] {
        let line = format!("addons:create heroku-postgresql:standard-0 {option} SMALL -a demo");
        has(&refused(demo.say(&line)), "only available on production databases");
        let line = format!("addons:create heroku-postgresql:hobby-dev {option} DATABASE -a demo");
        has(&refused(demo.say(&line)), "only available on production databases");
        let line = format!("addons:create heroku-postgresql {option} NOPE -a demo");
        has(&refused(demo.say(&line)), "Couldn't find that add on.");
    }
    assert_eq!(row(&demo, "SMALL", "Rollback").as_deref(), Some("Unsupported"));
    assert_eq!(row(&demo, "SMALL", "Fork/Follow").as_deref(), Some("Unsupported"));
    let before = demo.say("addons --json -a demo").ok();
    let two = serde_json::from_str::<serde_json::Value>(&before).expect("JSON");
    assert_eq!(two["data"].as_array().map(Vec::len), Some(2), "nothing was made");

    demo.say("apps:create other --no-remote").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &url, "create table t as select 7 as a");
    let sources = [("demo::DATABASE", "ONE"), ("pg-source-1", "TWO"), (url.as_str(), "SIX")];
    for (source, name) in sources {
        let words =
            ["addons:create", "heroku-postgresql:standard-0", "--fork", source, "--as", name];
        demo.howdah(&[&words[..], &["-a", "other"]].concat()).ok();
    }
    demo.say("pg:wait -a other").ok();
    for (_, name) in sources {
        let url = demo.config_var(&format!("{name}_URL"), "other");
        assert_eq!(ask(&demo, &url, "select a from t"), "7", "{name}");
    }
}

#[test]
fn g28_a_fast_fork_says_how_old_its_data_is_and_lacks_what_is_newer() {
    let demo = platform();
    let source = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &source, "create table old (a int)");
    demo.say("pg:protection DATABASE --backup -a demo").ok();
    ask(&demo, &source, "create table young (a int)");
    let made = demo.say("addons:create heroku-postgresql --fork DATABASE --fast --as FAST -a demo");
    has(&made.stderr, "Fork will contain data from ");
    has(&made.stderr, "UTC (");
    has(&made.stderr, "To create a fork with up-to-date data, exclude the `--fast` flag.");
    assert_eq!(made.code, 0, "{made:?}");
    demo.say("pg:wait FAST -a demo").ok();
    let fast = demo.config_var("FAST_URL", "demo");
    let tables = "select string_agg(relname, ' ' order by 1) from pg_stat_user_tables";
    assert_eq!(ask(&demo, &fast, tables), "old");
}

#[test]
fn copies_go_on_when_the_platform_is_killed_and_comes_back() {
    let demo = platform();
    let source = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &source, "create table t as select generate_series(1, 200000) a");
    protected(&demo, "DATABASE");
    let now = ask(
        &demo,
        &source,
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    );
    ask(&demo, &source, "delete from t where a > 100000");
    let create = ["addons:create", "heroku-postgresql", "-a", "demo"];
    let with = |more: &[&str]| demo.howdah(&[&create[..], more].concat()).ok();
    with(&["--fork", "DATABASE", "--as", "COPY"]);
    demo.kill();
    demo.up();
    with(&["--follow", "DATABASE", "--as", "REPLICA"]);
    // The new agent has to look into the archive first.
    protected(&demo, "DATABASE");
    with(&["--rollback", "DATABASE", "--to", &now, "--as", "BACK"]);
    demo.kill();
    demo.up();
    demo.say("pg:wait -a demo").ok();
    for (name, rows) in [("COPY", "100000"), ("REPLICA", "100000"), ("BACK", "200000")] {
        let url = demo.config_var(&format!("{name}_URL"), "demo");
        wait_until("its route is known", || demo.psql(&url, "select 1").code == 0);
        assert_eq!(ask(&demo, &url, "select count(*) from t"), rows, "{name}");
    }
    assert_eq!(ask(&demo, &source, "select count(*) from t"), "100000");
}
