//! Rollbacks.

use super::*;

/// Now, by the server's clock, as `--to` takes it.
fn moment(demo: &Platform, url: &str) -> String {
    ask(
        demo,
        url,
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    )
}

fn rollback(demo: &Platform, to: &str, name: &str) -> Ran {
    demo.howdah(&[
        "addons:create",
        "heroku-postgresql:standard-0",
        "--rollback",
        "DATABASE",
        "--to",
        to,
        "--as",
        name,
        "-a",
        "demo",
    ])
}

#[test]
fn g1_g8_a_table_that_was_dropped_comes_back_in_a_database_beside() {
    let demo = platform();
    protected(&demo, "DATABASE");
    let source = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &source, "create table t (a text); insert into t values ('A')");
    let before = moment(&demo, &source);
    ask(&demo, &source, "insert into t values ('B')");
    let between = moment(&demo, &source);
    ask(&demo, &source, "drop table t");
    let made = rollback(&demo, &format!("{before}+00"), "EARLY");
    has(&made.stderr, "Database will become available after it completes rolling back to ");
    has(&made.stderr, " +0000 (00:0");
    assert_eq!(made.code, 0, "{made:?}");
    // The same instant in words of elsewhere, and one without a zone.
    rollback(&demo, &between, "LATE").ok();
    demo.say("pg:wait -a demo").ok();
    let (early, late) = (demo.config_var("EARLY_URL", "demo"), demo.config_var("LATE_URL", "demo"));
    let all = "select string_agg(a, '' order by a) from t";
    assert_eq!(ask(&demo, &early, all), "A");
    assert_eq!(ask(&demo, &late, all), "AB");
    assert_ne!(demo.psql(&source, all).code, 0, "the source is not touched");
    assert!(user(&early) != user(&source) && user(&early) != user(&late), "fresh credentials");

    // Before a reset.
    ask(&demo, &source, "create table reset_me as select 1 a");
    let unreset = moment(&demo, &source);
    demo.say("pg:reset DATABASE -a demo --confirm demo").ok();
    rollback(&demo, &format!("{unreset} Etc/UTC"), "UNRESET").ok();
    demo.say("pg:wait UNRESET -a demo").ok();
    let unreset = demo.config_var("UNRESET_URL", "demo");
    assert_eq!(ask(&demo, &unreset, "select a from reset_me"), "1");

    // It is used as the primary only when somebody says so.
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), source);
    demo.say("pg:promote EARLY -a demo").ok();
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), early);
    ask(&demo, &early, "insert into t values ('C')");
    demo.say("addons:destroy LATE -a demo --confirm demo").ok();
    assert_eq!(ask(&demo, &early, all), "AC");
}

#[test]
fn g2_g3_g6_moments_that_cannot_be_are_refused_with_the_window() {
    let demo = platform();
    protected(&demo, "DATABASE");
    let earliest = || row(&demo, "DATABASE", "Rollback").expect("a row");
    let word = "addons:create heroku-postgresql:standard-0 -a demo --rollback DATABASE";
    let words: Vec<&str> = word.split(' ').collect();
    let with = |more: &[&str]| demo.howdah(&[&words[..], more].concat());
    let outside = refused(with(&["--by", "29 days"]));
    has(&outside, earliest().trim_start_matches("earliest from ").trim_end_matches(" UTC"));
    for more in [
        &["--by", "soon"][..],
        &["--to", "half past nine"],
        &["--to", "2126-01-01 00:00:00+00"],
        &["--to", "2026-01-01 15:02 US/Nowhere"],
    ] {
        let told = refused(with(more));
        assert!(told.contains(" !    "), "{told}");
    }
    assert_eq!(with(&[]).code, 2, "neither");
    assert_eq!(with(&["--by", "1 hour", "--to", "now"]).code, 2, "both");
    // The platform says the same to those who do not ask by this command line.
    let raw = |config: &str| {
        let body = format!(
            r#"{{"plan":{{"name":"heroku-postgresql:standard-0"}},"attachment":{{}},"config":{config}}}"#
        );
        refused(demo.howdah(&["api", "POST", "/apps/demo/addons", "-d", &body]))
    };
    has(&raw(r#"{"rollback":"DATABASE"}"#), "by");
    has(&raw(r#"{"rollback":"DATABASE","to":"x","by":"y"}"#), "one or the other");
    let after = demo.say("addons --json -a demo").ok();
    let after = serde_json::from_str::<serde_json::Value>(&after).expect("JSON");
    assert_eq!(after["data"].as_array().map(Vec::len), Some(1), "nothing was made");
}
