//! Processes and logs over HTTP: what official clients and runners read.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::ground::{Ground, shown};

const RUNNER: &str = "/howdah/v1/apps/mine/runner/here";

/// A runner without processes of its own.
struct Runner<'g> {
    ground: &'g Ground,
    instance: Uuid,
}

impl<'g> Runner<'g> {
    fn new(ground: &'g Ground) -> Self {
        Self { ground, instance: Uuid::now_v7() }
    }

    async fn report(&self, begins: bool, dynos: Value) -> u16 {
        let types = json!({ "web": "bin/web", "worker": "bin/work", "release": "migrate" });
        let body =
            json!({ "instance": self.instance, "begins": begins, "types": types, "dynos": dynos });
        self.ground.call("PUT", RUNNER, body).await.status
    }

    async fn wanted(&self, after: Option<&Value>) -> Value {
        let after = after.map_or(String::new(), |change| format!("&after={change}"));
        self.ground.get(&format!("{RUNNER}?instance={}{after}", self.instance)).await
    }
}

fn dyno(name: &str, state: &str) -> Value {
    json!({ "name": name, "command": "bin/web", "state": state, "release": 1,
            "since": "2026-01-02T03:04:05Z" })
}

/// The lines that an app's log session shows, without their times.
async fn lines(ground: &Ground, body: Value) -> Vec<String> {
    let made = ground.call("POST", "/apps/mine/log-sessions", body).await;
    assert_eq!(made.status, 201);
    let url = made.body["logplex_url"].as_str().expect("an address").to_owned();
    let path = url.strip_prefix("http://howdah.test").expect("the platform's own address");
    let request = Request::get(path).header("accept", "text/event-stream");
    let answer = ground.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let body = to_bytes(answer.into_body(), 1 << 22).await.expect("the stream ends");
    let text = String::from_utf8(body.to_vec()).expect("text");
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    let data = |event: &str| {
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        assert!(event.lines().any(|line| line.starts_with("id: ")), "{event}");
        data.split_once(' ').expect("a time").1.to_owned()
    };
    events.map(data).collect()
}

