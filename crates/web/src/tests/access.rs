//! Accounts, tokens, keys, and who may see an app.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::ground::{Ground, basic, shown};

#[tokio::test]
async fn a1_a3_whoever_signs_up_can_log_in_and_wrong_halves_are_not_told_apart() {
    let ground = Ground::new().await;
    let sign_up = async |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        ground.call_with("POST", "/howdah/v1/accounts", &[], &body).await
    };
    let made = sign_up("new@example.com", "correct horse").await;
    assert_eq!(made.status, 201);
    let token = made.body["authorization"]["access_token"]["token"].as_str().expect("a token");
    let account = ground.call_as(token, "GET", "/account", &Value::Null).await.ok();
    assert_eq!(account["email"], "new@example.com");
    let (status, _, message) = {
        let again = sign_up("NEW@example.com", "correct horse").await;
        (again.status, 0, again.body["message"].clone())
    };
    assert_eq!(status, 422);
    assert_eq!(message, "There is an account for NEW@example.com already. Log in instead.");
    assert_eq!(sign_up("x@example.com", "short").await.status, 422);
    assert_eq!(sign_up("no address", "correct horse").await.status, 422);

    let log_in = async |user: &str, password: &str| {
        let header = basic(user, password);
        let body = json!({ "description": "CLI", "expires_in": 3600, "scope": ["global"] });
        ground
            .call_with("POST", "/oauth/authorizations", &[("authorization", &header)], &body)
            .await
    };
    let good = log_in("new@example.com", "correct horse").await;
    assert_eq!(good.status, 201);
    assert_snapshot!(shown(good.body), @r#"
    access_token: {"expires_in":3599,"id":"[id]","token":"[token]"}
    client: null
    created_at: "[time]"
    description: "CLI"
    grant: null
    id: "[id]"
    scope: ["global"]
    session: null
    updated_at: "[time]"
    user: {"email":"new@example.com","id":"[id]"}
    "#);
    let wrong = log_in("new@example.com", "wrong horse").await;
    let unknown = log_in("nobody@example.com", "correct horse").await;
    assert_eq!(wrong.error(), (401, "unauthorized", "Invalid credentials provided."));
    assert_eq!(wrong.body, unknown.body);
}

#[tokio::test]
async fn a_token_is_shown_to_its_holder_only_and_is_gone_after_log_out() {
    let ground = Ground::new().await;
    let header = basic("", &ground.token);
    let second = ground
        .call_with("POST", "/oauth/authorizations", &[("authorization", &header)], &Value::Null)
        .await
        .ok();
    let all = ground.get("/oauth/authorizations").await;
    let all = all.as_array().expect("a list");
    assert_eq!(all.len(), 2);
    let tokens: Vec<_> = all.iter().map(|one| &one["access_token"]["token"]).collect();
    assert_eq!(tokens, [&json!(ground.token), &json!("hwd_**********")]);
    let no_session = ground.call("DELETE", "/oauth/sessions/~", Value::Null).await;
    assert_eq!((no_session.status, &no_session.body["resource"]), (404, &json!("session")));
    let path = format!("/oauth/authorizations/{}", second["id"].as_str().expect("an id"));
    assert_eq!(ground.call("DELETE", &path, Value::Null).await.status, 200);
    let token = second["access_token"]["token"].as_str().expect("a token");
    assert_eq!(ground.call_as(token, "GET", "/account", &Value::Null).await.status, 401);
    assert_eq!(ground.call("DELETE", "/oauth/authorizations/~", Value::Null).await.status, 200);
    assert_eq!(ground.call("GET", "/account", Value::Null).await.status, 401);
}

#[tokio::test]
async fn a5_keys_are_added_listed_and_removed() {
    let ground = Ground::new().await;
    let public = "ssh-ed25519 \
                  AAAAC3NzaC1lZDI1NTE5AAAAIG5OPIaALUMFcwbkx26ce+DRHgqg/NHvgfPjUh2RSTZs dev@laptop";
    let added = ground.call("POST", "/account/keys", json!({ "public_key": public })).await;
    assert_eq!(added.status, 201);
    assert_snapshot!(shown(added.body.clone()), @r#"
    comment: "dev@laptop"
    created_at: "[time]"
    email: "dev@example.com"
    fingerprint: "SHA256:g42VdyeaDn9rIDTH9N+IwujjdoVO9c6An+HmgLkMzkI"
    id: "[id]"
    public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5OPIaALUMFcwbkx26ce+DRHgqg/NHvgfPjUh2RSTZs dev@laptop"
    updated_at: "[time]"
    "#);
    let again = ground.call("POST", "/account/keys", json!({ "public_key": public })).await.ok();
    assert_eq!(again["id"], added.body["id"]);
    assert_eq!(ground.get("/account/keys").await.as_array().map(Vec::len), Some(1));
    let bad = ground.call("POST", "/account/keys", json!({ "public_key": "hello" })).await;
    assert_eq!(bad.status, 422);
    let removed = ground.call("DELETE", "/account/keys/dev@laptop", Value::Null).await;
    assert_eq!(removed.status, 200);
    assert_eq!(ground.get("/account/keys").await, json!([]));
}

#[tokio::test]
async fn a24_an_app_is_its_owners_and_its_collaborators() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let other = ground.account("b@example.com").await;
    let see = async || ground.call_as(&other, "GET", "/apps/demo", &Value::Null).await.status;
    assert_eq!(see().await, 404);
    let user = |email: &str| json!({ "user": email });
    let added = ground.call("POST", "/apps/demo/collaborators", user("b@example.com")).await;
    assert_eq!(added.status, 201);
    assert_eq!(see().await, 200);
    let all = ground.get("/apps/demo/collaborators").await;
    let all: Vec<_> = all
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["user"]["email"], &one["role"]))
        .collect();
    assert_eq!(
        all,
        [
            (&json!("dev@example.com"), &json!("owner")),
            (&json!("b@example.com"), &json!("collaborator"))
        ]
    );
    let destroyed = ground.call_as(&other, "DELETE", "/apps/demo", &Value::Null).await;
    assert_eq!(
        destroyed.error(),
        (403, "forbidden", "Only its owner dev@example.com can destroy demo.")
    );
    let unknown = ground.call("POST", "/apps/demo/collaborators", user("x@example.com")).await;
    assert_eq!(unknown.status, 422);
    let path = "/apps/demo/collaborators/b@example.com";
    assert_eq!(ground.call("DELETE", path, Value::Null).await.status, 200);
    assert_eq!(see().await, 404);
    let owner = ground.call("DELETE", "/apps/demo/collaborators/dev@example.com", Value::Null);
    assert_eq!(owner.await.status, 422);
}
