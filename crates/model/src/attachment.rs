//! How an attachment reaches its database: with which credential, and by which of the gateway's
//! ports. Heroku writes both into one text, the attachment's namespace.

use std::fmt;
use std::str::FromStr;

/// The name of the credential that every database has.
pub const DEFAULT: &str = "default";
/// The name that the pooling attachment of an app's primary database has; `pg:promote` looks for it.
pub const PRIMARY_POOL: &str = "DATABASE_CONNECTION_POOL";

const CREDENTIAL: &str = "credential:";
const POOLING: &str = "connection-pooling:";

/// Which of the gateway's ports a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// The usual one: a server for each session.
    Direct,
    /// The pooling port: a server for each transaction.
    Pooling,
}

/// With which credential, and by which port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// The credential's name.
    pub credential: String,
    /// The port.
    pub port: Port,
}

/// A text that is no namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a namespace is `credential:NAME` or `connection-pooling:NAME`")]
pub struct BadNamespace;

impl Namespace {
    /// A credential by the usual port.
    #[must_use]
    pub fn direct(credential: impl Into<String>) -> Self {
        Self { credential: credential.into(), port: Port::Direct }
    }

    /// A credential by the pooling port.
    #[must_use]
    pub fn pooling(credential: impl Into<String>) -> Self {
        Self { credential: credential.into(), port: Port::Pooling }
    }

    /// What Heroku's API and the store have for it: none is the default credential by the usual
    /// port.
    ///
    /// # Errors
    /// When the text is neither of a credential nor of a pool.
    pub fn parse(text: Option<&str>) -> Result<Self, BadNamespace> {
        text.map_or_else(|| Ok(Self::direct(DEFAULT)), str::parse)
    }

    /// The opposite of [`Namespace::parse`].
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let is_usual = self.port == Port::Direct && self.credential == DEFAULT;
        (!is_usual).then(|| self.to_string())
    }
}

impl FromStr for Namespace {
    type Err = BadNamespace;

    fn from_str(text: &str) -> Result<Self, BadNamespace> {
        let named = |prefix| text.strip_prefix(prefix).filter(|name: &&str| !name.is_empty());
        named(CREDENTIAL)
            .map(Self::direct)
            .or_else(|| named(POOLING).map(Self::pooling))
            .ok_or(BadNamespace)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.port {
            Port::Direct => CREDENTIAL,
            Port::Pooling => POOLING,
        };
        write!(f, "{prefix}{}", self.credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_read_and_written_as_herokus() {
        let read = |text| Namespace::parse(text);
        assert_eq!(read(None), Ok(Namespace::direct("default")));
        assert_eq!(read(Some("credential:reports")), Ok(Namespace::direct("reports")));
        assert_eq!(read(Some("connection-pooling:default")), Ok(Namespace::pooling("default")));
        for bad in ["", "credential:", "reports", "role:x|pool:y|proxy:false"] {
            assert_eq!(read(Some(bad)), Err(BadNamespace), "{bad}");
        }
        for text in [None, Some("credential:a"), Some("connection-pooling:default")] {
            assert_eq!(read(text).expect("good").text().as_deref(), text);
        }
        assert_eq!(read(Some("credential:default")).expect("good").text(), None);
    }
}
