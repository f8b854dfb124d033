//! How a page goes out, and what it may do in a browser.

use askama::Template;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{Cause, Error};

/// Nothing but our own style, and forms to ourselves.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// What a handler of a page answers.
pub(crate) type Result<T> = std::result::Result<T, Failed>;

/// A page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => return Error::internal(error.into()).into_response(),
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, html).into_response()
}

/// Sends the browser to another page, with `GET`.
pub(super) fn go_to(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nobody is logged in.
    LogIn,
    /// Something is wrong, for people.
    Error(Error),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    title: &'static str,
    message: String,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let error = match self {
            Self::LogIn => return go_to("/login"),
            Self::Error(error) => error,
        };
        let title = match error.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            status if status.is_server_error() => "Not done",
            _ => "That cannot be done",
        };
        let mut response = page(error.status, &Message { title, message: error.text() });
        if let Some(Cause(cause)) = error.cause() {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

/// The style of all pages.
pub(crate) async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("../../templates/howdah.css")).into_response()
}

/// Sends browsers to the page where the API has an object at the same path: `/apps/NAME`.
pub(crate) async fn to_pages(mut request: Request, next: Next) -> Response {
    let accepts = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = accepts.is_some_and(|accept| accept.contains("text/html"));
    if is_browser && request.method() == Method::GET {
        let name = request.uri().path().strip_prefix("/apps/");
        if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains('/'))
            && let Ok(uri) = format!("/dashboard/apps/{name}").parse::<Uri>()
        {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}
