//! Windows of databases, and what is due in them.

use serde_json::{Value, json};

use super::ground::Ground;

async fn ground() -> Ground {
    let ground = Ground::new().await;
    ground.app("demo").await;
    for (plan, name) in [("standard-0", "pg-one-1"), ("hobby-dev", "pg-small-1")] {
        let body = json!({ "plan": format!("heroku-postgresql:{plan}"), "name": name });
        ground.call("POST", "/apps/demo/addons", body).await.ok();
    }
    ground
}

const ONE: &str = "/data/maintenances/v1/pg-one-1";

async fn until(ground: &Ground, status: &str) -> Value {
    for _ in 0..400 {
        let one = ground.get(ONE).await;
        if one["status"] == status {
            return one;
        }
        // What the control plane does by itself now and then.
        ground.control.notice_due(None).await.expect("notices");
        ground.control.look_after_maintenances().await.expect("looks");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("never {status}: {}", ground.get(ONE).await);
}

#[tokio::test]
async fn every_database_has_a_window_and_nothing_is_due_as_long_as_the_newest_version_runs() {
    let ground = ground().await;
    let app = ground.get("/apps/demo").await;
    let path = format!("/data/maintenances/v1/apps/{}", app["id"].as_str().expect("an id"));
    let all = ground.get(&path).await;
    let all = all["maintenances"].as_array().expect("a list");
    assert_eq!(all.len(), 2);
    for one in all {
        assert_eq!(
            (&one["status"], &one["scheduled_for"]),
            (&"none".into(), &Value::Null),
            "{one}"
        );
        assert!(
            one["addon"]["window"].as_str().is_some_and(|text| text.ends_with(" UTC")),
            "{one}"
        );
        assert_eq!(one["app"]["name"], "demo");
    }
    let one = ground.get(ONE).await;
    assert_eq!(one["addon"]["attachments"], json!(["DATABASE"]));
    assert_eq!(one["addon"]["plan"], "standard-0");
    let history = ground.get(&format!("{ONE}/history/?limit=5")).await;
    assert_eq!(history, json!({ "maintenances": [] }));

    let window = format!("{ONE}/window");
    let before = ground.get(&window).await;
    let body = json!({ "day_of_week": "sunday", "time_of_day": "1:30PM" });
    let set = ground.call("POST", &window, body).await.ok();
    assert_eq!(set["window"], "Sundays 13:30 to Sundays 17:30 UTC");
    assert_eq!(set["previous_window"], before["window"]);
    assert_eq!(set["scheduled_at"], Value::Null);
    assert_eq!(ground.get(&window).await["window"], set["window"]);
    assert_eq!(ground.get(ONE).await["window"], set["window"]);
    for (day, time) in [("someday", "1:00"), ("sunday", "25:00")] {
        let body = json!({ "day_of_week": day, "time_of_day": time });
        assert_eq!(ground.call("POST", &window, body).await.status, 422);
    }

    for (path, body, said) in [
        ("pg-one-1/run", Value::Null, "No maintenance is due for pg-one-1."),
        ("pg-one-1/schedule", json!({ "delay_weeks": "2" }), "No maintenance is due for pg-one-1."),
        ("pg-small-1/run", Value::Null, "on an Essential tier database"),
    ] {
        let refused = ground.call("POST", &format!("/data/maintenances/v1/{path}"), body).await;
        assert!(refused.status == 422 && refused.error().2.contains(said), "{refused:?}");
    }
}

#[tokio::test]
async fn a_newer_version_is_noticed_put_off_and_brought_by_one_restart() {
    let ground = ground().await;
    ground.agent.get_old();
    let due = until(&ground, "pending").await;
    let reason = "PostgreSQL 18.6 is installed, 18.5 runs: a restart brings it";
    assert_eq!(due["reason"], reason);
    assert_eq!(due["previously_scheduled_for"], Value::Null);
    let time = |value: &Value| -> jiff::Timestamp {
        let text = value.as_str().expect("a time").replace(" +0000", "Z").replace(' ', "T");
        text.parse().expect("a time")
    };
    let hours = |value: &Value| time(value).duration_since(ground.control.now()).as_hours();
    assert!((23..8 * 24).contains(&hours(&due["scheduled_for"])), "{due}");

    let schedule = async |weeks: Value| {
        let body = json!({ "delay_weeks": weeks });
        ground.call("POST", &format!("{ONE}/schedule"), body).await
    };
    let moved = schedule("2".into()).await.ok();
    assert_eq!(moved["previously_scheduled_for"], due["scheduled_for"]);
    let week = time(&moved["scheduled_for"]).duration_since(time(&due["scheduled_for"])).as_hours();
    assert_eq!(week, 14 * 24);
    assert!(schedule(4.into()).await.error().2.contains("too late"));
    assert_eq!(schedule("some".into()).await.status, 422);
    let back = schedule((-9).into()).await.ok();
    assert!(hours(&back["scheduled_for"]) < 7 * 24, "{back}");
    let body = json!({ "day_of_week": "monday", "time_of_day": "3:00" });
    let set = ground.call("POST", &format!("{ONE}/window"), body).await.ok();
    assert_eq!(set["previously_scheduled_at"], back["scheduled_for"]);
    assert_eq!(ground.get(ONE).await["scheduled_for"], set["scheduled_at"]);

    ground.call("POST", &format!("{ONE}/run"), Value::Null).await.ok();
    let done = until(&ground, "completed").await;
    assert!(done["duration_seconds"].is_i64() && done["started_at"].is_string(), "{done}");
    let info = ground.get("/client/v11/databases/pg-one-1").await;
    let spec = ground.agent.spec_of(info["database_name"].as_str().expect("a name"));
    assert_eq!(spec.expect("a spec").restarts, 1, "once");
    ground.control.notice_due(None).await.expect("notices");
    let again = ground.call("POST", &format!("{ONE}/run"), Value::Null).await;
    assert_eq!(again.error().2, "No maintenance is due for pg-one-1.");
    let history = ground.get(&format!("{ONE}/history/")).await;
    assert_eq!(history["maintenances"].as_array().map(Vec::len), Some(1));
}
