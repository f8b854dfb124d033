//! Whole calls against a platform with prepared answers: what is printed, where, the exit code, and
//! what was asked of the API. The answers are those of the API's contract.

mod account;
mod addons;
mod apps;
mod backups;
mod config;
mod copies;
mod credentials;
mod databases;
mod diagnose;
mod extras;
mod imports;
mod links;
mod plans;
mod pooling;
mod processes;
mod protection;
mod psql;
mod push_pull;
mod restores;
mod server;
mod words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::run::{End, run};
use crate::screen::{Screen, Terminals};

/// The executable's own words, as in the executable.
const OWN: &[(&str, &str)] = &[("up", "Run the whole platform"), ("doctor", "Check this machine")];

type Answers = HashMap<String, Vec<(u16, Value)>>;

/// A platform that gives prepared answers and keeps what was asked.
struct Platform {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    request_ids: Arc<Mutex<Vec<String>>>,
    runtime: Option<tokio::runtime::Runtime>,
    home: tempfile::TempDir,
}

impl Platform {
    /// Answers by `METHOD /path`. The answers of one path are given one after the other; the last
    /// one stays.
    fn with(answers: &[(&str, u16, Value)]) -> Self {
        let mut by_path: Answers = HashMap::new();
        for (path, status, body) in answers {
            by_path.entry((*path).to_owned()).or_default().push((*status, body.clone()));
        }
        for list in by_path.values_mut() {
            list.reverse();
        }
        let (asked, request_ids) = <(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>)>::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = (Arc::new(Mutex::new(by_path)), asked.clone(), request_ids.clone());
        let app = axum::Router::new().fallback(
            move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let (answers, asked, ids) = state.clone();
                async move {
                    let line = format!("{method} {}", uri.path());
                    let body = String::from_utf8_lossy(&body).into_owned();
                    asked
                        .lock()
                        .expect("whole")
                        .push(format!("{line} {body}").trim_end().to_owned());
                    let id = headers.get("request-id").and_then(|id| id.to_str().ok());
                    ids.lock().expect("whole").extend(id.map(str::to_owned));
                    let mut answers = answers.lock().expect("whole");
                    match answers.get(&line).and_then(|list| list.last()) {
                        Some((200, Value::String(raw))) => part(raw, &headers).into_response(),
                        _ => answer(&mut answers, &line, &headers).into_response(),
                    }
                }
            },
        );
        runtime.spawn(async move { axum::serve(listener, app).await });
        let home = tempfile::tempdir().expect("a directory");
        Self { url, asked, request_ids, runtime: Some(runtime), home }
    }

    /// What was asked since the last time, without reads.
    fn changes(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().expect("whole"));
        asked.into_iter().filter(|line| !line.starts_with("GET")).collect()
    }

    /// One call, as a program would make it: no terminal anywhere.
    fn howdah(&self, line: &str) -> String {
        self.call(line, "", &[])
    }

    /// One call with something on standard input.
    fn fed(&self, line: &str, input: &str) -> String {
        self.call(line, input, &[])
    }

    fn call(&self, line: &str, input: &str, variables: &[(&str, &str)]) -> String {
        let text = call(line, input, self.environment(variables));
        let home = self.home.path().display().to_string();
        text.replace(&self.url, "http://howdah.test").replace(&home, "/home/dev")
    }

    /// One call of a person whose standard error is a terminal: what is written there, whole.
    fn on_terminal(&self, line: &str) -> String {
        let err = Written::default();
        let environment = self.environment(&[]);
        let terminals = Terminals { err: true, ..Terminals::default() };
        let (out, input) = (Box::new(std::io::sink()), Box::new(std::io::empty()));
        let screen = Screen::new(out, Box::new(err.clone()), input, terminals, &environment);
        let end = run(words(line), OWN, environment, screen);
        format!("{}{end:?}", String::from_utf8_lossy(&err.0.borrow()))
    }

    /// One call of a person at a terminal who types this: what is shown there besides data, and how
    /// it ends.
    fn typed(&self, line: &str, input: &str, variables: &[(&str, &str)]) -> String {
        let err = Written::default();
        let environment = self.environment(variables);
        let terminals = Terminals { input: true, ..Terminals::default() };
        let input = Box::new(Cursor::new(input.as_bytes().to_vec()));
        let out = Box::new(std::io::sink());
        let screen = Screen::new(out, Box::new(err.clone()), input, terminals, &environment);
        let end = run(words(line), OWN, environment, screen);
        format!("{}{end:?}", String::from_utf8_lossy(&err.0.borrow()))
    }

    /// How a call ends.
    fn end(&self, line: &str) -> End {
        let environment = self.environment(&[]);
        let nowhere = || Box::new(std::io::sink());
        let input = Box::new(std::io::empty());
        let screen = Screen::new(nowhere(), nowhere(), input, Terminals::default(), &environment);
        run(words(line), OWN, environment, screen)
    }

    fn environment(&self, variables: &[(&str, &str)]) -> Environment {
        let path = std::env::var("PATH").unwrap_or_default();
        let home = self.home.path().display().to_string();
        let mut all = vec![
            ("HOWDAH_URL", self.url.as_str()),
            ("HOWDAH_TOKEN", "k-1"),
            ("HOME", &home),
            ("USER", "dev"),
            ("PATH", &path),
        ];
        all.extend_from_slice(variables);
        Environment::of(&all, self.home.path().to_owned())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn answer(
    answers: &mut Answers,
    line: &str,
    headers: &HeaderMap,
) -> (StatusCode, [(&'static str, &'static str); 1], Json<Value>) {
    let id = [("request-id", "req-1")];
    let authorized =
        headers.get("authorization").is_some() || line.starts_with("POST /howdah/v1/accounts");
    if !authorized {
        let body = json!({ "id": "unauthorized", "message": "Invalid credentials provided." });
        return (StatusCode::UNAUTHORIZED, id, Json(body));
    }
    let Some(list) = answers.get_mut(line) else {
        let body =
            json!({ "id": "not_found", "message": format!("no answer is prepared for {line}") });
        return (StatusCode::NOT_FOUND, id, Json(body));
    };
    let (status, body) =
        if list.len() > 1 { list.pop() } else { list.first().cloned() }.expect("not empty");
    (StatusCode::from_u16(status).expect("a status"), id, Json(body))
}

/// What is not JSON is given as it is, or the part of it that is wanted.
fn part(raw: &str, headers: &HeaderMap) -> (StatusCode, HeaderMap, String) {
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    let from: Option<usize> =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut told = HeaderMap::new();
    let Some(from) = from else { return (StatusCode::OK, told, raw.to_owned()) };
    if from >= raw.len() {
        return (StatusCode::RANGE_NOT_SATISFIABLE, told, String::new());
    }
    let range = format!("bytes {from}-{}/{}", raw.len() - 1, raw.len());
    told.insert("content-range", range.parse().expect("a header"));
    (StatusCode::PARTIAL_CONTENT, told, raw[from..].to_owned())
}

#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The words of a line; single quotes keep words together.
fn words(line: &str) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.into());
        } else {
            words.extend(part.split_whitespace().map(OsString::from));
        }
    }
    words
}

