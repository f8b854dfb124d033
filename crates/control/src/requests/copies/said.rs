//! What people are told of a copy that they have asked for (G5, G13, G27, G28).

use howdah_model::operation::provision::How;
use howdah_model::protection::Until;
use jiff::Timestamp;

/// What is to be said.
#[derive(Clone, Debug)]
pub(super) struct Said<'a> {
    /// As what it was asked for.
    pub(super) how: How,
    /// Up to where.
    pub(super) until: Until,
    /// Of `--fast`: when the base backup ended.
    pub(super) backup: Option<Timestamp>,
    /// Remarks, each a sentence or two.
    pub(super) remarks: &'a [String],
}

/// The lines, in the book's words.
pub(super) fn message(said: &Said<'_>, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if let Some(backup) = said.backup {
        lines.push(format!(
            "Fork will contain data from {} (about {} ago)",
            backup.strftime("%B %d, %Y %-I:%M%p UTC"),
            about(now, backup)
        ));
        lines.push("To create a fork with up-to-date data, exclude the `--fast` flag.".to_owned());
    }
    lines.push(match (said.how, said.until) {
        (How::Follow, _) => {
            "Follower will become available for read-only queries when up-to-date".to_owned()
        }
        (How::Rollback, Until::Time { at }) => format!(
            "Database will become available after it completes rolling back to {} ({} ago)",
            at.strftime("%Y-%m-%d %H:%M:%S +0000"),
            clock(now, at)
        ),
        (How::Rollback, _) => {
            "Database will become available after it completes rolling back".to_owned()
        }
        (How::Fork, _) => "Database will become available after it completes forking".to_owned(),
        (How::Undelete, _) => {
            "Database will become available after it completes coming back".to_owned()
        }
    });
    lines.push("Use `pg:wait` to track status.".to_owned());
    lines.extend(said.remarks.iter().cloned());
    lines.join("\n")
}

fn seconds(now: Timestamp, then: Timestamp) -> u64 {
    u64::try_from(now.duration_since(then).as_secs()).unwrap_or_default()
}

/// `00:59:43`.
fn clock(now: Timestamp, then: Timestamp) -> String {
    let all = seconds(now, then);
    format!("{:02}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60)
}

/// `22 hours`.
fn about(now: Timestamp, then: Timestamp) -> String {
    let minutes = (seconds(now, then) + 30) / 60;
    let said = |count: u64, unit: &str| match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    };
    if minutes < 60 { said(minutes.max(1), "minute") } else { said((minutes + 30) / 60, "hour") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn g5_g13_g27_g28_the_books_lines() {
        let now = time("2014-10-05T16:01:43Z");
        let said = |how, until, backup, remarks: &[String]| {
            message(&Said { how, until, backup, remarks }, now)
        };
        let at = time("2014-10-05T15:02:00Z");
        assert_eq!(
            said(How::Rollback, Until::Time { at }, None, &[]),
            "Database will become available after it completes rolling back to 2014-10-05 \
             15:02:00 +0000 (00:59:43 ago)\nUse `pg:wait` to track status."
        );
        let asked = Until::Now { asked_at: now };
        assert_eq!(
            said(How::Follow, asked, None, &["It is small.".to_owned()]),
            "Follower will become available for read-only queries when up-to-date\n\
             Use `pg:wait` to track status.\nIt is small."
        );
        assert_eq!(
            said(How::Fork, asked, None, &[]),
            "Database will become available after it completes forking\n\
             Use `pg:wait` to track status."
        );
        let backup = Some(time("2014-10-04T18:10:00Z"));
        assert_eq!(
            said(How::Fork, Until::Backup, backup, &[]),
            "Fork will contain data from October 04, 2014 6:10PM UTC (about 22 hours ago)\n\
             To create a fork with up-to-date data, exclude the `--fast` flag.\n\
             Database will become available after it completes forking\n\
             Use `pg:wait` to track status."
        );
    }

    #[test]
    fn long_and_short_times_are_said_too() {
        let now = time("2014-10-08T00:00:00Z");
        assert_eq!(clock(now, time("2014-10-04T23:59:59Z")), "72:00:01");
        assert_eq!(about(now, time("2014-10-07T23:59:50Z")), "1 minute");
        assert_eq!(about(now, time("2014-10-07T22:58:00Z")), "1 hour");
        assert_eq!(clock(time("2014-10-04T00:00:00Z"), now), "00:00:00", "a clock that went back");
    }
}
