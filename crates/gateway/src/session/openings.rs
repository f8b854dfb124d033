//! How many sessions of a database are opened again at one time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use howdah_model::ids::DatabaseId;
use tokio::sync::Semaphore;

/// A new process of PostgreSQL costs milliseconds of processor time: a hundred at once would only
/// get in each other's way, and in the way of those who are done.
const AT_ONCE: usize = 8;

/// The turns of all databases.
#[derive(Debug, Default)]
pub struct Openings {
    turns: Mutex<HashMap<DatabaseId, Weak<Semaphore>>>,
}

impl Openings {
    /// The turns of a database, first come first served.
    #[must_use]
    pub fn of(&self, database: DatabaseId) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = turns.get(&database).and_then(Weak::upgrade) {
            return known;
        }
        turns.retain(|_, turns| turns.strong_count() > 0);
        let new = Arc::new(Semaphore::new(AT_ONCE));
        turns.insert(database, Arc::downgrade(&new));
        new
    }
}
