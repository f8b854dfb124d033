//! The gateway's pools on a whole platform: their port, their URL, and who comes by it.

use std::net::TcpListener;

use howdah_testkit::platform::{Platform, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");

#[test]
fn d33_a_pools_url_opens_the_database_by_a_port_of_its_own_and_outlives_a_restart() {
    let demo = Platform::prepare(BINARY, &[("HOWDAH_POOL_SIZE", "0")]);
    let said = demo.say("up --detach").ok();
    let port = demo.pool().rsplit_once(':').expect("a port").1.to_owned();
    assert!(said.contains("Gateway's pools") && said.contains(&demo.pool()), "{said}");
    let doctor = demo.say("doctor");
    assert!(doctor.stdout.contains("pooling port"), "{doctor:?}");
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:standard-0 --wait -a demo").ok();
    demo.say("pg:connection-pooling:attach -a demo").ok();
    let (direct, pool) = (
        demo.config_var("DATABASE_URL", "demo"),
        demo.config_var("DATABASE_CONNECTION_POOL_URL", "demo"),
    );
    assert!(pool.contains(&format!(":{port}/")) && !direct.contains(&format!(":{port}/")));
    demo.psql(&direct, "create table t as select 41 + 1 as a").ok();
    assert_eq!(demo.psql(&pool, "select a from t").ok().trim(), "42");

    demo.down();
    demo.up();
    assert_eq!(demo.config_var("DATABASE_CONNECTION_POOL_URL", "demo"), pool);
    wait_until("the database answers again", || demo.psql(&pool, "select a from t").code == 0);
    demo.say("addons:detach DATABASE_CONNECTION_POOL -a demo").ok();
    assert_eq!(demo.config_var("DATABASE_CONNECTION_POOL_URL", "demo"), "");
}

#[test]
fn i26_what_the_gateway_counts_is_shown_to_the_owner_and_told_to_prometheus() {
    let demo = Platform::start(BINARY, &[("HOWDAH_POOL_SIZE", "0")]);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev --name pg-one-1 --wait -a demo").ok();
    let nobody = demo.say("pg:pool -a demo");
    assert!(nobody.stderr.contains("No client of DATABASE_URL has come yet"), "{nobody:?}");
    let url = demo.config_var("DATABASE_URL", "demo");
    for _ in 0..3 {
        demo.psql(&url, "select 1").ok();
    }
    let pools = || -> serde_json::Value {
        let text = demo.say("pg:pool --json -a demo").ok();
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["data"]["pools"].take()
    };
    wait_until("all three are counted", || pools()[0]["totals"]["queries"] == 3);
    let pools = pools();
    assert_eq!(pools.as_array().map(Vec::len), Some(1), "{pools}");
    let pool = &pools[0];
    assert_eq!((&pool["credential"], &pool["mode"]), (&"default".into(), &"session".into()));
    assert_eq!((&pool["totals"]["clients"], &pool["size"]), (&3.into(), &20.into()), "{pool}");
    let shown = demo.say("pg:pool -a demo").ok();
    assert!(shown.contains("=== DATABASE_URL") && shown.contains("Transactions"), "{shown}");

    let scrape = |token: &str| {
        let url = format!("{}/metrics", demo.url());
        let header = format!("Authorization: Bearer {token}");
        demo.program("curl", &["-sS", "--fail-with-body", "-H", &header, &url], &[])
    };
    let token = std::fs::read_to_string(demo.home().join("metrics.token")).expect("a token");
    let text = scrape(token.trim()).ok();
    for part in [
        "howdah_store_up 1",
        "howdah_gateway_up 1",
        "addon=\"pg-one-1\",app=\"demo\",plan=\"hobby-dev\"",
        "howdah_gateway_pool_queries_total{",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_ne!(scrape(demo.say("auth:token").ok().trim()).code, 0, "an account's is not enough");
}

#[test]
fn a_pooling_port_that_is_taken_is_told_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let demo = Platform::prepare(BINARY, &[("HOWDAH_GATEWAY_POOL_LISTEN", &address)]);
    let refused = demo.say("up --detach");
    assert_ne!(refused.code, 0);
    for part in [address.as_str(), "HOWDAH_GATEWAY_POOL_LISTEN to another address"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    assert!(!refused.stderr.contains("HOWDAH_GATEWAY_LISTEN"), "that one is free: {refused:?}");
}
