//! Where time and chance come from: the system, or a simulation.

use jiff::Timestamp;

/// A source of time and of random numbers.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// A random number for everything that is no secret, such as how long to wait.
    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        crate::password::fill(&mut bytes);
        u64::from_ne_bytes(bytes)
    }
}

/// The system's time.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that others are handed")]
        Timestamp::now()
    }
}
