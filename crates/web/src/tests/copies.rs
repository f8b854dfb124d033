//! Forks, rollbacks, followers, and databases that come back.

use std::time::Duration;

use serde_json::{Value, json};

use super::ground::{Answer, Ground};

const STANDARD: &str = "heroku-postgresql:standard-0";

/// A platform with an app `demo` that has a standard-0 as DATABASE.
async fn ground() -> Ground {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let body = json!({ "plan": STANDARD, "name": "postgresql-one" });
    let addon = ground.call("POST", "/apps/demo/addons", body).await.ok();
    assert_eq!(addon["state"], "provisioned");
    ground
}

async fn ask(ground: &Ground, plan: &str, config: Value, name: &str) -> Answer {
    let body = json!({ "plan": plan, "config": config, "name": name });
    ground.call("POST", "/apps/demo/addons", body).await
}

/// Makes a copy and waits for it; answers its information.
async fn copy(ground: &Ground, config: Value, name: &str) -> Value {
    ask(ground, STANDARD, config, name).await.ok();
    wait(ground, name).await;
    info(ground, name).await
}

async fn wait(ground: &Ground, name: &str) {
    let path = format!("/client/v11/databases/{name}/wait_status");
    for _ in 0..400 {
        let status = ground.get(&path).await;
        assert_eq!(status["error?"], false, "{status}");
        if status["waiting?"] == false {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} was not made in time");
}

async fn info(ground: &Ground, name: &str) -> Value {
    ground.get(&format!("/client/v11/databases/{name}")).await
}

fn row<'a>(info: &'a Value, name: &str) -> Option<&'a str> {
    let rows = info["info"].as_array().expect("rows");
    rows.iter().find(|row| row["name"] == name).and_then(|row| row["values"][0].as_str())
}

fn why(answer: &Answer) -> &str {
    let (status, _, message) = answer.error();
    assert!((400..500).contains(&status), "{answer:#?}");
    message
}

async fn vars(ground: &Ground) -> Value {
    ground.get("/apps/demo/config-vars").await
}

#[tokio::test]
async fn g27_g30_g32_a_fork_has_its_own_credentials_and_names_its_source() {
    let ground = ground().await;
    let made = ask(&ground, STANDARD, json!({ "fork": "DATABASE" }), "postgresql-two").await.ok();
    assert_eq!(made["state"], "provisioning", "G12: it does not wait");
    assert_eq!(
        made["provision_message"],
        "Database will become available after it completes forking\n\
         Use `pg:wait` to track status."
    );
    wait(&ground, "postgresql-two").await;
    let fork = info(&ground, "postgresql-two").await;
    assert_eq!(row(&fork, "Forked From"), Some("DATABASE"));
    assert_eq!(row(&fork, "Fork/Follow"), Some("Available"));
    assert_eq!(fork["following"], Value::Null);
    let source = info(&ground, "postgresql-one").await;
    assert!(row(&source, "Forks").expect("a row").starts_with("HEROKU_POSTGRESQL_"));
    assert_ne!(fork["database_user"], source["database_user"]);
    assert_ne!(fork["database_name"], source["database_name"]);
    let spec = ground.agent.spec_of(fork["database_name"].as_str().expect("a name"));
    let spec = spec.expect("the agent has it");
    let database = spec.databases.values().next().expect("one database");
    assert_eq!(
        database.adopts.as_ref().map(ToString::to_string).as_deref(),
        source["database_name"].as_str()
    );
    let timelines = ground.get("/howdah/v1/databases/postgresql-two/timelines").await;
    assert_eq!(timelines[0]["parent"], timelines[1]["id"], "K13");
    assert_eq!(timelines[0]["branch_lsn"], "0/7000000", "K13");
    ground.call("DELETE", "/apps/demo/addons/postgresql-one", Value::Null).await.ok();
    let fork = info(&ground, "postgresql-two").await;
    assert!(row(&fork, "Forked From").expect("a row").starts_with("Database on 127.0.0.1:5433/"));
}

#[tokio::test]
async fn g28_a_fast_fork_says_how_old_it_is() {
    let ground = ground().await;
    let config = json!({ "fork": "DATABASE_URL", "fast": true });
    let made = ask(&ground, STANDARD, config, "postgresql-two").await.ok();
    let said = made["provision_message"].as_str().expect("text");
    assert!(said.contains("Fork will contain data from November 14, 2023 10:13PM UTC (about "));
    assert!(said.contains("To create a fork with up-to-date data, exclude the `--fast` flag."));
}

