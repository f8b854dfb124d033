//! Who may read and who may write.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, Postgres, Transaction};

use crate::error::{Error, Result};

/// What reading functions take: inside a transaction or not.
pub type Connection = PgConnection;

/// The platform's database, for those who may write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects to the database at `url` (`postgres://…`) with at most `max` connections.
    ///
    /// # Errors
    /// When the URL cannot be read or the database does not answer within 10 s.
    pub async fn connect(url: &str, max: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url).map_err(Error::Database)?;
        Self::connect_with(options, max).await
    }

    /// Connects with options of any kind, such as a socket directory.
    ///
    /// # Errors
    /// When the database does not answer within 10 s.
    pub async fn connect_with(options: PgConnectOptions, max: u32) -> Result<Self> {
        let options = options
            .application_name("howdah")
            .options([
                ("search_path", "public,pg_catalog,pg_temp"),
                ("statement_timeout", "30s"),
                ("idle_in_transaction_session_timeout", "30s"),
                ("timezone", "UTC"),
            ])
            // Statements may carry what is nobody's business.
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// Brings the tables to this version. Safe to run by several at once, and again.
    ///
    /// # Errors
    /// When a migration fails, or the database has been migrated by a newer version.
    pub async fn migrate(&self) -> Result<()> {
        sqlx::migrate!("./migrations").run(&self.pool).await.map_err(Error::Migrate)
    }

    /// Begins a transaction that may write. Dropped without [`Tx::commit`], it changes nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx(self.pool.begin().await?))
    }

    /// Begins a transaction whose loss in a crash of the database's machine does no harm, such as
    /// a claim: its commit does not wait for the disk.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_relaxed(&self) -> Result<Tx> {
        Ok(Tx(self.pool.begin_with("begin; set local synchronous_commit = off").await?))
    }

    /// A reader of the same database.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { pool: self.pool.clone() }
    }

    /// A connection that hears notifications on the given channels from now on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn listen(&self, channels: &[&str]) -> Result<PgListener> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all(channels.iter().copied()).await?;
        Ok(listener)
    }

    /// A connection outside the pool, for what must be held.
    pub(crate) async fn session(&self) -> Result<PgConnection> {
        Ok(self.pool.connect_options().connect().await?)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The platform's database, for those who only read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: PgPool,
}

impl Reader {
    /// A connection; each statement on it sees the newest state.
    ///
    /// # Errors
    /// When the database does not answer within 10 s.
    pub async fn get(&self) -> Result<ReadConnection> {
        Ok(ReadConnection(self.pool.acquire().await?))
    }

    /// A transaction in which all statements see the same moment.
    ///
    /// # Errors
    /// When the database does not answer within 10 s.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let begin = "begin isolation level repeatable read, read only";
        Ok(Snapshot(self.pool.begin_with(begin).await?))
    }
}

/// A connection of a [`Reader`].
#[derive(Debug)]
pub struct ReadConnection(PoolConnection<Postgres>);

/// All statements on it see the same moment.
#[derive(Debug)]
pub struct Snapshot(Transaction<'static, Postgres>);

/// A transaction that may write.
#[derive(Debug)]
pub struct Tx(Transaction<'static, Postgres>);

impl Tx {
    /// Makes all that was written in the transaction last.
    ///
    /// # Errors
    /// When the database does not answer: then it is not known whether it lasts.
    pub async fn commit(self) -> Result<()> {
        Ok(self.0.commit().await?)
    }
}

macro_rules! derefs_to_connection {
    ($($name:ident),+) => {$(
        impl Deref for $name {
            type Target = Connection;
            fn deref(&self) -> &Connection {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Connection {
                &mut self.0
            }
        }
    )+};
}

derefs_to_connection!(ReadConnection, Snapshot, Tx);
