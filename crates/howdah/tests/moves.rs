//! The stages of planned moves on a whole platform: from the row to a real gateway.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use howdah_testkit::platform::{Platform, wait_until};

/// What the internal API says of a stage that was asked for: status and body.
fn put_stage(platform: &Platform, database: &str, stage: &str) -> (u16, String) {
    let socket = platform.home().join("run/control.sock");
    let mut stream = UnixStream::connect(socket).expect("the internal API listens");
    let bound = Some(Duration::from_secs(10));
    stream.set_read_timeout(bound).expect("bound the answer");
    let request = format!(
        "PUT /databases/{database}/stage HTTP/1.0\r\nContent-Length: {}\r\n\r\n{stage}",
        stage.len()
    );
    stream.write_all(request.as_bytes()).expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a body").1.to_owned();
    (status, body)
}

/// What the gateway keeps of a database's stage: it writes down every table that it is told.
fn kept_stage(platform: &Platform, database: &str) -> String {
    let text = std::fs::read_to_string(platform.home().join("routes.json")).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let routes = json["routes"].as_array().cloned().unwrap_or_default();
    let route = routes.iter().find(|route| route["database_id"] == database);
    route.and_then(|route| route["stage"]["stage"].as_str()).unwrap_or("none").to_owned()
}

#[test]
fn l3_h18_a_change_of_stage_reaches_the_gateway_within_a_second_and_a_hold_ends_by_itself() {
    let demo = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "0")]);
    let _ = demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev --name pg-one-1 --wait -a demo").ok();
    let info = demo.say("addons:info pg-one-1 --json=id -a demo").ok();
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    let id = info["data"]["id"].as_str().expect("an id");
    wait_until("the gateway has the route", || kept_stage(&demo, id) == "open");

    let hold = r#"{"stage":"hold","grace_ms":0,"for_ms":2500}"#;
    let began = Instant::now();
    let (status, body) = put_stage(&demo, id, hold);
    assert!(status == 200 && body.contains("until"), "{status} {body}");
    wait_until("the gateway knows", || kept_stage(&demo, id) == "hold");
    assert!(began.elapsed() < Duration::from_secs(1), "L3: {:?}", began.elapsed());
    wait_until("it is over", || kept_stage(&demo, id) == "open");
    let took = began.elapsed();
    assert!((2500..3500).contains(&took.as_millis()), "H18: {took:?}");

    put_stage(&demo, id, r#"{"stage":"hold","grace_ms":0,"for_ms":60000}"#);
    wait_until("the gateway knows", || kept_stage(&demo, id) == "hold");
    let began = Instant::now();
    assert_eq!(put_stage(&demo, id, r#"{"stage":"open"}"#), (200, r#"{"until":null}"#.to_owned()));
    wait_until("the gateway knows", || kept_stage(&demo, id) == "open");
    assert!(began.elapsed() < Duration::from_secs(1), "L3: {:?}", began.elapsed());

    for (database, stage, status) in [
        (id, r#"{"stage":"hold","grace_ms":0,"for_ms":0}"#, 422),
        (id, r#"{"stage":"hold"}"#, 422),
        (id, r#"{"stage":"nonsense"}"#, 422),
        (id, "no JSON", 400),
        ("0190f3c2-0000-7000-8000-000000000000", hold, 404),
        ("nonsense", hold, 404),
    ] {
        assert_eq!(put_stage(&demo, database, stage).0, status, "{database} {stage}");
    }
}