/// One call: standard output as it is, standard error with `2>` before each line, the exit code.
fn call(line: &str, input: &str, environment: Environment) -> String {
    let (out, err) = (Written::default(), Written::default());
    let screen = Screen::new(
        Box::new(out.clone()),
        Box::new(err.clone()),
        Box::new(Cursor::new(input.as_bytes().to_vec())),
        Terminals::default(),
        &environment,
    );
    let end = run(words(line), OWN, environment, screen);
    let mut text = format!("$ howdah {line}\n");
    text.push_str(&String::from_utf8_lossy(&out.0.borrow()));
    for line in String::from_utf8_lossy(&err.0.borrow()).lines() {
        text.push_str(format!("2> {line}").trim_end());
        text.push('\n');
    }
    match end {
        End::Code(code) => text.push_str(&format!("exit {code}")),
        End::Become(program) => {
            let name = PathBuf::from(program.get_program());
            let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let arguments: Vec<_> = program.get_args().map(|word| word.to_string_lossy()).collect();
            text.push_str(&format!("becomes {name} {}", arguments.join(" ")));
        }
    }
    text
}

fn app(name: &str) -> Value {
    json!({
        "id": format!("id-{name}"), "name": name, "owner": { "id": "a-1", "email": "dev@example.com" },
        "region": { "id": "r-1", "name": "us" }, "stack": { "id": "s-1", "name": "heroku-24" },
        "git_url": format!("http://127.0.0.1:5080/{name}.git"),
        "web_url": format!("http://127.0.0.1:5080/apps/{name}"),
        "maintenance": false, "created_at": "2026-01-02T03:04:05Z", "space": null, "acm": false,
    })
}

