//! The agent's API: HTTP on a unix socket that only the platform's user can open.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as InPath, Query, State as Shared};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use howdah_cluster::connection::SqlError;
use howdah_cluster::diagnose;
use howdah_cluster::look::{self, How, Which};
use howdah_cluster::settings::is_safe;
use howdah_cluster::{RunAs, links, ownership};
use howdah_model::agent::{Expired, ParticipantSpec, Wanted};
use howdah_model::diagnosis::Asked;
use howdah_model::ids::{LinkId, ParticipantId, TimelineId, TransferId};
use howdah_model::link::LinkSpec;
use howdah_model::name::{DatabaseName, LinkName};
use howdah_model::transfer::TransferSpec;
use serde::Deserialize;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::archiving::erasing::Erasing;
use crate::board::Board;
use crate::clock;
use crate::manager::{NotTaken, Put};
use crate::transfers::{Downloads, Transfers, UploadNotTaken};

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
        .route("/dumps/{id}", get(give_dump).put(put_dump).delete(delete_dump))
        .route("/expiry", get(expired).post(expire))
        .route("/participants/{id}/databases/{name}/look", post(look_now))
        .route("/participants/{id}/databases/{name}/terminate", post(terminate))
        .route(
            "/participants/{id}/databases/{name}/links/{link}",
            put(make_link).delete(remove_link),
        )
        .route("/participants/{id}/databases/{name}/repair_default", post(repair_default))
        .route("/participants/{id}/databases/{name}/stats_reset", post(reset_statistics))
        .route("/participants/{id}/databases/{name}/diagnose", post(diagnose_now))
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

async fn put_dump(
    Shared(state): Shared<State>,
    InPath(id): InPath<TransferId>,
    content: Body,
) -> Response {
    let Some(downloads) = &state.downloads else {
        return refused(StatusCode::CONFLICT, "this agent has no archive");
    };
    match downloads.take(id, content).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why @ UploadNotTaken::Archive(_)) => refused(StatusCode::BAD_GATEWAY, why),
        Err(why) => refused(StatusCode::UNPROCESSABLE_ENTITY, why),
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

/// How long a link may take: another server has to answer.
const LINK: Duration = Duration::from_secs(45);

async fn make_link(
    Shared(state): Shared<State>,
    InPath((id, name, _)): InPath<(ParticipantId, DatabaseName, LinkName)>,
    Json(link): Json<LinkSpec>,
) -> Response {
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    let major = participant.version.map(|version| version.major);
    if !major.is_some_and(|major| is_safe("postgres_fdw", major, RunAs::is_someone_else())) {
        return refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "links need postgres_fdw, which is safe only where PostgreSQL runs as another operating \
             system user than the platform: run `howdah up` as root",
        );
    }
    let make = timeout(LINK, links::make(&participant.socket_dir, &name, &link));
    linked(make.await.unwrap_or(Err(SqlError::Silent(LINK))))
}

/// Which link is to go.
#[derive(Deserialize)]
struct Gone {
    id: LinkId,
}

async fn remove_link(
    Shared(state): Shared<State>,
    InPath((id, name, link)): InPath<(ParticipantId, DatabaseName, LinkName)>,
    Json(gone): Json<Gone>,
) -> Response {
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    let remove = timeout(LINK, links::remove(&participant.socket_dir, &name, &link, gone.id));
    linked(remove.await.unwrap_or(Err(SqlError::Silent(LINK))))
}

fn linked(done: Result<(), SqlError>) -> Response {
    match done {
        Ok(()) => Json(json!({})).into_response(),
        Err(error @ SqlError::Refused { .. }) => refused(StatusCode::UNPROCESSABLE_ENTITY, error),
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

/// How many databases are diagnosed at a time: each takes many looks.
static DIAGNOSES: Semaphore = Semaphore::const_new(2);

async fn diagnose_now(
    Shared(state): Shared<State>,
    InPath((id, name)): InPath<(ParticipantId, DatabaseName)>,
    Json(asked): Json<Asked>,
) -> Response {
    let Some(participant) = state.board.one(id).filter(|one| one.databases.contains_key(&name))
    else {
        return refused(StatusCode::NOT_FOUND, format!("there is no database `{name}` in {id}"));
    };
    let Ok(_one_of_few) = DIAGNOSES.try_acquire() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "others are being diagnosed; try again");
    };
    match diagnose::diagnose(&participant.socket_dir, &name, asked).await {
        Ok(checks) => Json(checks).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

async fn bounded<T>(asked: impl Future<Output = Result<T, SqlError>>) -> Result<T, SqlError> {
    const BOUND: Duration = Duration::from_secs(2);
    timeout(BOUND, asked).await.unwrap_or(Err(SqlError::Silent(BOUND)))
}
