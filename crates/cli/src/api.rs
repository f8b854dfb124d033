//! The HTTP client: one request, its answer or what went wrong.

pub(crate) mod bodies;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::time::Duration;

use howdah_model::secret::Secret;
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Hint;

/// The platform lets no request take longer than a minute.
const TIMEOUT: Duration = Duration::from_secs(70);
/// How long to try to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before a request is sent again that the platform may not have got whole.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800)];
/// The version of the API that we speak.
pub(crate) const ACCEPT: &str = "application/vnd.heroku+json; version=3";

/// The code of a failure that is about something that is still being made.
pub(crate) const NOT_YET: &str = "not-yet";

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// An account by its key.
    Key(Secret),
    /// A person by e-mail address and password: to get a key.
    Person { email: String, password: Secret },
    /// Nobody yet.
    Nobody,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Value>,
    /// The `Range` header, for lists of which only a part is wanted.
    pub(crate) range: Option<String>,
    pub(crate) identity: Identity,
}

/// An answer that is not an error.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// What the platform wants people to know.
    pub(crate) warning: Option<String>,
}

/// The client of one platform.
#[derive(Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    /// The id of the last request, as the platform knows it.
    last_request_id: RefCell<Option<String>>,
    /// Requests made so far.
    count: Cell<usize>,
}

impl Api {
    /// A client of the platform at this address.
    pub(crate) fn new(platform: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!(
                "HOWDAH_URL is `{platform}`: {why}\nIt is an address such as http://127.0.0.1:5080"
            ))
        };
        let base = Url::parse(platform).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("http:// or https:// and a host are needed"));
        }
        let mut builder = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("howdah/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // Reading the system's certificates takes longer than a request on this machine.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| wrong(&chain(&error)))?;
        Ok(Self { http, base, last_request_id: RefCell::new(None), count: Cell::new(0) })
    }

    /// The HTTP client, and the platform's address.
    pub(crate) fn parts(&self) -> (reqwest::Client, Url) {
        (self.http.clone(), self.base.clone())
    }

    /// The address of something, from the segments of its path.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The address of a path as typed. It must stay with this platform, as the key goes with it.
    pub(crate) fn typed_url(&self, path: &str) -> Result<Url, Failure> {
        let path = format!("/{}", path.trim_start_matches('/'));
        let url = self.base.join(&path).map_err(|error| {
            Failure::usage(format!("`{path}` is not a path of the API: {error}"))
        })?;
        if url.origin() != self.base.origin() {
            return Err(Failure::usage(format!("`{path}` leads away from {}", self.base)));
        }
        Ok(url)
    }

    pub(crate) fn last_request_id(&self) -> Option<String> {
        self.last_request_id.borrow().clone()
    }

    /// Requests made so far.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// Sends a request. When the connection breaks it is sent again with the same id, by which the
    /// platform knows it: it is carried out once.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        let request_id = Uuid::new_v4().to_string();
        let mut pauses = PAUSES.iter();
        loop {
            self.count.set(self.count.get() + 1);
            match self.once(call, &request_id).await {
                Ok(outcome) => return outcome,
                Err(error) if broken(&error) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(unreachable(&self.base, &error)),
                },
                Err(error) => return Err(unreachable(&self.base, &error)),
            }
        }
    }

    async fn once(
        &self,
        call: &Call,
        request_id: &str,
    ) -> Result<Result<Answer, Failure>, reqwest::Error> {
        let mut request = self
            .http
            .request(call.method.clone(), call.url.clone())
            .header("accept", ACCEPT)
            .header("request-id", request_id);
        request = match &call.identity {
            Identity::Key(key) => request.bearer_auth(key.reveal()),
            Identity::Person { email, password } => {
                request.basic_auth(email, Some(password.reveal()))
            }
            Identity::Nobody => request,
        };
        if let Some(range) = &call.range {
            request = request.header("range", range);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let known_as = header(&response, "request-id").unwrap_or_else(|| request_id.to_owned());
        *self.last_request_id.borrow_mut() = Some(known_as.clone());
        let warning =
            header(&response, "x-heroku-warning").or_else(|| header(&response, "warning-message"));
        let status = response.status();
        let body = response.bytes().await?.to_vec();
        if status.is_success() {
            return Ok(Ok(Answer { body, warning }));
        }
        Ok(Err(refused(status.as_u16(), &body, known_as)))
    }
}

/// A failure to get an answer from a platform.
pub(crate) fn unreachable(base: &Url, error: &reqwest::Error) -> Failure {
    let base = base.as_str().trim_end_matches('/');
    if error.is_timeout() && !error.is_connect() {
        let message = format!("{base} did not answer within {} s", TIMEOUT.as_secs());
        return Failure::new(Exit::TimedOut, "timeout", message);
    }
    let message = format!("Couldn't reach Howdah at {base}: {}", chain(error));
    Failure::new(Exit::Unreachable, "unreachable", message).advise(Hint::Up.plain())
}

pub(crate) fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the connection broke after it had been made, so that sending again is worth a try.
fn broken(error: &reqwest::Error) -> bool {
    !error.is_timeout()
        && !error.is_connect()
        && (error.is_request() || error.is_body() || error.is_decode())
}

/// The innermost cause: what people can do something about.
fn chain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    id: Option<String>,
    message: Option<String>,
    url: Option<String>,
}

/// A failure that the platform answered.
pub(crate) fn refused(status: u16, body: &[u8], request_id: String) -> Failure {
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let id =
        body.id.unwrap_or_else(|| if status == 404 { "not_found" } else { "http_error" }.into());
    let said = body.message.filter(|message| !message.is_empty());
    // Of what is being made, a 404 says nothing.
    let id = if status == 404 && said.is_none() { NOT_YET.to_owned() } else { id };
    let mut message =
        said.unwrap_or_else(|| format!("The platform answered {status} without a reason."));
    if let Some(url) = body.url.filter(|url| !url.is_empty()) {
        message.push_str(&format!("\nSee {url}"));
    }
    let exit = Exit::of_status(status, &id);
    let mut failure = Failure::new(exit, &id.replace('_', "-"), message);
    failure.request_id = Some(request_id);
    if status == 401 {
        failure = failure.advise(Hint::Login.plain());
    }
    failure
}
