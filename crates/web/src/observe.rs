//! Around every request: its id, its time limit, its log line, and that nothing gets through that
//! is not an answer.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use howdah_model::ids::AccountId;
use serde_json::json;
use tracing::{error, info};
use uuid::Uuid;

use crate::error::{Cause, Error};
use crate::repeat::is_question;

/// Clients give up after 60 s: whatever takes longer has to be an operation.
const LIMIT: Duration = Duration::from_secs(58);

/// What takes as long as its body: it has a bound of its own on standing still.
const UPLOADS: &str = "/howdah/v1/databases/{database}/dumps";

/// Runs a request.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "(none)".to_owned());
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    let limit = if route == UPLOADS { Duration::MAX } else { LIMIT };
    let response = match tokio::time::timeout(limit, run).await {
        Ok(Ok(response)) => response,
        // The panic itself has been printed by its hook.
        Ok(Err(_)) => Error::internal(anyhow::anyhow!("the handler panicked")).into_response(),
        Err(_) => too_slow().into_response(),
    };
    let mut response = explain(response, id, &method, &route);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("request-id", value);
    }
    let reads = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && !is_question(&route) {
        let account = response.extensions().get::<AccountId>();
        let account = account.map_or_else(|| "-".to_owned(), ToString::to_string);
        info!(
            request.id = %id,
            account.id = account,
            elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            status = response.status().as_u16(),
            "{method} {route}"
        );
    }
    response
}

fn too_slow() -> Error {
    Error::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "service_unavailable",
        "The platform did not manage it in 58 seconds. What was begun goes on: look before you \
         ask again.",
    )
}

/// Logs what really happened, once, and answers a fixed sentence with the request's id instead.
fn explain(response: Response, id: Uuid, method: &Method, route: &str) -> Response {
    let Some(Cause(cause)) = response.extensions().get::<Cause>().cloned() else {
        return response;
    };
    error!(request.id = %id, error = format!("{cause:#}"), "{method} {route} failed");
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/html")) {
        return response;
    }
    let message = format!(
        "The platform could not do it; its log says why under request id {id}. Try again, and \
         tell its operator when it stays."
    );
    let body = json!({ "id": "internal_server_error", "message": message });
    let mut explained = (response.status(), Json(body)).into_response();
    *explained.extensions_mut() = response.extensions().clone();
    explained
}

#[cfg(test)]
mod tests {
    use super::*;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;

    async fn ask(path: &str) -> (StatusCode, String) {
        let router: Router = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
            .route("/secret", get(async || Error::internal(anyhow::anyhow!("geheim"))))
            .layer(from_fn(observe));
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_panic_and_an_error_of_ours_are_a_500_with_the_requests_id_and_nothing_else() {
        for path in ["/panic", "/secret"] {
            let (status, body) = ask(path).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(body.contains("its log says why under request id"), "{body}");
            assert!(!body.contains("geheim") && !body.contains("purpose"), "{body}");
        }
    }
}
