//! What can go wrong with the protection of data while databases go on.

use serde::{Deserialize, Serialize};

/// Kinds of incidents.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// WAL does not reach the archive.
    Archive,
    /// WAL is missing in the archive.
    Gap,
    /// A restore drill failed.
    Drill,
    /// A server's disk is nearly full.
    Disk,
}
