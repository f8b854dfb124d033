//! JSON that comes in.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// A JSON body. None at all counts as `{}`: clients send nothing where nothing is to be said.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Error::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "bad_request",
                        "The body is too large: a request may have 1 MB.",
                    ),
                    _ => Error::bad_request("The body could not be read."),
                }
            })?;
        let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes.as_ref() };
        match serde_json::from_slice(bytes) {
            Ok(body) => Ok(Self(body)),
            Err(error) if error.is_data() => {
                Err(Error::invalid(format!("The request does not have the right form: {error}.")))
            }
            Err(error) => Err(Error::bad_request(format!("The body is not JSON: {error}."))),
        }
    }
}

/// How a request names an app, an add-on or a plan: `"demo"`, `{"name": "demo"}`, `{"id": "…"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ref {
    /// The name or id itself.
    Text(String),
    /// An object with either.
    Object {
        /// The id.
        id: Option<String>,
        /// The name.
        name: Option<String>,
    },
}

impl Ref {
    /// The name or id.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Object { id, name } => name.as_deref().or(id.as_deref()).unwrap_or_default(),
        }
    }
}

/// Options of a new add-on, whose values clients send as text, numbers or truths.
pub(crate) fn options(given: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    given.into_iter().map(|(name, value)| (name, text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_named_by_text_or_by_object() {
        let named = |json: &str| {
            serde_json::from_str::<Ref>(json).map(|one| one.text().to_owned()).unwrap_or_default()
        };
        assert_eq!(named(r#""demo""#), "demo");
        assert_eq!(named(r#"{"name":"demo"}"#), "demo");
        assert_eq!(named(r#"{"id":"1"}"#), "1");
        assert_eq!(named("{}"), "");
    }
}
