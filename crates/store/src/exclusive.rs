//! One platform on one state: a lock in the platform's own database, held for as long as the
//! session that took it lives.

use sqlx::{Connection as _, PgConnection};

use crate::connection::Store;
use crate::error::Result;

/// The number of the advisory lock. Any, as long as it stays.
const LOCK: i64 = 0x0068_6f77_6461_6801;

/// The platform's database, held. Dropping it lets go.
#[derive(Debug)]
pub struct Exclusive {
    session: PgConnection,
}

impl Store {
    /// Holds the database for one platform; `None` when another platform holds it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold(&self) -> Result<Option<Exclusive>> {
        let mut session = self.session().await?;
        let held = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut session)
            .await?;
        Ok(if held { Some(Exclusive { session }) } else { None })
    }
}

impl Exclusive {
    /// Whether the lock is still held: its session answers.
    ///
    /// # Errors
    /// When it does not; the lock must be taken again.
    pub async fn check(&mut self) -> Result<()> {
        self.session.ping().await?;
        Ok(())
    }
}
