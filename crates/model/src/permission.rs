//! What the platform lets a named credential do with a tenant's tables.

use serde::{Deserialize, Serialize};

/// What a named credential may do with the tables of its database, by the platform's doing. The
/// default credential owns them and has none.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Permission {
    /// Nothing: its owner grants by hand.
    #[default]
    None,
    /// To read all that is there and all that the default credential makes later.
    Readonly,
    /// To change the rows of all that as well.
    Readwrite,
}