/// Waits until the stream has a line, and answers all.
async fn until(ground: &Ground, body: &Value, line: &str) -> Vec<String> {
    let look = async {
        loop {
            let all = lines(ground, body.clone()).await;
            if all.iter().any(|one| one == line) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(Duration::from_secs(30), look).await;
    found.unwrap_or_else(|_| panic!("waited in vain for {line}"))
}

#[tokio::test]
async fn b17_the_formation_is_that_of_the_first_procfile_and_is_scaled() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    assert_eq!(ground.get("/apps/mine/formation").await, json!([]));
    let scale = async |updates: Value| {
        ground.call("PATCH", "/apps/mine/formation", json!({ "updates": updates })).await
    };
    let early = scale(json!([{ "type": "web", "quantity": "1" }])).await;
    assert_eq!(early.status, 422);
    assert!(early.error().2.contains("howdah runner DIR -a mine"), "{early:?}");

    let runner = Runner::new(&ground);
    assert_eq!(runner.report(true, json!([])).await, 200);
    let formation = ground.get("/apps/mine/formation").await;
    assert_snapshot!(shown(formation[0].clone()), @r#"
    app: {"id":"[id]","name":"mine"}
    command: "bin/web"
    created_at: "[time]"
    id: "[id]"
    quantity: 1
    size: "Basic"
    type: "web"
    updated_at: "[time]"
    "#);
    let wanted = runner.wanted(None).await;
    assert_eq!(wanted["formation"], json!({ "web": 1, "worker": 0 }), "no `release`");

    // The next question is answered when something has changed, and not before.
    let next = runner.wanted(Some(&wanted["change"]));
    let (next, scaled) = tokio::join!(
        next,
        scale(
            json!([{ "type": "web", "quantity": "+2" }, { "type": "worker", "quantity": 1, "size": "2X" }])
        )
    );
    assert_eq!(scaled.ok().as_array().map(Vec::len), Some(2));
    assert_eq!(next["formation"], json!({ "web": 3, "worker": 1 }));
    for (bad, status) in [
        (json!([{ "type": "nope", "quantity": "1" }]), 404),
        (json!([{ "type": "web", "quantity": "0" }, { "type": "nope", "quantity": "1" }]), 404),
        (json!([{ "type": "web", "quantity": "many" }]), 422),
        (json!([{ "type": "web", "quantity": "101" }]), 422),
        (json!([{ "type": "web", "size": "a b" }]), 422),
    ] {
        assert_eq!(scale(bad).await.status, status);
    }
    assert_eq!(
        runner.wanted(None).await["formation"],
        json!({ "web": 3, "worker": 1 }),
        "all or none"
    );
    let line = "heroku[api]: Scaled to web@3:Basic worker@1:2X by user dev@example.com";
    until(&ground, &json!({ "source": "heroku" }), line).await;
}

#[tokio::test]
async fn b13_b18_releases_maintenance_and_requests_reach_the_runner() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    let runner = Runner::new(&ground);
    assert_eq!(runner.report(true, json!([dyno("web.1", "up")])).await, 200);
    let first = runner.wanted(None).await;
    assert_eq!((&first["release"], &first["maintenance"]), (&json!(1), &json!(false)));
    let (second, set) = tokio::join!(
        runner.wanted(Some(&first["change"])),
        ground.call("PATCH", "/apps/mine/config-vars", json!({ "A": "1" }))
    );
    set.ok();
    assert_eq!((&second["release"], &second["config_vars"]), (&json!(2), &json!({ "A": "1" })));
    ground.call("PATCH", "/apps/mine", json!({ "maintenance": true })).await.ok();
    assert_eq!(runner.wanted(Some(&second["change"])).await["maintenance"], true);

    let call = async |method: &str, path: &str| ground.call(method, path, Value::Null).await.status;
    assert_eq!(call("DELETE", "/apps/mine/dynos").await, 202);
    assert_eq!(call("DELETE", "/apps/mine/dynos/web.1").await, 202);
    assert_eq!(call("POST", "/apps/mine/formations/worker/actions/stop").await, 202);
    assert_eq!(call("DELETE", "/apps/mine/dynos/web.2").await, 404);
    let orders = runner.wanted(None).await["orders"].clone();
    let said: Vec<_> =
        orders.as_array().expect("a list").iter().map(|one| (&one["of"], &one["what"])).collect();
    assert_eq!(
        said,
        [
            (&json!("all"), &json!("restart")),
            (&json!({ "dyno": "web.1" }), &json!("restart")),
            (&json!({ "type": "worker" }), &json!("stop")),
        ]
    );

    let dynos = ground.get("/apps/mine/dynos").await;
    assert_snapshot!(shown(dynos[0].clone()), @r#"
    app: {"id":"[id]","name":"mine"}
    attach_url: null
    command: "bin/web"
    created_at: "[time]"
    id: "[id]"
    name: "web.1"
    release: {"id":"[id]","version":1}
    size: "Basic"
    state: "up"
    type: "web"
    updated_at: "[time]"
    "#);

    let second = Runner::new(&ground);
    let taken = ground
        .call(
            "PUT",
            "/howdah/v1/apps/mine/runner/elsewhere",
            json!({ "instance": second.instance, "begins": true, "types": {}, "dynos": [] }),
        )
        .await;
    assert_eq!(taken.status, 409);
    assert!(taken.error().2.contains("run by the runner here"), "{taken:?}");
    assert_eq!(second.report(true, json!([])).await, 200, "the same name takes its place");
    assert_eq!(runner.report(false, json!([])).await, 409);
    let destroyed = tokio::join!(
        async {
            ground
                .call("GET", &format!("{RUNNER}?instance={}&after=1", second.instance), Value::Null)
                .await
        },
        ground.call("DELETE", "/apps/mine", Value::Null)
    );
    destroyed.1.ok();
}

#[tokio::test]
async fn b27_one_off_processes_need_a_runner_and_are_told_to_it_once() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    let run = async |body: Value| ground.call("POST", "/apps/mine/dynos", body).await;
    let none = run(json!({ "command": "env" })).await;
    assert_eq!(none.status, 422);
    assert!(none.error().2.contains("howdah runner DIR -a mine"), "{none:?}");
    let runner = Runner::new(&ground);
    assert_eq!(runner.report(true, json!([])).await, 200);
    let made = run(json!({ "command": "env", "env": { "COLUMNS": 80 } })).await;
    assert_eq!((made.status, &made.body["attach_url"]), (201, &Value::Null));
    let stream = json!({ "terminal": { "rows": 24, "columns": 80 } });
    let attached = run(json!({ "command": "bash", "attach": true, "stream": stream })).await.ok();
    let id = attached["id"].as_str().expect("an id");
    assert_eq!(
        attached["attach_url"],
        format!("http://howdah.test/howdah/v1/apps/mine/streams/{id}/client")
    );
    let asked = runner.wanted(None).await["one_offs"].clone();
    assert_eq!((&asked[0]["io"], &asked[0]["env"]), (&json!("log"), &json!({ "COLUMNS": "80" })));
    assert_eq!(asked[1]["io"], json!({ "terminal": { "rows": 24, "columns": 80 } }));
    let mut up = dyno(asked[0]["name"].as_str().expect("a name"), "up");
    up["one_off"] = asked[0]["id"].clone();
    assert_eq!(runner.report(false, json!([up])).await, 200);
    assert_eq!(runner.wanted(None).await["one_offs"].as_array().map(Vec::len), Some(1));
    assert_eq!(ground.get("/apps/mine/dynos").await.as_array().map(Vec::len), Some(2));
    for bad in
        [json!({}), json!({ "command": " " }), json!({ "command": "x", "env": { "A=B": 1 } })]
    {
        assert_eq!(run(bad).await.status, 422);
    }
    let no_upgrade =
        ground.call("GET", &format!("/howdah/v1/apps/mine/streams/{id}/client"), Value::Null).await;
    assert_eq!(no_upgrade.status, 426);
}

#[tokio::test]
async fn b25_b26_log_sessions_show_what_is_done_and_what_processes_say() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    ground.call("PATCH", "/apps/mine/config-vars", json!({ "B": "s3cret", "A": "1" })).await.ok();
    let heroku = json!({ "source": "heroku" });
    let seen = until(&ground, &heroku, "heroku[api]: Release v2 created by dev@example.com").await;
    assert_eq!(
        seen,
        [
            "heroku[api]: Initial release by dev@example.com",
            "heroku[api]: Release v1 created by dev@example.com",
            "heroku[api]: Enable Logplex by dev@example.com",
            "heroku[api]: Set A, B config vars by dev@example.com",
            "heroku[api]: Release v2 created by dev@example.com",
        ]
    );

    let instance = Uuid::now_v7();
    let say = async |batch: u64, lines: &[(&str, &str)]| {
        let line = |(dyno, text): &(&str, &str)| json!({ "at": "2026-01-02T03:04:05Z", "dyno": dyno, "text": text });
        let lines: Vec<_> = lines.iter().map(line).collect();
        let body = json!({ "instance": instance, "batch": batch, "lines": lines });
        ground.call("POST", &format!("{RUNNER}/lines"), body).await.ok()
    };
    let report = json!({ "instance": instance, "begins": true, "types": {}, "dynos": [] });
    ground.call("PUT", RUNNER, report).await.ok();
    say(1, &[("web.1", "hello"), ("worker.1", "\u{1b}[31mred\u{1b}[0m \u{7}bell")]).await;
    say(1, &[("web.1", "again")]).await;
    say(2, &[("web.1", "data: x\r\nid: 1\n\ndata: y")]).await;
    assert_eq!(
        lines(&ground, json!({ "source": "app" })).await,
        [
            "app[web.1]: hello",
            "app[worker.1]: red \u{fffd}bell",
            "app[web.1]: data: x\u{fffd}\u{fffd}id: 1\u{fffd}\u{fffd}data: y"
        ]
    );
    assert_eq!(lines(&ground, json!({ "dyno": "worker" })).await.len(), 1);
    assert_eq!(lines(&ground, json!({ "lines": 2 })).await.len(), 2);
    assert_eq!(
        ground.call("POST", "/apps/mine/log-sessions", json!({ "source": "x" })).await.status,
        422
    );
    let forged = ground.call_with("GET", "/logs/AQIDBA", &[], &Value::Null).await;
    assert_eq!(forged.status, 404);
}
