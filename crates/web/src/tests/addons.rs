//! Add-ons and attachments.

use std::collections::HashSet;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::ground::{Ground, shown};

/// Makes an add-on with a name, so that snapshots are the same in every run.
async fn named(ground: &Ground, app: &str, plan: &str, name: &str) -> Value {
    let body = json!({ "plan": { "name": plan }, "name": name, "attachment": {} });
    let answer = ground.call("POST", &format!("/apps/{app}/addons"), body).await;
    assert_eq!(answer.status, 201, "{answer:#?}");
    answer.body
}

fn names(list: &Value) -> Vec<&str> {
    let all = list.as_array().expect("a list").iter();
    all.map(|one| one["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn c1_c7_c8_the_first_database_is_there_at_once_as_the_primary() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let addon = named(&ground, "demo", "heroku-postgresql:standard-0", "postgresql-one").await;
    assert_snapshot!(shown(addon), @r#"
    actions: []
    addon_service: {"cli_plugin_name":null,"human_name":"Heroku Postgres","id":"[id]","name":"heroku-postgresql","state":"ga","supports_multiple_installations":true,"supports_sharing":true}
    app: {"id":"[id]","name":"demo"}
    billed_price: {"cents":5000,"contract":false,"metered":false,"unit":"month"}
    billing_entity: {"id":"[id]","name":"demo","type":"app"}
    config_vars: ["DATABASE_URL"]
    created_at: "[time]"
    id: "[id]"
    log_input_url: null
    name: "postgresql-one"
    plan: {"addon_service":{"id":"[id]","name":"heroku-postgresql"},"aliases":["standard-yanari"],"connections":120,"default":false,"description":"Heroku Postgres Standard 0","disk_gib":64,"features":{"big_extensions":true,"connection_pooling":true,"fork_follow":true,"high_availability":false,"named_credentials":true,"rollback_hours":1,"tolerated_downtime_minutes":60},"human_name":"Standard 0","id":"[id]","installable_inside_private_network":false,"installable_outside_private_network":true,"multitenant":true,"name":"heroku-postgresql:standard-0","piops":200,"price":{"cents":5000,"contract":false,"metered":false,"unit":"month"},"ram_mib":1024,"rows":null,"space_default":false,"state":"ga","tier":"standard","vcpu":2,"visible":true}
    provider_id: "[id]"
    provision_message: null
    state: "provisioned"
    updated_at: "[time]"
    web_url: "http://howdah.test/databases/postgresql-one"
    "#);
    assert_snapshot!(shown(ground.get("/apps/demo/addon-attachments/DATABASE").await), @r#"
    addon: {"addon_service":{"cli_plugin_name":null,"human_name":"Heroku Postgres","id":"[id]","name":"heroku-postgresql","state":"ga","supports_multiple_installations":true,"supports_sharing":true},"app":{"id":"[id]","name":"demo"},"id":"[id]","name":"postgresql-one","plan":{"addon_service":{"id":"[id]","name":"heroku-postgresql"},"aliases":["standard-yanari"],"connections":120,"default":false,"description":"Heroku Postgres Standard 0","disk_gib":64,"features":{"big_extensions":true,"connection_pooling":true,"fork_follow":true,"high_availability":false,"named_credentials":true,"rollback_hours":1,"tolerated_downtime_minutes":60},"human_name":"Standard 0","id":"[id]","installable_inside_private_network":false,"installable_outside_private_network":true,"multitenant":true,"name":"heroku-postgresql:standard-0","piops":200,"price":{"cents":5000,"contract":false,"metered":false,"unit":"month"},"ram_mib":1024,"rows":null,"space_default":false,"state":"ga","tier":"standard","vcpu":2,"visible":true}}
    app: {"id":"[id]","name":"demo"}
    config_vars: ["DATABASE_URL"]
    created_at: "[time]"
    id: "[id]"
    log_input_url: null
    name: "DATABASE"
    namespace: null
    updated_at: "[time]"
    web_url: "http://howdah.test/databases/postgresql-one"
    "#);
    assert_eq!(
        ground.releases("demo").await,
        ["Attach DATABASE (@ref:postgresql-one)", "Initial release"]
    );
    let release = ground.get("/apps/demo/releases/2").await;
    assert_eq!(release["user"]["email"], "dev@example.com");
    assert_eq!(release["addon_plan_names"], json!(["heroku-postgresql:standard-0"]));
}

#[tokio::test]
async fn c9_urls_need_no_escape_and_are_never_stored_in_clear() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.addon("demo", "heroku-postgresql:hobby-dev").await;
    let vars = ground.get("/apps/demo/config-vars").await;
    let url = vars["DATABASE_URL"].as_str().expect("a URL");
    let rest = url.strip_prefix("postgres://").expect("the scheme that clients insist on");
    let (login, place) = rest.split_once('@').expect("a login");
    assert!(place.starts_with("127.0.0.1:5433/d"), "{place}");
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let (user, password) = login.split_once(':').expect("a password");
    assert!(plain(user) && plain(password) && password.len() >= 26);
    assert!(place.split_once('/').is_some_and(|(_, name)| plain(name)));
}

#[tokio::test]
async fn c2_c5_c6_c40_further_databases_get_colours_and_the_primary_stays() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    for plan in ["heroku-postgresql", "heroku-postgresql:essential-0", "heroku-postgresql:mini"] {
        let addon = ground.addon("demo", plan).await;
        assert_eq!(addon["plan"]["name"], "heroku-postgresql:hobby-dev");
    }
    let vars = ground.get("/apps/demo/config-vars").await;
    let vars = vars.as_object().expect("an object");
    let urls: HashSet<_> = vars.values().map(|url| url.as_str().expect("a URL")).collect();
    assert_eq!((vars.len(), urls.len()), (3, 3));
    let colours = vars.keys().filter(|name| name.starts_with("HEROKU_POSTGRESQL_")).count();
    assert!(vars.contains_key("DATABASE_URL") && colours == 2, "{:?}", vars.keys());
    assert_eq!(ground.releases("demo").await.len(), 4);
}

#[tokio::test]
async fn c19_what_cannot_be_made_is_refused_with_a_reason_and_leaves_nothing() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.addon("demo", "heroku-postgresql:hobby-dev").await;
    ground.call("PATCH", "/apps/demo/config-vars", json!({ "MINE_URL": "x" })).await.ok();
    let before = (ground.get("/addons").await, ground.releases("demo").await);
    let refused = async |body: Value| {
        let answer = ground.call("POST", "/apps/demo/addons", body).await;
        let (status, id, message) = answer.error();
        assert_eq!((status, id), (422, "invalid_params"), "{answer:#?}");
        message.to_owned()
    };
    let standard = "heroku-postgresql:standard-0";
    let asked = [
        json!({ "plan": "heroku-postgresql:nope" }),
        json!({ "plan": standard, "config": { "version": "17" } }),
        json!({ "plan": standard, "config": { "fork": "DATABASE" } }),
        json!({ "plan": "hobby-dev", "config": { "follow": "DATABASE" } }),
        json!({ "plan": standard, "config": { "fast": true } }),
        json!({ "plan": standard, "config": { "colour": "red" } }),
        json!({ "plan": standard, "name": "X" }),
        json!({ "plan": standard, "attachment": { "name": "database" } }),
        json!({ "plan": standard, "attachment": { "name": "MINE" } }),
    ];
    let mut said = Vec::new();
    for body in asked {
        said.push(refused(body).await);
    }
    assert_snapshot!(said.join("\n"), @r#"
    Couldn't find either the add-on service or the add-on plan of "heroku-postgresql:nope".
    PostgreSQL 17 is not installed. Installed: 15.20, 18.6 (default).
    Fork is only available on production databases.
    Follow is only available on production databases.
    `--fast` goes with `--fork DATABASE`.
    `colour` is not an option of heroku-postgresql. Its options are `version`, `fork` with `fast`, `rollback` with `to` or `by`, and `follow`.
    `X` is not a valid add-on name: 3 to 60 lower-case letters, digits and dashes, starting with a letter.
    `database` is not a valid attachment name: 1 to 64 upper-case letters, digits and underscores, starting with a letter.
    demo has a config var MINE_URL that was set by hand. Remove it with `config:unset MINE_URL -a demo`, or choose another name with `--as`.
    "#);
    let taken = refused(json!({ "plan": standard, "attachment": { "name": "DATABASE" } })).await;
    assert!(taken.starts_with("demo has an attachment DATABASE already: it is postgresql-"));
    assert_eq!((ground.get("/addons").await, ground.releases("demo").await), before);
}

#[tokio::test]
async fn a_database_that_takes_long_is_answered_as_provisioning_and_hidden_until_it_is_there() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.control.installed().await.expect("a first observation");
    ground.agent.get_stuck(true);
    let addon = ground.addon("demo", "heroku-postgresql:standard-0").await;
    assert_eq!(addon["state"], "provisioning");
    let name = addon["name"].as_str().expect("a name");
    let info = ground.call("GET", &format!("/client/v11/databases/{name}"), Value::Null).await;
    assert_eq!((info.status, &info.body), (404, &json!({ "id": "not_found" })));
    let wait = format!("/client/v11/databases/{name}/wait_status");
    assert_eq!(ground.get(&wait).await["waiting?"], true);
    assert_eq!(ground.get("/apps/demo/config-vars").await, json!({}));
    assert_eq!(ground.releases("demo").await, ["Initial release"]);
    let busy =
        ground.call("PUT", &format!("/client/v11/databases/{name}/reset"), Value::Null).await;
    assert_eq!(busy.error().0, 409);
    assert!(busy.error().2.contains("it is still being made"), "{busy:?}");
    ground.agent.get_stuck(false);
    let there = async || {
        let all = ground.get("/apps/demo/addons").await;
        all[0]["state"] == "provisioned"
    };
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !there().await {
        assert!(tokio::time::Instant::now() < until, "it comes when the agent goes on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(ground.get(&wait).await["waiting?"], false);
}

#[tokio::test]
async fn c10_c11_c12_promoting_as_the_cli_does_it_exchanges_in_place() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    named(&ground, "demo", "heroku-postgresql:hobby-dev", "postgresql-old").await;
    named(&ground, "demo", "heroku-postgresql:hobby-dev", "postgresql-new").await;
    let vars = ground.get("/apps/demo/config-vars").await;
    let old = vars["DATABASE_URL"].clone();
    let post = async |body: Value| ground.call("POST", "/addon-attachments", body).await;
    let promote = |confirm: Option<&str>| {
        json!({
            "addon": { "name": "postgresql-new" }, "app": { "name": "demo" },
            "name": "DATABASE", "namespace": null, "confirm": confirm,
        })
    };
    let unsure = post(promote(None)).await;
    assert_eq!(
        unsure.error(),
        (
            423,
            "confirmation_required",
            "DATABASE on demo is postgresql-old now. It would be replaced by postgresql-new."
        )
    );
    let other = json!({ "addon": "postgresql-old", "app": "demo", "confirm": "demo" });
    let colour = post(other).await;
    assert_eq!(colour.status, 201);
    let colour = colour.body["config_vars"][0].as_str().expect("a name").to_owned();
    assert!(colour.starts_with("HEROKU_POSTGRESQL_"), "{colour}");
    let promoted = post(promote(Some("demo"))).await;
    assert_eq!((promoted.status, &promoted.body["name"]), (201, &json!("DATABASE")));
    assert_eq!(promoted.body["addon"]["name"], "postgresql-new");
    let after = ground.get("/apps/demo/config-vars").await;
    assert_eq!(after[&colour], old);
    assert_ne!(after["DATABASE_URL"], old);
    assert!(
        ground.releases("demo").await.contains(&"Attach DATABASE (@ref:postgresql-new)".into())
    );
    let again = post(promote(Some("demo"))).await;
    assert_eq!(again.error().2, "postgresql-new is attached to demo as DATABASE already.");
}

#[tokio::test]
async fn c20_a_database_is_shared_with_another_app_and_detached_again() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.app("shop").await;
    named(&ground, "demo", "heroku-postgresql:hobby-dev", "postgresql-one").await;
    let found = ground.get("/addons/demo%3A%3ADATABASE").await;
    assert_eq!(found["name"], "postgresql-one");
    let body = json!({ "addon": { "name": "postgresql-one" }, "app": { "name": "shop" } });
    let attached = ground.call("POST", "/addon-attachments", body).await;
    assert_eq!((attached.status, &attached.body["name"]), (201, &json!("DATABASE")));
    let vars = async |app: &str| ground.get(&format!("/apps/{app}/config-vars")).await;
    assert_eq!(vars("shop").await, vars("demo").await);
    assert_eq!(names(&ground.get("/apps/shop/addons").await), ["postgresql-one"]);
    assert_eq!(ground.get("/addon-attachments").await.as_array().map(Vec::len), Some(2));
    let credential = json!({
        "addon": "postgresql-one", "app": "shop", "namespace": "credential:reports", "name": "R"
    });
    let refused = ground.call("POST", "/addon-attachments", credential).await;
    assert!(refused.error().2.contains("invalid credential provided"), "{refused:?}");
    let destroy = ground.call("DELETE", "/apps/demo/addons/postgresql-one", Value::Null).await;
    assert_eq!(
        destroy.error().2,
        "postgresql-one is attached to other apps as shop::DATABASE. Detach it there, or destroy \
         it with `--force`."
    );
    let id = attached.body["id"].as_str().expect("an id");
    let gone = ground.call("DELETE", &format!("/addon-attachments/{id}"), Value::Null).await;
    assert_eq!(gone.status, 200);
    assert_eq!(vars("shop").await, json!({}));
    assert_eq!(
        ground.releases("shop").await,
        [
            "Detach DATABASE (@ref:postgresql-one)",
            "Attach DATABASE (@ref:postgresql-one)",
            "Initial release"
        ]
    );
}

#[tokio::test]
async fn c16_a_var_of_an_attachment_is_not_overwritten_and_after_detaching_it_is_free() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    named(&ground, "demo", "heroku-postgresql:hobby-dev", "postgresql-one").await;
    let vars = "/apps/demo/config-vars";
    let url = ground.get(vars).await["DATABASE_URL"].clone();
    for value in [json!("postgres://x"), Value::Null] {
        let refused = ground.call("PATCH", vars, json!({ "DATABASE_URL": value })).await;
        assert_eq!(
            refused.error(),
            (
                422,
                "invalid_params",
                "Cannot overwrite attachment values DATABASE_URL. Attachment DATABASE of \
                 postgresql-one owns it: detach it first with `addons:detach DATABASE -a demo`."
            )
        );
    }
    let same = ground.call("PATCH", vars, json!({ "DATABASE_URL": url, "A": "1" })).await.ok();
    assert_eq!(same["A"], "1");
    let attachment = ground.get("/apps/demo/addon-attachments/DATABASE").await;
    let path = format!("/addon-attachments/{}", attachment["id"].as_str().expect("an id"));
    ground.call("DELETE", &path, Value::Null).await.ok();
    let set = ground.call("PATCH", vars, json!({ "DATABASE_URL": "postgres://x" })).await.ok();
    assert_eq!(set["DATABASE_URL"], "postgres://x");
    let next = ground.addon("demo", "heroku-postgresql:hobby-dev").await;
    let var = next["config_vars"][0].as_str().expect("a name");
    assert!(var.starts_with("HEROKU_POSTGRESQL_"), "the var that was set by hand stays: {var}");
}

