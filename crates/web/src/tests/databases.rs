//! The data API: one database, its figures, its credentials, and what is done to it.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::ground::{Ground, basic, shown};

async fn ground(plan: &str) -> Ground {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let body = json!({ "plan": plan, "name": "postgresql-one" });
    let addon = ground.call("POST", "/apps/demo/addons", body).await.ok();
    assert_eq!(addon["state"], "provisioned");
    ground
}

const DATABASE: &str = "/client/v11/databases/postgresql-one";

#[tokio::test]
async fn d2_d3_d6_the_information_on_a_hobby_database() {
    let ground = ground("heroku-postgresql:hobby-dev").await;
    let mut info = ground.get(DATABASE).await;
    let url = info["resource_url"].as_str().expect("a URL");
    assert_eq!(url, ground.get("/apps/demo/config-vars").await["DATABASE_URL"]);
    info["resource_url"] = "[url]".into();
    for row in info["info"].as_array_mut().expect("rows") {
        if row["name"] == "Created" {
            row["values"] = json!(["[time]"]);
        }
    }
    assert_snapshot!(shown(info), @r#"
    addon_id: "[id]"
    available_for_ingress: true
    behind_by_commits: null
    created_at: "[time]"
    database_name: "[database_name]"
    database_user: "[database_user]"
    following: null
    forked_from: null
    heroku_resource_id: "postgresql-one"
    hot_standby?: false
    info: [{"name":"Plan","resolve_db_name":false,"values":["Hobby-dev"]},{"name":"Status","resolve_db_name":false,"values":["Available"]},{"name":"Connections","resolve_db_name":false,"values":["1/20"]},{"name":"PG Version","resolve_db_name":false,"values":["18.6"]},{"name":"Created","resolve_db_name":false,"values":["[time]"]},{"name":"Data Size","resolve_db_name":false,"values":["6.4 MB"]},{"name":"Tables","resolve_db_name":false,"values":["9"]},{"name":"Rows","resolve_db_name":false,"values":["23/10000 (In compliance)"]},{"name":"Fork/Follow","resolve_db_name":false,"values":["Unsupported"]},{"name":"Rollback","resolve_db_name":false,"values":["Unsupported"]},{"name":"Continuous Protection","resolve_db_name":false,"values":["On"]},{"name":"Last Base Backup","resolve_db_name":false,"values":["2023-11-14 22:13 UTC"]},{"name":"Archive Lag","resolve_db_name":false,"values":["0 bytes"]}]
    is_in_recovery?: false
    leader: null
    name: "postgresql-one"
    num_bytes: 6710886
    num_connections: 1
    num_connections_waiting: null
    num_tables: 9
    plan: "hobby-dev"
    port: 5433
    postgres_version: "18.6"
    resource_url: "[url]"
    standalone?: true
    status: "available"
    status_updated_at: "[time]"
    waiting?: false
    "#);
}

#[tokio::test]
async fn d4_d6_a_production_database_that_does_not_answer_is_shown_as_it_was_seen() {
    let ground = ground("heroku-postgresql:standard-0").await;
    let labels = |info: &Value| -> Vec<String> {
        let rows = info["info"].as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().expect("a label").to_owned()).collect()
    };
    let live = ground.get(DATABASE).await;
    assert_eq!(
        labels(&live),
        [
            "Plan",
            "Status",
            "Data Size",
            "Tables",
            "PG Version",
            "Connections",
            "Fork/Follow",
            "Rollback",
            "Created",
            "Maintenance",
            "Connection Pooling",
            "Continuous Protection",
            "Last Base Backup",
            "Archive Lag"
        ]
    );
    assert_eq!(live["postgres_version"], "18.6");
    ground.agent.get_stuck(true);
    let seen = ground.get(DATABASE).await;
    assert!(labels(&seen).contains(&"Plan".to_owned()));
}

