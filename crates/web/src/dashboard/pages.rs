//! How a page goes out, and what it may do in a browser.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use crate::error::{Cause, Error};

/// Nothing but our own style, and forms to ourselves.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// What a handler of a page answers.
pub(crate) type Result<T, E = Failed> = std::result::Result<T, E>;

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

/// What a page says of the form that led to it.
#[derive(Debug)]
pub(super) struct Notice {
    status: StatusCode,
    pub(super) class: &'static str,
    pub(super) role: &'static str,
    pub(super) text: String,
}

impl Notice {
    /// It was done.
    pub(super) fn done(text: String) -> Self {
        Self { status: StatusCode::OK, class: "done", role: "status", text }
    }

    /// Why it was not done, for the page with the form.
    ///
    /// # Errors
    /// With the error itself when that page would not help: the thing is not there, is another's,
    /// or the platform failed.
    pub(super) fn refused(error: impl Into<Failed>) -> Result<Self> {
        match error.into() {
            Failed::Error(error)
                if error.message.is_some()
                    && !matches!(error.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) =>
            {
                let (class, role) = ("problem", "alert");
                Ok(Self { status: error.status, class, role, text: error.text() })
            }
            other => Err(other),
        }
    }

    /// The status of a page that says this.
    pub(super) fn status(notice: Option<&Self>) -> StatusCode {
        notice.map_or(StatusCode::OK, |notice| notice.status)
    }
}

/// A time as pages show it, to the second.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
