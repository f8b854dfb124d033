//! A platform, and ways to speak with it.

use std::time::Instant;

use howdah_testkit::platform::{Platform, wait_until};
use reqwest::Method;
use serde_json::{Value, json};

const HOWDAH: &str = env!("CARGO_BIN_EXE_howdah");

/// A platform with an app `bench`.
pub(crate) struct Bed {
    pub(crate) platform: Platform,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    token: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let platform = Platform::start(HOWDAH, &[("HOWDAH_POOL_SIZE", "0")]);
        platform.howdah(&["apps:create", "bench", "--no-remote"]).ok();
        let token = platform.howdah(&["auth:token"]).ok().trim().to_owned();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { platform, runtime, client: reqwest::Client::new(), token }
    }

    /// What the API answers. The measured calls of Heroku's CLI are these.
    pub(crate) fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.platform.url());
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        request = request.header("accept", "application/vnd.heroku+json; version=3");
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let status = response.status();
            let text = response.text().await.expect("a body");
            assert!(status.is_success(), "{path}: {status} {text}");
            serde_json::from_str(&text).unwrap_or_default()
        })
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, Some(body))
    }

    /// A new database of an app; answers the add-on.
    pub(crate) fn database(&self, app: &str, plan: &str, version: Option<&str>) -> Value {
        let plan = json!({ "name": format!("heroku-postgresql:{plan}") });
        let config = version.map_or_else(|| json!({}), |version| json!({ "version": version }));
        let mut addon =
            self.post(&format!("/apps/{app}/addons"), json!({ "plan": plan, "config": config }));
        let name = text(&addon, "name");
        wait_until("the database is there", || {
            addon = self.get(&format!("/addons/{name}"));
            addon["state"] == "provisioned"
        });
        addon
    }

    /// The URL of an app's database.
    pub(crate) fn url(&self, app: &str, addon: &Value) -> String {
        let var = addon["config_vars"][0].as_str().expect("a config var");
        text(&self.get(&format!("/apps/{app}/config-vars")), var)
    }

    /// Asks the platform's own database, as its superuser.
    pub(crate) fn store(&self, sql: &str) -> String {
        let dir = self.platform.home().join("system/s").display().to_string();
        self.psql(&["-h", &dir, "-U", "howdah", "-d", "howdah", "-c", sql])
    }

    /// `psql` with nothing around the answer.
    pub(crate) fn psql(&self, arguments: &[&str]) -> String {
        let all = [&["-XAtq", "-v", "ON_ERROR_STOP=1"], arguments].concat();
        self.platform.program("psql", &all, &[]).ok().trim().to_owned()
    }
}

/// A member of an object that is a text.
pub(crate) fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}

/// Seconds that something took.
pub(crate) fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}
