//! The gateway's side of its admin socket.

use std::sync::{Arc, Mutex};

use axum::routing::get;
use axum::{Json, Router};
use howdah_control::config::Config;
use howdah_model::pool::PoolReport;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// A gateway's admin socket that says what it was told to say.
pub(super) struct Admin {
    report: Arc<Mutex<Value>>,
    dir: tempfile::TempDir,
    pub(super) serving: JoinSet<()>,
}

impl Admin {
    pub(super) fn new() -> Self {
        let report = Arc::new(Mutex::new(Value::Null));
        let dir = tempfile::tempdir().expect("a directory");
        let said = report.clone();
        let answer = async move || Json(said.lock().expect("whole").clone());
        let router = Router::new()
            .route("/pools", get(answer))
            .route("/metrics", get(async || "howdah_gateway_clients 3\n"));
        let listener = UnixListener::bind(dir.path().join("g")).expect("listen");
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Self { report, dir, serving }
    }

    pub(super) fn config(&self) -> Config {
        let gateway_socket = Some(self.dir.path().join("g"));
        Config { pool_size: 0, gateway_socket, ..Config::default() }
    }

    /// Says this of pools, each by its database, role and mode.
    pub(super) fn say(&self, pools: &[(&Value, &str, &str)]) {
        let pool = |(database, role, mode): &(&Value, &str, &str)| {
            json!({
                "database_id": database, "database": "d1", "role": role, "mode": mode,
                "clients": { "active": 2, "waiting": 1, "idle": 3 },
                "servers": { "active": 2, "pinned": 0, "idle": 1 },
                "size": 90, "connection_limit": 120,
                "totals": { "transactions": 7, "errors": { "server_lost": 1 } },
            })
        };
        let report = json!({
            "at": "2026-01-02T03:04:05Z", "since": "2026-01-02T03:00:00Z",
            "pools": pools.iter().map(pool).collect::<Value>(),
        });
        // What is said must be what a gateway says.
        let read = serde_json::from_value::<PoolReport>(report.clone());
        assert_eq!(read.expect("a report").pools.len(), pools.len());
        *self.report.lock().expect("whole") = report;
    }
}
