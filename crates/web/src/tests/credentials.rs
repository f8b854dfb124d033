//! Credentials beside the default one, and rotations.

use std::time::Duration;

use howdah_model::agent::{CredentialOf, DatabaseSpec};
use howdah_model::permission::Permission;
use serde_json::{Value, json};

use super::ground::Ground;

const PATH: &str = "/postgres/v0/databases/postgresql-one/credentials";

async fn ground(plan: &str) -> Ground {
    let ground = Ground::new().await;
    ground.app("demo").await;
    let plan = format!("heroku-postgresql:{plan}");
    let body = json!({ "plan": plan, "name": "postgresql-one" });
    ground.call("POST", "/apps/demo/addons", body).await.ok();
    ground
}

/// What the agent was told of the database.
async fn told(ground: &Ground) -> DatabaseSpec {
    let name = ground.get(&format!("{PATH}/default")).await["database"].clone();
    let name = name.as_str().expect("a name");
    let spec = ground.agent.spec_of(name).expect("it was told");
    spec.databases.into_iter().find(|(there, _)| there.as_str() == name).expect("there").1
}

fn user(credential: &Value) -> String {
    credential["credentials"][0]["user"].as_str().expect("a user").to_owned()
}

#[tokio::test]
async fn d28_c20_credentials_are_made_attached_and_destroyed_only_when_nobody_has_them() {
    let ground = ground("standard-0").await;
    let made = ground.call("POST", PATH, json!({ "name": "reports" })).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!((&made["name"], &made["state"]), (&json!("reports"), &json!("active")));
    let roles: Vec<_> =
        told(&ground).await.credentials.iter().map(|one| one.role.to_string()).collect();
    assert!(roles.len() == 2 && roles.contains(&user(&made)), "{roles:?}");
    let again = ground.call("POST", PATH, json!({ "name": "reports" })).await;
    assert_eq!(again.error(), (422, "invalid_params", "Name reports is already taken"));
    for bad in ["", "1st", "a b", "ä", "a;b", &"x".repeat(51)] {
        let refused = ground.call("POST", PATH, json!({ "name": bad })).await;
        assert!(refused.error().2.contains("is not a valid credential name"), "{refused:?}");
    }

    let attach = json!({
        "addon": "postgresql-one", "app": "demo", "namespace": "credential:reports",
        "name": "REPORTS"
    });
    ground.call("POST", "/addon-attachments", attach).await.ok();
    let vars = ground.get("/apps/demo/config-vars").await;
    let url = vars["REPORTS_URL"].as_str().expect("a URL").to_owned();
    assert!(url.contains(&format!("//{}:", user(&made))), "{url}");
    let one = format!("{PATH}/reports");
    let refused = ground.call("DELETE", &one, Value::Null).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.error().2.contains("must be detached")
            && refused.error().2.contains("REPORTS of demo")
    );
    let id = ground.get("/apps/demo/addon-attachments/REPORTS").await["id"].clone();
    let path = format!("/addon-attachments/{}", id.as_str().expect("an id"));
    ground.call("DELETE", &path, Value::Null).await.ok();
    ground.call("DELETE", &one, Value::Null).await.ok();
    assert_eq!(told(&ground).await.credentials.len(), 1);
    assert_eq!(ground.call("GET", &one, Value::Null).await.status, 404);
    let refused = ground.call("DELETE", &format!("{PATH}/default"), Value::Null).await;
    assert_eq!(refused.error().2, "Default credential cannot be destroyed.");
    ground.call("POST", PATH, json!({ "name": "reports" })).await.ok();
}

