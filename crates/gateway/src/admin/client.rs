//! Asking another gateway of the same home, over its admin socket.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, RequestBuilder, Response};

use super::moves::Standings;
use super::{About, Departure, TakeOver};
use crate::handover::Held;
use crate::handover::figures::Figures;
use crate::startup::SessionKey;

/// How long an answer may take. A cancel request waits for PostgreSQL to take it.
const BOUND: Duration = Duration::from_secs(6);

/// Speaks to one admin socket.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nobody listens: the gateway has ended.
    #[error("the gateway has ended")]
    Gone,
    /// Another reason.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl Client {
    /// Prepares to speak to a socket.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(socket: PathBuf) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .no_proxy()
            // The socket has no TLS, and reading the system's certificates takes long.
            .tls_certs_only([])
            .timeout(BOUND)
            .build()
            .context("make the HTTP client for a gateway")?;
        Ok(Self { http })
    }

    /// Which gateway it is.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn about(&self) -> Result<About, Unanswered> {
        Ok(json(self.send(self.request(Method::GET, "about")).await?).await?)
    }

    /// Asks it to come to a socket of the run directory and hand on.
    ///
    /// # Errors
    /// When it does not want to.
    pub(crate) async fn take_over(&self, socket: &str) -> Result<(), Unanswered> {
        let wish = TakeOver { socket: socket.to_owned() };
        self.send(self.request(Method::POST, "take-over").json(&wish)).await.map(drop)
    }

    /// The sessions that it has and may have again.
    pub(crate) async fn held(&self) -> Result<Held, Unanswered> {
        Ok(json(self.send(self.request(Method::GET, "held")).await?).await?)
    }

    /// Its own figures.
    pub(crate) async fn figures(&self) -> Result<Figures, Unanswered> {
        Ok(json(self.send(self.request(Method::GET, "figures")).await?).await?)
    }

    /// Tells the gateway that accepts clients that an elder has ended.
    pub(crate) async fn depart(&self, departure: &Departure) -> Result<(), Unanswered> {
        self.send(self.request(Method::POST, "departures").json(departure)).await.map(drop)
    }

    /// How the sessions of a database stand.
    pub(crate) async fn standings(&self, path: &str) -> Result<Standings, Unanswered> {
        Ok(json(self.send(self.request(Method::GET, path)).await?).await?)
    }

    /// Does something about a move of a database, which may take as long as `bound`.
    pub(crate) async fn act(
        &self,
        path: &str,
        query: &[(&str, String)],
        bound: Duration,
    ) -> Result<Standings, Unanswered> {
        let request = self.request(Method::POST, path).query(query).timeout(bound + BOUND);
        Ok(json(self.send(request).await?).await?)
    }

    /// Passes a cancel request on; whether it has the session.
    pub(crate) async fn cancel(&self, key: SessionKey) -> bool {
        let Some(body) = key.to_request() else { return false };
        self.send(self.request(Method::POST, "cancel").body(body)).await.is_ok()
    }

    /// Ends it, with its sessions.
    pub(crate) async fn stop(&self) {
        if let Err(Unanswered::Failed(error)) = self.send(self.request(Method::POST, "stop")).await
        {
            tracing::warn!(error = format!("{error:#}"), "an older gateway cannot be stopped");
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://gateway/{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Unanswered> {
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                return Unanswered::Gone;
            }
            anyhow::Error::from(error).context("ask another gateway").into()
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let said = response.text().await.unwrap_or_default();
        Err(anyhow::anyhow!("the other gateway answers {status}: {said}").into())
    }
}

async fn json<T: serde::de::DeserializeOwned>(response: Response) -> anyhow::Result<T> {
    response.json().await.context("read another gateway's answer")
}
