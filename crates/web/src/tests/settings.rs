//! Settings of a database: what is answered, and what its server is told.

use std::collections::BTreeMap;

use howdah_model::agent::ParticipantSpec;
use serde_json::{Value, json};

use super::ground::{Answer, Ground};

async fn ground() -> Ground {
    let ground = Ground::new().await;
    ground.app("demo").await;
    for (plan, name) in [("standard-0", "pg-one-1"), ("hobby-dev", "pg-small-1")] {
        let body = json!({ "plan": format!("heroku-postgresql:{plan}"), "name": name });
        ground.call("POST", "/apps/demo/addons", body).await.ok();
    }
    ground
}

const CONFIG: &str = "/postgres/v0/databases/pg-one-1/config";

async fn set(ground: &Ground, body: Value) -> Answer {
    ground.call("PATCH", CONFIG, body).await
}

/// What the agent was told of a database, once it says what it shall.
async fn told(
    ground: &Ground,
    addon: &str,
    says: impl Fn(&ParticipantSpec, &BTreeMap<String, String>) -> bool,
) {
    let info = ground.get(&format!("/client/v11/databases/{addon}")).await;
    let name = info["database_name"].as_str().expect("a name").to_owned();
    for _ in 0..400 {
        let spec = ground.agent.spec_of(&name);
        if spec.as_ref().is_some_and(|spec| {
            let database = spec.databases.values().next().expect("a database");
            says(spec, &database.settings)
        }) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{addon}: {:#?}", ground.agent.spec_of(&name));
}

#[tokio::test]
async fn d33_settings_are_shown_changed_and_told_to_the_server_with_json_types() {
    let ground = ground().await;
    let all = ground.get(CONFIG).await;
    assert_eq!(all["log_min_duration_statement"]["value"], 2000);
    assert_eq!(all["log_lock_waits"]["value"], true);
    assert_eq!(all["auto_explain.log_format"]["value"], "text");
    assert_eq!(all["log_statement"]["values"]["none"], "No SQL statements will be logged.");
    assert_eq!(all.as_object().map(serde_json::Map::len), Some(15));
    for setting in all.as_object().expect("an object").values() {
        assert_eq!(setting["value"], setting["default"], "{setting}");
        assert!(setting["desc"].is_string() && setting["values"].is_object(), "{setting}");
    }
    told(&ground, "pg-one-1", |_, settings| settings["log_min_duration_statement"] == "2000").await;

    let all = set(&ground, json!({ "log_statement": "ddl" })).await.ok();
    assert_eq!(all["log_statement"]["value"], "ddl");
    let all = set(&ground, json!({ "log_connections": true, "auto_explain": true })).await.ok();
    assert_eq!(
        (&all["auto_explain"]["value"], &all["log_statement"]["value"]),
        (&true.into(), &"ddl".into())
    );
    told(&ground, "pg-one-1", |spec, settings| {
        spec.settings.get("log_connections").is_some_and(|value| value == "on")
            && settings
                .get("session_preload_libraries")
                .is_some_and(|value| value == "auto_explain")
            && settings.get("log_statement").is_some_and(|value| value == "ddl")
    })
    .await;
    // Back to PostgreSQL's own value: nothing is told of it any more.
    set(&ground, json!({ "log_statement": "none", "log_connections": false })).await.ok();
    told(&ground, "pg-one-1", |spec, settings| {
        !settings.contains_key("log_statement") && !spec.settings.contains_key("log_connections")
    })
    .await;

    for (body, said) in [
        (json!({ "log_statement": "every" }), "`log_statement` is one of none, ddl, mod, all."),
        (json!({ "log_lock_waits": "on" }), "`log_lock_waits` is on or off."),
        (json!({ "log_min_duration_statement": 1.5 }), "does not have the right form"),
        (json!({ "log_min_duration_statement": -2 }), "whole number of milliseconds"),
        (json!({ "log_statement": null }), "does not have the right form"),
        (json!({ "work_mem": "1GB" }), "`work_mem` is not a setting of databases."),
        (json!({ "log_statement": "all", "fsync": false }), "`fsync` is not a setting"),
    ] {
        let answer = set(&ground, body).await;
        let (status, _, message) = answer.error();
        assert!(status == 422 && message.contains(said), "{answer:?}");
    }
    assert_eq!(ground.get(CONFIG).await["log_statement"]["value"], "none", "all or nothing");
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({ "log_statement": "all" }))] {
        let hobby = ground.call(method, "/postgres/v0/databases/pg-small-1/config", body).await;
        assert_eq!(
            hobby.error().2,
            "You can't perform this operation on Essential-tier databases."
        );
    }
    told(&ground, "pg-small-1", |_, settings| settings.is_empty()).await;
}

