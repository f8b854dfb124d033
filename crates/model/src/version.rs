//! PostgreSQL's versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A major version, such as 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Major(pub u16);

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Major {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        match text.parse() {
            Ok(major @ 10..=99) => Ok(Self(major)),
            Ok(_) | Err(_) => Err(NotAVersion(text.to_owned())),
        }
    }
}

/// The newest major version that the community has released.
pub const CURRENT: Major = Major(18);

/// What the platform promises for a major version (C37).
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Support {
    /// Newer than the newest release: to try out.
    Beta,
    /// The newest release or one of the three before it.
    Supported,
    /// Older: databases that have it keep it, new ones do not get it.
    Deprecated,
}

impl Major {
    /// What the platform promises for this version.
    #[must_use]
    pub fn support(self) -> Support {
        match self.0 {
            major if major > CURRENT.0 => Support::Beta,
            major if major + 3 >= CURRENT.0 => Support::Supported,
            _ => Support::Deprecated,
        }
    }

    /// The version that a new database gets when none is named (C39): the newest supported one of
    /// those that are there.
    pub fn default_of(there: impl IntoIterator<Item = Self>) -> Option<Self> {
        there.into_iter().filter(|major| major.support() == Support::Supported).max()
    }
}

/// A full version, such as 15.20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    /// The major version.
    pub major: Major,
    /// The minor version.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = NotAVersion;
    /// Accepts `15.20`, and what distributions append (`15.20 (Debian …)`); a development version
    /// such as `19beta1` counts as minor 0.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let bad = || NotAVersion(text.to_owned());
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let major = digits(text);
        let rest = text[major.len()..].strip_prefix('.').unwrap_or("0");
        let minor = digits(rest).parse().map_err(|_| bad())?;
        Ok(Self { major: major.parse().map_err(|_| bad())?, minor })
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = NotAVersion;
    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

/// Not a version of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a PostgreSQL version")]
pub struct NotAVersion(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c37_c39_the_newest_four_are_supported_and_the_newest_of_them_is_the_default() {
        let support = |major| Major(major).support();
        assert_eq!((support(14), support(15)), (Support::Deprecated, Support::Supported));
        assert_eq!((support(18), support(19)), (Support::Supported, Support::Beta));
        let default = |there: &[u16]| Major::default_of(there.iter().copied().map(Major));
        assert_eq!(default(&[14, 15, 17, 19]), Some(Major(17)));
        assert_eq!(default(&[14, 19]), None);
    }

    #[test]
    fn versions_are_read_as_programs_print_them() {
        let version = |text: &str| text.parse::<Version>().map(|v| v.to_string());
        assert_eq!(version("15.20"), Ok("15.20".into()));
        assert_eq!(version("18.6 (Debian 18.6-1)"), Ok("18.6".into()));
        assert_eq!(version("19beta1"), Ok("19.0".into()));
        assert!(version("").is_err() && version("abc").is_err() && version("15.").is_err());
        assert!("9".parse::<Major>().is_err() && "18.1".parse::<Major>().is_err());
    }
}
