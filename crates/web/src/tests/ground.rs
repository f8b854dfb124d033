//! What every test of the API stands on.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::response::Response;
use axum::{Router, http};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_control::Control;
use howdah_control::clock::SystemClock;
use howdah_control::config::Config;
use howdah_control::keyring::Keyring;
use howdah_control::metrics::Token;
use howdah_control::requests::accounts;
use howdah_model::ids::ServerId;
use howdah_model::secret::Secret;
use howdah_store::Store;
use howdah_store::servers::Server;
use howdah_testkit::scratch::Scratch;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::agent::{AT, Agent};
use crate::App;

/// A platform in this process: everything is real but the agent.
pub(super) struct Ground {
    pub(super) control: Control,
    pub(super) agent: Arc<Agent>,
    router: Router,
    /// A token of `dev@example.com`.
    pub(super) token: String,
    _work: JoinSet<anyhow::Result<()>>,
    pub(super) scratch: Scratch,
}

/// What opens `/metrics`.
pub(super) const METRICS: &str = "m-1";

/// An answer: status, JSON body, headers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) headers: http::HeaderMap,
}

impl Answer {
    /// The body of an answer that is no error.
    pub(super) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:#?}");
        self.body
    }

    /// Status, id and message of an error.
    pub(super) fn error(&self) -> (u16, &str, &str) {
        let text = |key: &str| self.body[key].as_str().unwrap_or_default();
        (self.status, text("id"), text("message"))
    }
}

impl Ground {
    /// A platform with one account and a server.
    pub(super) async fn new() -> Self {
        Self::with(Config { pool_size: 0, ..Config::default() }).await
    }

    /// As [`Ground::new`], with settings.
    pub(super) async fn with(config: Config) -> Self {
        let scratch = Scratch::start().await;
        let store = Store::connect(&scratch.url(), 10).await.expect("connect");
        store.migrate().await.expect("migrate");
        let server = Server {
            id: ServerId::new(),
            name: "here".into(),
            region: "us".into(),
            agent: "/nowhere".into(),
            created_at: AT,
        };
        let agent = Arc::new(Agent::new(server.id));
        let control = Control::with_servers(
            store,
            Keyring::new(&[7; 32]),
            config,
            Arc::new(SystemClock),
            agent.clone(),
        );
        control.register_server(&server).await.expect("register");
        let mut work = JoinSet::new();
        let engine = control.clone();
        work.spawn(async move { engine.run(CancellationToken::new()).await });
        let metrics = Token::new(Secret::new(METRICS.to_owned()));
        let router = crate::router(App::new(control.clone()).with_metrics(metrics));
        let token = String::new();
        let mut ground = Self { control, agent, router, token, _work: work, scratch };
        ground.token = ground.account("dev@example.com").await;
        ground
    }

    /// A new account; answers a token of it.
    pub(super) async fn account(&self, email: &str) -> String {
        let account = accounts::create(&self.control, email, None).await.expect("an account");
        let made = accounts::issue_token(&self.control, account.id, "test", None).await;
        made.expect("a token").1.reveal().to_owned()
    }

    /// Sends any request.
    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("the router answers")
    }

    /// Sends a request with a token, some headers and a JSON body, and reads the answer.
    pub(super) async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "howdah.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let response = self.send(request.body(Body::from(bytes)).expect("a request")).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), body, headers: parts.headers }
    }

    /// Sends a request as somebody.
    pub(super) async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call_with(method, path, &[("authorization", &bearer)], body).await
    }

    /// Sends a request as `dev@example.com`.
    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call_as(&self.token, method, path, &body).await
    }

    /// Gets something as `dev@example.com`.
    pub(super) async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await.ok()
    }

    /// Makes an app.
    pub(super) async fn app(&self, name: &str) -> Value {
        self.call("POST", "/apps", json!({ "name": name })).await.ok()
    }

    /// Makes an add-on of an app; answers it.
    pub(super) async fn addon(&self, app: &str, plan: &str) -> Value {
        let path = format!("/apps/{app}/addons");
        self.call("POST", &path, json!({ "plan": { "name": plan } })).await.ok()
    }

    /// The descriptions of an app's releases, newest first.
    pub(super) async fn releases(&self, app: &str) -> Vec<String> {
        let path = format!("/apps/{app}/releases");
        let range = [
            ("authorization", &*format!("Bearer {}", self.token)),
            ("range", "version ..; max=100, order=desc"),
        ];
        let all = self.call_with("GET", &path, &range, &Value::Null).await.ok();
        let all = all.as_array().expect("a list").iter();
        all.map(|one| one["description"].as_str().expect("text").to_owned()).collect()
    }
}

/// The header value of `Basic`.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// An object to be compared, a line for each key. What is different in every run (ids, times,
/// random names, passwords) is made the same.
pub(super) fn shown(mut value: Value) -> String {
    steady(&mut value, "");
    let object = value.as_object().expect("an object");
    object.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

fn steady(value: &mut Value, key: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                steady(value, key);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| steady(one, key)),
        Value::String(text) => {
            let is_id = text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
            let is_time = (key.ends_with("_at") || key == "since") && text.ends_with('Z');
            if is_id {
                "[id]".clone_into(text);
            } else if is_time {
                "[time]".clone_into(text);
            } else if ["password", "user", "database_user", "database", "database_name", "token"]
                .contains(&key)
            {
                *text = format!("[{key}]");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
