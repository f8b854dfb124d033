//! Requests that a client sends again with the same `Request-Id`, as the official CLI does when a
//! connection breaks: they are carried out once, and each gets the same answer (M21).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use howdah_control::Control;
use howdah_control::requests::answers::{self, Seen};
use howdah_store::answered_requests::Key;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Web;
use crate::auth::Caller;
use crate::error::{Error, Result};

/// How long a second request waits for the answer of the first.
const PATIENCE: Duration = Duration::from_secs(50);

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The most bytes of an answer that is kept.
const MOST: usize = 4 << 20;

/// Requests that change something. They go on when their client goes away, so that what it sends
/// next finds their answer; they end with the platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work(Arc<Mutex<JoinSet<()>>>);

impl Work {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are let go of here.
        while set.try_join_next().is_some() {}
        set.spawn(work);
    }
}

/// Lets a request that changes something be carried out once.
pub(crate) async fn answer_once(State(web): State<Web>, request: Request, next: Next) -> Response {
    let Some(key) = key(&request) else {
        return next.run(request).await;
    };
    match once(&web, key, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

/// What makes the request the same as another; none for one that changes nothing or has no id.
fn key(request: &Request) -> Option<Key> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    if is_question(request.uri().path()) {
        return None;
    }
    let caller = request.extensions().get::<Caller>()?;
    Some(Key {
        account: caller.id(),
        request_id: request_id(request.headers())?,
        method: request.method().to_string(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
    })
}

/// Whether a request to this path or route that is no `GET` only asks, or only tells how things are.
pub(crate) fn is_question(path: &str) -> bool {
    path.starts_with("/actions/") || path.split('/').nth(5) == Some("runner")
}

/// The client's own id of the request: the first of the list, the others are of earlier ones.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let list = headers.get("request-id")?.to_str().ok()?;
    let first = list.split(',').next()?.trim();
    (!first.is_empty() && first.len() <= 200).then(|| first.to_owned())
}

async fn once(web: &Web, key: Key, request: Request, next: Next) -> Result<Response> {
    let until = Instant::now() + PATIENCE;
    loop {
        match answers::claim(web.control(), &key).await? {
            Seen::First => return first(web, key, request, next).await,
            Seen::Answered { status, body } => return repeated(status, body),
            Seen::Claimed if Instant::now() < until => sleep(PAUSE).await,
            Seen::Claimed => return Err(no_answer()),
        }
    }
}

fn no_answer() -> Error {
    Error::new(
        StatusCode::CONFLICT,
        "conflict",
        "This request was sent before and has no answer: the platform may have stopped in the \
         middle of it. Look what came of it, then ask again.",
    )
}

async fn first(web: &Web, key: Key, request: Request, next: Next) -> Result<Response> {
    let (answer, answered) = oneshot::channel();
    let control = web.control().clone();
    web.work().spawn(async move {
        let response = next.run(request).await;
        let response = keep(&control, &key, response).await;
        // Nobody listens when the client has gone.
        let _ = answer.send(response);
    });
    match answered.await {
        Ok(response) => response,
        Err(_) => {
            Err(Error::internal(anyhow::anyhow!("the handler panicked, or the platform stops")))
        }
    }
}

async fn keep(control: &Control, key: &Key, response: Response) -> Result<Response> {
    if response.status().is_server_error() {
        answers::give_up(control, key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes: Bytes = to_bytes(body, MOST).await.map_err(|error| Error::internal(error.into()))?;
    answers::keep(control, key, parts.status.as_u16(), &bytes).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn repeated(status: u16, body: Vec<u8>) -> Result<Response> {
    let status = StatusCode::from_u16(status).map_err(|error| Error::internal(error.into()))?;
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_ids_is_the_requests_own() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("request-id", value.parse().expect("a header"));
            request_id(&headers)
        };
        assert_eq!(id("abc"), Some("abc".into()));
        assert_eq!(id("abc, def,ghi"), Some("abc".into()));
        assert_eq!(id(""), None);
        assert_eq!(id(&"x".repeat(201)), None);
    }
}
