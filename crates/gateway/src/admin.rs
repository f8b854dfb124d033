//! The gateway's admin socket: HTTP over a unix socket in the home's `run` directory, for its owner
//! only. `run/gateway.sock` leads to the gateway that accepts clients; one that drains answers at
//! `run/gateway-PID.sock`.

pub mod client;
pub mod moves;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, body::Bytes};
use howdah_model::pool::PoolReport;
use howdah_model::route::Mode;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::handover::figures::Figures;
use crate::handover::{Duty, Held, RunDir};
use crate::startup::{self, Packet};
use crate::stats::Stats;
use crate::{Gateway, handover, prometheus};

/// What `GET /about` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The number of the process.
    pub pid: u32,
    /// The version of the executable.
    pub version: String,
    /// Whether it accepts clients.
    pub duty: Duty,
    /// Where.
    pub ports: Vec<Port>,
    /// Clients that it has.
    pub clients: usize,
    /// The gateways that it has taken over from and that still have clients.
    pub elders: usize,
}

/// An address that clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// How clients that come by it take servers.
    pub mode: Mode,
    /// The address.
    pub address: SocketAddr,
}

/// The wish of a gateway that starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TakeOver {
    /// The name of the socket in the run directory where it waits.
    pub(crate) socket: String,
}

/// The last that a gateway says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Departure {
    /// The name of its admin socket.
    pub(crate) name: String,
    pub(crate) figures: Figures,
}

/// A gateway that wants to take over.
#[derive(Debug)]
pub(crate) struct Comer {
    /// The connection to it.
    pub(crate) stream: UnixStream,
    /// Given back when nothing has come of it.
    pub(crate) turn: OwnedSemaphorePermit,
}

/// What the handlers work with.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) run: RunDir,
    /// Where gateways that want to take over are let in.
    pub(crate) younger: mpsc::UnboundedSender<Comer>,
    /// One at a time.
    pub(crate) turn: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

/// What is refused, in words for people.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "message": self.1 }))).into_response()
    }
}

/// Everything that the socket answers.
pub(crate) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/about", get(about))
        .route("/stats", get(stats))
        .route("/pools", get(pools))
        .route("/metrics", get(metrics))
        .route("/databases/{id}/sessions", get(moves::sessions))
        .route("/databases/{id}/prepare", post(moves::prepare))
        .route("/databases/{id}/hold", post(moves::hold))
        .route("/databases/{id}/release", post(moves::release))
        .route("/reload", post(reload))
        .route("/stop", post(stop))
        // Between gateways.
        .route("/take-over", post(take_over))
        .route("/held", get(held))
        .route("/figures", get(figures))
        .route("/cancel", post(cancel))
        .route("/departures", post(departure))
        .with_state(desk)
}

async fn about(State(desk): State<Desk>) -> Json<About> {
    let gateway = &desk.gateway;
    Json(About {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        duty: gateway.listeners().duty(),
        ports: gateway.listeners().ports().to_vec(),
        clients: gateway.clients(),
        elders: gateway.shared.elders.count(),
    })
}

/// With those of the elders: nobody who asks cares which process has a session.
async fn all_figures(desk: &Desk) -> Figures {
    let mut figures = desk.gateway.figures();
    desk.gateway.shared.elders.add_to(&mut figures).await;
    figures
}

async fn stats(State(desk): State<Desk>) -> Json<Stats> {
    Json(all_figures(&desk).await.stats)
}

async fn pools(State(desk): State<Desk>) -> Json<PoolReport> {
    Json(all_figures(&desk).await.pools)
}

async fn metrics(State(desk): State<Desk>) -> impl IntoResponse {
    let Figures { pools, stats } = all_figures(&desk).await;
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::text(&pools, &stats))
}

/// Its own, and those that ended ones left to it: what other elders have they say themselves.
async fn figures(State(desk): State<Desk>) -> Json<Figures> {
    let mut figures = desk.gateway.figures();
    desk.gateway.shared.elders.add_ended_to(&mut figures);
    Json(figures)
}

/// Reads the certificate again, for clients that come from now on.
async fn reload(State(desk): State<Desk>) -> Result<StatusCode, Refusal> {
    let gateway = desk.gateway.clone();
    let read = tokio::task::spawn_blocking(move || gateway.reload()).await;
    let read = read.unwrap_or_else(|panic| Err(anyhow::anyhow!("reading it broke off: {panic}")));
    read.map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")))?;
    tracing::info!("the certificate was read again");
    Ok(StatusCode::NO_CONTENT)
}

async fn stop(State(desk): State<Desk>) -> StatusCode {
    tracing::info!("the gateway was told to stop");
    desk.stop.cancel();
    StatusCode::ACCEPTED
}

async fn take_over(
    State(desk): State<Desk>,
    Json(wish): Json<TakeOver>,
) -> Result<StatusCode, Refusal> {
    let conflict = |why: &str| Refusal(StatusCode::CONFLICT, why.to_owned());
    if desk.gateway.listeners().duty() == Duty::Drain {
        return Err(conflict("this gateway has handed on already"));
    }
    let Ok(turn) = desk.turn.clone().try_acquire_owned() else {
        return Err(conflict("another gateway is taking over"));
    };
    let socket = desk.run.beside(&wish.socket).ok_or_else(|| conflict("no socket's name"))?;
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| conflict(&format!("connect to your socket: {error}")))?;
    let taken = desk.younger.send(Comer { stream, turn });
    taken.map(|()| StatusCode::ACCEPTED).map_err(|_| conflict("this gateway is ending"))
}

async fn held(State(desk): State<Desk>) -> Json<Held> {
    Json(match desk.gateway.listeners().duty() {
        Duty::Drain => handover::freeze(&desk.gateway),
        // It has come back, and whoever asks has not noticed.
        Duty::Serve => Held::new(),
    })
}

async fn cancel(State(desk): State<Desk>, request: Bytes) -> StatusCode {
    let Ok(Packet::Cancel(key)) = startup::parse(&request) else { return StatusCode::BAD_REQUEST };
    let sessions = &desk.gateway.shared.sessions;
    if crate::cancel::forward(sessions, key).await != crate::cancel::Outcome::Unknown {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn departure(State(desk): State<Desk>, Json(departure): Json<Departure>) -> StatusCode {
    let Departure { name, figures } = departure;
    if desk.gateway.listeners().duty() == Duty::Drain {
        // There is one by now who will be there for longer.
        return StatusCode::CONFLICT;
    }
    desk.gateway.shared.elders.end(&name, Some(figures));
    StatusCode::NO_CONTENT
}
