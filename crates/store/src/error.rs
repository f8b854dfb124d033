//! Why a statement did not do what it should.

/// A statement failed. Its text never holds values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique, foreign key or check constraint stands against it.
    #[error("the constraint `{constraint}` stands against it")]
    Conflict {
        /// The constraint's name in the migrations.
        constraint: String,
    },
    /// The row that was to be changed is not there, or not as it was expected to be.
    #[error("{what} is not there or has changed meanwhile")]
    Gone {
        /// Which noun.
        what: &'static str,
    },
    /// The database could not be reached or refused the statement.
    #[error("ask the platform's database")]
    Database(#[source] sqlx::Error),
    /// The database could not be brought to this version's tables.
    #[error("migrate the platform's database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

/// What the functions of this crate answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some(constraint) => Self::Conflict { constraint: constraint.to_owned() },
            None => Self::Database(error),
        }
    }
}

impl Error {
    /// Whether the named constraint was in the way.
    #[must_use]
    pub fn is_conflict(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint } if constraint == name)
    }

    /// Whether a text held what PostgreSQL cannot store: a zero byte. The store only ever sends
    /// UTF-8, so there is nothing else.
    #[must_use]
    pub fn is_bad_text(&self) -> bool {
        matches!(self, Self::Database(error)
            if error.as_database_error().and_then(|error| error.code()).as_deref() == Some("22021"))
    }
}
