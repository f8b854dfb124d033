//! The stages of planned moves on a whole platform: from the row to a real gateway.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
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

/// A platform with a small database; answers the id of that.
fn platform() -> (Platform, String) {
    let demo = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "0")]);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev --name pg-one-1 --wait -a demo").ok();
    let info = demo.say("addons:info pg-one-1 --json=id -a demo").ok();
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    let id = info["data"]["id"].as_str().expect("an id").to_owned();
    wait_until("the gateway has the route", || kept_stage(&demo, &id) == "open");
    (demo, id)
}

/// A session of psql that stays open.
struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    fn open(platform: &Platform, url: &str) -> Self {
        let mut command = platform.command(Path::new("psql"));
        let command = command.args([url, "-XAtq", "-v", "ON_ERROR_STOP=1"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start psql");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    /// The first line of the answer.
    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql}").expect("psql reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("psql answers");
        line.trim().to_owned()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("it ends").success(), "no statement failed");
    }
}

#[test]
fn h17_h18_a_held_client_waits_without_an_error_until_it_is_released_or_the_hold_is_over() {
    let (demo, id) = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    let mut psql = Psql::open(&demo, &url);
    assert_eq!(psql.ask("set application_name = 'kept'; select 'before';"), "before");
    let hold = |for_ms: u64| {
        let stage = format!(r#"{{"stage":"hold","grace_ms":{for_ms},"for_ms":{for_ms}}}"#);
        assert_eq!(put_stage(&demo, &id, &stage).0, 200);
        wait_until("the gateway knows", || kept_stage(&demo, &id) == "hold");
    };
    let began = Instant::now();
    hold(2000);
    assert_eq!(psql.ask("select 'after';"), "after");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "it was held: {took:?}");

    hold(60_000);
    let began = Instant::now();
    let releasing = std::thread::scope(|scope| {
        let asking = scope.spawn(|| psql.ask("show application_name;"));
        // A client that waits is seen to wait; then it is let go.
        let pool = || -> serde_json::Value {
            let shown = demo.say("pg:pool --json -a demo").ok();
            let mut shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            shown["data"]["pools"][0].take()
        };
        wait_until("it waits", || pool()["clients"]["waiting"] == 1);
        assert!(pool()["flow"] == "held" && !asking.is_finished());
        assert_eq!(put_stage(&demo, &id, r#"{"stage":"open"}"#).0, 200);
        asking.join().expect("an answer")
    });
    assert_eq!(releasing, "kept", "it is the same session");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    psql.end();
}

#[test]
fn l3_h18_a_change_of_stage_reaches_the_gateway_within_a_second_and_a_hold_ends_by_itself() {
    let (demo, id) = platform();
    let id = id.as_str();
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
