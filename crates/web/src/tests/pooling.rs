//! Connection pooling: attachments whose URL leads to the gateway's pools.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use howdah_model::ids::CredentialId;
use howdah_store::credentials::{self, Credential};
use serde_json::{Value, json};

use super::admin::Admin;
use super::ground::Ground;

const POOL: &str = "DATABASE_CONNECTION_POOL";
const POOL_URL: &str = "DATABASE_CONNECTION_POOL_URL";

async fn ground() -> Ground {
    let ground = Ground::new().await;
    ground.app("demo").await;
    add(&ground, "heroku-postgresql:standard-0", "postgresql-one").await;
    ground
}

async fn add(ground: &Ground, plan: &str, name: &str) {
    let body = json!({ "plan": plan, "name": name });
    ground.call("POST", "/apps/demo/addons", body).await.ok();
}

/// What Heroku's CLI sends.
async fn attach(ground: &Ground, database: &str, name: Option<&str>) -> super::ground::Answer {
    let path = format!("/client/v11/databases/{database}/connection-pooling");
    let mut body = json!({ "app": "demo", "credential": "default" });
    if let Some(name) = name {
        body["name"] = name.into();
    }
    ground.call("POST", &path, body).await
}

async fn vars(ground: &Ground) -> Value {
    ground.get("/apps/demo/config-vars").await
}

fn text<'v>(vars: &'v Value, name: &str) -> &'v str {
    vars[name].as_str().unwrap_or_else(|| panic!("{name} in {vars}"))
}

/// The rows `Connection Pooling` of `pg:info`.
async fn row(ground: &Ground, database: &str) -> Value {
    let info = ground.get(&format!("/client/v11/databases/{database}")).await;
    let rows = info["info"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == "Connection Pooling");
    row.map_or(Value::Null, |row| row["values"].clone())
}

#[tokio::test]
async fn d33_a_pool_has_a_url_of_its_own_on_the_pooling_port_until_it_is_detached() {
    let ground = ground().await;
    assert_eq!(row(&ground, "postgresql-one").await, json!(["Available"]));
    let made = attach(&ground, "postgresql-one", None).await;
    assert_eq!((made.status, &made.body["name"]), (201, &json!(POOL)));
    assert_eq!(made.body["namespace"], "connection-pooling:default");
    assert_eq!(made.body["config_vars"], json!([POOL_URL]));
    let all = vars(&ground).await;
    let direct = text(&all, "DATABASE_URL");
    assert_eq!(text(&all, POOL_URL), direct.replace(":5433/", ":5434/"));
    assert_eq!(row(&ground, "postgresql-one").await, json!(["Attached"]));
    let attach_release = format!("Attach {POOL} (@ref:postgresql-one)");
    assert_eq!(ground.releases("demo").await[0], attach_release);
    let set = json!({ POOL_URL: "postgres://elsewhere" });
    let refused = ground.call("PATCH", "/apps/demo/config-vars", set).await;
    assert!(refused.error().2.contains("addons:detach"), "{refused:?}");

    let again = attach(&ground, "postgresql-one", None).await;
    assert_eq!(
        again.error().2,
        "postgresql-one has connection pooling on demo already, as DATABASE_CONNECTION_POOL. Give \
         `--as NAME` for another name of it."
    );
    let id = made.body["id"].as_str().expect("an id");
    ground.call("DELETE", &format!("/addon-attachments/{id}"), Value::Null).await.ok();
    assert_eq!(vars(&ground).await[POOL_URL], Value::Null);
    assert_eq!(row(&ground, "postgresql-one").await, json!(["Available"]));
    assert_eq!(ground.releases("demo").await[0], format!("Detach {POOL} (@ref:postgresql-one)"));
}

#[tokio::test]
async fn d33_a_pool_is_named_after_its_database_or_as_asked_and_never_takes_a_name_away() {
    let ground = ground().await;
    add(&ground, "heroku-postgresql:premium-0", "postgresql-two").await;
    let named = attach(&ground, "postgresql-two", Some("QUEUE")).await.ok();
    assert_eq!(named["config_vars"], json!(["QUEUE_URL"]));
    let taken = attach(&ground, "postgresql-one", Some("QUEUE")).await;
    assert_eq!(taken.status, 422, "{taken:?}");
    assert!(taken.error().2.contains("Choose another name with `--as`"), "{taken:?}");
    let bad = attach(&ground, "postgresql-one", Some("queue")).await;
    assert_eq!(bad.status, 422, "{bad:?}");
    let id = named["id"].as_str().expect("an id");
    ground.call("DELETE", &format!("/addon-attachments/{id}"), Value::Null).await.ok();
    let own = attach(&ground, "postgresql-two", None).await.ok();
    let own = own["name"].as_str().expect("a name");
    assert!(own.starts_with("HEROKU_POSTGRESQL_") && own.ends_with("_CONNECTION_POOL"), "{own}");
}

