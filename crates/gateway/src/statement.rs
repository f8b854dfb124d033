//! Prepared statements of the protocol, kept once for all sessions that prepare the same.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Independent parts of the interner, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// The fewest entries after which forgotten ones are looked for.
const SWEEP_FROM: usize = 64;

/// What a client prepared: the body of its `Parse` without the name.
pub struct Statement {
    /// Given once, in this process, to one text with its types.
    pub id: u64,
    body: Box<[u8]>,
}

impl Statement {
    /// Text, zero, and types, as they come after the name in `Parse`.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The text alone.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        let end = self.body.iter().position(|byte| *byte == 0);
        &self.body[..end.unwrap_or(self.body.len())]
    }
}

// The text may hold a tenant's secrets.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All statements that are in use.
#[derive(Debug, Default)]
pub struct Statements {
    hasher: RandomState,
    next: AtomicU64,
    shards: [Mutex<Shard>; SHARDS],
}

/// By the hash of their bodies. Two of one hash are not shared, which costs memory only.
#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<u64, Weak<Statement>>,
    sweep_at: usize,
}

impl Statements {
    /// The statement of this body: text, zero, and types. It lives for as long as somebody holds it.
    #[must_use]
    pub fn intern(&self, body: &[u8]) -> Arc<Statement> {
        let hash = self.hasher.hash_one(body);
        let mut shard = self.shard(hash);
        let known = shard.entries.get(&hash).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| *known.body == *body) {
            return known;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let statement = Arc::new(Statement { id, body: body.into() });
        shard.entries.insert(hash, Arc::downgrade(&statement));
        shard.sweep_if_due();
        statement
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The map's own hasher uses other bits of it.
        let index = usize::try_from(hash >> 60).unwrap_or(0) % SHARDS;
        // Nothing that panics is done under the lock.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Forgets those that nobody holds, each time as many have come as were in use.
    fn sweep_if_due(&mut self) {
        if self.entries.len() > self.sweep_at.max(SWEEP_FROM) {
            self.entries.retain(|_, statement| statement.strong_count() > 0);
            self.sweep_at = self.entries.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_body_is_the_same_statement_for_as_long_as_it_is_held() {
        let statements = Statements::default();
        let first = statements.intern(b"select 1\0\0\0");
        let again = statements.intern(b"select 1\0\0\0");
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(first.text(), b"select 1");
        let typed = statements.intern(b"select 1\0\0\x01\0\0\0\x17");
        assert_ne!(first.id, typed.id);
        let id = first.id;
        drop((first, again));
        assert_ne!(statements.intern(b"select 1\0\0\0").id, id);
    }

    #[test]
    fn forgotten_statements_take_no_place() {
        let statements = Statements::default();
        let kept: Vec<_> = (0..100).map(|n: u32| statements.intern(&n.to_be_bytes())).collect();
        for n in 100..100_000_u32 {
            drop(statements.intern(&n.to_be_bytes()));
        }
        let entries: usize =
            statements.shards.iter().map(|shard| shard.lock().expect("lock").entries.len()).sum();
        assert!(entries <= SHARDS * (SWEEP_FROM + 1) * 2, "{entries}");
        assert!(kept.iter().all(|one| Arc::ptr_eq(one, &statements.intern(&one.body))));
    }

    #[test]
    fn its_text_is_not_shown() {
        let statement = Statements::default().intern(b"select 'secret'\0\0\0");
        assert!(!format!("{statement:?}").contains("secret"));
    }
}
