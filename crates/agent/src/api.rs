//! The agent's API: HTTP on a unix socket that only the platform's user can open.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{DefaultBodyLimit, Path as InPath, Query, State as Shared};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use howdah_cluster::connection::SqlError;
use howdah_cluster::look::{self, How, Which};
use howdah_cluster::ownership;
use howdah_model::agent::{Expired, ParticipantSpec, Wanted};
use howdah_model::ids::{ParticipantId, TimelineId, TransferId};
use howdah_model::name::DatabaseName;
use howdah_model::transfer::TransferSpec;
use serde::Deserialize;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::archiving::erasing::Erasing;
use crate::board::Board;
use crate::clock;
use crate::manager::{NotTaken, Put};
use crate::transfers::{Downloads, Transfers};

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) requests: mpsc::Sender<Put>,
    pub(crate) board: Arc<Board>,
    pub(crate) erasing: Option<Arc<Erasing>>,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) downloads: Option<Downloads>,
}

/// The longest time that an observation is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The largest spec, in bytes: a shared participant with tens of thousands of databases.
const LARGEST_SPEC: usize = 64 << 20;
/// How long requests that are being answered are given at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Listens on the socket. One that a dead agent has left is replaced.
pub(crate) fn listen(socket: &Path) -> Result<UnixListener> {
    if let Some(dir) = socket.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    match std::fs::remove_file(socket) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("remove an old socket"),
    }
    let listener = UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub(crate) async fn serve(
    listener: UnixListener,
    state: State,
    stop: CancellationToken,
) -> Result<()> {
    let router = Router::new()
        .route("/participants/{id}", put(put_participant))
        .route("/observation", get(observation))
        .route("/timelines/{id}", put(put_timeline))
        .route("/transfers/{id}", put(put_transfer))
        .route("/dumps/{id}", get(give_dump).delete(delete_dump))
        .route("/expiry", get(expired).post(expire))
        .route("/participants/{id}/databases/{name}/look", post(look_now))
        .route("/participants/{id}/databases/{name}/terminate", post(terminate))
        .route("/participants/{id}/databases/{name}/repair_default", post(repair_default))
        .route("/participants/{id}/databases/{name}/stats_reset", post(reset_statistics))
        .layer(DefaultBodyLimit::max(LARGEST_SPEC))
        .with_state(state);
    let told = stop.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    tokio::select! {
        served = serving => served.context("serve the agent's API"),
        // Long polls would keep it for their whole wait.
        () = async { told.cancelled().await; tokio::time::sleep(FAREWELL).await } => Ok(()),
    }
}

fn refused(status: StatusCode, message: impl std::fmt::Display) -> Response {
    (status, Json(json!({ "message": message.to_string() }))).into_response()
}

async fn put_participant(
    Shared(state): Shared<State>,
    InPath(id): InPath<ParticipantId>,
    Json(spec): Json<ParticipantSpec>,
) -> Response {
    if id != spec.id {
        return refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the path and the spec name two participants",
        );
    }
    let (answer, answered) = oneshot::channel();
    if state.requests.try_send(Put { spec, answer }).is_err() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the agent has too much to do; try again");
    }
    match answered.await {
        Ok(Ok(observation)) => Json(observation).into_response(),
        Ok(Err(NotTaken::Older(refusal))) => (StatusCode::CONFLICT, Json(refusal)).into_response(),
        Ok(Err(why @ NotTaken::Invalid(_))) => refused(StatusCode::UNPROCESSABLE_ENTITY, why),
        Ok(Err(why @ NotTaken::Failed(_))) => refused(StatusCode::INTERNAL_SERVER_ERROR, why),
        Err(_) => refused(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending"),
    }
}

async fn expired(Shared(state): Shared<State>) -> Response {
    match &state.erasing {
        Some(erasing) => reaped(erasing.expired().await),
        None => refused(StatusCode::CONFLICT, "this agent has no archive"),
    }
}

async fn expire(Shared(state): Shared<State>) -> Response {
    match &state.erasing {
        Some(erasing) => reaped(erasing.expire().await),
        None => refused(StatusCode::CONFLICT, "this agent has no archive"),
    }
}

fn reaped(done: Result<Vec<Expired>, howdah_archive::Error>) -> Response {
    match done {
        Ok(expired) => Json(expired).into_response(),
        Err(error) => refused(StatusCode::BAD_GATEWAY, error),
    }
}

