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

/// The innermost reasons say most; the chain is short, and what repeats is left out.
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
    // Answers of stores are pages of XML.
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().take(500).collect()
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
