//! The platform as the gateway knows it: somebody who says where a credential's sessions go.

use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bed::{Bed, NAME};

/// Answers `GET /routes` until it is dropped.
pub(crate) struct Platform {
    table: watch::Sender<RouteTable>,
    _serving: JoinSet<()>,
}

#[derive(serde::Deserialize)]
struct Wanted {
    after: u64,
    wait_ms: u64,
}

impl Platform {
    /// With the one route of the bench.
    pub(crate) fn serve(bed: &Bed, socket: &Path, connection_limit: u32) -> anyhow::Result<Self> {
        let route = Route {
            known_as: None,
            role: NAME.parse()?,
            database: NAME.parse()?,
            database_id: DatabaseId::new(),
            verifier: bed.verifier.clone(),
            connection_limit,
            mode: Mode::default(),
            replication: Replication::default(),
            stage: Stage::default(),
            target: Target::Local { socket_dir: bed.server.socket_dir().to_owned() },
        };
        let table = watch::Sender::new(RouteTable { version: 1, routes: vec![route] });
        let listener = tokio::net::UnixListener::bind(socket)?;
        let app = axum::Router::new().route("/routes", get(answer)).with_state(table.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the bench.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { table, _serving: serving })
    }

    /// The database that the route is of.
    pub(crate) fn database(&self) -> DatabaseId {
        self.table.borrow().routes.first().map_or_else(DatabaseId::new, |route| route.database_id)
    }

    /// Sends sessions to the server with its socket there.
    pub(crate) fn lead_to(&self, socket_dir: &Path) {
        let socket_dir = socket_dir.to_owned();
        self.change(|route| route.target = Target::Local { socket_dir });
    }

    /// Changes the route.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Route)) {
        self.table.send_modify(|table| {
            table.version += 1;
            table.routes.first_mut().map(change);
        });
    }
}

async fn answer(
    State(table): State<watch::Sender<RouteTable>>,
    Query(wanted): Query<Wanted>,
) -> Json<RouteTable> {
    let mut table = table.subscribe();
    let newer = table.wait_for(|table| table.version != wanted.after);
    let _ = timeout(Duration::from_millis(wanted.wait_ms), newer).await;
    let current = table.borrow().clone();
    Json(current)
}
