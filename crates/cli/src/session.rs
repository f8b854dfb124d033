//! One call of the command line: its environment, its screen, the platform that it speaks to.

use std::cell::Cell;
use std::future::Future;

use howdah_model::secret::Secret;
use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{Answer, Api, Call, Identity};
use crate::credentials::Keys;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::{Advice, Hint};
use crate::page::Page;
use crate::resources::Release;
use crate::screen::Screen;
use crate::step::Step;

/// See the module's text.
pub(crate) struct Session {
    pub(crate) screen: Screen,
    pub(crate) environment: Environment,
    pub(crate) api: Api,
    /// The address of the platform.
    pub(crate) platform: String,
    key: Option<Secret>,
    /// The fields of `--json`, when it was given.
    json: Option<Vec<String>>,
    trace: bool,
    /// Whether a person is there to be asked.
    pub(crate) may_ask: bool,
    /// `--no-input`: nothing is read to find out what is wanted.
    pub(crate) no_input: bool,
    /// The program that this one becomes when the command is over.
    pub(crate) becomes: Cell<Option<std::process::Command>>,
    /// The exit code of a program that ran for us, which is this one's when the command is over.
    pub(crate) ends_with: Cell<u8>,
}

/// The platform that a call speaks to, and as whom.
pub(crate) struct Connection {
    platform: String,
    key: Option<Secret>,
    api: Api,
}

impl Connection {
    /// As the environment says. Nothing is sent yet.
    pub(crate) fn of(environment: &Environment) -> Result<Self, Failure> {
        let platform = environment.platform();
        let key = match environment.get("HOWDAH_TOKEN") {
            Some(token) => Some(Secret::new(token.to_owned())),
            None => Keys::of(environment)
                .load(&platform)
                .map_err(|error| {
                    Failure::new(Exit::Failed, "credentials-unusable", error.to_string())
                })?
                .map(|stored| stored.token),
        };
        Ok(Self { api: Api::new(&platform)?, key, platform })
    }
}

impl Session {
    /// Prepares a call.
    pub(crate) fn new(
        screen: Screen,
        environment: Environment,
        connection: Connection,
        given: &Given,
    ) -> Self {
        let fields = |text: &str| {
            text.split(',').filter(|field| !field.is_empty()).map(str::to_owned).collect()
        };
        let Connection { platform, key, api } = connection;
        Self {
            may_ask: screen.terminals.input && !given.has("no-input"),
            no_input: given.has("no-input"),
            becomes: Cell::new(None),
            ends_with: Cell::new(0),
            json: given.value("json").map(fields),
            trace: given.has("trace"),
            screen,
            environment,
            api,
            platform,
            key,
        }
    }

    /// The account's key.
    pub(crate) fn key(&self) -> Result<&Secret, Failure> {
        self.key.as_ref().ok_or_else(|| {
            let message = format!("You are not logged in to {}", self.platform);
            Failure::new(Exit::Forbidden, "not-logged-in", message).advise(Hint::Login.plain())
        })
    }