async fn put_transfer(
    Shared(state): Shared<State>,
    InPath(id): InPath<TransferId>,
    Json(spec): Json<TransferSpec>,
) -> Response {
    if id != spec.id {
        let why = "the path and the spec name two transfers";
        return refused(StatusCode::UNPROCESSABLE_ENTITY, why);
    }
    match state.transfers.take(spec) {
        Ok(observation) => Json(observation).into_response(),
        Err(why) => refused(StatusCode::UNPROCESSABLE_ENTITY, why),
    }
}

async fn give_dump(
    Shared(state): Shared<State>,
    InPath(id): InPath<TransferId>,
    headers: HeaderMap,
) -> Response {
    let Some(downloads) = &state.downloads else {
        return refused(StatusCode::CONFLICT, "this agent has no archive");
    };
    match downloads.give(id, &headers).await {
        Ok(response) => response,
        Err(error @ howdah_archive::Error::Missing { .. }) => refused(StatusCode::NOT_FOUND, error),
        Err(error) => refused(StatusCode::BAD_GATEWAY, error),
    }
}

async fn delete_dump(Shared(state): Shared<State>, InPath(id): InPath<TransferId>) -> Response {
    let Some(downloads) = &state.downloads else {
        return refused(StatusCode::CONFLICT, "this agent has no archive");
    };
    if state.transfers.is_under_way(id) {
        return refused(StatusCode::CONFLICT, "this dump is being made; break it off first");
    }
    match downloads.delete(id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(StatusCode::BAD_GATEWAY, error),
    }
}

/// What is wanted of a timeline in the archive.
#[derive(Deserialize)]
struct TimelineSpec {
    wanted: Wanted,
}

async fn put_timeline(
    Shared(state): Shared<State>,
    InPath(id): InPath<TimelineId>,
    Json(spec): Json<TimelineSpec>,
) -> Response {
    match (spec.wanted, &state.erasing) {
        (Wanted::Present, _) => StatusCode::NO_CONTENT.into_response(),
        (Wanted::Absent, None) => refused(StatusCode::CONFLICT, "this agent has no archive"),
        (Wanted::Absent, Some(erasing)) => match erasing.begin(id) {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(why) => refused(StatusCode::CONFLICT, why),
        },
    }
}

#[derive(Deserialize)]
struct Wait {
    after: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
}

async fn observation(Shared(state): Shared<State>, Query(wait): Query<Wait>) -> Response {
    let longest = Duration::from_millis(wait.wait_ms).min(LONGEST_WAIT);
    Json(state.board.observe(wait.after, longest).await).into_response()
}

async fn look_now(
    Shared(state): Shared<State>,
    InPath((id, name)): InPath<(ParticipantId, DatabaseName)>,
) -> Response {
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    match bounded(look::look(&participant.socket_dir, &name, clock::now())).await {
        Ok(look) => {
            state.board.looked(id, &name, look.clone());
            state.board.wants_look(id, &name);
            Json(look).into_response()
        }
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

#[derive(Deserialize)]
struct Terminate {
    pid: Option<i32>,
    #[serde(default)]
    only_cancel: bool,
}

async fn terminate(
    Shared(state): Shared<State>,
    InPath((id, name)): InPath<(ParticipantId, DatabaseName)>,
    Json(asked): Json<Terminate>,
) -> Response {
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    let which = asked.pid.map_or(Which::All, Which::Pid);
    let how = if asked.only_cancel { How::Cancel } else { How::Terminate };
    match bounded(look::terminate(&participant.socket_dir, &name, which, how)).await {
        Ok(terminated) => Json(json!({ "terminated": terminated })).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

async fn reset_statistics(
    Shared(state): Shared<State>,
    InPath((id, name)): InPath<(ParticipantId, DatabaseName)>,
) -> Response {
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    match bounded(look::reset_statistics(&participant.socket_dir, &name)).await {
        Ok(()) => Json(json!({})).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

async fn repair_default(
    Shared(state): Shared<State>,
    InPath((id, name)): InPath<(ParticipantId, DatabaseName)>,
) -> Response {
    const BOUND: Duration = Duration::from_secs(45);
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    let repair = timeout(BOUND, ownership::repair(&participant.socket_dir, &name));
    match repair.await.unwrap_or(Err(SqlError::Silent(BOUND))) {
        Ok(()) => Json(json!({})).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

async fn bounded<T>(asked: impl Future<Output = Result<T, SqlError>>) -> Result<T, SqlError> {
    const BOUND: Duration = Duration::from_secs(2);
    timeout(BOUND, asked).await.unwrap_or(Err(SqlError::Silent(BOUND)))
}