#[tokio::test]
async fn c13_c15_a_destroyed_database_is_gone_with_its_vars_in_one_release() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let addon = named(&ground, "demo", "heroku-postgresql:standard-0", "postgresql-one").await;
    let (app, id) = (&addon["app"]["id"], &addon["id"]);
    let path =
        format!("/apps/{}/addons/{}", app.as_str().expect("an id"), id.as_str().expect("an id"));
    let gone = ground.call("DELETE", &path, json!({ "force": false })).await.ok();
    assert_eq!((&gone["state"], &gone["id"]), (&json!("deprovisioned"), id));
    assert_eq!(ground.call("GET", &path, Value::Null).await.status, 404);
    assert_eq!(ground.get("/apps/demo/config-vars").await, json!({}));
    assert_eq!(ground.get("/apps/demo/addon-attachments").await, json!([]));
    assert_eq!(ground.releases("demo").await[0], "Detach DATABASE (@ref:postgresql-one)");
    assert_eq!(ground.releases("demo").await.len(), 3);
    let operations = ground.get("/howdah/v1/apps/demo/operations").await;
    let kinds: Vec<_> = operations.as_array().expect("a list").iter().map(|o| &o["kind"]).collect();
    assert_eq!(kinds, [&json!("destroy"), &json!("provision")]);
}

