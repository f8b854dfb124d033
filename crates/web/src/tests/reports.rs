//! Reports of how databases fare.

use serde_json::{Value, json};

use super::ground::Ground;

#[tokio::test]
async fn d33_a_report_says_the_worst_first_and_is_kept_for_who_may_see_its_app() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let body = json!({ "plan": "heroku-postgresql:standard-0", "name": "pg-one-1" });
    ground.call("POST", "/apps/demo/addons", body).await.ok();
    // As Heroku's CLI asks: the URL is there and is not used.
    let metrics = ground.get("/client/v11/databases/pg-one-1/metrics").await;
    assert_eq!(metrics[0]["name"], "active-connections");
    assert_eq!(ground.get("/client/v11/databases/pg-one-1/burst_status").await, json!({}));
    let question = json!({
        "app": "demo", "database": "DATABASE_URL", "plan": "standard-0", "metrics": metrics,
        "url": "postgres://somebody:s3cret@elsewhere/d",
    });
    let report = ground.call("POST", "/reports", question).await.ok();
    assert_eq!((&report["app"], &report["database"]), (&"demo".into(), &"DATABASE_URL".into()));
    assert!(!report.to_string().contains("s3cret"));
    let checks = report["checks"].as_array().expect("a list");
    let outcomes: Vec<_> = checks.iter().map(|check| check["status"].as_str()).collect();
    let mut sorted = outcomes.clone();
    sorted.sort_by_key(|status| {
        ["red", "yellow", "green", "skipped"].iter().position(|one| Some(*one) == *status)
    });
    assert_eq!(outcomes, sorted);
    let one = |name: &str| checks.iter().find(|check| check["name"] == name).expect("a check");
    assert_eq!(one("Connection Count")["results"], json!([{ "connections": 120 }]), "the plan's");
    assert!(one("Connection Count")["why"].is_string());
    for name in ["Storage", "Minor Version"] {
        assert_eq!(one(name)["status"], "green", "{report:#}");
    }
    // What the simulated agent says of backups is of long ago.
    assert_eq!(one("Backups")["status"], "red");

    let path = format!("/reports/{}", report["id"].as_str().expect("an id"));
    assert_eq!(ground.get(&path).await, report);
    let other = ground.account("other@example.com").await;
    assert_eq!(ground.call_as(&other, "GET", &path, &Value::Null).await.status, 404);
    let late =
        ground.control.now().checked_add(howdah_control::requests::diagnose::KEPT).expect("a time");
    let mut tx = ground.control.store().begin().await.expect("begins");
    howdah_store::reports::forget(&mut tx, late).await.expect("forgets");
    tx.commit().await.expect("commits");
    assert_eq!(ground.call("GET", &path, Value::Null).await.status, 404);

    ground.agent.get_old();
    let old = async || {
        let report = ground.call("POST", "/reports", json!({ "app": "demo" })).await.ok();
        let checks = report["checks"].as_array().expect("a list").clone();
        checks.into_iter().find(|check| check["name"] == "Minor Version").expect("a check")
    };
    let mut found = old().await;
    for _ in 0..100 {
        if found["status"] == "yellow" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        found = old().await;
    }
    assert_eq!(found["results"], json!([{ "installed": "18.6", "running": "18.5" }]));
    ground.agent.get_stuck(true);
    let away = ground.call("POST", "/reports", json!({ "app": "demo" })).await;
    assert!(away.status == 503 && away.error().2.contains("Try again"), "{away:?}");
}
