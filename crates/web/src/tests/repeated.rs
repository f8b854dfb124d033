//! Requests that are sent twice, or by two at once (M21), and what surrounds every request.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::ground::Ground;

#[tokio::test]
async fn m21_a_request_id_is_carried_out_once_also_when_both_come_at_once() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let bearer = format!("Bearer {}", ground.token);
    let create = async |id: &str| {
        let headers = [("authorization", bearer.as_str()), ("request-id", id)];
        let body = json!({ "plan": "heroku-postgresql:hobby-dev" });
        ground.call_with("POST", "/apps/demo/addons", &headers, &body).await
    };
    let (first, second) = tokio::join!(create("one,older"), create("one"));
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(create("one, even-older").await.body, first.body);
    assert_eq!(ground.get("/apps/demo/addons").await.as_array().map(Vec::len), Some(1));
    assert_ne!(create("two").await.body["id"], first.body["id"]);
    assert_eq!(ground.get("/apps/demo/addons").await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn m21_a_request_goes_on_when_its_client_goes_away() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let bearer = format!("Bearer {}", ground.token);
    let headers = [("authorization", bearer.as_str()), ("request-id", "gone")];
    let body = json!({ "plan": "heroku-postgresql:hobby-dev" });
    let call = ground.call_with("POST", "/apps/demo/addons", &headers, &body);
    let brief = std::time::Duration::from_millis(15);
    let _ = tokio::time::timeout(brief, call).await;
    let again = ground.call_with("POST", "/apps/demo/addons", &headers, &body).await;
    assert_eq!(again.status, 201);
    assert_eq!(ground.get("/apps/demo/addons").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn m21_of_two_that_want_the_same_name_one_gets_it() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.app("shop").await;
    let app = || ground.call("POST", "/apps", json!({ "name": "wanted" }));
    let (one, two) = tokio::join!(app(), app());
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    let addon = async |app: &str| {
        let body = json!({ "plan": "heroku-postgresql:hobby-dev", "name": "postgresql-wanted" });
        ground.call("POST", &format!("/apps/{app}/addons"), body).await
    };
    let (one, two) = tokio::join!(addon("demo"), addon("shop"));
    let mut answers = [one, two];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, 201);
    assert_eq!(
        answers[1].error(),
        (422, "invalid_params", "Name postgresql-wanted is already taken")
    );
    let both = ground.get("/addons").await;
    assert_eq!(both.as_array().map(Vec::len), Some(1), "nothing is half made");
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_bad_bodies_are_told() {
    let ground = Ground::new().await;
    let answer = ground.call("GET", "/account", Value::Null).await;
    let id = answer.headers.get("request-id").and_then(|id| id.to_str().ok());
    assert_eq!(id.map(str::len), Some(36));
    assert_eq!(
        answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()),
        Some("application/json")
    );
    let send = async |body: Vec<u8>| {
        let request = Request::post("/apps")
            .header("authorization", format!("Bearer {}", ground.token))
            .body(Body::from(body))
            .expect("a request");
        ground.send(request).await.status().as_u16()
    };
    assert_eq!(send(b"{".to_vec()).await, 400);
    assert_eq!(send(b"[]".to_vec()).await, 422);
    assert_eq!(send(vec![b' '; 2 << 20]).await, 413);
    assert_eq!(send(vec![]).await, 201);
}

#[tokio::test]
async fn health_needs_no_token_and_names_what_is_down() {
    let ground = Ground::new().await;
    ground.control.installed().await.expect("a first observation");
    let answer = ground.call_with("GET", "/health", &[], &Value::Null).await;
    assert_eq!(answer.body["store"], "up");
    assert_eq!(answer.body["agent"], "up");
    let all_up = answer.body["gateway"] == "up";
    assert_eq!(answer.status, if all_up { 200 } else { 503 });
}