    /// Whether the answer is wanted as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        self.json.is_some()
    }

    /// Begins a step that takes a moment.
    pub(crate) fn step(&self, doing: &str) -> Step<'_> {
        Step::begin(&self.screen, doing)
    }

    /// Says something on standard error.
    pub(crate) fn say(&self, line: &str) {
        self.screen.err(&format!("{line}\n"));
    }

    /// Says that there is nothing to show, and what to do about it.
    pub(crate) fn nothing(&self, line: &str, advice: &Advice) {
        if !self.wants_json() {
            let line = line.trim_end_matches('.');
            self.say(&format!("{line}; {} `{}`", advice.lead, advice.command));
        }
    }

    /// Prints what a command was asked for: as JSON, or as the text that `people` writes.
    pub(crate) fn answer<T: Serialize>(
        &self,
        schema: &str,
        data: &T,
        people: impl FnOnce(&mut Page<'_>),
    ) -> Result<(), Failure> {
        let Some(fields) = &self.json else {
            let mut page = Page::new(&self.screen);
            people(&mut page);
            page.finish();
            return Ok(());
        };
        let data = serde_json::to_value(data).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "not-json",
                format!("The answer cannot be written as JSON: {error}"),
            )
        })?;
        let envelope = json!({
            "schema": format!("howdah.v1/{schema}"),
            "data": if fields.is_empty() { data } else { only(data, fields)? },
            "meta": { "request_id": self.api.last_request_id() },
        });
        self.screen.out(&format!("{envelope:#}\n"));
        Ok(())
    }

    /// Sends a request as the account that is logged in.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
        range: Option<String>,
    ) -> Result<T, Failure> {
        self.call_at(method, self.api.url(path), body, range).await
    }

    async fn call_at<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Value>,
        range: Option<String>,
    ) -> Result<T, Failure> {
        let identity = Identity::Key(self.key()?.clone());
        let call = Call { method, url, body, range, identity };
        read(&call.url, &self.send(&call).await?.body)
    }

    /// Sends a request and shows the warning of its answer.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        if self.trace {
            self.say(&format!("> {} {}", call.method, call.url.path()));
        }
        let before = self.api.count();
        let answer = self.api.send(call).await;
        if self.trace {
            let tries = self.api.count() - before;
            let how = answer.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
            self.say(&format!("< {} {}: {how}, {tries} sent", call.method, call.url.path()));
        }
        let answer = answer?;
        if let Some(warning) = &answer.warning {
            self.say(&format!(" !    {warning}"));
        }
        Ok(answer)
    }

    /// Reads something. The path is not kept, so that several can be read at once.
    pub(crate) fn get<'s, T: DeserializeOwned>(
        &'s self,
        path: &[&str],
    ) -> impl Future<Output = Result<T, Failure>> + use<'s, T> {
        self.call_at(Method::GET, self.api.url(path), None, None)
    }

    /// Reads something, with a query.
    pub(crate) async fn get_where<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let mut url = self.api.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.call_at(Method::GET, url, None, None).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: Value,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body), None).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: Value,
    ) -> Result<T, Failure> {
        self.call(Method::PATCH, path, Some(body), None).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        self.call(Method::DELETE, path, None, None).await
    }

    /// The newest releases of an app, newest first.
    pub(crate) async fn releases(&self, app: &str, most: u64) -> Result<Vec<Release>, Failure> {
        let range = format!("version ..; max={most}, order=desc");
        self.call(Method::GET, &["apps", app, "releases"], None, Some(range)).await
    }

    /// Ends a step that made a release, with its number: `done, v12`, and what `also` says. The
    /// step is done even when the number cannot be found out.
    pub(crate) async fn done_in_release(&self, step: Step<'_>, app: &str, also: &str) {
        let newest = self.releases(app, 1).await.ok().and_then(|list| list.into_iter().next());
        let release = newest.map_or_else(String::new, |release| format!(", v{}", release.version));
        let also = if also.is_empty() { String::new() } else { format!(" {also}") };
        step.ended(&format!("done{release}{also}"));
    }

    /// Runs something until it is done or the person has had enough (Ctrl-C), in which case they
    /// are told that it goes on and how to follow it.
    pub(crate) async fn watching<T>(
        &self,
        what: &str,
        advice: Advice,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => {
                let message = format!("Stopped watching. {what} continues.");
                Err(Failure::new(Exit::Interrupted, "interrupted", message).advise(advice))
            }
        }
    }
}

/// Reads the body of an answer. One that is not what we expect is told without its content.
pub(crate) fn read<T: DeserializeOwned>(url: &Url, body: &[u8]) -> Result<T, Failure> {
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let message = format!(
            "The answer of {} is not understood (line {}, column {}).\n\
             Is it a Howdah platform, and of the same version as this program?",
            url.path(),
            error.line(),
            error.column()
        );
        Failure::new(Exit::Failed, "bad-answer", message)
    })
}

/// Keeps these fields of an object, or of every object of a list.
fn only(data: Value, fields: &[String]) -> Result<Value, Failure> {
    match data {
        Value::Array(rows) => rows.into_iter().map(|row| only(row, fields)).collect(),
        Value::Object(all) => {
            if let Some(field) = fields.iter().find(|field| !all.contains_key(*field)) {
                let known: Vec<_> = all.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return Err(Failure::usage(format!(
                    "there is no field `{field}`; there are {known}"
                )));
            }
            Ok(all.into_iter().filter(|(name, _)| fields.contains(name)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(data),
    }
}

/// An answer whose content does not matter.
pub(crate) type Ignored = serde::de::IgnoredAny;
