//! How a database stands to the limit of rows that its plan has (C27, C28).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a database may have more rows than its plan, unless the platform is told otherwise.
pub const GRACE: Duration = Duration::from_secs(7 * 86_400);

/// A database with more than so many times the rows of its plan has no grace.
const FAR_OVER: u64 = 2;

/// How many rows a database may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most rows.
    pub rows: u64,
    /// How long it may have more before new ones are refused.
    pub grace: Duration,
}

/// How a database stands to its limit of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rows")]
pub enum Compliance {
    /// It has no more than it may.
    #[default]
    Within,
    /// It has more, and may still take rows.
    Over {
        /// Since when.
        since: Timestamp,
        /// When new rows are refused.
        until: Timestamp,
    },
    /// It has more, and new rows are refused until it has no more than it may.
    Refused {
        /// Since when it has more.
        over: Timestamp,
        /// Since when new rows are refused.
        since: Timestamp,
    },
}

impl Compliance {
    /// What follows from a count of rows.
    #[must_use]
    pub fn judge(self, rows: u64, limit: &Limit, now: Timestamp) -> Self {
        if rows <= limit.rows {
            return Self::Within;
        }
        let over = match self {
            Self::Refused { .. } => return self,
            Self::Over { since, .. } => since,
            Self::Within => now,
        };
        let grace = SignedDuration::try_from(limit.grace).unwrap_or(SignedDuration::MAX);
        let until = over.checked_add(grace).unwrap_or(Timestamp::MAX);
        if now >= until || rows > limit.rows.saturating_mul(FAR_OVER) {
            Self::Refused { over, since: now }
        } else {
            Self::Over { since: over, until }
        }
    }

    /// Whether it may get worse by time alone.
    #[must_use]
    pub fn is_due(self, now: Timestamp) -> bool {
        matches!(self, Self::Over { until, .. } if now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { rows: 10_000, grace: Duration::from_secs(100) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn c28_over_the_limit_there_is_a_grace_and_then_rows_are_refused_until_it_is_within() {
        let within = Compliance::Within.judge(10_000, &LIMIT, at(0));
        assert_eq!(within, Compliance::Within);
        let over = within.judge(10_001, &LIMIT, at(10));
        assert_eq!(over, Compliance::Over { since: at(10), until: at(110) });
        assert_eq!(over.judge(20_000, &LIMIT, at(109)), over, "the grace does not begin anew");
        assert!(!over.is_due(at(109)) && over.is_due(at(110)));
        let refused = over.judge(10_001, &LIMIT, at(110));
        assert_eq!(refused, Compliance::Refused { over: at(10), since: at(110) });
        assert_eq!(refused.judge(10_001, &LIMIT, at(500)), refused);
        assert_eq!(refused.judge(10_000, &LIMIT, at(500)), Compliance::Within);
    }

    #[test]
    fn c28_twice_the_limit_has_no_grace_and_without_a_grace_it_is_at_once() {
        let refused = Compliance::Refused { over: at(5), since: at(5) };
        assert_eq!(Compliance::Within.judge(20_001, &LIMIT, at(5)), refused);
        let none = Limit { grace: Duration::ZERO, ..LIMIT };
        assert_eq!(Compliance::Within.judge(10_001, &none, at(5)), refused);
        let long = Limit { grace: Duration::MAX, rows: u64::MAX / 2 };
        let over = Compliance::Within.judge(u64::MAX - 2, &long, at(5));
        assert!(matches!(over, Compliance::Over { .. }));
    }
}
