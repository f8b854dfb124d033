//! The task that keeps the routes new: a long poll, and a quick look when somebody waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use howdah_model::route::RouteTable;
use reqwest::StatusCode;
use tokio::time::sleep;

use super::{Routes, cache};
use crate::registry::Sessions;

/// How long the platform may hold a request when nothing changes.
const LONG_POLL: Duration = Duration::from_secs(30);
/// How much longer than that an answer may take.
const GRACE: Duration = Duration::from_secs(5);
/// Between attempts while the platform is away: the first and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Between quick looks, so that strangers who try names cannot keep the platform busy.
const QUICK_LOOK_GAP: Duration = Duration::from_millis(100);

/// What the task works with.
#[derive(Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    cache: PathBuf,
    routes: Arc<Routes>,
    sessions: Arc<Sessions>,
}

/// What the platform was asked, which decides what its answer can replace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// For everything: its answer holds whatever its version (a platform that was restored).
    Anything,
    /// For what differs from a version.
    Since(u64),
}

/// What the platform says before it has made a table.
const NOT_YET: u64 = 0;

impl Fetcher {
    /// Prepares the task.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        socket: PathBuf,
        cache: PathBuf,
        routes: Arc<Routes>,
        sessions: Arc<Sessions>,
    ) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .unix_socket(socket)
            .no_proxy()
            // The socket has no TLS, and reading the system's certificates takes long.
            .tls_certs_only([])
            .build()
            .context("make the HTTP client for routes")?;
        Ok(Self { client, cache, routes, sessions })
    }

    /// Keeps the routes new, for ever. An absence of the platform is logged once.
    pub async fn run(&self) {
        let mut pause = PAUSES.0;
        let mut is_told = false;
        let mut asked = Asked::Anything;
        loop {
            match self.watch(asked).await {
                Ok(NOT_YET) => self.rest(PAUSES.0).await,
                Ok(version) => {
                    if asked == Asked::Anything {
                        tracing::info!(version, "the routes are up to date");
                    }
                    (pause, is_told, asked) = (PAUSES.0, false, Asked::Since(version));
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "the routes cannot be refreshed; going on with those at hand"
                        );
                    }
                    self.rest(pause).await;
                    (pause, asked) = ((pause * 2).min(PAUSES.1), Asked::Anything);
                }
            }
        }
    }

    /// One long poll, with quick looks meanwhile. Returns the version that holds after it.
    async fn watch(&self, asked: Asked) -> anyhow::Result<u64> {
        let wait = if asked == Asked::Anything { Duration::ZERO } else { LONG_POLL };
        let mut poll = std::pin::pin!(self.get(asked, wait));
        loop {
            tokio::select! {
                answer = &mut poll => {
                    let answer = answer?;
                    if answer.as_ref().is_some_and(|table| table.version == NOT_YET) {
                        return Ok(NOT_YET);
                    }
                    let new = self.apply(asked, answer);
                    self.keep(new).await;
                    return Ok(self.routes.version());
                }
                () = self.routes.wanted.notified() => self.quick_look().await?,
            }
        }
    }

    /// A pause after a failure; who waits meanwhile causes an attempt of its own.
    async fn rest(&self, pause: Duration) {
        let mut over = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return,
                () = self.routes.wanted.notified() => {
                    if self.quick_look().await.is_ok() {
                        return;
                    }
                }
            }
        }
    }

    /// Asks for what holds now, without waiting for a change.
    async fn quick_look(&self) -> anyhow::Result<()> {
        let mine = self.routes.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let asked = Asked::Since(self.routes.version());
        let answer = self.get(asked, Duration::ZERO).await;
        let new = answer.map(|answer| self.apply(asked, answer));
        // Who waits goes on before the disk has its copy.
        self.routes.finished.send_replace(mine);
        self.keep(new?).await;
        sleep(QUICK_LOOK_GAP).await;
        Ok(())
    }

    async fn get(&self, asked: Asked, wait: Duration) -> anyhow::Result<Option<RouteTable>> {
        let after = match asked {
            Asked::Anything => 0,
            Asked::Since(version) => version,
        };
        let url = format!("http://control/routes?after={after}&wait_ms={}", wait.as_millis());
        let response = self.client.get(url).timeout(wait + GRACE).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let response = response.context("ask the platform for routes")?;
        match response.status() {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Ok(None),
            _ => response.json().await.map(Some).context("read the platform's routes"),
        }
    }

    /// Puts an answer in place and ends the sessions that it forbids. Returns what has to be kept.
    fn apply(&self, asked: Asked, answer: Option<RouteTable>) -> Option<RouteTable> {
        let current = self.routes.version();
        let holds = |table: &RouteTable| match asked {
            _ if table.version == NOT_YET => false,
            Asked::Anything => true,
            // Between the two lies what a quick look has overtaken; a lower one has another past.
            Asked::Since(version) => table.version > current || table.version < version,
        };
        let table = answer.filter(holds)?;
        tracing::debug!(version = table.version, count = table.routes.len(), "new routes");
        let change = self.routes.replace(table.clone());
        self.sessions.follow(&change);
        Some(table)
    }

    /// Routes that cannot be kept on disk hold nevertheless.
    async fn keep(&self, table: Option<RouteTable>) {
        let (Some(table), path) = (table, self.cache.clone()) else { return };
        let stored = tokio::task::spawn_blocking(move || cache::store(&path, &table)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(error = format!("{error:#}"), "routes cannot be kept on disk");
        }
    }
}
