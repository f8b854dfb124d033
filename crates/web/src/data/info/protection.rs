//! The rows of `pg:info` about what is kept of a database outside of it.

use std::time::Duration;

use howdah_model::protection::{DrillSeen, Drilled, Protected};
use howdah_model::size::{Bytes, Span};
use jiff::Timestamp;

use super::{Facts, Row, one, time};

/// From when on it can be rolled back (G7).
pub(super) fn rollback(facts: &Facts) -> Row {
    let protected = facts.protection.protected.as_ref();
    match protected.and_then(|protected| protected.earliest) {
        Some(earliest) => one("Rollback", format!("earliest from {}", time(earliest))),
        None => one("Rollback", "Unsupported"),
    }
}

/// The other rows. A follower has none of its own.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let Some(protected) = &facts.protection.protected else {
        return Vec::new();
    };
    let incidents = facts.incidents.iter();
    let incidents = incidents.map(|one| format!("since {}: {}", time(one.began_at), one.what));
    vec![
        continuous(protected),
        ("Last Base Backup", protected.backup.iter().map(|one| time(one.ended_at)).collect()),
        one("Archive Lag", lag(facts.now, protected)),
        ("Proven Restore", protected.drill.iter().map(|drill| drilled(facts.now, drill)).collect()),
        ("Incident", incidents.collect()),
    ]
}

fn continuous(protected: &Protected) -> Row {
    let trouble = protected.trouble.as_ref();
    let trouble = trouble
        .map(|trouble| format!("in trouble since {}: {}", time(trouble.since), trouble.what));
    ("Continuous Protection", ["On".to_owned()].into_iter().chain(trouble).collect())
}

/// How much of the newest WAL is not in the archive, in bytes and in time.
fn lag(now: Timestamp, protected: &Protected) -> String {
    let bytes = Bytes(protected.lag_bytes);
    match protected.archived_at.filter(|_| protected.lag_bytes > 0) {
        Some(at) => format!("{bytes}, {}", Span(since(now, at))),
        None => bytes.to_string(),
    }
}

fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// `3 h ago, 41 s, lost 2 s`.
fn drilled(now: Timestamp, drill: &DrillSeen) -> String {
    let ago = ago(since(now, drill.at));
    match &drill.outcome {
        Drilled::Proven { took_ms, lost_ms } => {
            let [took, lost] = [took_ms, lost_ms].map(|ms| Span(Duration::from_millis(*ms)));
            format!("{ago} ago, {took}, lost {lost}")
        }
        Drilled::Skipped { why } => format!("{ago} ago, skipped: {why}"),
        Drilled::Failed { why } => format!("{ago} ago, failed: {why}"),
    }
}

fn ago(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes {
        0..60 => format!("{minutes} min"),
        60..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use howdah_model::lsn::Lsn;
    use howdah_model::protection::{BackupSeen, Trouble};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn protected() -> Protected {
        Protected {
            archived: Lsn(7),
            archived_at: Some(at("2026-01-02T03:04:03Z")),
            lag_bytes: 0,
            trouble: None,
            gap: None,
            earliest: Some(at("2026-01-01T01:00:00Z")),
            backup: Some(BackupSeen {
                id: "b".to_owned(),
                ended_at: at("2026-01-01T01:00:00Z"),
                bytes: 1,
                stored: 1,
            }),
            backing_up: None,
            backups: 0,
            drill: None,
            drills: 0,
        }
    }

    #[test]
    fn m10_lag_is_in_bytes_and_seconds_and_trouble_is_told() {
        let now = at("2026-01-02T03:04:05Z");
        let mut seen = protected();
        assert_eq!(lag(now, &seen), "0 bytes");
        seen.lag_bytes = 16 << 20;
        assert_eq!(lag(now, &seen), "16.0 MB, 2.0 s");
        assert_eq!(continuous(&seen), one("Continuous Protection", "On"));
        seen.trouble = Some(Trouble { what: "refused".to_owned(), since: now });
        let said = continuous(&seen).1;
        assert_eq!(said, ["On", "in trouble since 2026-01-02 03:04 UTC: refused"]);
    }

    #[test]
    fn m13_a_drill_is_told_with_its_age_and_outcome() {
        let now = at("2026-01-02T03:04:05Z");
        let said = |at: Timestamp, outcome| drilled(now, &DrillSeen { at, outcome });
        let proven = Drilled::Proven { took_ms: 41_000, lost_ms: 2000 };
        assert_eq!(said(at("2026-01-02T00:00:00Z"), proven.clone()), "3 h ago, 41 s, lost 2.0 s");
        assert_eq!(said(now, proven), "0 min ago, 41 s, lost 2.0 s");
        let failed = Drilled::Failed { why: "broken".to_owned() };
        assert_eq!(said(at("2025-12-30T00:00:00Z"), failed), "3 days ago, failed: broken");
    }
}