#[tokio::test]
async fn d28_what_a_credential_is_permitted_is_shown_and_told_to_the_agent() {
    let ground = ground("standard-0").await;
    let permission = async || {
        let spec = told(&ground).await;
        let named = spec.credentials.iter().find(|one| one.role != spec.owner);
        named.expect("it was made").permission
    };
    let new = json!({ "name": "reports", "permission": "readonly" });
    let made = ground.call("POST", PATH, new).await.ok();
    assert_eq!(
        (&made["permission"], permission().await),
        (&json!("readonly"), Permission::Readonly)
    );
    let one = "/howdah/v1/databases/postgresql-one/credentials/reports";
    for (text, wanted) in [("readwrite", Permission::Readwrite), ("none", Permission::None)] {
        let now = ground.call("PATCH", one, json!({ "permission": text })).await.ok();
        assert_eq!((&now["permission"], permission().await), (&json!(text), wanted));
    }
    let all = ground.get(PATH).await;
    assert_eq!((&all[0]["permission"], &all[1]["permission"]), (&Value::Null, &json!("none")));
    for body in [json!({ "permission": "all" }), json!({})] {
        assert_eq!(ground.call("PATCH", one, body).await.status, 422);
    }
    let body = json!({ "permission": "none" });
    let refused = ground.call("PATCH", &one.replace("reports", "default"), body.clone()).await;
    assert!(refused.error().2.contains("owns everything"), "{refused:?}");
    let missing = ground.call("PATCH", &one.replace("reports", "nobody"), body).await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn d25_b9_a_rotation_gives_each_app_one_release_and_the_old_login_until_nobody_has_it() {
    let ground = ground("standard-0").await;
    ground.app("other").await;
    let attach = json!({ "addon": "postgresql-one", "app": "other", "name": "SHARED" });
    ground.call("POST", "/addon-attachments", attach).await.ok();
    let pool = "/client/v11/databases/postgresql-one/connection-pooling";
    ground.call("POST", pool, json!({ "app": "demo" })).await.ok();
    let before = ground.get("/apps/demo/config-vars").await;
    let releases = [ground.releases("demo").await.len(), ground.releases("other").await.len()];
    let old = user(&ground.get(&format!("{PATH}/default")).await);

    let rotation = format!("{PATH}/default/credentials_rotation");
    let done = ground.call("POST", &rotation, json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
    let after = ground.get("/apps/demo/config-vars").await;
    let shown = ground.get(&format!("{PATH}/default")).await;
    let new = user(&shown);
    assert_ne!(old, new);
    for var in ["DATABASE_URL", "DATABASE_CONNECTION_POOL_URL"] {
        let url = |vars: &Value| vars[var].as_str().expect("a URL").to_owned();
        let place = |url: &str| url.rsplit_once('@').expect("a place").1.to_owned();
        assert!(url(&after).contains(&new) && !url(&after).contains(&old));
        assert_eq!(place(&url(&before)), place(&url(&after)), "the same place and database");
    }
    assert_eq!(ground.get("/apps/other/config-vars").await["SHARED_URL"], after["DATABASE_URL"]);
    let now = [ground.releases("demo").await, ground.releases("other").await];
    assert_eq!([now[0].len(), now[1].len()], [releases[0] + 1, releases[1] + 1]);
    assert!(
        now[0].iter().any(|one| one.starts_with("Update DATABASE, DATABASE_CONNECTION_POOL (")
            || one.starts_with("Update DATABASE_CONNECTION_POOL, DATABASE (")),
        "{now:?}"
    );

    // The state and the former login are shown; the agent has the one as the other's former name.
    assert_eq!(shown["state"], "rotating");
    assert_eq!(shown["credentials"][1]["user"], json!(old));
    assert_eq!(shown["credentials"][1]["state"], "revoking");
    assert_eq!(shown["credentials"][1]["password"], Value::Null);
    let spec = told(&ground).await;
    assert_eq!((spec.owner.as_str(), spec.credentials.len()), (new.as_str(), 2));
    assert_eq!(spec.credentials[0].was[0].as_str(), old);
    assert_eq!(spec.credentials[1].of, CredentialOf::Former);
    let routes = |role: &str| {
        let table = ground.control.routes().borrow().clone();
        let found = table.routes.iter().find(|route| route.role.as_str() == role);
        found.map(|route| (route.database_id, route.connection_limit, route.target.clone()))
    };
    ground.control.refresh_routes().await.expect("routes");
    assert!(routes(&old).is_some());
    assert_eq!(routes(&old), routes(&new), "C31: both lead there and count together");

    // A second one while the first is in use; with force all of before are gone at once.
    let done = ground.call("POST", &rotation, json!({ "forced": true })).await;
    assert_eq!(done.status, 200, "{done:?}");
    let shown = ground.get(&format!("{PATH}/default")).await;
    assert_eq!(
        (&shown["state"], shown["credentials"].as_array().map(Vec::len)),
        (&json!("active"), Some(1))
    );
    ground.control.refresh_routes().await.expect("routes");
    for gone in [&old, &new] {
        let target = routes(gone).expect("still known").2;
        assert_eq!(target, howdah_model::route::Target::Revoked);
    }
    let mut spec = told(&ground).await;
    for _ in 0..1000 {
        if spec.credentials.len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        spec = told(&ground).await;
    }
    let was: Vec<_> = spec.credentials[0].was.iter().map(ToString::to_string).collect();
    assert_eq!((spec.credentials.len(), was), (1, vec![new, old]));
}

#[tokio::test]
async fn d28_all_credentials_rotate_together_and_only_theirs_change() {
    let ground = ground("standard-0").await;
    ground.call("POST", PATH, json!({ "name": "reports" })).await.ok();
    let users = async || {
        let all = ground.get(PATH).await;
        all.as_array().expect("a list").iter().map(user).collect::<Vec<_>>()
    };
    let before = users().await;
    let one = format!("{PATH}/reports/credentials_rotation");
    ground.call("POST", &one, json!({ "forced": true })).await.ok();
    let after = users().await;
    assert!(before[0] == after[0] && before[1] != after[1]);
    let version = ground.releases("demo").await.len();
    ground.call("POST", &format!("{PATH}_rotation"), json!({})).await.ok();
    let last = users().await;
    assert!(last[0] != after[0] && last[1] != after[1]);
    assert_eq!(ground.releases("demo").await.len(), version + 1, "one for both");
    let none = ground.call("POST", &format!("{PATH}/nobody/credentials_rotation"), json!({})).await;
    assert_eq!((none.status, &none.body["resource"]), (404, &json!("credential")));
}

#[tokio::test]
async fn k_a_rotation_waits_for_its_agent_and_a_second_one_is_refused_meanwhile() {
    let ground = ground("standard-0").await;
    let old = ground.get("/apps/demo/config-vars").await;
    ground.agent.get_stuck(true);
    let rotation = format!("{PATH}/default/credentials_rotation");
    let (rotated, (shown, refused)) =
        tokio::join!(ground.call("POST", &rotation, json!({})), async {
            let mut shown = Value::Null;
            for _ in 0..500 {
                shown = ground.get(&format!("{PATH}/default")).await;
                if shown["state"] == "rotating" {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let refused = ground.call("POST", &rotation, json!({})).await;
            assert_eq!(ground.get("/apps/demo/config-vars").await, old, "nothing is handed out");
            ground.agent.get_stuck(false);
            (shown, refused)
        });
    assert_eq!(shown["state"], "rotating");
    assert_eq!((refused.status, refused.error().1), (409, "conflict"), "{refused:?}");
    assert_eq!(rotated.status, 200);
    assert_ne!(ground.get("/apps/demo/config-vars").await, old);
}

#[tokio::test]
async fn c30_small_plans_have_the_default_credential_alone_which_rotates() {
    let ground = ground("hobby-dev").await;
    for (method, path) in [
        ("POST", PATH.to_owned()),
        ("POST", "/postgres/v0/databases/postgresql-one/repair-default".to_owned()),
    ] {
        let refused = ground.call(method, &path, json!({ "name": "reports" })).await;
        let said = refused.error().2;
        assert!(
            said.starts_with("You can't perform this operation on Essential-tier databases."),
            "{said}"
        );
    }
    let before = ground.get("/apps/demo/config-vars").await;
    ground.call("POST", &format!("{PATH}_rotation"), json!({})).await.ok();
    assert_ne!(ground.get("/apps/demo/config-vars").await, before);
}

/// Nobody says who uses it, so it stays until its time is over, and then it goes all the same.
#[tokio::test]
async fn a_former_login_ends_at_its_time_also_when_the_gateway_is_silent() {
    let ground = ground("standard-0").await;
    let rotation = format!("{PATH}/default/credentials_rotation");
    ground.call("POST", &rotation, json!({})).await.ok();
    let pool = sqlx::PgPool::connect(&ground.scratch.url()).await.expect("connect");
    let change = async |sql: &'static str| {
        sqlx::query(sql).execute(&pool).await.expect("change it");
        ground.control.end_former_logins().await.expect("look")
    };
    assert_eq!(change("update logins set since = since - interval '1 hour'").await, 0);
    assert_eq!(ground.get(&format!("{PATH}/default")).await["state"], "rotating");
    assert_eq!(change("update logins set until = since").await, 1);
    assert_eq!(ground.get(&format!("{PATH}/default")).await["state"], "active");
    assert_eq!(ground.control.end_former_logins().await.expect("look"), 0);
    let mut left = told(&ground).await.credentials.len();
    for _ in 0..1000 {
        if left == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        left = told(&ground).await.credentials.len();
    }
    assert_eq!(left, 1);
}

/// This agent makes no links, so that all that was made for one has to go again.
#[tokio::test]
async fn a_link_that_cannot_be_made_leaves_nothing_and_small_plans_have_none() {
    let ground = ground("standard-0").await;
    for (plan, name) in [("standard-0", "postgresql-two"), ("hobby-dev", "postgresql-tiny")] {
        let body = json!({ "plan": format!("heroku-postgresql:{plan}"), "name": name });
        ground.call("POST", "/apps/demo/addons", body).await.ok();
    }
    let links = "/client/v11/databases/postgresql-one/links";
    let ask = async |body: Value| {
        let refused = ground.call("POST", links, body).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        refused.error().2.to_owned()
    };
    let said = ask(json!({ "target": "postgresql-two", "as": "two" })).await;
    assert!(said.contains("cannot link databases"), "{said}");
    assert_eq!(ground.get(links).await, json!([]));
    let pool = sqlx::PgPool::connect(&ground.scratch.url()).await.expect("connect");
    let open = "select count(*) from credentials where name like 'link:%' and revoked_at is null";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await.expect("count");
    assert_eq!(open, 0);
    for (body, why) in [
        (json!({ "target": "postgresql-tiny" }), "Essential-tier"),
        (json!({ "target": "postgresql-one" }), "itself"),
        (json!({ "target": "postgresql-two", "as": "pg_two" }), "link name"),
        (json!({ "target": "postgresql-two", "as": "a\"; drop" }), "link name"),
    ] {
        let said = ask(body).await;
        assert!(said.contains(why), "{said}");
    }
    let none = ground.call("DELETE", &format!("{links}/two"), Value::Null).await;
    assert_eq!((none.status, &none.body["resource"]), (404, &json!("link")));
    ground.control.end_links().await.expect("nothing to do");
}
