//! A clock for the hot path: the kernel's coarse one, which costs a quarter of the fine one and steps
//! every few milliseconds. One reading is that much off; sums over many are right, as a short time
//! spans a step in proportion to its length.

use rustix::time::{ClockId, clock_gettime};

/// A moment of the coarse clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        // The monotonic clock is never negative.
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let micros = u64::try_from(time.tv_nsec).unwrap_or(0) / 1000;
        Self(seconds * 1_000_000 + micros)
    }

    pub(crate) fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub(crate) fn micros(self) -> u64 {
        self.0
    }

    /// Microseconds since an earlier moment; 0 when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
