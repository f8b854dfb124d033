//! Values that many sessions have alike, kept once for as long as somebody holds them.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Independent parts, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// The fewest entries after which forgotten ones are looked for.
const SWEEP_FROM: usize = 64;

/// Values by the hash of their bytes. Two of one hash are not shared, which costs memory only.
#[derive(Debug)]
pub(crate) struct Interner<T: ?Sized> {
    hasher: RandomState,
    shards: [Mutex<Shard<T>>; SHARDS],
}

#[derive(Debug)]
struct Shard<T: ?Sized> {
    entries: HashMap<u64, Weak<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { entries: HashMap::new(), sweep_at: SWEEP_FROM });
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| shard()) }
    }
}

impl<T: ?Sized> Interner<T> {
    /// The value of these bytes: the one that is in use, or a new one.
    pub(crate) fn intern(
        &self,
        bytes: &[u8],
        bytes_of: impl FnOnce(&T) -> &[u8],
        make: impl FnOnce() -> Arc<T>,
    ) -> Arc<T> {
        let hash = self.hasher.hash_one(bytes);
        let mut shard = self.shard(hash);
        let known = shard.entries.get(&hash).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| bytes_of(known) == bytes) {
            return known;
        }
        let value = make();
        shard.entries.insert(hash, Arc::downgrade(&value));
        shard.sweep_if_due();
        value
    }

    /// Gives the value of these bytes to nobody any more, if it is the one that is meant.
    pub(crate) fn forget(&self, bytes: &[u8], is_meant: impl FnOnce(&T) -> bool) {
        let hash = self.hasher.hash_one(bytes);
        let mut shard = self.shard(hash);
        let known = shard.entries.get(&hash).and_then(Weak::upgrade);
        if known.is_some_and(|known| is_meant(&known)) {
            shard.entries.remove(&hash);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<T>> {
        // The map's own hasher uses other bits of it.
        let index = usize::try_from(hash >> 60).unwrap_or(0) % SHARDS;
        // Nothing that panics is done under the lock.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().expect("lock").entries.len()).sum()
    }
}

impl<T: ?Sized> Shard<T> {
    /// Forgets those that nobody holds, each time as many have come as were in use.
    fn sweep_if_due(&mut self) {
        if self.entries.len() > self.sweep_at {
            self.entries.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = (self.entries.len() * 2).max(SWEEP_FROM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(texts: &Interner<[u8]>, bytes: &[u8]) -> Arc<[u8]> {
        texts.intern(bytes, |known| known, || bytes.into())
    }

    #[test]
    fn the_same_bytes_are_the_same_value_for_as_long_as_it_is_held() {
        let texts = Interner::default();
        let first = intern(&texts, b"one");
        assert!(Arc::ptr_eq(&first, &intern(&texts, b"one")));
        assert!(!Arc::ptr_eq(&first, &intern(&texts, b"two")));
    }

    #[test]
    fn forgotten_values_take_no_place() {
        let texts = Interner::default();
        let kept: Vec<_> = (0..100_u32).map(|n| intern(&texts, &n.to_be_bytes())).collect();
        for n in 100..100_000_u32 {
            drop(intern(&texts, &n.to_be_bytes()));
        }
        assert!(texts.len() <= SHARDS * (SWEEP_FROM + 1), "{}", texts.len());
        assert!(kept.iter().all(|one| Arc::ptr_eq(one, &intern(&texts, one))));
    }
}
