//! What the parts of the platform ask each other, on a socket of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use howdah_control::Control;
use howdah_model::route::RouteTable;
use serde::Deserialize;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// The longest that a question for newer routes waits.
const LONGEST: Duration = Duration::from_secs(60);

/// `GET /routes?after=VERSION&wait_ms=N`, for gateways.
pub fn internal_router(control: Control) -> Router {
    Router::new().route("/routes", get(routes)).with_state(control)
}

#[derive(Debug, Deserialize)]
struct Question {
    /// The version that the gateway has.
    after: Option<u64>,
    /// For how long it waits for another, in milliseconds.
    #[serde(default)]
    wait_ms: u64,
}

/// All routes: at once when they are others than the gateway has, else when they change or the
/// time is over.
async fn routes(
    State(control): State<Control>,
    Query(question): Query<Question>,
) -> Result<Json<Arc<RouteTable>>> {
    // Who does not wait asks for what holds now: a gateway whose client has named a role that it
    // does not know, which may have been made a moment ago.
    if question.wait_ms == 0
        && let Err(error) = control.refresh_routes().await
    {
        tracing::warn!(error = format!("{error:#}"), "make the routes");
    }
    let mut table = control.routes();
    if let Some(after) = question.after {
        let wait = Duration::from_millis(question.wait_ms).min(LONGEST);
        let changed = table.wait_for(|table| table.version != after);
        // When the time is over, the same routes are the answer.
        if let Ok(Err(_)) = timeout(wait, changed).await {
            return Err(Error::internal(anyhow::anyhow!("the control plane stops")));
        }
    }
    let newest = table.borrow().clone();
    Ok(Json(newest))
}
