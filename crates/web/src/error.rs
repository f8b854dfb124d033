//! What goes wrong, in Heroku's form: a status and `{"id", "message", "resource"}`.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use howdah_control::requests::{self, Noun};
use serde_json::json;

/// What handlers answer.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Error {
    /// The HTTP status.
    pub status: StatusCode,
    /// Which error, for programs.
    pub id: &'static str,
    /// Which error, for people. Without one the body has none: the CLI takes that of the data API
    /// for "not yet".
    pub message: Option<String>,
    /// The noun that was not found, in Heroku's words.
    pub resource: Option<&'static str>,
    /// What really happened. Logged, never shown.
    cause: Option<Cause>,
}

/// What really happened, on its way to the log.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) Arc<anyhow::Error>);

impl Error {
    /// An error with a sentence.
    pub fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: Some(message.into()), resource: None, cause: None }
    }

    /// What was sent cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// What was sent is understood and cannot be done.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    /// A part of Heroku's platform that this one does not have yet.
    pub fn not_offered(what: &str) -> Self {
        Self::invalid(format!("{what} is not offered by this platform yet."))
    }

    /// There is no such thing.
    pub fn not_found(noun: Noun) -> Self {
        requests::Error::NotFound(noun).into()
    }

    /// The database is not there yet. The body has no message: clients ask again.
    pub fn not_yet() -> Self {
        let (status, id) = (StatusCode::NOT_FOUND, "not_found");
        Self { status, id, message: None, resource: None, cause: None }
    }

    /// There is no such route.
    pub fn no_such_route() -> Self {
        let message = "The requested API endpoint was not found. Are you using the right HTTP verb \
                       (i.e. `GET` vs. `POST`), and did you specify your intended version with the \
                       `Accept` header?";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// A defect, or a part of the platform that does not answer.
    pub fn internal(cause: anyhow::Error) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            id: "internal_server_error",
            message: None,
            resource: None,
            cause: Some(Cause(Arc::new(cause))),
        }
    }

    /// What really happened, for the log.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause.clone()
    }

    /// The sentence, for pages.
    #[must_use]
    pub fn text(&self) -> String {
        self.message.clone().unwrap_or_else(|| {
            "The platform could not do it; its log says why. Try again.".to_owned()
        })
    }
}

impl From<requests::Error> for Error {
    fn from(error: requests::Error) -> Self {
        use requests::Error as E;
        let message = error.to_string();
        let with = |status, id| Self::new(status, id, message);
        match error {
            E::NotFound(noun) => {
                let error = with(StatusCode::NOT_FOUND, "not_found");
                Self { resource: Some(noun.into()), ..error }
            }
            E::Unauthorized => with(StatusCode::UNAUTHORIZED, "unauthorized"),
            E::Forbidden(_) => with(StatusCode::FORBIDDEN, "forbidden"),
            E::Invalid(_) => with(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params"),
            E::Conflict(_) => with(StatusCode::CONFLICT, "conflict"),
            E::ConfirmationRequired(_) => with(StatusCode::LOCKED, "confirmation_required"),
            E::Unavailable(_) => with(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable"),
            E::Failed(cause) => Self::internal(cause),
        }
    }
}

impl From<howdah_store::Error> for Error {
    fn from(error: howdah_store::Error) -> Self {
        requests::Error::from(error).into()
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut body = json!({ "id": self.id });
        if let Some(message) = self.message {
            body["message"] = message.into();
        }
        if let Some(resource) = self.resource {
            body["resource"] = resource.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