fn plan(name: &str, cents: u64) -> Value {
    json!({
        "id": "p-1", "name": format!("heroku-postgresql:{name}"), "human_name": "Standard 0",
        "price": { "cents": cents, "unit": "month", "contract": false, "metered": false },
    })
}

fn addon(name: &str, state: &str, vars: &[&str]) -> Value {
    json!({
        "id": format!("id-{name}"), "name": name, "state": state,
        "app": { "id": "id-demo", "name": "demo" }, "plan": plan("standard-0", 5000),
        "billed_price": { "cents": 5000, "unit": "month", "contract": false },
        "addon_service": { "id": "s-1", "name": "heroku-postgresql" }, "config_vars": vars,
        "created_at": "2026-01-02T03:04:05Z", "provision_message": null,
    })
}

fn attachment(name: &str, addon: &str) -> Value {
    json!({
        "id": format!("at-{name}"), "name": name, "namespace": null,
        "app": { "id": "id-demo", "name": "demo" },
        "addon": {
            "id": format!("id-{addon}"), "name": addon, "app": { "id": "id-demo", "name": "demo" },
            "plan": plan("standard-0", 5000),
        },
        "config_vars": [format!("{name}_URL")],
    })
}

fn release(version: u64, description: &str) -> Value {
    json!({
        "id": format!("r-{version}"), "version": version, "description": description,
        "status": "succeeded", "current": version == 7, "created_at": "2026-01-02T03:04:05Z",
        "user": { "id": "a-1", "email": "dev@example.com" }, "eligible_for_rollback": true,
        "addon_plan_names": ["heroku-postgresql:standard-0"], "slug": null,
    })
}

const GOLD: &str = "postgresql-calm-11111";
const RED: &str = "postgresql-wise-22222";
const GOLD_URL: &str = "postgres://u1:p1@127.0.0.1:5433/d1";
const RED_URL: &str = "postgres://u2:p2@127.0.0.1:5433/d2";

/// An app with a primary that has a colour of its own, and a second database.
fn two_databases() -> Vec<(&'static str, u16, Value)> {
    vec![
        (
            "GET /apps/demo/addon-attachments",
            200,
            json!([
                attachment("DATABASE", GOLD),
                attachment("HEROKU_POSTGRESQL_GOLD", GOLD),
                attachment("HEROKU_POSTGRESQL_RED", RED),
            ]),
        ),
        (
            "GET /apps/demo/config-vars",
            200,
            json!({
                "DATABASE_URL": GOLD_URL, "HEROKU_POSTGRESQL_GOLD_URL": GOLD_URL,
                "HEROKU_POSTGRESQL_RED_URL": RED_URL,
            }),
        ),
        ("GET /apps/demo/releases", 200, json!([release(7, "Set X config vars")])),
    ]
}
