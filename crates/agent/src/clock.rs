//! The time of day, for people. Nothing is decided by it: what waits or grows old is measured with
//! `tokio::time::Instant`.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the one place that asks; it is only ever shown")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
