//! Why a request was not carried out. Each text is a sentence for whoever asked.

use howdah_model::name::BadName;
use howdah_model::plan::NoSuchPlan;

/// What was looked for and not found, by Heroku's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
pub enum Noun {
    /// An account.
    #[strum(serialize = "account")]
    Account,
    /// An app.
    #[strum(serialize = "app")]
    App,
    /// An add-on.
    #[strum(serialize = "add_on")]
    Addon,
    /// An attachment.
    #[strum(serialize = "add_on attachment")]
    Attachment,
    /// An add-on service.
    #[strum(serialize = "add_on service")]
    Service,
    /// An API token.
    #[strum(serialize = "authorization")]
    Authorization,
    /// Somebody with access to an app.
    #[strum(serialize = "collaborator")]
    Collaborator,
    /// A credential of a database.
    #[strum(serialize = "credential")]
    Credential,
    /// A process of an app.
    #[strum(serialize = "dyno")]
    Dyno,
    /// A link from one database to another.
    #[strum(serialize = "link")]
    Link,
    /// A public key.
    #[strum(serialize = "key")]
    Key,
    /// Something asked for that takes time.
    #[strum(serialize = "operation")]
    Operation,
    /// A type of processes of an app.
    #[strum(serialize = "process_type")]
    ProcessType,
    /// A release of an app.
    #[strum(serialize = "release")]
    Release,
    /// A report of how a database fares.
    #[strum(serialize = "report")]
    Report,
    /// A schedule of backups.
    #[strum(serialize = "schedule")]
    Schedule,
    /// A backup, a restore or a copy.
    #[strum(serialize = "transfer")]
    Transfer,
    /// A login session of a browser.
    #[strum(serialize = "session")]
    Session,
}

impl Noun {
    fn said(self) -> &'static str {
        match self {
            Self::Addon => "add on",
            Self::Attachment => "add on attachment",
            Self::Service => "add on service",
            Self::Dyno => "process",
            Self::ProcessType => "process type",
            Self::Account
            | Self::App
            | Self::Authorization
            | Self::Collaborator
            | Self::Credential
            | Self::Key
            | Self::Link
            | Self::Operation
            | Self::Release
            | Self::Report
            | Self::Schedule
            | Self::Session => self.into(),
            Self::Transfer => "backup",
        }
    }
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or whoever asks may not know of it.
    #[error("Couldn't find that {}.", .0.said())]
    NotFound(Noun),
    /// Neither the token nor the password is right; which, is not said.
    #[error("Invalid credentials provided.")]
    Unauthorized,
    /// It may be seen, but not changed, by whoever asks.
    #[error("{0}")]
    Forbidden(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be now, because of something that is under way.
    #[error("{0}")]
    Conflict(String),
    /// It takes something away; it must be asked for with the app's name as confirmation.
    #[error("{0}")]
    ConfirmationRequired(String),
    /// Nothing is wrong with it, but it did not succeed; it may when it is asked for again.
    #[error("{0}")]
    Unavailable(String),
    /// A defect or a part of the platform that does not answer. Not for the eyes of whoever asks.
    #[error("carry out the request")]
    Failed(#[source] anyhow::Error),
}

/// What requests answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What was asked for cannot be; `why` is one or two sentences.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }
}

impl From<BadName> for Error {
    fn from(error: BadName) -> Self {
        Self::Invalid(format!("{error}."))
    }
}

impl From<NoSuchPlan> for Error {
    fn from(error: NoSuchPlan) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::keyring::CannotOpen> for Error {
    fn from(error: crate::keyring::CannotOpen) -> Self {
        Self::Failed(error.into())
    }
}

impl From<howdah_store::Error> for Error {
    fn from(error: howdah_store::Error) -> Self {
        if error.is_bad_text() {
            return Self::invalid("A name or value cannot have a zero byte in it.");
        }
        Self::Failed(error.into())
    }
}

/// Says of a violated unique constraint that the name is taken, as Heroku does.
pub(crate) fn taken<T>(result: howdah_store::Result<T>, constraint: &str, name: &str) -> Result<T> {
    result.map_err(|error| {
        if error.is_conflict(constraint) {
            Error::Invalid(format!("Name {name} is already taken"))
        } else {
            error.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_found_is_said_in_herokus_words() {
        let said = |noun| Error::NotFound(noun).to_string();
        assert_eq!(said(Noun::App), "Couldn't find that app.");
        assert_eq!(said(Noun::Addon), "Couldn't find that add on.");
        assert_eq!(said(Noun::Attachment), "Couldn't find that add on attachment.");
        assert_eq!(Noun::Addon.to_string(), "add_on");
    }
}
