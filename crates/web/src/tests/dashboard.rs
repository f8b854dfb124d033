//! The dashboard, as a browser without scripts sees it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::ground::Ground;
use crate::router::{DOORS, PAGES};

/// A browser.
struct Browser<'a> {
    ground: &'a Ground,
    cookie: String,
}

/// A page.
struct Seen {
    status: u16,
    headers: HeaderMap,
    html: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn csrf(&self) -> &str {
        let (_, rest) = self.html.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split_once('"').expect("a value").0
    }
}

impl<'a> Browser<'a> {
    /// A browser in which somebody has signed up.
    async fn signed_up(ground: &'a Ground, email: &str) -> Self {
        let mut browser = Self { ground, cookie: String::new() };
        let form = format!("email={}&password=correct+horse", email.replace('@', "%40"));
        let answer = browser.post("/signup", &form).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.html);
        let cookie = answer.header("set-cookie");
        assert!(cookie.contains("HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
        cookie.split(';').next().expect("a value").clone_into(&mut browser.cookie);
        browser
    }

    async fn send(&self, request: Request<Body>) -> Seen {
        let (parts, body) = self.ground.send(request).await.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("a body");
        let html = String::from_utf8_lossy(&bytes).into_owned();
        Seen { status: parts.status.as_u16(), headers: parts.headers, html }
    }

    async fn get(&self, path: &str) -> Seen {
        let request =
            Request::get(path).header("accept", "text/html").header("cookie", &self.cookie);
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, form: &str) -> Seen {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", &self.cookie);
        self.send(request.body(Body::from(form.to_owned())).expect("a request")).await
    }
}

#[tokio::test]
async fn a1_a11_a12_a_person_signs_up_makes_an_app_and_adds_and_removes_a_database() {
    let ground = Ground::new().await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    let home = browser.get("/").await;
    assert!(home.html.contains("new@example.com") && home.html.contains("howdah apps:create"));
    let csrf = home.csrf().to_owned();
    let made = browser.post("/dashboard/apps", &format!("csrf={csrf}&name=demo")).await;
    assert_eq!((made.status, made.header("location")), (303, "/apps/demo"));
    let form = format!("csrf={csrf}&plan=heroku-postgresql%3Ahobby-dev");
    let added = browser.post("/dashboard/apps/demo/databases", &form).await;
    assert_eq!(added.status, 303, "{}", added.html);
    let app = browser.get(added.header("location")).await;
    assert!(app.html.contains("was added and is available"), "{}", app.html);
    for text in ["Heroku Postgres :: Hobby-dev", "DATABASE_URL", "Attach DATABASE", "Available"] {
        assert!(app.html.contains(text), "{text} in {}", app.html);
    }
    let (_, rest) = app.html.split_once("/databases/postgresql-").expect("a link");
    let name = format!("postgresql-{}", rest.split_once('"').expect("its end").0);
    let page = format!("/databases/{name}");
    let shown = browser.get(&page).await;
    for text in ["6.4 MB", "23/10000 (In compliance)", "it was asked for", "available"] {
        assert!(shown.html.contains(text), "{text}");
    }
    let url = url_of(&ground, &browser).await;
    assert!(!shown.html.contains(&url) && !shown.html.contains("postgres://"), "it is hidden");
    let reveal = format!("/dashboard/databases/{name}/reveal");
    let revealed = browser.post(&reveal, &format!("csrf={csrf}")).await;
    assert!(revealed.html.contains(&url));
    assert_eq!(revealed.header("cache-control"), "no-store");
    let reset = format!("{page}?done=reset");
    let destroyed = format!("/apps/demo?destroyed={name}");
    for (what, to) in [("reset", reset), ("destroy", destroyed)] {
        let path = format!("/dashboard/databases/{name}/{what}");
        let wrong = browser.post(&path, &format!("csrf={csrf}&confirm=demo")).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.html.contains("Confirmation did not match"), "{}", wrong.html);
        assert!(wrong.html.contains("Statistics"), "it is the page with the form");
        let right = browser.post(&path, &format!("csrf={csrf}&confirm={name}")).await;
        assert_eq!((right.status, right.header("location")), (303, &*to), "{}", right.html);
    }
    assert_eq!(browser.get(&page).await.status, 404);
    assert!(browser.get("/apps/demo").await.html.contains("Detach DATABASE"));
}

#[tokio::test]
async fn a_refused_form_comes_back_with_what_was_typed_and_says_why() {
    let ground = Ground::new().await;
    ground.app("taken").await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    let csrf = browser.get("/").await.csrf().to_owned();
    let made = browser.post("/dashboard/apps", &format!("csrf={csrf}&name=taken")).await;
    assert_eq!(made.status, 422);
    assert!(made.html.contains("already taken") && made.html.contains("value=\"taken\""));
    browser.post("/dashboard/apps", &format!("csrf={csrf}&name=demo")).await;
    let form = format!("csrf={csrf}&plan=heroku-postgresql%3Anone");
    let added = browser.post("/dashboard/apps/demo/databases", &form).await;
    assert_eq!(added.status, 422);
    assert!(added.html.contains("role=\"alert\"") && added.html.contains("Config vars"));
}