#[tokio::test]
async fn d33_small_plans_and_unknown_credentials_have_no_pool_and_nothing_is_left() {
    let ground = ground().await;
    add(&ground, "heroku-postgresql:hobby-dev", "postgresql-small").await;
    let before = (vars(&ground).await, ground.releases("demo").await);
    let refused = attach(&ground, "postgresql-small", None).await;
    assert_eq!(
        refused.error(),
        (
            422,
            "invalid_params",
            "You can't perform this operation on Essential-tier databases. postgresql-small is on \
             hobby-dev; connection pooling comes with standard-0 and larger plans."
        )
    );
    assert_eq!(row(&ground, "postgresql-small").await, Value::Null);
    let path = "/client/v11/databases/postgresql-one/connection-pooling";
    let body = json!({ "app": "demo", "credential": "reports" });
    let unknown = ground.call("POST", path, body).await;
    assert!(unknown.error().2.contains("has no `reports`"), "{unknown:?}");
    for namespace in ["connection-pooling:reports", "connection-pooling:", "role:x"] {
        let body = json!({ "addon": "postgresql-one", "app": "demo", "namespace": namespace });
        let refused = ground.call("POST", "/addon-attachments", body).await;
        assert_eq!(refused.status, 422, "{refused:?}");
    }
    assert_eq!((vars(&ground).await, ground.releases("demo").await), before);
}

/// As `pg:promote` of Heroku's CLI does it: the pool is attached anew after the primary.
#[tokio::test]
async fn c11_the_pool_follows_a_promotion_and_leaves_no_second_name_behind() {
    let ground = ground().await;
    add(&ground, "heroku-postgresql:standard-2", "postgresql-two").await;
    attach(&ground, "postgresql-one", None).await.ok();
    let post = async |name: &str, namespace: Value| {
        let body = json!({
            "addon": { "name": "postgresql-two" }, "app": { "name": "demo" },
            "confirm": "demo", "name": name, "namespace": namespace,
        });
        ground.call("POST", "/addon-attachments", body).await
    };
    post("DATABASE", Value::Null).await.ok();
    let names = async || -> Vec<(String, String)> {
        let all = ground.get("/apps/demo/addon-attachments").await;
        let all = all.as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        all.map(|one| (text(&one["addon"]["name"]), text(&one["namespace"]))).collect()
    };
    let direct = ("postgresql-one".to_owned(), "-".to_owned());
    assert!(names().await.contains(&direct), "a pool is not a name to reach the old primary by");
    let moved = post(POOL, json!("connection-pooling:default")).await.ok();
    assert_eq!(moved["addon"]["name"], "postgresql-two");
    let pools: Vec<_> =
        names().await.into_iter().filter(|(_, space)| space.starts_with("conn")).collect();
    assert_eq!(pools, [("postgresql-two".to_owned(), "connection-pooling:default".to_owned())]);
    let all = vars(&ground).await;
    assert_eq!(text(&all, POOL_URL), text(&all, "DATABASE_URL").replace(":5433/", ":5434/"));
}

