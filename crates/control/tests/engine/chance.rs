//! Random numbers that a seed decides.

use std::sync::{Arc, Mutex, PoisonError};

/// A source of random numbers that is shared by all who take part (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<Mutex<u64>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    pub(crate) fn number(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `most`.
    pub(crate) fn below(&self, most: usize) -> usize {
        usize::try_from(self.number() % most.max(1) as u64).expect("it is below a usize")
    }

    /// True in so many of a thousand cases.
    pub(crate) fn per_mille(&self, cases: usize) -> bool {
        self.below(1000) < cases
    }

    pub(crate) fn pick<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}
