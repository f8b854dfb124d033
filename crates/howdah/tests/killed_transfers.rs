//! The platform is killed with -9, its agent with it, in the middle of captures and restores.

use howdah_testkit::platform::{Platform, wait_until};

const MAKE: &str = "create table t as select n, repeat(md5(n::text), 20) as text \
    from generate_series(1, 150000) n; create index on t (text); create index on t (n)";

const SUM: &str = "select count(*) || ' ' || sum(hashtextextended(t::text, 0)) from t t";

/// What a transfer's line in the list says.
fn status(platform: &Platform, id: &str) -> String {
    let info = platform.howdah(&["pg:backups:info", id, "-a", "demo"]).stdout;
    info.lines().find(|line| line.starts_with("Status")).unwrap_or_default().to_owned()
}

/// Kills the platform while a transfer is under way, as soon as it is seen, and starts it again.
fn kill_in(platform: &Platform, id: &str) {
    wait_until("it is under way", || {
        let status = status(platform, id);
        status.contains("Running") || status.contains("Completed")
    });
    platform.kill();
    platform.up();
}

#[test]
fn e9_e20_whoever_is_killed_no_half_backup_is_listed_as_good_and_no_half_restore_is_promoted() {
    let platform = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[]);
    platform.say("apps:create demo --no-remote").ok();
    platform.say("addons:create heroku-postgresql:standard-0 --wait -a demo").ok();
    // A test's gateway has another port after each start.
    let ask = |sql: &str| platform.psql(&platform.config_var("DATABASE_URL", "demo"), sql);
    ask(MAKE).ok();
    let sum = ask(SUM).ok();

    platform.say("pg:backups:capture DATABASE --no-wait -a demo").ok();
    kill_in(&platform, "b001");
    wait_until("the capture is over", || status(&platform, "b001").contains("Completed"));

    ask("create table later (n int); insert into t values (0, 'new')").ok();
    let newer = ask(SUM).ok();
    platform.say("pg:backups:restore b001 DATABASE --confirm demo --no-wait -a demo").ok();
    kill_in(&platform, "r002");
    let mut seen = Vec::new();
    wait_until("the restore is over", || {
        seen.push(ask(SUM).stdout);
        status(&platform, "r002").contains("Completed")
    });
    seen.retain(|one| !one.is_empty());
    assert!(
        seen.iter().all(|one| *one == newer || *one == sum),
        "never anything in between: {seen:?}"
    );
    assert_eq!(ask(SUM).ok(), sum);
    assert_ne!(ask("table later").code, 0, "what the backup lacks is gone");
    let fills = ask("select count(*) from pg_database where datname ~ '^howdah_fill_'");
    assert_eq!(fills.ok().trim(), "0");
}