#[tokio::test]
async fn g13_g15_g23_a_follower_is_read_only_named_by_a_colour_and_not_followed_itself() {
    let ground = ground().await;
    let config = json!({ "follow": "postgresql-one" });
    let made = ask(&ground, STANDARD, config, "postgresql-two").await.ok();
    let said = made["provision_message"].as_str().expect("text");
    let first = "Follower will become available for read-only queries when up-to-date\n";
    assert!(said.starts_with(first), "{said}");
    assert!(said.contains("same zone"), "G17: {said}");
    wait(&ground, "postgresql-two").await;
    let follower = info(&ground, "postgresql-two").await;
    assert_eq!(row(&follower, "Following"), Some("DATABASE"));
    assert_eq!(row(&follower, "Behind By"), Some("0 commits"));
    assert_eq!(row(&follower, "Rollback"), Some("Unsupported"));
    assert_eq!(
        (&follower["leader"], &follower["hot_standby?"]),
        (&json!("postgresql-one"), &json!(true))
    );
    let leader = info(&ground, "postgresql-one").await;
    assert!(row(&leader, "Followers").expect("a row").starts_with("HEROKU_POSTGRESQL_"));
    assert_ne!(follower["database_name"], leader["database_name"], "D5: their URLs differ");
    let own = leader["database_name"].as_str().expect("a name");
    let specs: Vec<_> = ground
        .agent
        .specs()
        .into_iter()
        .filter(|spec| spec.databases.keys().any(|name| name.as_str() == own))
        .collect();
    assert_eq!(specs.len(), 2, "both have the database by the same name");
    let roles = |spec: &howdah_model::agent::ParticipantSpec| -> Vec<String> {
        let database = spec.databases.values().next().expect("one");
        database.credentials.iter().map(|one| one.role.to_string()).collect()
    };
    let of_leader = specs.iter().find(|spec| spec.leader.is_none()).expect("the leader");
    let mine = follower["database_user"].as_str().expect("a user").to_owned();
    assert!(roles(of_leader).contains(&mine), "the leader makes the follower's role");

    let third =
        ask(&ground, STANDARD, json!({ "follow": "postgresql-two" }), "postgresql-three").await;
    assert!(why(&third).contains("Follow its leader postgresql-one"), "{third:?}");
    let promote =
        json!({ "addon": "postgresql-two", "app": "demo", "name": "DATABASE", "confirm": "demo" });
    let promoted = ground.call("POST", "/addon-attachments", promote).await;
    assert!(why(&promoted).contains("pg:unfollow postgresql-two"), "{promoted:?}");
    let path = "/client/v11/databases/postgresql-two/reset";
    let reset = ground.call("PUT", path, Value::Null).await;
    assert!(why(&reset).contains("can only be read"), "{reset:?}");
    let destroyed = ground.call("DELETE", "/apps/demo/addons/postgresql-one", Value::Null).await;
    assert!(why(&destroyed).contains("followed by postgresql-two"), "{destroyed:?}");
    ground.call("DELETE", "/apps/demo/addons/postgresql-two", Value::Null).await.ok();
    let leader = info(&ground, "postgresql-one").await;
    assert_eq!(row(&leader, "Followers"), None, "G31");
}

