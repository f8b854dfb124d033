//! The time of day, for people. Nothing is decided by it: what waits or grows old is measured with
//! `tokio::time::Instant`.

use howdah_archive::Generation;
use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the one place that asks; it is only ever shown")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A number that is higher than any before it: microseconds since 1970.
pub(crate) fn generation() -> Generation {
    Generation(u64::try_from(now().as_microsecond()).unwrap_or_default())
}