#[tokio::test]
async fn an_app_takes_its_databases_with_it_and_gives_others_back() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.app("shop").await;
    named(&ground, "demo", "heroku-postgresql:hobby-dev", "postgresql-one").await;
    named(&ground, "shop", "heroku-postgresql:hobby-dev", "postgresql-two").await;
    for (addon, app) in [("postgresql-two", "demo"), ("postgresql-one", "shop")] {
        let body = json!({ "addon": addon, "app": app });
        assert_eq!(ground.call("POST", "/addon-attachments", body).await.status, 201);
    }
    assert_eq!(ground.call("DELETE", "/apps/demo", Value::Null).await.status, 200);
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while ground.get("/apps/shop/addon-attachments").await.as_array().map(Vec::len) != Some(1) {
        assert!(tokio::time::Instant::now() < until, "the other app loses the attachment");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(names(&ground.get("/addons").await), ["postgresql-two"]);
    assert_eq!(ground.releases("shop").await.len(), 4);
    ground.app("demo").await;
    assert_eq!(ground.get("/apps/demo/addons").await, json!([]));
}

#[tokio::test]
async fn an_addon_is_renamed_and_its_plan_stays_what_it_is() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    named(&ground, "demo", "heroku-postgresql:standard-0", "postgresql-one").await;
    let path = "/apps/demo/addons/postgresql-one";
    let patch = async |body: Value| ground.call("PATCH", path, body).await;
    let nope = patch(json!({ "plan": { "name": "heroku-postgresql:nope" } })).await;
    assert!(nope.error().2.starts_with("Couldn't find either the add-on"), "{nope:?}");
    let shared = patch(json!({ "plan": { "name": "heroku-postgresql:hobby-dev" } })).await;
    assert!(shared.error().2.contains("hobby plans share their server"), "{shared:?}");
    assert_eq!(shared.status, 422);
    let same = patch(json!({ "plan": { "name": "heroku-postgresql:standard-0" } })).await;
    assert_eq!(same.status, 200);
    let renamed = patch(json!({ "name": "main-database" })).await.ok();
    assert_eq!(
        (&renamed["name"], &renamed["config_vars"]),
        (&json!("main-database"), &json!(["DATABASE_URL"]))
    );
    assert_eq!(patch(json!({ "name": "x" })).await.status, 404);
}

