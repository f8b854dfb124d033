//! What the parts of the platform ask each other, on a socket of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use howdah_control::Control;
use howdah_control::requests::{Noun, moves};
use howdah_model::ids::{DatabaseId, ParticipantId};
use howdah_model::route::RouteTable;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::body::Body;
use crate::error::{Error, Result};

/// The longest that a question for newer routes waits.
const LONGEST: Duration = Duration::from_secs(60);

/// `GET /routes?after=VERSION&wait_ms=N`, for gateways; `PUT /databases/ID/stage`, for operations
/// and operators.
pub fn internal_router(control: Control) -> Router {
    Router::new()
        .route("/routes", get(routes))
        .route("/databases/{id}/stage", put(set_stage))
        .with_state(control)
}

/// The stage of a planned move that a database shall be in, and for how long.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
enum NewStage {
    /// In none.
    Open,
    /// Sessions are opened and filled at the participant that will be next.
    Prepare { next: ParticipantId, for_ms: u64 },
    /// No transaction begins; what runs may go on for the grace.
    Hold { grace_ms: u64, for_ms: u64 },
}

/// Puts a database into a stage. Answers until when it will be in it.
async fn set_stage(
    State(control): State<Control>,
    Path(id): Path<String>,
    Body(stage): Body<NewStage>,
) -> Result<Json<Value>> {
    let id: DatabaseId = id.parse().map_err(|_| Error::not_found(Noun::Addon))?;
    let millis = Duration::from_millis;
    let until = match stage {
        NewStage::Open => moves::release(&control, id).await.map(|()| None)?,
        NewStage::Prepare { next, for_ms } => {
            Some(moves::prepare(&control, id, next, millis(for_ms)).await?)
        }
        NewStage::Hold { grace_ms, for_ms } => {
            Some(moves::hold(&control, id, millis(grace_ms), millis(for_ms)).await?)
        }
    };
    Ok(Json(json!({ "until": until })))
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
