//! Names of base backups.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a base backup: `20261120T093107.482Z-5e0b9c21`. Names sort by the moment at which
/// the backups were begun.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

/// The text is not the name of a base backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a base backup, such as 20261120T093107.482Z-5e0b9c21")]
pub struct NotABackupId(String);

/// What each character must be: 9 stands for a digit, x for a digit of a hexadecimal number.
const SHAPE: &str = "99999999T999999.999Z-xxxxxxxx";

impl BackupId {
    /// A new one for a backup that begins at a moment.
    #[must_use]
    pub(super) fn new(began_at: Timestamp) -> Self {
        let random: u32 = rand::random();
        Self(format!("{}-{random:08x}", began_at.strftime("%Y%m%dT%H%M%S.%3fZ")))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BackupId {
    type Err = NotABackupId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |(shape, byte): (u8, u8)| match shape {
            b'9' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            other => byte == other,
        };
        let is_one = text.len() == SHAPE.len() && SHAPE.bytes().zip(text.bytes()).all(fits);
        if is_one { Ok(Self(text.to_owned())) } else { Err(NotABackupId(text.to_owned())) }
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_written_and_sorts_by_time() {
        let moments =
            ["2026-11-20T09:31:07.4829Z", "2026-11-20T09:31:07.484Z", "2027-01-01T00:00:00Z"];
        let names = moments.map(|text| BackupId::new(text.parse().expect("a moment")));
        assert!(names.is_sorted());
        assert!(names[0].as_str().starts_with("20261120T093107.482Z-"));
        for name in names {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
        for bad in ["", "../x", "20261120T093107.482Z-5E0B9C21", "20261120T093107.482Z-5e0b9c2"] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }
}
