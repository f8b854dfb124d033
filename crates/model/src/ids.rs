//! Identifiers. Each noun has its own type, so that one cannot be passed for another.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id. Version 7, so that ids sort by the time of their making.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "an id is made on purpose, never by default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

id! {
    /// A person with a login.
    AccountId,
    /// An API token of an account.
    TokenId,
    /// An app: the owner of attachments, config vars and releases.
    AppId,
    /// A database as the customer sees it: the add-on.
    DatabaseId,
    /// The name that an add-on has within an app.
    AttachmentId,
    /// A named role with a password, of one database.
    CredentialId,
    /// One numbered change of an app.
    ReleaseId,
    /// One history of WAL. It outlives its databases.
    TimelineId,
    /// One PostgreSQL instance that takes part in a timeline.
    ParticipantId,
    /// A machine that runs an agent.
    ServerId,
    /// Something asked for that takes time.
    OperationId,
    /// Something that went wrong for a while.
    IncidentId,
    /// Something that is due for the server of a database.
    MaintenanceId,
    /// A report of how a database fares.
    ReportId,
    /// A link from one database to another.
    LinkId,
    /// A logical copy of a database; the same as its operation's.
    TransferId,
}
