//! What Heroku's official command line, unmodified, brings about on a whole platform. What each of its
//! commands prints is in the transcripts.

use howdah_testkit::heroku::Heroku;
use howdah_testkit::platform::wait_until;

fn start() -> Heroku {
    Heroku::start(env!("CARGO_BIN_EXE_howdah"), &[])
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[test]
fn d33_the_official_cli_attaches_a_pool_which_follows_a_promotion() {
    let heroku = start();
    heroku.run("apps:create demo --no-remote").ok();
    heroku.run("addons:create heroku-postgresql:standard-0 --name pg-one-1 --wait -a demo").ok();
    let second = "--name pg-two-2 --as SECOND --wait -a demo";
    heroku.run(&format!("addons:create heroku-postgresql:standard-0 {second}")).ok();
    let attached = heroku.run("pg:connection-pooling:attach -a demo");
    has(&attached.stderr, "Enabling Connection Pooling on");
    has(&attached.stderr, "Setting DATABASE_CONNECTION_POOL config vars and restarting");
    has(&attached.stderr, "done, v");
    assert_eq!(attached.code, 0);
    let var = |name: &str| heroku.run(&format!("config:get {name} -a demo")).ok();
    let by_pool = |url: &str| {
        let (place, database) = url.trim().rsplit_once('/').expect("a database");
        let (host, _) = place.rsplit_once(':').expect("a port");
        (host.to_owned(), database.to_owned())
    };
    let same_but_for_the_port = |direct: &str, pool: &str| {
        assert_eq!(by_pool(direct), by_pool(pool), "host, login and database are the same");
        assert_ne!(direct, pool, "it has a port of its own");
    };
    same_but_for_the_port(&var("DATABASE_URL"), &var("DATABASE_CONNECTION_POOL_URL"));
    has(&heroku.run("addons -a demo").ok(), "DATABASE_CONNECTION_POOL");
    let info = heroku.run("pg:info DATABASE -a demo").ok();
    has(&info, "Connection Pooling:");
    has(&info, "Attached");

    let promoted = heroku.run("pg:promote SECOND -a demo");
    has(&promoted.stderr, "Reattaching pooler to new leader");
    assert_eq!(promoted.code, 0);
    assert_eq!(var("DATABASE_URL"), var("SECOND_URL"));
    same_but_for_the_port(&var("SECOND_URL"), &var("DATABASE_CONNECTION_POOL_URL"));
    let named = heroku.run("pg:connection-pooling:attach pg-one-1 --as OLD_POOL -a demo");
    assert_eq!(named.code, 0, "{named:?}");
    assert!(var("OLD_POOL_URL").starts_with("postgres://"));
    heroku.run("addons:detach OLD_POOL -a demo").ok();
    assert_eq!(var("OLD_POOL_URL").trim(), "");

    let small = "--as SMALL --wait -a demo";
    heroku.run(&format!("addons:create heroku-postgresql:essential-0 {small}")).ok();
    let refused = heroku.run("pg:connection-pooling:attach SMALL -a demo");
    assert_ne!(refused.code, 0);
    has(&refused.stderr, "You can't perform this operation on Essential-tier databases.");
}

#[test]
fn g13_g20_g27_the_official_cli_forks_follows_unfollows_and_rolls_back() {
    let heroku = start();
    let standard = "addons:create heroku-postgresql:standard-0 -a demo";
    let sql = |database: &str, sql: &str| {
        heroku.words(&["pg:psql", database, "-a", "demo", "-c", sql]).ok()
    };
    heroku.run("apps:create demo --no-remote").ok();
    heroku.run(&format!("{standard} --name pg-one-1 --wait")).ok();
    sql("DATABASE", "create table t as select 4711 as a");
    wait_until("it can be rolled back", || {
        heroku.platform.say("pg:info -a demo").ok().contains("earliest from 20")
    });
    let now = "select 'at=' || to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')";
    let said = sql("DATABASE", now);
    let moment = said.split("at=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let moment = format!("{}+00:00", moment.expect("a time"));
    sql("DATABASE", "create table later (a int)");

    let fork = heroku.run(&format!("{standard} --as COPY -- --fork DATABASE")).ok();
    has(&fork, "Database will become available after it completes forking");
    has(&fork, "`pg:wait`");
    let follow = heroku.run(&format!("{standard} --as REPLICA -- --follow DATABASE_URL")).ok();
    has(&follow, "Follower will become available for read-only queries when up-to-date");
    let back = format!("{standard} --as BACK -- --rollback pg-one-1 --to {moment}");
    has(&heroku.run(&back).ok(), "after it completes rolling back to ");
    heroku.run("pg:wait -a demo --wait-interval 1").ok();
    for database in ["COPY", "REPLICA", "BACK"] {
        has(&sql(database, "select a from t"), "4711");
    }
    let tables = "select 'tables=' || count(*) from pg_tables where schemaname = 'public'";
    has(&sql("COPY", tables), "tables=2");
    has(&sql("BACK", tables), "tables=1");
    let info = heroku.run("pg:info -a demo").ok();
    for part in ["Forked From:", "Following:", "Followers:", "Behind By:", "Continuous Protection:"]
    {
        has(&info, part);
    }
    has(&info, "earliest from 20");

    let early = heroku.run("pg:promote REPLICA -a demo");
    assert_ne!(early.code, 0, "{early:?}");
    has(&early.stderr, "unfollow");
    let unfollowed = heroku.run("pg:unfollow REPLICA -a demo --confirm demo");
    has(&unfollowed.stderr, "unfollowing... done");
    heroku.run("pg:wait -a demo --wait-interval 1").ok();
    heroku.run("pg:promote REPLICA -a demo").ok();
    sql("DATABASE", "create table mine (a int)");
    has(&sql("REPLICA", tables), "tables=3");
    let again = heroku.run("pg:unfollow REPLICA -a demo --confirm demo");
    has(&again.stderr, "is not a follower");
}