#[tokio::test]
async fn c10_a25_a_promotion_and_a_reset_are_in_the_activity_with_who_did_them() {
    let ground = Ground::new().await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    let csrf = browser.get("/").await.csrf().to_owned();
    browser.post("/dashboard/apps", &format!("csrf={csrf}&name=demo")).await;
    let form = format!("csrf={csrf}&plan=heroku-postgresql%3Ahobby-dev");
    let mut names = Vec::new();
    for _ in 0..2 {
        let added = browser.post("/dashboard/apps/demo/databases", &form).await;
        let (_, name) = added.header("location").split_once("added=").expect("a name");
        names.push(name.to_owned());
    }
    let page = format!("/databases/{}", names[1]);
    assert!(browser.get(&page).await.html.contains("Promote"), "the second is not the primary");
    let path = format!("/dashboard/databases/{}", names[1]);
    let promoted = browser.post(&format!("{path}/promote"), &format!("csrf={csrf}")).await;
    let to = format!("{page}?done=promoted");
    assert_eq!((promoted.status, promoted.header("location")), (303, &*to), "{}", promoted.html);
    let reset = format!("csrf={csrf}&confirm={}", names[1]);
    assert_eq!(browser.post(&format!("{path}/reset"), &reset).await.status, 303);
    let shown = browser.get(&to).await;
    for text in ["was promoted", "It is the primary", "<td data-label=\"What\">Promote</td>"] {
        assert!(shown.html.contains(text), "{text} in {}", shown.html);
    }
    let app = browser.get("/apps/demo").await;
    for text in [format!("Reset {}", names[1]), format!("Attach DATABASE (@ref:{})", names[1])] {
        assert!(app.html.contains(&text), "{text} in {}", app.html);
    }
    assert!(app.html.contains("<td data-label=\"Who\" class=\"who\">new@example.com</td>"));
}

#[tokio::test]
async fn browsers_get_pages_where_the_api_refuses() {
    let ground = Ground::new().await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    for path in ["/nowhere", "/addons", "/apps/demo/config-vars", "/dashboard/apps"] {
        let seen = browser.get(path).await;
        assert_eq!((seen.status, seen.header("content-type")), (404, "text/html; charset=utf-8"));
        assert!(seen.html.contains("There is no page at this address"), "{path}");
    }
    assert!(browser.get("/apps").await.html.contains("<h1>Apps</h1>"));
    let program = Request::get("/nowhere").header("accept", "*/*");
    let seen = browser.send(program.body(Body::empty()).expect("a request")).await;
    assert_eq!(seen.header("content-type"), "application/json");
}

/// The URL of the app's database, as the API gives it to the same person.
async fn url_of(ground: &Ground, browser: &Browser<'_>) -> String {
    let token = browser.cookie.split_once('=').expect("a cookie").1;
    let vars = ground.call_as(token, "GET", "/apps/demo/config-vars", &Value::Null).await.ok();
    vars["DATABASE_URL"].as_str().expect("a URL").to_owned()
}