#[tokio::test]
async fn settings_stay_with_forks_followers_and_new_plans_and_come_back_with_the_database() {
    let ground = ground().await;
    set(&ground, json!({ "log_statement": "mod" })).await.ok();
    let copy = async |config: Value, name: &str| {
        let body =
            json!({ "plan": "heroku-postgresql:standard-0", "name": name, "config": config });
        ground.call("POST", "/apps/demo/addons", body).await.ok();
        wait(&ground, name).await;
    };
    let value = async |name: &str| {
        let path = format!("/postgres/v0/databases/{name}/config");
        ground.get(&path).await["log_statement"]["value"].clone()
    };
    copy(json!({ "fork": "pg-one-1" }), "pg-fork-1").await;
    copy(json!({ "follow": "pg-one-1" }), "pg-follower-1").await;
    assert_eq!(
        (value("pg-fork-1").await, value("pg-follower-1").await),
        ("mod".into(), "mod".into())
    );

    set(&ground, json!({ "log_statement": "all" })).await.ok();
    assert_eq!(
        (value("pg-fork-1").await, value("pg-follower-1").await),
        ("mod".into(), "all".into())
    );
    let follower = "/postgres/v0/databases/pg-follower-1/config";
    let refused = ground.call("PATCH", follower, json!({ "log_statement": "none" })).await;
    assert!(refused.status == 409 && refused.error().2.contains("pg:unfollow"), "{refused:?}");
    told(&ground, "pg-fork-1", |_, settings| settings["log_statement"] == "mod").await;

    let unfollow = "/client/v11/databases/pg-follower-1/unfollow";
    ground.call("PUT", unfollow, Value::Null).await.ok();
    wait(&ground, "pg-follower-1").await;
    set(&ground, json!({ "log_statement": "none" })).await.ok();
    assert_eq!(value("pg-follower-1").await, "all", "it is a database of its own");
    ground.call("PATCH", follower, json!({ "log_statement": "ddl" })).await.ok();
    // Its name within PostgreSQL is its leader's: it is found by what it is told.
    let is_told = || {
        let specs = ground.agent.specs();
        let mut databases = specs.iter().flat_map(|spec| spec.databases.values());
        databases.any(|one| one.settings.get("log_statement").is_some_and(|value| value == "ddl"))
    };
    for _ in 0..400 {
        if is_told() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert!(is_told(), "{:#?}", ground.agent.specs());

    ground.call("DELETE", "/apps/demo/addons/pg-fork-1", json!({ "force": true })).await.ok();
    let back = json!({ "name": "pg-fork-1", "app": "demo" });
    for _ in 0..400 {
        let answer = ground.call("POST", "/howdah/v1/databases/undelete", back.clone()).await;
        if answer.status < 300 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(value("pg-fork-1").await, "mod");
}

async fn wait(ground: &Ground, name: &str) {
    let path = format!("/client/v11/databases/{name}/wait_status");
    for _ in 0..400 {
        if ground.get(&path).await["waiting?"] == false {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{name} was not made in time");
}
