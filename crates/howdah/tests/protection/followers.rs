//! Followers.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn g13_g15_g20_a_follower_follows_and_becomes_a_database_of_its_own() {
    let demo = platform();
    let leader = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &leader, "create table t as select generate_series(1, 100) a");
    let made =
        demo.say("addons:create heroku-postgresql --follow DATABASE_URL --as REPLICA -a demo");
    has(&made.stderr, "Follower will become available for read-only queries when up-to-date");
    assert_eq!(made.code, 0, "{made:?}");
    demo.say("pg:wait -a demo").ok();
    let follower = demo.config_var("REPLICA_URL", "demo");
    assert_ne!(user(&follower), user(&leader));
    assert_eq!(ask(&demo, &follower, "select count(*) from t"), "100");
    let refusal = demo.psql(&follower, "insert into t values (0)");
    has(&refusal.stderr, "cannot execute INSERT in a read-only transaction");

    ask(&demo, &leader, "insert into t values (101)");
    let committed = Instant::now();
    wait_until("it is there too", || ask(&demo, &follower, "select max(a) from t") == "101");
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());

    assert_eq!(row(&demo, "REPLICA", "Following").as_deref(), Some("DATABASE"));
    assert_eq!(row(&demo, "DATABASE", "Followers").as_deref(), Some("REPLICA"));
    let behind = || row(&demo, "REPLICA", "Behind By").expect("a row");
    wait_until("nothing is missing", || behind() == "0 commits");
    // What opens the follower opens nothing else.
    let (_, place) = leader.rsplit_once('@').expect("a place");
    let (login, _) = follower.rsplit_once('@').expect("a login");
    let mine = ask(&demo, &format!("{login}@{place}"), "select pg_is_in_recovery()");
    assert_eq!(mine, "t", "its role leads to the follower");

    let cascade = refused(demo.say("addons:create heroku-postgresql --follow REPLICA -a demo"));
    has(&cascade, "pg-source-1");
    let early = demo.say("pg:promote REPLICA -a demo");
    assert_eq!(early.code, 6, "{early:?}");
    has(&early.stderr, "howdah pg:unfollow REPLICA_URL -a demo");
    let by_hand = demo.howdah(&[
        "api",
        "POST",
        "/addon-attachments",
        "-d",
        &format!(
            r#"{{"addon":{{"name":"{}"}},"app":{{"name":"demo"}},"name":"DATABASE","confirm":"demo"}}"#,
            addon(&demo, "REPLICA")
        ),
    ]);
    has(&refused(by_hand), "unfollow");
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), leader);
    let not = demo.say("pg:unfollow DATABASE -a demo --confirm demo");
    has(&not.stderr, "is not following another database.");
    assert_eq!(not.code, 6, "{not:?}");

    let text = demo.howdah_with(&["pg:unfollow", "REPLICA", "-a", "demo"], "demo\n");
    has(&text.stderr, " !    REPLICA_URL will become writable and no longer");
    has(&text.stderr, " !    follow DATABASE. This cannot be undone.");
    has(&text.stderr, "Unfollowing REPLICA_URL... done");
    assert_eq!(text.code, 0, "{text:?}");
    assert_eq!(demo.config_var("REPLICA_URL", "demo"), follower, "its URL stays");
    wait_until("it is writable", || demo.psql(&follower, "insert into t values (102)").code == 0);
    ask(&demo, &follower, "create table mine (a int); drop table mine");
    assert_eq!(ask(&demo, &leader, "select max(a) from t"), "101");
    ask(&demo, &leader, "insert into t values (103)");
    assert_eq!(ask(&demo, &follower, "select max(a) from t"), "102");
    assert_eq!(row(&demo, "REPLICA", "Following"), None);
    assert_eq!(row(&demo, "DATABASE", "Followers"), None);
    has(&demo.say("addons -a demo").ok(), "$50/mo");
    demo.say("pg:promote REPLICA -a demo").ok();
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), follower);
    demo.say("addons:destroy pg-source-1 -a demo --confirm demo").ok();
    assert_eq!(ask(&demo, &follower, "select count(*) from t"), "102");
}

/// The name of an attachment's add-on.
fn addon(demo: &Platform, attachment: &str) -> String {
    let info = demo.howdah(&["addons:info", attachment, "-a", "demo"]).ok();
    info.lines().next().expect("a heading").trim_start_matches("=== ").to_owned()
}

#[test]
fn g18_a_follower_outlives_restarts_of_its_leader_of_itself_and_of_the_platform() {
    let demo = platform();
    let leader = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &leader, "create table t (a int)");
    demo.say("addons:create heroku-postgresql --follow DATABASE --as REPLICA --wait -a demo").ok();
    let follower = demo.config_var("REPLICA_URL", "demo");
    let mut n = 0;
    let mut written = |what: &str| {
        n += 1;
        let sql = format!("insert into t values ({n})");
        wait_until(&format!("{what}: it can be written"), || demo.psql(&leader, &sql).code == 0);
        let arrived =
            || demo.psql(&follower, "select max(a) from t").stdout.trim() == n.to_string();
        wait_until(&format!("{what}: it arrives"), arrived);
    };
    written("at first");
    demo.kill();
    demo.up();
    written("after a kill of the platform");
    demo.down();
    demo.up();
    written("after a stop of everything");
    assert_eq!(demo.say("pg:unfollow REPLICA -a demo --confirm demo").code, 0);
    demo.kill();
    demo.up();
    wait_until("it is writable", || demo.psql(&follower, "insert into t values (99)").code == 0);
}
