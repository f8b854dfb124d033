//! The platform's own sessions: by unix socket, as the superuser, bounded in every way.

use std::path::Path;
use std::time::Duration;

use howdah_model::version::Version;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use crate::settings::{PLATFORM_ROLE, PORT};

/// What a session may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte to the server's readiness.
    pub connect: Duration,
    /// One statement. The server ends it then, and we wait little longer for the server.
    pub statement: Duration,
}

impl Limits {
    /// For a short look: is it there, how does it fare. Long enough for a machine that is busy.
    pub const LOOK: Self =
        Self { connect: Duration::from_secs(2), statement: Duration::from_secs(2) };
    /// For counting rows and changing rights in a tenant's database.
    pub const ROWS: Self =
        Self { connect: Duration::from_secs(2), statement: Duration::from_secs(30) };
    /// For work such as making and dropping databases.
    pub const WORK: Self =
        Self { connect: Duration::from_secs(5), statement: Duration::from_secs(120) };
}

/// How much longer we wait for the server than it should take itself.
const GRACE: Duration = Duration::from_secs(1);

/// A statement, or the opening of a session, did not succeed. Carries no statement's text.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SqlError {
    /// The server said no.
    #[error("{message} (SQLSTATE {})", code.code())]
    Refused {
        /// PostgreSQL's code.
        code: SqlState,
        /// PostgreSQL's message.
        message: String,
    },
    /// There was no answer in time.
    #[error("PostgreSQL did not answer within {0:?}")]
    Silent(Duration),
    /// There is no server, or it closed the session.
    #[error("no session with PostgreSQL: {0}")]
    Lost(String),
}

impl SqlError {
    /// Whether the server said no with this code.
    #[must_use]
    pub fn is(&self, state: &SqlState) -> bool {
        matches!(self, Self::Refused { code, .. } if code == state)
    }

    /// Whether the session can still be used.
    #[must_use]
    pub fn leaves_session(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                *code != SqlState::ADMIN_SHUTDOWN && *code != SqlState::CRASH_SHUTDOWN
            }
            Self::Silent(_) | Self::Lost(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::Refused { code: db.code().clone(), message: db.message().to_owned() },
            None => Self::Lost(with_source(&error)),
        }
    }
}

fn with_source(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A session of the platform. It ends when this is dropped.
pub struct Connection {
    client: Client,
    driver: JoinSet<()>,
    statement: Duration,
    version: Option<Version>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.client.is_closed()).finish()
    }
}

impl Connection {
    /// Opens a session in a database of the server with this socket directory.
    ///
    /// # Errors
    /// [`SqlError::Silent`] when it took longer than `limits.connect`.
    pub async fn open(socket_dir: &Path, database: &str, limits: Limits) -> Result<Self, SqlError> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(socket_dir)
            .port(PORT)
            .user(PLATFORM_ROLE)
            .dbname(database)
            .application_name("howdah")
            .options(options(limits));
        let (client, connection) = timeout(limits.connect, config.connect(NoTls))
            .await
            .map_err(|_| SqlError::Silent(limits.connect))??;
        let version = connection.parameter("server_version").and_then(|text| text.parse().ok());
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a session with PostgreSQL ended: {error}");
            }
        });
        Ok(Self { client, driver, statement: limits.statement, version })
    }

    /// Runs statements without results, in one round trip. Several are one transaction.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn run(&self, sql: &str) -> Result<(), SqlError> {
        self.bounded(self.statement, self.client.batch_execute(sql)).await
    }

    /// Runs a query in one round trip more than [`Self::run`], with parameters.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn rows(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SqlError> {
        self.bounded(self.statement, self.client.query(sql, parameters)).await
    }

    /// Whether the server answers on this session within a time.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn ping(&self, within: Duration) -> Result<(), SqlError> {
        let answer = timeout(within, self.client.batch_execute("")).await;
        Ok(answer.map_err(|_| SqlError::Silent(within))??)
    }

    /// The version that runs, as the server said at the beginning: it may have been started before
    /// a newer one was installed.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether the session has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the session and waits shortly until the server has been told.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        // When the server does not take it in time, dropping the driver cuts the session.
        let _ = timeout(GRACE, driver.join_next()).await;
    }

    async fn bounded<T>(
        &self,
        within: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SqlError> {
        let within = within + GRACE;
        Ok(timeout(within, answer).await.map_err(|_| SqlError::Silent(within))??)
    }
}

/// What a session starts with. These win over what a tenant set for its database with
/// `ALTER DATABASE … SET`, so nothing of a tenant's changes how the platform's statements work.
fn options(limits: Limits) -> String {
    let statement = limits.statement.as_millis();
    let lock = limits.statement.as_millis().min(10_000);
    let settings = [
        "search_path=pg_catalog,pg_temp".to_owned(),
        format!("statement_timeout={statement}"),
        format!("lock_timeout={lock}"),
        "idle_in_transaction_session_timeout=60000".to_owned(),
        "idle_session_timeout=0".to_owned(),
        "role=none".to_owned(),
        "default_transaction_read_only=off".to_owned(),
        "default_transaction_isolation=read\\ committed".to_owned(),
        "row_security=on".to_owned(),
        // A library that is not there would keep even the platform out of the database.
        "local_preload_libraries=".to_owned(),
        "session_preload_libraries=".to_owned(),
        // Verifiers are in the text of some statements, which no log and no statistics shall have.
        "log_statement=none".to_owned(),
        "log_min_duration_statement=-1".to_owned(),
        "log_min_error_statement=panic".to_owned(),
        "pg_stat_statements.track=none".to_owned(),
    ];
    settings.map(|setting| format!("-c {setting}")).join(" ")
}
