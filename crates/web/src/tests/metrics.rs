//! The figures for Prometheus.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::json;

use super::admin::Admin;
use super::ground::{Ground, METRICS, basic};

/// Status, content type and text.
async fn scrape(ground: &Ground, authorization: &str) -> (u16, String, String) {
    let mut request = Request::get("/metrics");
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let response = ground.send(request.body(Body::empty()).expect("a request")).await;
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.expect("a body");
    let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    (parts.status.as_u16(), kind.unwrap_or_default().to_owned(), text)
}

async fn ground(admin: &Admin) -> Ground {
    let ground = Ground::with(admin.config()).await;
    ground.app("demo").await;
    let body = json!({ "plan": "heroku-postgresql:standard-0", "name": "postgresql-one" });
    ground.call("POST", "/apps/demo/addons", body).await.ok();
    ground
}

#[tokio::test]
async fn i26_figures_of_the_platform_and_the_gateway_are_for_the_holder_of_their_token() {
    let admin = Admin::new();
    let ground = ground(&admin).await;
    // They are of everybody: an account's token is not enough.
    let account = format!("Bearer {}", ground.token);
    for wrong in ["", "Bearer ", "Bearer wrong", "Bearer m-12", account.as_str()] {
        let (status, _, text) = scrape(&ground, wrong).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(!text.contains("howdah_"), "{text}");
    }
    for right in [format!("Bearer {METRICS}"), basic("prometheus", METRICS)] {
        let (status, kind, text) = scrape(&ground, &right).await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        for line in [
            "howdah_store_up 1",
            "howdah_gateway_up 1",
            "howdah_databases{state=\"available\"} 1",
            "howdah_databases{state=\"unavailable\"} 0",
            "howdah_operations{kind=\"reset\"} 0",
            "howdah_gateway_clients 3",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
        let called = "addon=\"postgresql-one\",app=\"demo\",plan=\"standard-0\",major=\"18\"} 1";
        assert!(text.lines().any(|line| line.ends_with(called)), "{text}");
        let mut metric = "";
        for line in text.lines().filter(|line| !line.starts_with("# HELP")) {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => metric = rest.split(' ').next().expect("a name"),
                None if line.starts_with("howdah_gateway_clients") => {}
                None => assert_eq!(line.split(['{', ' ']).next(), Some(metric), "{text}"),
            }
        }
    }
}

#[tokio::test]
async fn i26_a_part_that_is_away_is_told_as_down_and_does_not_hide_the_others() {
    let mut admin = Admin::new();
    let ground = ground(&admin).await;
    let token = format!("Bearer {METRICS}");
    ground.scratch.kill();
    let (status, _, text) = scrape(&ground, &token).await;
    assert_eq!(status, 200);
    for line in ["howdah_store_up 0", "howdah_gateway_up 1", "howdah_gateway_clients 3"] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
    assert!(!text.contains("howdah_database"), "what is not known is not told: {text}");
    admin.serving.shutdown().await;
    let (status, _, text) = scrape(&ground, &token).await;
    assert_eq!(status, 200);
    assert!(text.contains("howdah_gateway_up 0\n") && !text.contains("clients"), "{text}");
}
