//! The platform's figures for Prometheus.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use howdah_control::metrics;
use howdah_control::requests;

use crate::auth;
use crate::error::Result;
use crate::web::Web;

/// All figures, for whoever has the token of `HOWDAH_METRICS_TOKEN`: they are of everybody's
/// databases.
pub(crate) async fn show(State(web): State<Web>, headers: HeaderMap) -> Result<Response> {
    let given = auth::token(&headers).ok_or(requests::Error::Unauthorized)?;
    if !web.metrics_token().is_some_and(|token| token.is(&given)) {
        return Err(requests::Error::Unauthorized.into());
    }
    let text = web.control().metrics().await;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
