//! Every route: without a token, for what is not there, and for what is another's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ground::{Answer, Ground};
use crate::router::{NOT_OFFERED, OPEN, TOKEN};

/// A route; the body that it needs; what is not found when the first thing that the path or the
/// body names is not there, or is another's; and what, when it is there and the second is not.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

const APP: &str = "app";
const ADDON: &str = "add_on";
const ATTACHMENT: &str = "add_on attachment";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("get",    "/account", "", "", ""),
    ("get",    "/account/keys", "", "", ""),
    ("post",   "/account/keys", r#"{"public_key":""}"#, "", ""),
    ("delete", "/account/keys/{key}", "", "key", ""),
    ("get",    "/oauth/authorizations", "", "", ""),
    ("get",    "/oauth/authorizations/{id}", "", "authorization", ""),
    ("delete", "/oauth/authorizations/{id}", "", "authorization", ""),
    ("delete", "/oauth/sessions/{id}", "", "session", ""),
    ("get",    "/users/~/apps", "", "", ""),
    ("get",    "/apps", "", "", ""),
    ("post",   "/apps", "{}", "", ""),
    ("get",    "/apps/{app}", "", APP, ""),
    ("patch",  "/apps/{app}", "{}", APP, ""),
    ("delete", "/apps/{app}", "", APP, ""),
    ("get",    "/apps/{app}/collaborators", "", APP, ""),
    ("post",   "/apps/{app}/collaborators", r#"{"user":"a@b.c"}"#, APP, ""),
    ("delete", "/apps/{app}/collaborators/{who}", "", APP, "collaborator"),
    ("get",    "/apps/{app}/dynos", "", APP, ""),
    ("post",   "/apps/{app}/dynos", r#"{"command":"env"}"#, APP, ""),
    ("delete", "/apps/{app}/dynos", "", APP, ""),
    ("delete", "/apps/{app}/dynos/{dyno}", "", APP, "dyno"),
    ("post",   "/apps/{app}/dynos/{dyno}/actions/stop", "", APP, "dyno"),
    ("get",    "/apps/{app}/formation", "", APP, ""),
    ("patch",  "/apps/{app}/formation", r#"{"updates":[]}"#, APP, ""),
    ("delete", "/apps/{app}/formations/{type}", "", APP, "process_type"),
    ("post",   "/apps/{app}/formations/{type}/actions/stop", "", APP, "process_type"),
    ("post",   "/apps/{app}/log-sessions", "{}", APP, ""),
    ("get",    "/apps/{app}/pipeline-couplings", "", APP, ""),
    ("get",    "/apps/{app}/config-vars", "", APP, ""),
    ("patch",  "/apps/{app}/config-vars", "{}", APP, ""),
    ("get",    "/apps/{app}/releases", "", APP, ""),
    ("post",   "/apps/{app}/releases", r#"{"release":"99"}"#, APP, "release"),
    ("get",    "/apps/{app}/releases/{release}", "", APP, "release"),
    ("get",    "/apps/{app}/releases/{release}/config-vars", "", APP, "release"),
    ("get",    "/addon-services", "", "", ""),
    ("get",    "/addon-services/{service}", "", "add_on service", ""),
    ("get",    "/addon-services/{service}/plans", "", "add_on service", ""),
    ("get",    "/addons", "", "", ""),
    ("get",    "/addons/{addon}", "", ADDON, ""),
    ("get",    "/addons/{addon}/addon-attachments", "", ADDON, ""),
    ("get",    "/addons/{addon}/config/{credential}", "", ADDON, ""),
    ("get",    "/apps/{app}/addons", "", APP, ""),
    ("post",   "/apps/{app}/addons", r#"{"plan":"heroku-postgresql:nope"}"#, APP, ""),
    ("get",    "/apps/{app}/addons/{addon}", "", APP, ADDON),
    ("patch",  "/apps/{app}/addons/{addon}", "{}", APP, ADDON),
    ("delete", "/apps/{app}/addons/{addon}", "", APP, ADDON),
    ("post",   "/actions/addons/resolve", r#"{"addon":"{addon}","app":"{app}"}"#, APP, ADDON),
    ("post",   "/actions/addon-attachments/resolve", r#"{"addon_attachment":"{addon}","app":"{app}"}"#, APP, ATTACHMENT),
    ("get",    "/addon-attachments", "", "", ""),
    ("post",   "/addon-attachments", r#"{"addon":"{addon}","app":{"name":"{app}"}}"#, APP, ADDON),
    ("get",    "/addon-attachments/{attachment}", "", ATTACHMENT, ""),
    ("delete", "/addon-attachments/{attachment}", "", ATTACHMENT, ""),
    ("get",    "/apps/{app}/addon-attachments", "", APP, ""),
    ("get",    "/apps/{app}/addon-attachments/{name}", "", APP, ATTACHMENT),
    ("get",    "/client/v11/databases/{database}", "", ADDON, ""),
    ("get",    "/client/v11/databases/{database}/wait_status", "", ADDON, ""),
    ("get",    "/client/v11/databases/{database}/upgrade/wait_status", "", ADDON, ""),
    ("put",    "/client/v11/databases/{database}/reset", "", ADDON, ""),
    ("put",    "/client/v11/databases/{database}/stats_reset", "", ADDON, ""),
    ("put",    "/client/v11/databases/{database}/unfollow", "", ADDON, ""),
    ("post",   "/client/v11/databases/{database}/connection_reset", "", ADDON, ""),
    ("post",   "/client/v11/databases/{database}/connection-pooling", r#"{"app":"{app}","credential":"default"}"#, APP, ADDON),
    ("get",    "/client/v11/databases/{database}/links", "", ADDON, ""),
    ("post",   "/client/v11/databases/{database}/links", r#"{"target":"{addon}"}"#, ADDON, ""),
    ("delete", "/client/v11/databases/{database}/links/{link}", "", ADDON, ""),
    ("get",    "/postgres/v0/databases/{database}/credentials", "", ADDON, ""),
    ("post",   "/postgres/v0/databases/{database}/credentials", r#"{"name":""}"#, ADDON, ""),
    ("get",    "/postgres/v0/databases/{database}/credentials/{name}", "", ADDON, ""),
    ("delete", "/postgres/v0/databases/{database}/credentials/{name}", "", ADDON, ""),
    ("post",   "/postgres/v0/databases/{database}/credentials/{name}/credentials_rotation", "{}", ADDON, ""),
    ("post",   "/postgres/v0/databases/{database}/credentials_rotation", "{}", ADDON, ""),
    ("post",   "/postgres/v0/databases/{database}/repair-default", "", ADDON, ""),
    ("get",    "/postgres/v0/databases/{database}/config", "", ADDON, ""),
    ("patch",  "/postgres/v0/databases/{database}/config", "{}", ADDON, ""),
    ("get",    "/data/maintenances/v1/apps/{app}", "", APP, ""),
    ("get",    "/data/maintenances/v1/{database}", "", ADDON, ""),
    ("get",    "/data/maintenances/v1/{database}/history/", "", ADDON, ""),
    ("get",    "/data/maintenances/v1/{database}/window", "", ADDON, ""),
    ("post",   "/data/maintenances/v1/{database}/window", r#"{"day_of_week":"sunday","time_of_day":"1:30PM"}"#, ADDON, ""),
    ("post",   "/data/maintenances/v1/{database}/run", "", ADDON, ""),
    ("post",   "/data/maintenances/v1/{database}/schedule", r#"{"delay_weeks":"2"}"#, ADDON, ""),
    ("get",    "/client/v11/apps/{app}/transfers", "", APP, ""),
    ("get",    "/client/v11/apps/{app}/transfers/{transfer}", "", APP, "transfer"),
    ("delete", "/client/v11/apps/{app}/transfers/{transfer}", "", APP, "transfer"),
    ("post",   "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel", "", APP, "transfer"),
    ("post",   "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url", "", APP, "transfer"),
    ("post",   "/client/v11/databases/{database}/backups", "", ADDON, ""),
    ("post",   "/client/v11/databases/{database}/restores", r#"{"backup_url":"https://x.example/d"}"#, ADDON, ""),
    ("post",   "/client/v11/databases/{database}/transfers", r#"{"from_url":"postgres://u:p@h.example/d"}"#, ADDON, ""),
    ("get",    "/client/v11/databases/{database}/transfer-schedules", "", ADDON, ""),
    ("post",   "/client/v11/databases/{database}/transfer-schedules", r#"{"hour":"2","schedule_name":"DATABASE_URL"}"#, ADDON, ""),
    ("delete", "/client/v11/databases/{database}/transfer-schedules/{schedule}", "", ADDON, ""),
    ("get",    "/client/v11/databases/{database}/metrics", "", ADDON, ""),
    ("get",    "/client/v11/databases/{database}/burst_status", "", ADDON, ""),
    ("post",   "/reports", r#"{"app":"{app}","database":"{addon}"}"#, APP, ATTACHMENT),
    ("get",    "/reports/{report}", "", "report", ""),
    ("get",    "/howdah/v1/versions", "", "", ""),
    ("get",    "/howdah/v1/apps/{app}/operations", "", APP, ""),
    ("get",    "/howdah/v1/operations/{operation}", "", "operation", ""),
    ("get",    "/howdah/v1/databases/{database}/transitions", "", ADDON, ""),
    ("patch",  "/howdah/v1/databases/{database}/credentials/{name}", r#"{"permission":"none"}"#, ADDON, ""),
    ("get",    "/howdah/v1/databases/{database}/pool", "", ADDON, ""),
    ("get",    "/howdah/v1/databases/{database}/protection", "", ADDON, ""),
    ("put",    "/howdah/v1/databases/{database}/backup", "", ADDON, ""),
    ("put",    "/howdah/v1/databases/{database}/drill", "", ADDON, ""),
    ("post",   "/howdah/v1/databases/{database}/dumps", "", ADDON, ""),
    ("get",    "/howdah/v1/databases/{database}/timelines", "", ADDON, ""),
    ("post",   "/howdah/v1/databases/undelete", r#"{"name":"{addon}","app":"{app}"}"#, APP, ADDON),
    ("get",    "/howdah/v1/incidents", "", "", ""),
    ("get",    "/howdah/v1/apps/{app}/runner/{name}", "", APP, ""),
    ("put",    "/howdah/v1/apps/{app}/runner/{name}", r#"{"instance":"0190f3c2-0000-7000-8000-000000000000","types":{},"dynos":[]}"#, APP, ""),
    ("delete", "/howdah/v1/apps/{app}/runner/{name}", "", APP, ""),
    ("post",   "/howdah/v1/apps/{app}/runner/{name}/lines", r#"{"instance":"0190f3c2-0000-7000-8000-000000000000","batch":1,"lines":[]}"#, APP, ""),
    ("get",    "/howdah/v1/apps/{app}/streams/{stream}/{side}", "", APP, "dyno"),
];

/// What stands for the parameters of a path.
struct Names<'a> {
    app: &'a str,
    addon: &'a str,
    attachment: &'a str,
    operation: &'a str,
}

const NOWHERE: Names<'_> = Names {
    app: "not-there",
    addon: "postgresql-not-there",
    attachment: "0190f3c2-0000-7000-8000-000000000000",
    operation: "0190f3c2-0000-7000-8000-000000000000",
};

fn fill(text: &str, names: &Names<'_>) -> String {
    text.replace("{app}", names.app)
        .replace("{addon}", names.addon)
        .replace("{database}", names.addon)
        .replace("{attachment}", names.attachment)
        .replace("{operation}", names.operation)
}

/// A path; what nothing stands for is named `none`.
fn fill_path(path: &str, names: &Names<'_>) -> String {
    let path = fill(path, names);
    let parts = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

async fn call(ground: &Ground, row: &Row, names: &Names<'_>) -> Answer {
    let (method, path, body, ..) = row;
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&fill(body, names)).expect("JSON")
    };
    ground.call(&method.to_uppercase(), &fill_path(path, names), body).await
}

/// Rows of the routes that are not offered: they find the app or the database first.
fn not_offered() -> impl Iterator<Item = Row> {
    NOT_OFFERED.iter().map(|(method, path)| {
        let noun = if path.contains("{app}") {
            APP
        } else if path.contains("{database}") {
            ADDON
        } else {
            ""
        };
        (*method, *path, "", noun, "")
    })
}

#[test]
fn every_route_has_its_row_here() {
    let routes: BTreeSet<_> = TOKEN.iter().copied().collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|(method, path, ..)| (*method, *path)).collect();
    assert_eq!(routes, rows);
    assert_eq!(ROWS.len(), rows.len(), "each route has one row");
    let open: BTreeSet<_> = OPEN.iter().map(|(_, path)| *path).collect();
    let known = [
        "/backups/{transfer}/{app}/{file}",
        "/health",
        "/howdah/v1/accounts",
        "/logs/{session}",
        "/metrics",
        "/oauth/authorizations",
    ];
    assert_eq!(open, known.into());
}

#[tokio::test]
async fn a4_without_a_good_token_every_route_says_unauthorized_and_nothing_else() {
    let ground = Ground::new().await;
    for row in ROWS.iter().copied().chain(not_offered()) {
        let (method, path, ..) = row;
        let path = fill_path(path, &NOWHERE);
        for header in ["Bearer undefined", "Bearer hwd_0", "Basic Og==", "nonsense", ""] {
            let headers = [("authorization", header)];
            let answer =
                ground.call_with(&method.to_uppercase(), &path, &headers, &Value::Null).await;
            let expected = (401, "unauthorized", "Invalid credentials provided.");
            assert_eq!(answer.error(), expected, "{method} {path} with `{header}`");
        }
    }
}

#[tokio::test]
async fn a24_what_is_not_there_and_what_is_anothers_cannot_be_told_apart() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    let other = ground.account("other@example.com").await;
    let made = ground.call_as(&other, "POST", "/apps", &json!({ "name": "theirs" })).await;
    assert_eq!(made.status, 201);
    let plan = json!({ "plan": "heroku-postgresql:hobby-dev" });
    let addon = ground.call_as(&other, "POST", "/apps/theirs/addons", &plan).await.ok();
    let get = async |path| ground.call_as(&other, "GET", path, &Value::Null).await.ok();
    let attachments = get("/apps/theirs/addon-attachments").await;
    let operations = get("/howdah/v1/apps/theirs/operations").await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let theirs = Names {
        app: "theirs",
        addon: &text(&addon["name"]),
        attachment: &text(&attachments[0]["id"]),
        operation: &text(&operations[0]["id"]),
    };
    for row in ROWS.iter().copied().chain(not_offered()) {
        let (method, path, _, first, second) = row;
        let nowhere = call(&ground, &row, &NOWHERE).await;
        assert!(nowhere.status < 500, "{method} {path}: {nowhere:#?}");
        if first.is_empty() {
            continue;
        }
        assert_eq!(nowhere.status, 404, "{method} {path}: {nowhere:#?}");
        assert_eq!(nowhere.body["resource"], first, "{method} {path}");
        assert_eq!(nowhere.body["id"], "not_found", "{method} {path}");
        assert!(nowhere.body["message"].is_string(), "{method} {path}");
        let others = call(&ground, &row, &theirs).await;
        assert_eq!((others.status, &others.body), (404, &nowhere.body), "{method} {path}");
        if second.is_empty() {
            continue;
        }
        for names in [&NOWHERE, &theirs] {
            let names = Names { app: "mine", ..*names };
            let answer = call(&ground, &row, &names).await;
            assert_eq!((answer.status, &answer.body["resource"]), (404, &second.into()), "{path}");
        }
    }
    assert!(
        get("/apps/theirs/addons").await[0]["state"] == "provisioned",
        "nothing happened to it"
    );
}

#[tokio::test]
async fn a_zero_byte_anywhere_is_the_clients_mistake_and_not_the_platforms() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    for app in ["mine", "%00"] {
        for row in ROWS.iter().copied().chain(not_offered()) {
            let (method, path, body, ..) = row;
            let path = path.replace("{app}", app);
            let path: Vec<_> = path
                .split('/')
                .map(|part| if part.starts_with('{') { "a%00" } else { part })
                .collect();
            let body = body.replace("{addon}", "\\u0000").replace("99", "\\u0000");
            let body = serde_json::from_str(&body).unwrap_or(Value::Null);
            let answer = ground.call(&method.to_uppercase(), &path.join("/"), body).await;
            assert!(answer.status < 500, "{method} {}: {answer:#?}", path.join("/"));
        }
    }
}

#[tokio::test]
async fn what_is_not_offered_says_so_and_an_unknown_route_is_no_route() {
    let ground = Ground::new().await;
    ground.app("mine").await;
    let addon = ground.addon("mine", "heroku-postgresql:standard-0").await;
    let name = addon["name"].as_str().expect("text");
    let mine = Names { app: "mine", addon: name, ..NOWHERE };
    for row in not_offered() {
        let answer = call(&ground, &row, &mine).await;
        let (status, id, message) = answer.error();
        assert_eq!((status, id), (422, "invalid_params"), "{} {}", row.0, row.1);
        assert!(message.ends_with("is not offered by this platform yet."), "{message}");
    }
    for (method, path) in
        [("GET", "/teams/x"), ("GET", "/nothing"), ("PUT", "/apps"), ("POST", "/account")]
    {
        let answer = ground.call(method, path, Value::Null).await;
        let (status, id, message) = answer.error();
        assert_eq!((status, id), (404, "not_found"), "{method} {path}");
        assert!(message.starts_with("The requested API endpoint was not found."), "{message}");
    }
}
