//! The gateway as the control plane asks it for its figures: HTTP on its admin socket. Nothing else
//! goes this way; routes are fetched by the gateway itself.

use std::path::Path;
use std::time::Duration;

use howdah_model::ids::DatabaseId;
use howdah_model::pool::PoolReport;
use reqwest::{Client, Response};

/// How long an answer may take: whoever looks at figures does not wait for them.
const BOUND: Duration = Duration::from_secs(2);

/// The gateway's admin socket.
#[derive(Debug)]
pub struct GatewayAdmin {
    client: Option<Client>,
}

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// The control plane was not told where the gateway's socket is.
    #[error("no gateway is known")]
    Unknown,
    /// It did not answer in time, or not what was asked for; with what went wrong.
    #[error("{0}")]
    Silent(String),
}

/// What is read of how sessions stand to a move.
#[derive(Debug, serde::Deserialize)]
struct Standings {
    /// Whether all processes have answered.
    done: bool,
    /// The sessions for which the server must not go away yet.
    blockers: Vec<serde::de::IgnoredAny>,
}

impl From<reqwest::Error> for Away {
    fn from(error: reqwest::Error) -> Self {
        // The innermost cause says it best: `Connection refused`, `operation timed out`.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::Silent(cause.to_string())
    }
}

impl GatewayAdmin {
    /// The gateway with that socket. Nothing is asked yet.
    #[must_use]
    pub fn new(socket: Option<&Path>) -> Self {
        let client = socket.and_then(|socket| {
            let builder = Client::builder().unix_socket(socket).timeout(BOUND).no_proxy();
            // A connection that is kept would lead to a gateway that another has taken over from.
            builder.pool_max_idle_per_host(0).build().ok()
        });
        Self { client }
    }

    /// How its pools are.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn pools(&self) -> Result<PoolReport, Away> {
        Ok(self.get("pools").await?.json().await?)
    }

    /// All its figures, as Prometheus reads them.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn metrics(&self) -> Result<String, Away> {
        Ok(self.get("metrics").await?.text().await?)
    }

    /// Whether none of its sessions has anything at the server of a database that is held, in all
    /// of its processes.
    ///
    /// # Errors
    /// When it does not answer in time, or does not know of all processes.
    pub async fn is_quiet(&self, database: DatabaseId) -> Result<bool, Away> {
        let said: Standings =
            self.get(&format!("databases/{database}/sessions")).await?.json().await?;
        if !said.done {
            return Err(Away::Silent("one of its processes does not answer".to_owned()));
        }
        Ok(said.blockers.is_empty())
    }

    async fn get(&self, what: &str) -> Result<Response, Away> {
        let client = self.client.as_ref().ok_or(Away::Unknown)?;
        let response = client.get(format!("http://gateway/{what}")).send().await?;
        Ok(response.error_for_status()?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::Router;
    use axum::routing::get;
    use tokio::net::UnixListener;
    use tokio::task::JoinSet;

    use super::*;

    fn serve(socket: &Path, router: Router) -> JoinSet<()> {
        let listener = UnixListener::bind(socket).expect("listen");
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("serve") });
        serving
    }

    #[tokio::test]
    async fn a_report_is_read_and_nonsense_is_not_taken_for_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("g");
        let said = r#"{"at":"2026-01-02T03:04:05Z","since":"2026-01-02T03:00:00Z","pools":[]}"#;
        let router = Router::new()
            .route("/pools", get(async move || said))
            .route("/metrics", get(async || "howdah_gateway_clients 1\n"));
        let _serving = serve(&socket, router);
        let gateway = GatewayAdmin::new(Some(&socket));
        assert!(gateway.pools().await.expect("a report").pools.is_empty());
        assert_eq!(gateway.metrics().await.as_deref(), Ok("howdah_gateway_clients 1\n"));

        let other = dir.path().join("o");
        let _other = serve(&other, Router::new().route("/pools", get(async || "no JSON")));
        let gateway = GatewayAdmin::new(Some(&other));
        assert!(matches!(gateway.pools().await, Err(Away::Silent(_))));
        assert!(matches!(gateway.metrics().await, Err(Away::Silent(why)) if why.contains("404")));
    }

    #[tokio::test]
    async fn h20_the_gateway_that_took_over_is_asked_and_not_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("g");
        let gateway = GatewayAdmin::new(Some(&link));
        let mut serving = Vec::new();
        for name in ["elder", "younger"] {
            let socket = dir.path().join(name);
            let router = Router::new().route("/metrics", get(async move || name));
            serving.push(serve(&socket, router));
            let aside = dir.path().join("aside");
            std::os::unix::fs::symlink(&socket, &aside).expect("link");
            std::fs::rename(&aside, &link).expect("put the link in place");
            assert_eq!(gateway.metrics().await.as_deref(), Ok(name));
        }
    }

    #[tokio::test]
    async fn a_gateway_that_is_away_or_hangs_is_waited_for_two_seconds_at_most() {
        assert_eq!(GatewayAdmin::new(None).pools().await, Err(Away::Unknown));
        let dir = tempfile::tempdir().expect("a directory");
        let nobody = GatewayAdmin::new(Some(&dir.path().join("nobody")));
        assert!(matches!(nobody.pools().await, Err(Away::Silent(_))));
        let socket = dir.path().join("g");
        let hang = get(async || std::future::pending::<&str>().await);
        let _serving = serve(&socket, Router::new().route("/pools", hang));
        let began = Instant::now();
        assert!(matches!(GatewayAdmin::new(Some(&socket)).pools().await, Err(Away::Silent(_))));
        assert!(began.elapsed() < BOUND + Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