/// G25: the answer comes at once, with the old plan and what is to be said.
#[tokio::test]
async fn g25_a_change_of_plan_is_begun_once() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    named(&ground, "demo", "heroku-postgresql:standard-0", "postgresql-one").await;
    let path = "/apps/demo/addons/postgresql-one";
    let patch = async |plan: &str| {
        let body = json!({ "plan": { "name": format!("heroku-postgresql:{plan}") } });
        ground.call("PATCH", path, body).await
    };
    let begun = patch("premium-2").await.ok();
    assert_eq!(begun["plan"]["name"], "heroku-postgresql:standard-0");
    let said = begun["provision_message"].as_str().unwrap_or_default();
    assert!(said.contains("is being copied to a server of premium-2"), "{begun}");
    let again = patch("premium-4").await;
    assert_eq!(again.status, 409, "{again:?}");
    assert!(again.error().2.contains("its plan is being changed"), "{again:?}");
    let operations = ground.get("/howdah/v1/apps/demo/operations").await;
    assert_eq!(operations[0]["kind"], "change_plan");
}

#[tokio::test]
async fn a18_databases_are_resolved_as_the_contract_says() {
    let ground = Ground::new().await;
    ground.app("demo").await;
    ground.app("shop").await;
    named(&ground, "demo", "heroku-postgresql:hobby-dev", "postgresql-one").await;
    let body = json!({
        "plan": "heroku-postgresql:standard-0", "name": "postgresql-two",
        "attachment": { "name": "HEROKU_POSTGRESQL_GOLD" },
    });
    ground.call("POST", "/apps/demo/addons", body).await.ok();
    let attachments = async |wanted: &str, app: Value| {
        let body = json!({ "addon_attachment": wanted, "app": app });
        ground.call("POST", "/actions/addon-attachments/resolve", body).await
    };
    for wanted in ["DATABASE_URL", "database", "postgresql-one"] {
        assert_eq!(names(&attachments(wanted, json!("demo")).await.ok()), ["DATABASE"]);
    }
    for wanted in ["gold", "HEROKU_POSTGRESQL_GOLD_URL", "demo::GOLD"] {
        let found = attachments(wanted, json!("demo")).await.ok();
        assert_eq!(names(&found), ["HEROKU_POSTGRESQL_GOLD"]);
    }
    assert_eq!(names(&attachments("postgresql-two", Value::Null).await.ok()).len(), 1);
    let none = attachments("purple", json!("demo")).await;
    assert_eq!(none.error().2, "Couldn't find that add on attachment.");

    let addons = async |wanted: &str, app: Value| {
        let body = json!({ "addon": wanted, "app": app });
        ground.call("POST", "/actions/addons/resolve", body).await
    };
    let found = async |wanted: &str, app: Value| names_of(addons(wanted, app).await.ok());
    assert_eq!(found("heroku-postgresql", json!("demo")).await.len(), 2);
    assert_eq!(found("heroku-postgresql:standard-0", json!("demo")).await, ["postgresql-two"]);
    assert_eq!(found("demo::DATABASE", Value::Null).await, ["postgresql-one"]);
    assert_eq!(found("postgresql-one", Value::Null).await, ["postgresql-one"]);
    let foreign = addons("postgresql-one", json!("shop")).await;
    assert_eq!((foreign.status, &foreign.body["resource"]), (404, &json!("add_on")));
}