#[tokio::test]
async fn g22_an_app_does_not_go_while_databases_of_another_follow_its_own() {
    let ground = ground().await;
    ground.app("shop").await;
    let body = json!({ "plan": STANDARD, "config": { "follow": "demo::DATABASE" }, "name": "postgresql-two" });
    ground.call("POST", "/apps/shop/addons", body).await.ok();
    wait(&ground, "postgresql-two").await;
    let refused = ground.call("DELETE", "/apps/demo", Value::Null).await;
    assert!(why(&refused).contains("followed by postgresql-two of other apps"), "{refused:?}");
    assert_eq!(info(&ground, "postgresql-one").await["status"], "available");
    let shown = info(&ground, "postgresql-two").await;
    assert!(row(&shown, "Following").expect("a row").starts_with("Database on 127.0.0.1:5433/"));
    ground.call("DELETE", "/apps/shop", Value::Null).await.ok();
    for _ in 0..200 {
        if ground.call("DELETE", "/apps/demo", Value::Null).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the app could not be destroyed after its follower had gone");
}

#[tokio::test]
async fn g20_g21_an_unfollowed_database_leads_with_the_same_url() {
    let ground = ground().await;
    copy(&ground, json!({ "follow": "DATABASE" }), "postgresql-two").await;
    let before = vars(&ground).await;
    let path = |name: &str| format!("/client/v11/databases/{name}/unfollow");
    let leader = ground.call("PUT", &path("postgresql-one"), Value::Null).await;
    assert_eq!(why(&leader), "postgresql-one is not following another database.");
    let done = ground.call("PUT", &path("postgresql-two"), Value::Null).await;
    assert_eq!(done.status, 200, "{done:?}");
    let own = info(&ground, "postgresql-two").await;
    assert_eq!((row(&own, "Following"), row(&own, "Behind By")), (None, None));
    assert_eq!(row(&own, "Forked From"), Some("DATABASE"));
    assert_eq!(row(&info(&ground, "postgresql-one").await, "Followers"), None);
    assert_eq!(vars(&ground).await, before, "the URLs are as they were");
    let again = ground.call("PUT", &path("postgresql-two"), Value::Null).await;
    assert_eq!(why(&again), "postgresql-two is not following another database.");
    let timelines = ground.get("/howdah/v1/databases/postgresql-two/timelines").await;
    assert_eq!(timelines.as_array().map(Vec::len), Some(2), "K13: {timelines}");
    let promote =
        json!({ "addon": "postgresql-two", "app": "demo", "name": "DATABASE", "confirm": "demo" });
    ground.call("POST", "/addon-attachments", promote).await.ok();
    copy(&ground, json!({ "follow": "postgresql-two" }), "postgresql-three").await;
}

#[tokio::test]
async fn g2_g6_g7_a_rollback_goes_to_a_moment_within_the_window() {
    let ground = ground().await;
    let early = json!({ "rollback": "DATABASE", "by": "2 hours" });
    let refused = ask(&ground, STANDARD, early, "postgresql-two").await;
    assert!(why(&refused).contains("at the earliest"), "{refused:?}");
    let info = info(&ground, "postgresql-one").await;
    assert!(row(&info, "Rollback").expect("a row").starts_with("earliest from 20"));
    let late = json!({ "rollback": "DATABASE", "to": "2999-01-01 00:00:00+00" });
    assert!(why(&ask(&ground, STANDARD, late, "postgresql-two").await).contains("future"));
    let now = ground.control.now().strftime("%Y-%m-%d %H:%M:%S%.f").to_string();
    let config = json!({ "rollback": "DATABASE", "to": now });
    let made = ask(&ground, STANDARD, config, "postgresql-two").await.ok();
    let said = made["provision_message"].as_str().expect("text");
    assert!(said.contains("completes rolling back to 20") && said.contains(" +0000 (00:00:0"));
    assert!(said.contains("UTC was taken"), "G3: {said}");
    wait(&ground, "postgresql-two").await;
}

#[tokio::test]
async fn c35_g14_g33_sources_are_named_in_every_form_and_strangers_learn_nothing() {
    let ground = ground().await;
    ground.app("shop").await;
    let url = vars(&ground).await["DATABASE_URL"].as_str().expect("a URL").to_owned();
    let forms = ["DATABASE", "database_url", "demo::DATABASE", "postgresql-one", &url];
    for (index, form) in forms.iter().enumerate() {
        let name = format!("postgresql-copy-{index}");
        let made = ask(&ground, "heroku-postgresql", json!({ "fork": form }), &name).await.ok();
        assert_eq!(made["plan"]["name"], STANDARD, "{form}: the source's plan");
    }
    let body = json!({ "plan": "heroku-postgresql", "config": { "fork": "demo::DATABASE" } });
    let elsewhere = ground.call("POST", "/apps/shop/addons", body).await;
    assert!(why(&elsewhere).contains("Name the plan"), "{elsewhere:?}");
    let other = ground.account("b@example.com").await;
    ground.call_as(&other, "POST", "/apps", &json!({ "name": "theirs" })).await.ok();
    for form in [&*url, "demo::DATABASE", "postgresql-one", "postgres://u:p@h/nope"] {
        let body = json!({ "plan": STANDARD, "config": { "fork": form } });
        let answer = ground.call_as(&other, "POST", "/apps/theirs/addons", &body).await;
        assert_eq!(answer.status, 404, "{form}: {answer:?}");
    }
    ground
        .call("POST", "/apps/demo/addons", json!({ "plan": "mini", "name": "postgresql-small" }))
        .await
        .ok();
    for (option, called) in [("fork", "Fork"), ("follow", "Follow")] {
        let small =
            ask(&ground, STANDARD, json!({ option: "postgresql-small" }), "postgresql-x").await;
        assert_eq!(why(&small), format!("{called} is only available on production databases."));
    }
    let version = json!({ "fork": "DATABASE", "version": "15" });
    let version = ask(&ground, STANDARD, version, "postgresql-x").await;
    assert!(why(&version).contains("the version of its source"), "{version:?}");
}

#[tokio::test]
async fn g9_g11_waiting_tells_how_far_it_is_and_why_it_failed() {
    let ground = ground().await;
    ground.agent.get_stuck(true);
    ask(&ground, STANDARD, json!({ "fork": "DATABASE" }), "postgresql-two").await.ok();
    let path = "/client/v11/databases/postgresql-two/wait_status";
    let mut status = Value::Null;
    for _ in 0..200 {
        status = ground.get(path).await;
        if status["percent"] != Value::Null {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status["message"], "preparing (41% completed)", "{status}");
    assert_eq!((&status["making"]["done"], &status["waiting?"]), (&json!(5), &json!(true)));
    let operations = ground.get("/howdah/v1/apps/demo/operations").await;
    let id = operations[0]["id"].as_str().expect("an id").parse().expect("an id");
    let mut tx = ground.control.store().begin().await.expect("begin");
    let now = ground.control.now();
    howdah_store::operations::cancel(&mut tx, id, now).await.expect("cancel");
    tx.commit().await.expect("commit");
    for _ in 0..200 {
        status = ground.get(path).await;
        if status["error?"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = status["message"].as_str().unwrap_or_default();
    assert!(said.contains("postgresql-two could not be made: it was cancelled"), "{status}");
    let other = ground.account("b@example.com").await;
    assert_eq!(ground.call_as(&other, "GET", path, &Value::Null).await.status, 404);
}

/// Undeletes, and waits while the removal is not over.
async fn undelete(ground: &Ground, name: &str) -> Value {
    let body = json!({ "name": name, "app": "demo" });
    for _ in 0..200 {
        let answer = ground.call("POST", "/howdah/v1/databases/undelete", body.clone()).await;
        if answer.status != 409 {
            return answer.ok();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} was not removed in time");
}

#[tokio::test]
async fn a_destroyed_database_comes_back_with_its_name_url_and_config_var() {
    for plan in [STANDARD, "heroku-postgresql:hobby-dev"] {
        let ground = Ground::new().await;
        ground.app("demo").await;
        let body = json!({ "plan": plan, "name": "postgresql-one" });
        ground.call("POST", "/apps/demo/addons", body).await.ok();
        let before = vars(&ground).await;
        let there = json!({ "name": "postgresql-one", "app": "demo" });
        let path = "/howdah/v1/databases/undelete";
        let refused = ground.call("POST", path, there.clone()).await;
        assert!(why(&refused).contains("was not destroyed"), "{refused:?}");
        for _ in 0..2 {
            ground.call("DELETE", "/apps/demo/addons/postgresql-one", Value::Null).await.ok();
            assert_eq!(vars(&ground).await, json!({}));
            let back = undelete(&ground, "postgresql-one").await;
            assert_eq!(
                (&back["name"], &back["state"]),
                (&json!("postgresql-one"), &json!("provisioning"))
            );
            wait(&ground, "postgresql-one").await;
            assert_eq!(vars(&ground).await, before, "{plan}: the same URL under the same name");
        }
        let unknown = json!({ "name": "postgresql-other", "app": "demo" });
        assert_eq!(ground.call("POST", path, unknown).await.status, 404);
    }
}

#[tokio::test]
async fn a_database_that_is_kept_no_more_does_not_come_back_and_is_told_until_when_it_was() {
    let ground = ground().await;
    ground.call("DELETE", "/apps/demo/addons/postgresql-one", Value::Null).await.ok();
    let pool = sqlx::PgPool::connect(&ground.scratch.url()).await.expect("connect");
    sqlx::query(
        "update databases set keep_until = '2020-01-02 03:04Z' where keep_until is not null",
    )
    .execute(&pool)
    .await
    .expect("let time pass");
    let body = json!({ "name": "postgresql-one", "app": "demo" });
    let mut answer = ground.call("POST", "/howdah/v1/databases/undelete", body.clone()).await;
    for _ in 0..200 {
        if answer.status != 409 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = ground.call("POST", "/howdah/v1/databases/undelete", body.clone()).await;
    }
    assert!(why(&answer).contains("It was kept until 2020-01-02 03:04 UTC"), "{answer:?}");
}

#[tokio::test]
async fn m13_backups_and_drills_are_asked_for_by_owners_and_not_for_shared_servers() {
    let ground = ground().await;
    for (what, counter) in [("backup", "backups"), ("drill", "drills")] {
        let path = format!("/howdah/v1/databases/postgresql-one/{what}");
        let asked = ground.call("PUT", &path, json!({})).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        let state = ground.get("/howdah/v1/databases/postgresql-one/protection").await;
        assert_eq!(state["wanted"][counter], 1, "{state}");
    }
    ground
        .call("POST", "/apps/demo/addons", json!({ "plan": "mini", "name": "postgresql-small" }))
        .await
        .ok();
    let small = ground.call("PUT", "/howdah/v1/databases/postgresql-small/drill", json!({})).await;
    assert!(why(&small).contains("only available on production databases"), "{small:?}");
    assert_eq!(ground.get("/howdah/v1/incidents").await, json!([]));
}
