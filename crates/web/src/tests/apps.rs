//! Apps, config vars and releases.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::ground::{Ground, shown};

#[tokio::test]
async fn b2_b3_apps_are_named_or_invented_and_a_name_is_taken_once() {
    let ground = Ground::new().await;
    assert_snapshot!(shown(ground.app("demo").await), @r#"
    acm: false
    archived_at: null
    build_stack: {"id":"[id]","name":"heroku-24"}
    buildpack_provided_description: null
    create_status: "complete"
    created_at: "[time]"
    generation: {"id":"[id]","name":"cedar"}
    git_url: "http://howdah.test/demo.git"
    id: "[id]"
    internal_routing: null
    maintenance: false
    name: "demo"
    organization: null
    owner: {"email":"dev@example.com","id":"[id]"}
    process_tier: "standard"
    region: {"id":"[id]","name":"us"}
    released_at: "[time]"
    repo_size: 0
    slug_size: 0
    space: null
    stack: {"id":"[id]","name":"heroku-24"}
    team: null
    updated_at: "[time]"
    web_url: "http://howdah.test/apps/demo"
    "#);
    let invented = ground.call("POST", "/apps", Value::Null).await.ok();
    let name = invented["name"].as_str().expect("a name");
    assert_eq!(name.split('-').count(), 3, "{name}");
    let other = ground.account("b@example.com").await;
    let taken = ground.call_as(&other, "POST", "/apps", &json!({ "name": "demo" })).await;
    assert_eq!(taken.error(), (422, "invalid_params", "Name demo is already taken"));
    let bad = ground.call("POST", "/apps", json!({ "name": "No Way" })).await;
    assert!(bad.error().2.contains("lower-case letters"), "{bad:?}");
    let mars = ground.call("POST", "/apps", json!({ "name": "far", "region": "mars" })).await;
    assert_eq!(mars.error().2, "There is no server in the region `mars`. There are servers in us.");
    assert_eq!(ground.get("/apps").await, ground.get("/users/~/apps").await);
    assert_eq!(ground.get("/apps").await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn an_app_is_renamed_maintained_and_destroyed_and_its_name_is_free_at_once() {
    let ground = Ground::new().await;
    let id = ground.app("demo").await["id"].as_str().expect("an id").to_owned();
    ground.app("other").await;
    let patch = async |path: &str, body| ground.call("PATCH", path, body).await;
    let taken = patch("/apps/demo", json!({ "name": "other" })).await;
    assert_eq!(taken.error().2, "Name other is already taken");
    assert_eq!(patch("/apps/demo", json!({ "name": "shop" })).await.ok()["name"], "shop");
    assert_eq!(ground.call("GET", "/apps/demo", Value::Null).await.status, 404);
    let on = patch(&format!("/apps/{id}"), json!({ "maintenance": true })).await.ok();
    assert_eq!((&on["maintenance"], &on["name"]), (&json!(true), &json!("shop")));
    assert_eq!(ground.call("DELETE", "/apps/shop", Value::Null).await.ok()["name"], "shop");
    assert_eq!(ground.call("GET", "/apps/shop", Value::Null).await.status, 404);
    ground.app("shop").await;
}

#[tokio::test]
async fn b9_b11_every_change_of_config_is_one_release_and_no_change_is_none() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let path = "/apps/demo/config-vars";
    let set = async |body| ground.call("PATCH", path, body).await.ok();
    assert_eq!(set(json!({ "B": "2", "A": "1" })).await, json!({ "A": "1", "B": "2" }));
    assert_eq!(set(json!({ "A": "1" })).await, json!({ "A": "1", "B": "2" }));
    assert_eq!(set(json!({ "A": null, "C": "" })).await, json!({ "B": "2", "C": "" }));
    assert_eq!(set(json!({ "NOT_THERE": null })).await, json!({ "B": "2", "C": "" }));
    assert_eq!(
        ground.releases("demo").await,
        ["Set C and remove A config vars", "Set A, B config vars", "Initial release"]
    );
    for (bad, why) in [
        (json!({ "1A": "x" }), "config var name"),
        (json!({ "A": 1 }), "right form"),
        (json!({ "A": "a\u{0}b" }), "zero byte"),
        (json!({ "A": "x".repeat(65_536) }), "65536 bytes"),
        (json!(["A"]), "right form"),
    ] {
        let answer = ground.call("PATCH", path, bad).await;
        assert!(answer.status == 422 && answer.error().2.contains(why), "{answer:?}");
    }
    assert_eq!(ground.get(path).await, json!({ "B": "2", "C": "" }));
    let first = &ground.get("/apps/demo/releases/v2").await;
    assert_snapshot!(shown(first.clone()), @r#"
    addon_plan_names: []
    app: {"id":"[id]","name":"demo"}
    created_at: "[time]"
    current: false
    description: "Set A, B config vars"
    eligible_for_rollback: true
    id: "[id]"
    output_stream_url: null
    slug: null
    status: "succeeded"
    updated_at: "[time]"
    user: {"email":"dev@example.com","id":"[id]"}
    version: 2
    "#);
}

#[tokio::test]
async fn a_rollback_brings_back_what_people_set_and_is_a_release_of_its_own() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let vars = "/apps/demo/config-vars";
    for value in ["1", "2"] {
        ground.call("PATCH", vars, json!({ "A": value })).await.ok();
    }
    ground.addon("demo", "heroku-postgresql:hobby-dev").await;
    let url = ground.get(vars).await["DATABASE_URL"].clone();
    assert!(url.is_string());
    let second = ground.get("/apps/demo/releases/2").await;
    assert_eq!(ground.get("/apps/demo/releases/2/config-vars").await, json!({ "A": "1" }));
    let body = json!({ "release": second["id"] });
    let made = ground.call("POST", "/apps/demo/releases", body).await;
    assert_eq!((made.status, &made.body["description"]), (201, &json!("Rollback to v2")));
    assert_eq!(ground.get(vars).await, json!({ "A": "1", "DATABASE_URL": url }));
    assert_eq!(
        ground.get(&format!("/apps/demo/releases/{}/config-vars", made.body["version"])).await,
        json!({ "A": "1", "DATABASE_URL": url })
    );
}

#[tokio::test]
async fn a_range_says_how_many_and_in_which_order() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    for value in ["1", "2", "3"] {
        ground.call("PATCH", "/apps/demo/config-vars", json!({ "A": value })).await.ok();
    }
    let bearer = format!("Bearer {}", ground.token);
    let list = async |range: &str| -> Vec<u64> {
        let headers = [("authorization", bearer.as_str()), ("range", range)];
        let all = ground.call_with("GET", "/apps/demo/releases", &headers, &Value::Null).await.ok();
        let all = all.as_array().expect("a list").iter();
        all.map(|one| one["version"].as_u64().expect("a number")).collect()
    };
    assert_eq!(list("version ..; max=2, order=desc").await, [4, 3]);
    assert_eq!(list("version ..; order=desc,max=1").await, [4]);
    assert_eq!(list("").await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn an_app_has_no_processes_and_no_pipeline() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    assert_eq!(ground.get("/apps/demo/dynos").await, json!([]));
    assert_eq!(ground.get("/apps/demo/formation").await, json!([]));
    let pipeline = ground.call("GET", "/apps/demo/pipeline-couplings", Value::Null).await;
    assert_eq!(pipeline.error().0, 404);
}