#[tokio::test]
async fn d28_credentials_are_shown_to_those_with_access_by_bearer_and_by_basic() {
    let ground = ground("heroku-postgresql:hobby-dev").await;
    let list = "/postgres/v0/databases/postgresql-one/credentials";
    let header = basic("", &ground.token);
    let headers = [("authorization", header.as_str())];
    let all = ground.call_with("GET", list, &headers, &Value::Null).await.ok();
    let one = ground.get(&format!("{list}/default")).await;
    assert_eq!(all, json!([one]));
    let vars = ground.get("/apps/demo/config-vars").await;
    let login = &one["credentials"][0];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let url = format!(
        "postgres://{}:{}@{}:{}/{}",
        text(&login["user"]),
        text(&login["password"]),
        text(&one["host"]),
        one["port"],
        text(&one["database"])
    );
    assert_eq!(vars["DATABASE_URL"], url);
    assert_snapshot!(shown(one), @r#"
    credentials: [{"connections":null,"password":"[password]","state":"active","user":"[user]"}]
    database: "[database]"
    host: "127.0.0.1"
    name: "default"
    permission: null
    port: 5433
    state: "active"
    uuid: "[id]"
    "#);
    let none = ground.call("GET", &format!("{list}/reports"), Value::Null).await;
    assert_eq!((none.status, &none.body["resource"]), (404, &json!("credential")));
}

#[tokio::test]
async fn d29_a_reset_keeps_the_url_and_makes_no_release() {
    let ground = ground("heroku-postgresql:standard-0").await;
    let before = (ground.get("/apps/demo/config-vars").await, ground.releases("demo").await);
    let answer = ground.call("PUT", &format!("{DATABASE}/reset"), Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let with = json!({ "extensions": ["citext", "hstore"] });
    assert_eq!(ground.call("PUT", &format!("{DATABASE}/reset"), with).await.status, 200);
    let bad = json!({ "extensions": ["plpython3u"] });
    let refused = ground.call("PUT", &format!("{DATABASE}/reset"), bad).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let after = (ground.get("/apps/demo/config-vars").await, ground.releases("demo").await);
    assert_eq!(before, after);
    let operations = ground.get("/howdah/v1/apps/demo/operations").await;
    assert_eq!(
        (&operations[0]["kind"], &operations[0]["outcome"]),
        (&json!("reset"), &json!("done"))
    );
}

#[tokio::test]
async fn d23_all_sessions_are_ended_and_counted() {
    let ground = ground("heroku-postgresql:hobby-dev").await;
    let ended = ground.call("POST", &format!("{DATABASE}/connection_reset"), Value::Null).await;
    assert_eq!(ended.ok(), json!({ "message": "Connections terminated", "terminated": 2 }));
    let reset = ground.call("PUT", &format!("{DATABASE}/stats_reset"), Value::Null).await;
    assert_eq!(reset.ok(), json!({ "message": "The statistics have been reset." }));
}

#[tokio::test]
async fn those_who_only_use_a_database_may_read_it_and_not_change_it() {
    let ground = ground("heroku-postgresql:hobby-dev").await;
    let other = ground.account("b@example.com").await;
    let made = ground.call_as(&other, "POST", "/apps", &json!({ "name": "shop" })).await;
    assert_eq!(made.status, 201);
    let invite = json!({ "user": "dev@example.com" });
    ground.call_as(&other, "POST", "/apps/shop/collaborators", &invite).await.ok();
    let attach = json!({ "addon": "postgresql-one", "app": "shop" });
    ground.call("POST", "/addon-attachments", attach).await.ok();
    assert_eq!(ground.call_as(&other, "GET", DATABASE, &Value::Null).await.status, 200);
    for (method, path) in [
        ("PUT", format!("{DATABASE}/reset")),
        ("PUT", format!("{DATABASE}/stats_reset")),
        ("POST", format!("{DATABASE}/connection_reset")),
        ("DELETE", "/apps/shop/addons/postgresql-one".to_owned()),
        ("PATCH", "/apps/shop/addons/postgresql-one".to_owned()),
    ] {
        let body = json!({ "name": "postgresql-mine" });
        let refused = ground.call_as(&other, method, &path, &body).await;
        let (status, id, message) = refused.error();
        assert_eq!((status, id), (403, "forbidden"), "{method} {path}");
        assert!(message.contains("belongs to the app demo"), "{message}");
    }
}

#[tokio::test]
async fn k9_every_operation_and_transition_is_told_with_its_reason() {
    let ground = ground("heroku-postgresql:hobby-dev").await;
    let operations = ground.get("/howdah/v1/apps/demo/operations").await;
    let id = operations[0]["id"].as_str().expect("an id");
    let one = ground.get(&format!("/howdah/v1/operations/{id}")).await;
    assert_eq!(one["addon"]["name"], "postgresql-one");
    let states = |list: &Value| -> Vec<String> {
        let all = list.as_array().expect("a list").iter();
        all.map(|turn| {
            assert!(turn["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{turn}");
            turn["to"].as_str().expect("a state").to_owned()
        })
        .collect()
    };
    assert_eq!(states(&one["transitions"]), ["placing", "making", "publishing", "done"]);
    let path = "/howdah/v1/databases/postgresql-one/transitions";
    assert_eq!(states(&ground.get(path).await), ["preparing", "available"]);
}
