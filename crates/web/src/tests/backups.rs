//! Backups, restores, copies and schedules, with an agent that does them at once.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use howdah_model::transfer::{From, Into};
use serde_json::{Value, json};

use super::agent::DUMP;
use super::ground::{Answer, Ground};

/// A platform with the app `demo` and a database.
struct Shop {
    ground: Ground,
    /// The add-on's name.
    addon: String,
}

impl Shop {
    async fn new() -> Self {
        let ground = Ground::new().await;
        ground.app("demo").await;
        let made = ground.addon("demo", "heroku-postgresql:standard-0").await;
        let addon = made["name"].as_str().expect("a name").to_owned();
        let shop = Self { ground, addon };
        shop.until_available(&shop.addon).await;
        shop
    }

    async fn until_available(&self, addon: &str) {
        let path = format!("/client/v11/databases/{addon}/wait_status");
        for _ in 0..400 {
            if self.ground.get(&path).await["waiting?"] == false {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{addon} does not become available");
    }

    async fn post(&self, what: &str, body: Value) -> Answer {
        self.ground
            .call("POST", &format!("/client/v11/databases/{}/{what}", self.addon), body)
            .await
    }

    /// A transfer when it is over.
    async fn finished(&self, started: &Value) -> Value {
        self.until(started, |now| !now["finished_at"].is_null()).await
    }

    /// A transfer when it is so.
    async fn until(&self, started: &Value, so: impl Fn(&Value) -> bool) -> Value {
        let id = started["uuid"].as_str().expect("an id");
        let path = format!("/client/v11/apps/demo/transfers/{id}?verbose=true");
        for _ in 0..400 {
            let now = self.ground.get(&path).await;
            if so(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{started} does not come to that");
    }

    async fn capture(&self, body: Value) -> Value {
        let started = self.post("backups", body).await.ok();
        self.finished(&started).await
    }

    async fn names(&self) -> Vec<String> {
        let all = self.ground.get("/client/v11/apps/demo/transfers").await;
        let names = all.as_array().expect("a list").iter();
        names.map(|one| one["name"].as_str().expect("text").to_owned()).collect()
    }

    async fn transfer(&self, method: &str, rest: &str) -> Answer {
        let path = format!("/client/v11/apps/demo/transfers/{rest}");
        self.ground.call(method, &path, Value::Null).await
    }

    /// Gets a signed URL with nothing but itself.
    async fn fetch(&self, url: &str, range: Option<&str>) -> (u16, String, Vec<u8>) {
        let mut request = Request::builder().uri(url);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let response = self.ground.send(request.body(Body::empty()).expect("a request")).await;
        let (parts, body) = response.into_parts();
        let header = |name| parts.headers.get(name).map(|value| value.to_str().expect("text"));
        let said = ["content-length", "content-range", "content-type", "content-disposition"];
        let said: Vec<_> = said.into_iter().filter_map(header).collect();
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        (parts.status.as_u16(), said.join("; "), body.into())
    }
}

#[tokio::test]
async fn e5_e8_e10_e14_e18_backups_are_made_listed_limited_and_deleted() {
    let shop = Shop::new().await;
    assert_eq!(shop.ground.get("/client/v11/apps/demo/transfers").await, json!([]));
    let first = shop.capture(Value::Null).await;
    assert_eq!((&first["name"], &first["num"]), (&json!("b001"), &json!(1)));
    assert_eq!((&first["succeeded"], &first["from_name"]), (&json!(true), &json!("DATABASE")));
    assert_eq!((&first["from_type"], &first["to_type"]), (&json!("pg_dump"), &json!("gof3r")));
    assert_eq!(first["source_bytes"], 6_710_886);
    assert_eq!(first["processed_bytes"], DUMP.len());
    assert_eq!(first["logs"][0]["message"], "table a");
    assert!(first["schedule"].is_null() && first["started_at"].is_string());
    let told = shop.ground.agent.transfers();
    assert!(matches!(&told[0].from, From::Database { .. }) && told[0].into == Into::Archive);
    for number in 2..=7 {
        assert_eq!(shop.capture(Value::Null).await["num"], number);
    }
    let refused = shop.post("backups", Value::Null).await;
    let (status, id, message) = refused.error();
    assert_eq!((status, id), (422, "invalid_params"));
    assert!(message.contains("pg:backups:delete b001 -a demo"), "{message}");
    assert_eq!(shop.capture(json!({ "expire": true })).await["name"], "b008");
    assert_eq!(shop.names().await, ["b002", "b003", "b004", "b005", "b006", "b007", "b008"]);

    let deleted = shop.transfer("DELETE", "b004").await.ok();
    assert!(deleted["deleted_at"].is_string());
    let again = shop.transfer("DELETE", "4").await;
    assert_eq!((again.status, again.error().2), (422, "b004 is already destroyed."));
    assert_eq!(shop.transfer("DELETE", "a005").await.status, 404, "there is only b005");
    assert_eq!(shop.capture(Value::Null).await["name"], "b009", "E8: never used again");
    for _ in 0..200 {
        if shop.ground.agent.erased().len() == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        shop.ground.control.erase_dumps().await.expect("erase");
    }
    panic!("the dumps are not erased");
}

#[tokio::test]
async fn e9_e29_what_fails_or_is_cancelled_is_told_and_takes_no_place() {
    let shop = Shop::new().await;
    shop.ground.agent.be_clumsy(true);
    let failed = shop.capture(Value::Null).await;
    assert_eq!(
        (&failed["succeeded"], &failed["error"]),
        (&json!(false), &json!("the disk is full"))
    );
    assert!(failed["canceled_at"].is_null());
    let url = shop.transfer("POST", "b001/actions/public-url").await;
    assert_eq!(url.error().2, "b001 failed: there is nothing in it.");
    shop.ground.agent.be_clumsy(false);
    shop.ground.agent.take_long(true);
    let started = shop.post("backups", Value::Null).await.ok();
    let running = shop.until(&started, |now| now["processed_bytes"] == 7).await;
    assert_eq!((&running["step"], &running["total_bytes"]), (&json!("dumping"), &json!(14)));
    assert_eq!(shop.post("backups", Value::Null).await.status, 409, "one at a time");
    assert_eq!(shop.transfer("DELETE", "b002").await.status, 409, "it is at work");
    shop.transfer("POST", "b002/actions/cancel").await.ok();
    let over = shop.finished(&started).await;
    assert!(over["canceled_at"].is_string() && over["succeeded"] == false, "{over}");
    assert_eq!(shop.transfer("POST", "b002/actions/cancel").await.status, 422, "it is over");
}

#[tokio::test]
async fn e17_signed_urls_give_the_dump_and_nothing_else() {
    let shop = Shop::new().await;
    shop.capture(Value::Null).await;
    let made = shop.transfer("POST", "b001/actions/public-url").await.ok();
    let url = made["url"].as_str().expect("a URL").to_owned();
    let path = url.strip_prefix("http://howdah.test").expect("our own").to_owned();
    assert!(path.contains("/demo/b001.dump?expires="), "{path}");
    let (status, said, body) = shop.fetch(&path, None).await;
    assert_eq!((status, &*body), (200, DUMP));
    let length = DUMP.len();
    let attached = "attachment; filename=\"b001.dump\"";
    assert_eq!(said, format!("{length}; application/octet-stream; {attached}"));
    let (status, said, body) = shop.fetch(&path, Some("bytes=5-7")).await;
    assert_eq!((status, &*body), (206, &DUMP[5..=7]));
    assert!(said.starts_with(&format!("3; bytes 5-7/{length}")), "{said}");
    assert_eq!(shop.fetch(&path, Some("bytes=1000-")).await.0, 416);

    let other = path.replace("b001.dump", "b002.dump");
    let later = path.replace("expires=", "expires=1");
    let forged = if path.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{forged}", &path[..path.len() - 1]);
    let bare = path.split('?').next().expect("a path").to_owned();
    for wrong in [other, later, forged, bare] {
        assert_eq!(shop.fetch(&wrong, None).await.0, 403, "{wrong}");
    }
    shop.transfer("DELETE", "b001").await.ok();
    assert_eq!(shop.fetch(&path, None).await.0, 404, "it dies with the backup");
}

#[tokio::test]
async fn e19_e21_e31_restores_come_from_ids_signed_urls_the_web_and_other_databases() {
    let shop = Shop::new().await;
    let backup = shop.capture(Value::Null).await;
    let to_url = backup["to_url"].as_str().expect("text");
    let restored = shop.post("restores", json!({ "backup_url": to_url })).await.ok();
    assert_eq!((&restored["name"], &restored["from_name"]), (&json!("r002"), &json!("b001")));
    let over = shop.finished(&restored).await;
    assert_eq!(over["succeeded"], true, "{over}");
    let told = shop.ground.agent.transfers().pop().expect("a transfer");
    let spec = shop.ground.agent.specs().pop().expect("a participant");
    let database = spec.databases.values().next().expect("a database");
    assert_eq!(database.filled, Some(told.id), "the exchange is wanted");

    let made = shop.transfer("POST", "b001/actions/public-url").await.ok();
    let signed = shop.post("restores", json!({ "backup_url": made["url"] })).await.ok();
    assert_eq!(signed["from_name"], "b001", "what we signed is ours");
    shop.finished(&signed).await;
    let web = json!({ "backup_url": "https://files.example.com/latest.dump?key=geheim" });
    let web = shop.post("restores", web).await.ok();
    assert_eq!(
        (&web["from_name"], &web["from_type"]),
        (&json!("files.example.com"), &json!("htcat"))
    );
    assert!(!web.to_string().contains("geheim"));
    shop.finished(&web).await;
    let told = shop.ground.agent.transfers().pop().expect("a transfer");
    assert!(matches!(told.from, From::Web { url } if url.reveal().ends_with("geheim")));
    for bad in ["latest.dump", "file:///etc/passwd", "howdah-dump:x", "ftp://a/b", ""] {
        let answer = shop.post("restores", json!({ "backup_url": bad })).await;
        assert!([422, 404].contains(&answer.status), "{bad}: {answer:#?}");
    }

    // Somebody else cannot use the address of a backup, and it cannot be told whether it is there.
    let other = shop.ground.account("other@example.com").await;
    let post = async |path: &str, body| shop.ground.call_as(&other, "POST", path, &body).await;
    post("/apps", json!({ "name": "theirs" })).await.ok();
    let plan = json!({ "plan": "heroku-postgresql:standard-0" });
    let theirs = post("/apps/theirs/addons", plan).await.ok();
    let path = format!("/client/v11/databases/{}/restores", theirs["name"].as_str().expect("text"));
    for _ in 0..400 {
        let answer = post(&path, json!({ "backup_url": to_url })).await;
        if answer.status == 404 {
            assert_eq!(answer.error().2, "Couldn't find that backup.");
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it was not refused");
}

#[tokio::test]
async fn copies_read_ours_by_the_owners_password_and_others_by_their_url() {
    let shop = Shop::new().await;
    let made = shop.ground.addon("demo", "heroku-postgresql:standard-0").await;
    let second = made["name"].as_str().expect("a name").to_owned();
    shop.until_available(&second).await;
    let info = shop.ground.get(&format!("/client/v11/databases/{second}")).await;
    let url = info["resource_url"].as_str().expect("a URL").to_owned();
    let wanted = |url: &str| json!({ "from_url": url, "from_name": "GOLD", "to_name": "DATABASE" });
    let copy = shop.post("transfers", wanted(&url)).await.ok();
    assert_eq!((&copy["name"], &copy["from_name"]), (&json!("c001"), &json!("GOLD")));
    assert_eq!((&copy["from_type"], &copy["to_type"]), (&json!("pg_dump"), &json!("pg_restore")));
    assert_eq!(shop.finished(&copy).await["succeeded"], true);
    let told = shop.ground.agent.transfers().pop().expect("a transfer");
    assert!(matches!(told.from, From::Database { .. }), "{told:?}");

    let (head, tail) = url.split_once('@').expect("a URL");
    let other = if head.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("{}{other}@{tail}", &head[..head.len() - 1]);
    let refused = shop.post("transfers", wanted(&wrong)).await;
    assert!(refused.error().2.contains("opens no database"), "{refused:#?}");
    let foreign = shop.post("transfers", wanted("postgres://u:geheim@db.example.com/d")).await.ok();
    assert!(!foreign.to_string().contains("geheim"));
    shop.finished(&foreign).await;
    let told = shop.ground.agent.transfers().pop().expect("a transfer");
    assert!(matches!(told.from, From::Foreign { .. }));
    let own = shop.ground.get(&format!("/client/v11/databases/{}", shop.addon)).await;
    let own = own["resource_url"].as_str().expect("a URL").to_owned();
    assert!(shop.post("transfers", wanted(&own)).await.error().2.contains("into itself"));
    assert_eq!(shop.post("transfers", wanted("mysql://a/b")).await.status, 422);
}

#[tokio::test]
async fn e13_schedules_are_made_replaced_listed_for_the_app_and_removed() {
    let shop = Shop::new().await;
    let at = |hour: &str, zone: &str| json!({ "hour": hour, "timezone": zone, "schedule_name": "DATABASE_URL" });
    let made = shop.post("transfer-schedules", at("02", "America/Los_Angeles")).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!((&made["hour"], &made["name"]), (&json!(2), &json!("DATABASE_URL")));
    shop.post("transfer-schedules", at("3", "UTC")).await.ok();
    let second = shop.ground.addon("demo", "heroku-postgresql:hobby-dev").await;
    let name = second["name"].as_str().expect("text");
    let path = format!("/client/v11/databases/{name}/transfer-schedules");
    let all = shop.ground.get(&path).await;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "replaced, and seen from every database");
    assert_eq!((&all[0]["hour"], &all[0]["timezone"]), (&json!(3), &json!("UTC")));
    let mut another = at("5", "UTC");
    another["add"] = true.into();
    shop.post("transfer-schedules", another).await.ok();
    assert_eq!(shop.ground.get(&path).await.as_array().map(Vec::len), Some(2));
    for bad in [at("24", "UTC"), at("2:30", "UTC"), at("2", "Mars/Olympus")] {
        assert_eq!(shop.post("transfer-schedules", bad.clone()).await.status, 422, "{bad}");
    }
    let one = format!("{path}/{}", all[0]["uuid"].as_str().expect("text"));
    shop.ground.call("DELETE", &one, Value::Null).await.ok();
    assert_eq!(shop.ground.call("DELETE", &one, Value::Null).await.status, 404);
    assert_eq!(shop.ground.get(&path).await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn e1_e2_e4_e27_pgbackups_is_an_add_on_with_plans_and_takes_all_backups_with_it() {
    let shop = Shop::new().await;
    let ground = &shop.ground;
    let plans = ground.get("/addon-services/pgbackups/plans").await;
    let row = |plan: &Value| {
        let part = |key: &str| plan[key].to_string().replace('"', "");
        ["name", "manual", "daily", "weekly", "automatic"].map(part).join(" ")
    };
    let rows: Vec<_> = plans.as_array().expect("a list").iter().map(row).collect();
    assert_eq!(
        rows,
        [
            "pgbackups:plus 7 0 0 false",
            "pgbackups:auto-week 2 7 0 true",
            "pgbackups:auto-month 2 7 5 true",
        ]
    );
    assert_eq!(ground.get("/addon-services").await[1]["name"], "pgbackups");
    let add =
        async |plan: Value| ground.call("POST", "/apps/demo/addons", json!({ "plan": plan })).await;
    assert_eq!(add(json!("pgbackups:nope")).await.status, 422);
    let added = add(json!("pgbackups")).await.ok();
    assert_eq!(
        (&added["plan"]["name"], &added["state"]),
        (&json!("pgbackups:plus"), &json!("provisioned"))
    );
    let welcome = added["provision_message"].as_str().expect("text");
    assert!(welcome.starts_with("You can now use \"pgbackups\" to backup"), "{welcome}");
    assert_eq!(ground.releases("demo").await[0], "Add pgbackups:plus add-on");
    for _ in 0..5 {
        shop.capture(Value::Null).await;
    }
    let made = shop.transfer("POST", "b005/actions/public-url").await.ok();
    let url = made["url"].as_str().expect("a URL").strip_prefix("http://howdah.test");
    let url = url.expect("our own").to_owned();

    let question = json!({ "addon": "pgbackups", "app": "demo" });
    let found = ground.call("POST", "/actions/addons/resolve", question.clone()).await.ok();
    let name = found[0]["name"].as_str().expect("a name").to_owned();
    assert_eq!(ground.get("/apps/demo/addons").await[1]["name"], name.as_str());
    assert_eq!(ground.get("/addons").await[1]["name"], name.as_str());
    assert_eq!(ground.get(&format!("/addons/{name}/addon-attachments")).await, json!([]));
    let path = format!("/apps/demo/addons/{name}");
    let plan = json!({ "plan": { "name": "pgbackups:auto-week" } });
    let changed = ground.call("PATCH", &path, plan).await.ok();
    assert_eq!(changed["plan"]["name"], "pgbackups:auto-week");
    assert_eq!(shop.names().await.len(), 5, "E4: nothing is pruned at once");
    let refused = shop.post("backups", Value::Null).await;
    assert!(refused.error().2.contains("2 manual backups, the most"), "{refused:#?}");
    let attached = json!({ "addon_attachment": "pgbackups", "app": "demo" });
    let none = ground.call("POST", "/actions/addon-attachments/resolve", attached).await;
    assert_eq!(none.status, 404, "it is no database");

    let removed = ground.call("DELETE", &path, Value::Null).await.ok();
    assert_eq!(removed["state"], "deprovisioned");
    assert_eq!(shop.names().await, [""; 0]);
    assert_eq!(shop.fetch(&url, None).await.0, 404, "all old URLs are dead");
    assert_eq!(ground.call("POST", "/actions/addons/resolve", question).await.status, 404);
    add(json!({ "name": "pgbackups:auto-month" })).await.ok();
    assert_eq!(shop.capture(Value::Null).await["name"], "b006");
    ground.control.erase_dumps().await.expect("erase");
    assert_eq!(ground.agent.erased().len(), 5, "nothing of them is left");
}

#[tokio::test]
async fn a_thousand_backups_are_listed_without_their_logs() {
    let shop = Shop::new().await;
    shop.capture(Value::Null).await;
    let pool = sqlx::PgPool::connect(&shop.ground.scratch.url()).await.expect("connect");
    sqlx::raw_sql(
        "insert into operations (id, kind, database_id, app_id, outcome, created_at, finished_at)
         select gen_random_uuid(), 'capture', t.database_id, t.app_id, 'done', t.created_at, now()
         from transfers t, generate_series(2, 1000) n;
         insert into transfers (id, app_id, database_id, kind, cause, number, from_name, to_name,
                                source_is, created_at, finished_at, succeeded, log)
         select o.id, t.app_id, t.database_id, t.kind, 'automatic', 1 + row_number() over (),
                'DATABASE', 'BACKUP', t.source_is, t.created_at, now(), true,
                jsonb_build_array(repeat('x', 20000))
         from transfers t, operations o
         where o.kind = 'capture' and o.id <> t.id and not exists (select from machines m where m.id = o.id)",
    )
    .execute(&pool)
    .await
    .expect("insert");
    pool.close().await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        assert_eq!(shop.names().await.len(), 1000);
        best = best.min(begun.elapsed());
    }
    // An unoptimized build on a loaded machine: the bound is only against what grows with the logs.
    assert!(best < Duration::from_secs(1), "it took {best:?}");
    eprintln!("1,000 backups are listed in {best:?}");
}

#[tokio::test]
async fn c14_backups_and_schedules_come_back_with_an_undeleted_database_also_at_the_second_attempt()
{
    let shop = Shop::new().await;
    shop.capture(Value::Null).await;
    let schedule = json!({ "hour": "2", "schedule_name": "DATABASE_URL" });
    shop.post("transfer-schedules", schedule).await.ok();
    let path = format!("/apps/demo/addons/{}", shop.addon);
    let destroy = async || shop.ground.call("DELETE", &path, Value::Null).await.ok();
    let undelete = async || {
        let body = json!({ "name": shop.addon, "app": "demo" });
        for _ in 0..400 {
            let path = "/howdah/v1/databases/undelete";
            let answer = shop.ground.call("POST", path, body.clone()).await;
            if answer.status != 409 {
                return answer.ok();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it was not removed in time");
    };
    destroy().await;
    assert_eq!(shop.names().await, [""; 0], "nobody sees them");
    // It is asked for and taken back before it was there.
    shop.ground.agent.get_stuck(true);
    undelete().await;
    assert_eq!(shop.names().await, ["b001"]);
    destroy().await;
    shop.ground.agent.get_stuck(false);
    for _ in 0..20 {
        shop.ground.control.erase_dumps().await.expect("erase");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    undelete().await;
    shop.until_available(&shop.addon).await;
    assert_eq!(shop.names().await, ["b001"], "the backups are there still");
    assert!(shop.ground.agent.erased().is_empty());
    let all = format!("/client/v11/databases/{}/transfer-schedules", shop.addon);
    assert_eq!(shop.ground.get(&all).await[0]["name"], "DATABASE_URL");
}
