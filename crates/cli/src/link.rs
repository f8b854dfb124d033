//! Calls that are no single question of a command: the polls, reports and streams of a runner, and
//! streams that go on for hours. Can be handed to tasks.

use std::time::Duration;

use howdah_model::secret::Secret;
use reqwest::header::{CONNECTION, UPGRADE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Upgraded, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{self, ACCEPT};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Session, read};

/// The name of the streams to one-off processes.
const PROTOCOL: &str = "howdah-stream";

/// How long it may take until a stream has begun.
const BEGIN: Duration = Duration::from_secs(20);

/// How long a stream may go on.
const DAYS: Duration = Duration::from_secs(30 * 86_400);

/// A client of a platform, as one account.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    http: reqwest::Client,
    base: Url,
    key: Secret,
}

impl Link {
    /// The platform and the account of a session.
    pub(crate) fn of(session: &Session) -> Result<Self, Failure> {
        let (http, base) = session.api.parts();
        Ok(Self { http, base, key: session.key()?.clone() })
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// One request, sent once: whoever sends it again knows what that does.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let url = self.url(path, query);
        let mut request = self.http.request(method, url.clone()).header("accept", ACCEPT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request.bearer_auth(self.key.reveal())).await?;
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        read(&url, &body)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let id = api::header(&response, "request-id").unwrap_or_default();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Err(api::refused(status.as_u16(), &body, id))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        api::unreachable(&self.base, error)
    }

    /// Opens one end of the stream of a one-off process: `client` or `runner`.
    pub(crate) async fn stream(
        &self,
        app: &str,
        stream: &str,
        side: &str,
    ) -> Result<Upgraded, Failure> {
        let url = self.url(&["howdah", "v1", "apps", app, "streams", stream, side], &[]);
        let request = self
            .http
            .get(url)
            .bearer_auth(self.key.reveal())
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, PROTOCOL)
            .timeout(DAYS);
        let opened = async {
            let response = self.send(request).await?;
            response.upgrade().await.map_err(|error| self.unreachable(&error))
        };
        tokio::time::timeout(BEGIN, opened).await.unwrap_or_else(|_| {
            let message = format!("{} did not open a stream in time", self.base);
            Err(Failure::new(Exit::TimedOut, "timeout", message))
        })
    }

    /// Begins to read events from an address that carries its own secret; from after the event
    /// `last` on, if one is named. The key does not go there.
    pub(crate) async fn events(&self, url: Url, last: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.http.get(url).header("accept", "text/event-stream").timeout(DAYS);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.send(request).await
    }
}