fn names_of(list: Value) -> Vec<String> {
    names(&list).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn c23_c37_services_plans_and_versions_are_what_is_there() {
    let ground = Ground::new().await;
    assert_eq!(names(&ground.get("/addon-services").await), ["heroku-postgresql", "pgbackups"]);
    let plans = ground.get("/addon-services/heroku-postgresql/plans").await;
    assert_eq!(plans.as_array().map(Vec::len), Some(16));
    assert_snapshot!(shown(plans[2].clone()), @r#"
    addon_service: {"id":"[id]","name":"heroku-postgresql"}
    aliases: ["standard-yanari"]
    connections: 120
    default: false
    description: "Heroku Postgres Standard 0"
    disk_gib: 64
    features: {"big_extensions":true,"connection_pooling":true,"fork_follow":true,"high_availability":false,"named_credentials":true,"rollback_hours":1,"tolerated_downtime_minutes":60}
    human_name: "Standard 0"
    id: "[id]"
    installable_inside_private_network: false
    installable_outside_private_network: true
    multitenant: true
    name: "heroku-postgresql:standard-0"
    piops: 200
    price: {"cents":5000,"contract":false,"metered":false,"unit":"month"}
    ram_mib: 1024
    rows: null
    space_default: false
    state: "ga"
    tier: "standard"
    vcpu: 2
    versions: [{"default":false,"major":15,"status":"supported","version":"15.20"},{"default":true,"major":18,"status":"supported","version":"18.6"}]
    visible: true
    "#);
    assert_eq!(ground.get("/howdah/v1/versions").await, plans[2]["versions"]);
    let default: Vec<_> = plans
        .as_array()
        .expect("a list")
        .iter()
        .filter(|plan| plan["default"] == true)
        .map(|plan| &plan["name"])
        .collect();
    assert_eq!(default, ["heroku-postgresql:hobby-dev"]);
}