/// The dashboard's form does in one step what the CLI does in two.
#[tokio::test]
async fn c10_a_promotion_on_the_dashboard_takes_the_pool_along_where_the_plan_has_pools() {
    let ground = ground().await;
    add(&ground, "heroku-postgresql:standard-0", "postgresql-two").await;
    add(&ground, "heroku-postgresql:hobby-dev", "postgresql-small").await;
    attach(&ground, "postgresql-one", None).await.ok();
    let html = page(&ground).await;
    let (_, csrf) = html.split_once("name=\"csrf\" value=\"").expect("a form");
    let csrf = csrf.split_once('"').expect("a value").0;
    let led_to = async |name: &str| {
        let path = format!("/apps/demo/addon-attachments/{name}");
        ground.get(&path).await["addon"]["name"].clone()
    };
    for (promoted, pool) in
        [("postgresql-two", "postgresql-two"), ("postgresql-small", "postgresql-two")]
    {
        let request = Request::post(format!("/dashboard/databases/{promoted}/promote"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", format!("howdah_session={}", ground.token))
            .body(Body::from(format!("csrf={csrf}")))
            .expect("a request");
        assert_eq!(ground.send(request).await.status(), 303);
        assert_eq!((led_to("DATABASE").await, led_to(POOL).await), (promoted.into(), pool.into()));
    }
}

/// Passwords are in one place: what replaces one replaces it in every URL.
#[tokio::test]
async fn d28_both_urls_change_with_the_password() {
    let ground = ground().await;
    attach(&ground, "postgresql-one", None).await.ok();
    let before = vars(&ground).await;
    let mut tx = ground.control.store().begin().await.expect("begin");
    let name = "postgresql-one".parse().expect("a name");
    let found = howdah_store::databases::find(&mut tx, &name);
    let database = found.await.expect("ask").expect("there").id;
    let old = credentials::find(&mut tx, database, "default").await.expect("ask").expect("there");
    let id = CredentialId::new();
    let password = ground.control.keyring().seal("credentials.password", id, b"another");
    credentials::revoke_all(&mut tx, database, ground.control.now()).await.expect("revoke");
    let role = "rotated".parse().expect("a name");
    let new = Credential { id, role, password, ..old };
    credentials::insert(&mut tx, &new).await.expect("insert");
    tx.commit().await.expect("commit");
    let after = vars(&ground).await;
    for (name, port) in [("DATABASE_URL", "5433"), (POOL_URL, "5434")] {
        assert_ne!(before[name], after[name], "{name}");
        let start = format!("postgres://rotated:another@127.0.0.1:{port}/");
        assert!(text(&after, name).starts_with(&start), "{after}");
    }
}

/// The database's page on the dashboard.
async fn page(ground: &Ground) -> String {
    let cookie = format!("howdah_session={}", ground.token);
    let request = Request::get("/databases/postgresql-one")
        .header("accept", "text/html")
        .header("cookie", cookie)
        .body(Body::empty())
        .expect("a request");
    let (parts, body) = ground.send(request).await.into_parts();
    assert_eq!(parts.status, 200);
    let bytes = to_bytes(body, 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("text")
}

const SHOWN: &str = "/howdah/v1/databases/postgresql-one/pool";

#[tokio::test]
async fn a_databases_own_pools_are_shown_by_credential_and_nobody_elses() {
    let admin = Admin::new();
    let ground = Ground::with(admin.config()).await;
    ground.app("demo").await;
    add(&ground, "heroku-postgresql:standard-0", "postgresql-one").await;
    add(&ground, "heroku-postgresql:standard-0", "postgresql-two").await;
    let id = async |name: &str| ground.get(&format!("/addons/{name}")).await["id"].clone();
    let (one, two) = (id("postgresql-one").await, id("postgresql-two").await);
    let path = "/postgres/v0/databases/postgresql-one/credentials/default";
    let role = ground.get(path).await["credentials"][0]["user"].clone();
    let role = role.as_str().expect("a role");
    admin.say(&[
        (&two, "other", "session"),
        (&one, role, "transaction"),
        (&one, role, "session"),
        (&one, "forgotten", "session"),
    ]);
    let shown = ground.get(SHOWN).await;
    let pools = shown["pools"].as_array().expect("a list");
    let names: Vec<_> = pools.iter().map(|pool| (&pool["credential"], &pool["mode"])).collect();
    let (default, session, transaction) =
        (json!("default"), json!("session"), json!("transaction"));
    assert_eq!(
        names,
        [(&Value::Null, &session), (&default, &session), (&default, &transaction)],
        "one whose credential has gone is still shown"
    );
    assert_eq!(pools[1]["clients"]["waiting"], 1);
    assert_eq!(shown["since"], "2026-01-02T03:00:00Z");
    let other = ground.account("other@example.com").await;
    assert_eq!(ground.call_as(&other, "GET", SHOWN, &Value::Null).await.status, 404);
    let page = page(&ground).await;
    for text in ["2 active, 1 waiting, 3 idle", "3 of 90, 2 active", "transaction, open"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    admin.say(&[]);
    assert_eq!(ground.get(SHOWN).await["pools"], json!([]));
    assert!(self::page(&ground).await.contains("No client has come"));
}

#[tokio::test]
async fn a_gateway_that_is_away_is_said_so() {
    let mut admin = Admin::new();
    let ground = Ground::with(admin.config()).await;
    ground.app("demo").await;
    add(&ground, "heroku-postgresql:hobby-dev", "postgresql-one").await;
    admin.serving.shutdown().await;
    let away = ground.call("GET", SHOWN, Value::Null).await;
    assert_eq!((away.status, away.error().1), (503, "service_unavailable"));
    let said = "The gateway does not say how its pools are: ";
    assert!(away.error().2.starts_with(said), "{away:?}");
    assert!(page(&ground).await.contains(said), "the page is there all the same");
}