#[tokio::test]
async fn a_page_runs_nothing_loads_nothing_and_is_not_kept() {
    let ground = Ground::new().await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    for path in ["/login", "/signup", "/", "/databases/none"] {
        let seen = browser.get(path).await;
        assert!(
            seen.header("content-security-policy").starts_with("default-src 'none';"),
            "{path}"
        );
        assert_eq!(seen.header("cache-control"), "no-store", "{path}");
        for never in ["<script", "style=\"", "onclick", "javascript:", "src=\"http"] {
            assert!(!seen.html.contains(never), "{never} in {path}");
        }
    }
    let style = browser.get("/dashboard/howdah.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
}

#[tokio::test]
async fn every_page_wants_a_session_and_every_form_its_token() {
    let ground = Ground::new().await;
    ground.app("theirs").await;
    let stranger = Browser { ground: &ground, cookie: "howdah_session=hwd_0".into() };
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    let csrf = browser.get("/").await.csrf().to_owned();
    for (method, path) in PAGES {
        let path = path.replace("{app}", "theirs").replace("{database}", "none");
        let fields = "name=&plan=x&confirm=none&csrf";
        if *method == "get" {
            let seen = stranger.get(&path).await;
            assert_eq!((seen.status, seen.header("location")), (303, "/login"), "{path}");
            let others = browser.get(&path).await;
            assert_eq!(others.status, if path == "/" { 200 } else { 404 }, "{path}");
            continue;
        }
        let seen = stranger.post(&path, &format!("{fields}={csrf}")).await;
        assert_eq!((seen.status, seen.header("location")), (303, "/login"), "{path}");
        let forged = browser.post(&path, &format!("{fields}=forged")).await;
        assert!([403, 404].contains(&forged.status), "{path}: {}", forged.status);
    }
    assert_eq!(ground.get("/apps").await.as_array().map(Vec::len), Some(1));
    assert_eq!(DOORS.len(), 6);
}

#[tokio::test]
async fn e3_e4_e15_e16_e27_snapshots_are_taken_fetched_and_deleted_and_plans_chosen_with_a_browser()
{
    let ground = Ground::new().await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    let csrf = format!("csrf={}", browser.get("/").await.csrf());
    browser.post("/dashboard/apps", &format!("name=demo&{csrf}")).await;
    let app = browser.get("/apps/demo").await.html;
    assert!(app.contains("Add Plus for Free") && app.contains("Add Auto - One Week Retention for"));
    let form = format!("plan=heroku-postgresql%3Ahobby-dev&{csrf}");
    let added = browser.post("/dashboard/apps/demo/databases", &form).await;
    let (_, name) = added.header("location").split_once("added=").expect("its name");
    let page = format!("/databases/{name}");
    let snapshots = format!("/dashboard/databases/{name}/snapshots");
    let has = async |what: &str| {
        for _ in 0..400 {
            let html = browser.get(&page).await.html;
            if html.contains(what) {
                return html;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the page never has {what}");
    };
    has("sessions can be opened").await;
    assert!(browser.get(&page).await.html.contains("There is none yet."));
    let taken = browser.post(&snapshots, &csrf).await;
    assert_eq!(taken.header("location"), format!("{page}?done=snapshot"), "{}", taken.html);
    let html = has("Download").await;
    assert!(html.contains("b001 - 20") && html.contains("Delete b001"), "{html}");
    let leads = browser.get(&format!("{page}/snapshots/b001")).await;
    let dump = leads.header("location").to_owned();
    assert!(leads.status == 303 && dump.starts_with("/backups/"), "{dump}");
    assert_eq!(browser.get(&dump).await.html.as_bytes(), super::agent::DUMP);

    let form = format!("plan=auto-week&{csrf}");
    let chosen = browser.post("/dashboard/apps/demo/backups", &form).await;
    assert_eq!(chosen.header("location"), "/apps/demo?backups=saved");
    let app = browser.get("/apps/demo").await.html;
    assert!(app.contains("<option value=\"auto-week\" selected>"), "{app}");
    let gone = browser.post(&format!("{snapshots}/b001/delete"), &csrf).await;
    assert_eq!(gone.header("location"), format!("{page}?done=deleted"));
    assert!(browser.get(&page).await.html.contains("There is none yet."));
    assert_eq!(browser.get(&dump).await.status, 404);
    browser.post("/dashboard/apps/demo/backups", &format!("plan=-&{csrf}")).await;
    assert!(browser.get("/apps/demo").await.html.contains("Add Plus for Free"));
}

#[tokio::test]
async fn a3_a_wrong_password_and_another_sites_form_do_not_log_in_and_log_out_ends_the_session() {
    let ground = Ground::new().await;
    let browser = Browser::signed_up(&ground, "new@example.com").await;
    let wrong = browser.post("/login", "email=new%40example.com&password=wrong").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.html.contains("The e-mail address or the password is wrong."));
    assert!(wrong.header("set-cookie").is_empty());
    let again = browser.post("/signup", "email=new%40example.com&password=correct+horse").await;
    assert_eq!(again.status, 422);
    let cross = Request::post("/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .body(Body::from("email=new%40example.com&password=correct+horse"))
        .expect("a request");
    assert_eq!(browser.send(cross).await.status, 403);
    let right = browser.post("/login", "email=new%40example.com&password=correct+horse").await;
    assert_eq!((right.status, right.header("location")), (303, "/"));
    let csrf = browser.get("/").await.csrf().to_owned();
    let out = browser.post("/dashboard/logout", &format!("csrf={csrf}")).await;
    assert_eq!((out.status, out.header("location")), (303, "/login"));
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn what_people_write_is_shown_as_text() {
    let ground = Ground::new().await;
    let seen = Browser { ground: &ground, cookie: String::new() }
        .post("/login", "email=%3Cscript%3Ealert(1)%3C%2Fscript%3E&password=x")
        .await;
    assert!(!seen.html.contains("<script>") && seen.html.contains("script"), "{}", seen.html);
    ground.app("demo").await;
    let vars = json!({ "A": "<b>secret</b>" });
    ground.call("PATCH", "/apps/demo/config-vars", vars).await.ok();
    let browser = Browser { ground: &ground, cookie: format!("howdah_session={}", ground.token) };
    let app = browser.get("/apps/demo").await;
    assert!(app.html.contains("<code>A</code>") && !app.html.contains("secret"), "names only");
}
