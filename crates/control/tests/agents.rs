//! Agents as they are reached for real: HTTP over a unix socket.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use howdah_control::servers::http::HttpServers;
use howdah_control::servers::{Failure, Servers as _, Terminate};
use howdah_model::agent::{
    DatabaseLook, Epoch, ParticipantSpec, Refusal, Revision, Role, Run, ServerObservation, Source,
    Wanted,
};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId, TransferId};
use howdah_model::name::DatabaseName;
use howdah_model::protection::{DiskStage, Protection};
use howdah_model::secret::Secret;
use howdah_model::transfer::{From, Into, TransferSpec};
use howdah_model::version::Major;
use howdah_store::servers::Server;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

struct Agent {
    server: Server,
    servers: HttpServers,
    _serving: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Agent {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).expect("listen");
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router()).await.expect("serve") });
        Self {
            server: server(socket),
            servers: HttpServers::default(),
            _serving: serving,
            _dir: dir,
        }
    }
}

fn server(socket: PathBuf) -> Server {
    Server {
        id: ServerId::new(),
        name: "here".to_owned(),
        region: "us".to_owned(),
        agent: socket.display().to_string(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn router() -> Router {
    Router::new()
        .route("/participants/{id}", put(take))
        .route("/observation", get(observe))
        .route("/transfers/{id}", put(take_transfer))
        .route("/dumps/{id}", get(give_dump).delete(|| async {}))
        .route("/participants/{id}/databases/{name}/look", post(look))
        .route("/participants/{id}/databases/{name}/terminate", post(terminate))
        .route("/participants/{id}/databases/{name}/stats_reset", post(|| async {}))
}

async fn take(Path(id): Path<ParticipantId>, Json(spec): Json<ParticipantSpec>) -> Response {
    assert_eq!(id, spec.id);
    match spec.revision.0 {
        1 => {
            let refusal = Refusal::Older { id, epoch: spec.epoch, has: Revision(7) };
            (StatusCode::CONFLICT, Json(refusal)).into_response()
        }
        2 => {
            let body = json!({ "message": "PostgreSQL 9 is not installed here" });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
        3 => std::future::pending().await,
        _ => Json(json!({ "anything": 1 })).into_response(),
    }
}

async fn take_transfer(Path(id): Path<TransferId>, Json(spec): Json<TransferSpec>) -> Response {
    assert_eq!(id, spec.id);
    match spec.into {
        Into::Archive => StatusCode::OK.into_response(),
        Into::Database { .. } => {
            let body = json!({ "message": "there is no such participant" });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    }
}

async fn give_dump(Path(id): Path<TransferId>, headers: HeaderMap) -> Response {
    if id.0.is_nil() {
        return (StatusCode::NOT_FOUND, "no dump").into_response();
    }
    let whole = headers["range"] == "bytes=5-9";
    // The other breaks off before all has come.
    let broken = (!whole).then(|| Err(std::io::Error::other("the disk is gone")));
    let chunks = [Ok(vec![b'x'; 2]), Ok(vec![b'y'; 3])].into_iter().chain(broken);
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    (StatusCode::PARTIAL_CONTENT, body).into_response()
}

async fn observe(Query(asked): Query<Value>) -> Json<ServerObservation> {
    assert_eq!(asked["wait_ms"], "250");
    let change = asked["after"].as_str().map_or(1, |after| after.parse::<u64>().expect("a number"));
    Json(ServerObservation {
        server: ServerId::new(),
        at: Timestamp::UNIX_EPOCH,
        change,
        installed: Vec::new(),
        memory_total: 1,
        disk_total: 2,
        disk_free: 3,
        disk: DiskStage::Ample,
        erased: Vec::new(),
        transfers: Vec::new(),
        participants: Vec::new(),
    })
}

async fn look(Path((_, name)): Path<(ParticipantId, DatabaseName)>) -> Json<DatabaseLook> {
    assert_eq!(name.as_str(), "d1");
    Json(DatabaseLook {
        at: Timestamp::UNIX_EPOCH,
        connections: 4,
        size_bytes: 0,
        row_count: 0,
        table_count: 0,
        seq_scans: 0,
        index_scans: 0,
    })
}

async fn terminate(Json(which): Json<Terminate>) -> Json<Value> {
    assert_eq!(which, Terminate { pid: Some(42), only_cancel: true });
    Json(json!({ "terminated": 1 }))
}

fn spec(revision: i64) -> ParticipantSpec {
    ParticipantSpec {
        id: ParticipantId::new(),
        timeline: TimelineId::new(),
        epoch: Epoch(1),
        revision: Revision(revision),
        wanted: Wanted::Present,
        role: Role::Leader,
        run: Run::Up,
        source: Source::Empty,
        leader: None,
        protection: Protection::default(),
        major: Major(15),
        restarts: 0,
        settings: [].into(),
        databases: [].into(),
    }
}

#[tokio::test]
async fn an_agent_takes_refuses_and_cannot() {
    let Agent { server, servers, .. } = &Agent::new();
    assert_eq!(servers.put(server, &spec(4)).await, Ok(()));
    let older = spec(1);
    let refusal = Refusal::Older { id: older.id, epoch: Epoch(1), has: Revision(7) };
    assert_eq!(servers.put(server, &older).await, Err(Failure::Refused(refusal)));
    let said = Failure::Invalid("PostgreSQL 9 is not installed here".to_owned());
    assert_eq!(servers.put(server, &spec(2)).await, Err(said));
}

#[tokio::test]
async fn an_agent_is_observed_looked_into_and_told_to_end_sessions() {
    let Agent { server, servers, .. } = &Agent::new();
    let wait = Duration::from_millis(250);
    let seen = servers.observe(server, None, wait).await.expect("an observation");
    assert_eq!(seen.change, 1);
    let seen = servers.observe(server, Some(9), wait).await.expect("an observation");
    assert_eq!(seen.change, 9);
    let (participant, name) = (ParticipantId::new(), "d1".parse().expect("a name"));
    let look = servers.look(server, participant, &name).await.expect("a look");
    assert_eq!(look.connections, 4);
    let which = Terminate { pid: Some(42), only_cancel: true };
    assert_eq!(servers.terminate(server, participant, &name, which).await, Ok(1));
    assert_eq!(servers.reset_statistics(server, participant, &name).await, Ok(()));
}

#[tokio::test]
async fn an_agent_is_told_of_transfers_and_gives_dumps_as_they_come() {
    let Agent { server, servers, .. } = &Agent::new();
    let id = TransferId::new();
    let from = From::Foreign { url: Secret::new("postgres://u:p@h/d".to_owned()) };
    let mut told = TransferSpec { id, wanted: Wanted::Present, from, into: Into::Archive, jobs: 1 };
    assert_eq!(servers.put_transfer(server, &told).await, Ok(()));
    told.into = Into::Database {
        participant: ParticipantId::new(),
        database: "d1".parse().expect("a name"),
        owner: "u1".parse().expect("a name"),
        extensions: Vec::new(),
    };
    let said = Failure::Invalid("there is no such participant".to_owned());
    assert_eq!(servers.put_transfer(server, &told).await, Err(said));
    assert_eq!(servers.delete_dump(server, id).await, Ok(()));
    let nil = TransferId(uuid::Uuid::nil());
    let none = servers.read_dump(server, nil, 0..=1).await.err();
    assert_eq!(none, Some(Failure::Invalid("no dump".to_owned())));
    let whole = servers.read_dump(server, id, 5..=9).await.unwrap_or_else(|why| panic!("{why}"));
    let whole: Vec<_> = whole.map(|one| one.expect("bytes")).collect().await;
    assert_eq!(whole.concat(), b"xxyyy");
    match servers.read_dump(server, id, 5..=99).await {
        Err(why) => assert!(matches!(why, Failure::Unreachable(_)), "{why}"),
        Ok(cut) => {
            let all: Vec<_> = cut.collect().await;
            assert!(all.last().is_some_and(Result::is_err), "what is cut is no end: {all:?}");
        }
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_hangs_is_unreachable_within_a_bound() {
    let nowhere = server(PathBuf::from("/nonexistent/agent.sock"));
    let servers = HttpServers::default();
    let gone = servers.put(&nowhere, &spec(4)).await.expect_err("nobody listens");
    assert!(matches!(&gone, Failure::Unreachable(why) if why.contains("No such file")), "{gone}");
    let hanging = Agent::new();
    let put = spec(3);
    let answer = hanging.servers.put(&hanging.server, &put);
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("a bound");
    assert!(matches!(answer, Err(Failure::Unreachable(_))), "{answer:?}");
}
