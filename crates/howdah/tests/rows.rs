//! The limit of rows of a hobby database, on a whole platform.

use howdah_testkit::platform::{Platform, Ran, wait_until};

/// The row of `pg:info`.
fn rows(demo: &Platform) -> String {
    let info = demo.howdah(&["pg:info", "-a", "demo"]).ok();
    let line = info.lines().find_map(|line| line.strip_prefix("Rows:"));
    line.unwrap_or_default().trim().to_owned()
}

/// What a command says that fails.
#[track_caller]
fn refused(ran: Ran, why: &str) {
    assert!(ran.code != 0 && ran.stderr.contains(why), "not `{why}`: {ran:?}");
}

#[test]
fn c27_c28_over_the_limit_inserts_are_refused_and_under_it_they_work_again() {
    let binary = env!("CARGO_BIN_EXE_howdah");
    let settings = [("HOWDAH_POOL_SIZE", "0"), ("HOWDAH_ROW_GRACE", "0")];
    let demo = Platform::start(binary, &settings);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev --wait -a demo").ok();
    let url = demo.say("config:get DATABASE_URL -a demo").ok().trim().to_owned();
    let ask = |sql: &str| demo.psql(&url, sql);
    ask("create table t as select generate_series(1, 23) as x").ok();
    let shows = |what: &str| wait_until(what, || rows(&demo) == what);
    shows("23/10000 (In compliance)");

    ask("insert into t select generate_series(24, 10001)").ok();
    shows("10001/10000 (Not in compliance, INSERT is refused)");
    let told = || demo.say("logs -n 100 -a demo").ok().contains("INSERT is refused. Delete");
    wait_until("the app's log tells of it", told);
    refused(ask("insert into t values (1)"), "permission denied for table t");
    refused(ask("create table u (x int)"), "more rows than its plan allows");
    ask("update t set x = 0 where x = 1").ok();
    refused(demo.say("addons:upgrade DATABASE heroku-postgresql:standard-0 -a demo"), "pg:copy");

    ask("delete from t where x > 5000").ok();
    shows("5000/10000 (In compliance)");
    ask("insert into t values (1)").ok();
    ask("create table u (x int)").ok();
}
