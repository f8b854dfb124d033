//! What the answers of object stores mean.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::Error;
use crate::layout::Place;

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such object.
    Missing,
    /// The bucket or container is not there.
    NoStore(String),
    /// There is one already.
    Exists,
    /// The store cannot do that.
    Unsupported,
    /// The store refuses us.
    Denied(String),
    /// No space is left.
    Full,
    /// Trying again may help.
    Other(String),
}

impl Failure {
    pub(super) fn of(error: &object_store::Error) -> Self {
        use object_store::Error as E;
        match error {
            E::NotFound { .. } => {
                let said = text(error);
                if ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]
                    .iter()
                    .any(|sign| said.contains(sign))
                {
                    return Self::NoStore(said);
                }
                Self::Missing
            }
            E::AlreadyExists { .. } => Self::Exists,
            E::NotImplemented { .. } | E::NotSupported { .. } => Self::Unsupported,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied(text(error)),
            other => match io_kind(other) {
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::Full,
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                    Self::Denied(text(other))
                }
                _ => Self::Other(text(other)),
            },
        }
    }

    pub(super) fn into_error(self, place: &Place, location: &str) -> Error {
        let (place, location) = (place.to_string(), location.to_owned());
        match self {
            Self::Missing => Error::Missing { place },
            Self::Exists => Error::Conflict { place },
            Self::NoStore(why) => Error::NoStore { location, why },
            Self::Denied(why) => Error::Denied { place, why },
            Self::Full => Error::Full { place, location },
            Self::Unsupported => {
                Error::Unfit { place, why: "the store does not offer what it takes".to_owned() }
            }
            Self::Other(why) => Error::Unavailable { place, location, why },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("not there"),
            Self::Exists => f.write_str("there already"),
            Self::Unsupported => f.write_str("not offered"),
            Self::Full => f.write_str("no space left"),
            Self::NoStore(why) | Self::Denied(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// Something took longer than its bound.
pub(super) fn slow(patience: Duration) -> object_store::Error {
    let why = format!("no answer within {} s", patience.as_secs());
    object_store::Error::Generic { store: "archive", source: why.into() }
}

/// What went wrong, in a line: the innermost reasons, without what is known anyway.
fn text(error: &object_store::Error) -> String {
    let mut said = String::new();
    let mut next: Option<&dyn StdError> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !said.contains(&text) {
            if !said.is_empty() {
                said.push_str(": ");
            }
            said.push_str(&text);
        }
        next = error.source();
    }
    shorten(&said)
}

fn shorten(said: &str) -> String {
    let mut said = said.to_owned();
    // Behind `Error performing PUT http://… in 2ms, after 2 retries, … - ` is what happened.
    if let Some((_, request)) = said.split_once("Error performing ")
        && let Some((_, happened)) = request.split_once(" - ")
    {
        said = happened.to_owned();
    }
    for known in ["Server returned non-2xx status code: ", "HTTP error: ", "client error "] {
        said = said.replace(known, "");
    }
    if let Some((_, reason)) =
        said.strip_prefix("Generic ").and_then(|of| of.split_once(" error: "))
    {
        said = reason.to_owned();
    }
    // Answers of stores are pages of XML.
    if let Some(code) = between(&said, "<Code>", "</Code>") {
        let status = said.split('<').next().unwrap_or_default().to_owned();
        let message = between(&said, "<Message>", "</Message>").map(|text| format!(" ({text})"));
        said = format!("{status}{code}{}", message.unwrap_or_default());
    }
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.trim_end_matches([':', '.']).chars().take(300).collect()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(from)?;
    behind.split_once(to).map(|(found, _)| found)
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stores_say_is_a_short_line() {
        let put = "Error performing PUT http://127.0.0.1:1/a/b in 2.08ms, after 2 retries, \
                   max_retries: 2, retry_timeout: 20s - ";
        for (said, short) in [
            (
                format!(
                    "Generic S3 error: {put}HTTP error: error sending request: client error \
                         (SendRequest): connection closed before message completed"
                ),
                "error sending request: (SendRequest): connection closed before message completed",
            ),
            (
                format!(
                    "Generic S3 error: {put}Server returned non-2xx status code: 503 Service \
                         Unavailable: "
                ),
                "503 Service Unavailable",
            ),
            (
                format!(
                    "The operation lacked rights: {put}Server returned non-2xx status code: \
                         403 Forbidden: <?xml?><Error>\n<Code>Sign</Code><Message>No.\n</Message></Error>"
                ),
                "403 Forbidden: Sign (No. )",
            ),
            ("Generic archive error: no answer within 10 s".to_owned(), "no answer within 10 s"),
            (
                "Generic LocalFileSystem error: Unable to open file /a - b/c#1: Not a directory"
                    .to_owned(),
                "Unable to open file /a - b/c#1: Not a directory",
            ),
        ] {
            assert_eq!(shorten(&said), short);
        }
    }

    #[test]
    fn failures_are_told_apart_by_their_cause() {
        let local = |error: io::Error| {
            Failure::of(&object_store::Error::Generic {
                store: "LocalFileSystem",
                source: Box::new(error),
            })
        };
        assert_eq!(local(io::ErrorKind::StorageFull.into()), Failure::Full);
        assert!(matches!(local(io::ErrorKind::PermissionDenied.into()), Failure::Denied(_)));
        assert!(matches!(local(io::ErrorKind::ReadOnlyFilesystem.into()), Failure::Denied(_)));
        assert!(matches!(local(io::Error::other("x")), Failure::Other(why) if why == "x"));
    }
}
