//! When the backups of a schedule are due: every day at a whole hour of a time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// An hour of the day, 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(i8);

/// What was given is no hour of the day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a whole hour of the day, 0 to 23")]
pub struct NotAnHour(String);

impl Hour {
    /// The number, 0 to 23.
    #[must_use]
    pub fn get(self) -> i8 {
        self.0
    }

    /// The first time after `after` at which it is this hour there. When clocks are put forward over
    /// it, it is the hour that they show then; when they are put back and it comes twice, the first.
    #[must_use]
    pub fn next(self, zone: &TimeZone, after: Timestamp) -> Timestamp {
        let mut date = after.to_zoned(zone.clone()).date();
        // The day before, as an hour that was skipped may come late.
        date = date.checked_sub(1.day()).unwrap_or(date);
        for _ in 0..4 {
            let there = zone.to_ambiguous_zoned(date.at(self.0, 0, 0, 0)).compatible();
            match there.map(|zoned| zoned.timestamp()) {
                Ok(at) if at > after => return at,
                Ok(_) | Err(_) => {}
            }
            let Ok(tomorrow) = date.tomorrow() else { break };
            date = tomorrow;
        }
        Timestamp::MAX
    }
}

impl TryFrom<i16> for Hour {
    type Error = NotAnHour;
    fn try_from(hour: i16) -> Result<Self, NotAnHour> {
        match i8::try_from(hour) {
            Ok(hour @ 0..=23) => Ok(Self(hour)),
            Ok(_) | Err(_) => Err(NotAnHour(hour.to_string())),
        }
    }
}

impl std::str::FromStr for Hour {
    type Err = NotAnHour;
    fn from_str(text: &str) -> Result<Self, NotAnHour> {
        let wrong = || NotAnHour(text.chars().take(20).collect());
        let hour = text.strip_suffix(":00").unwrap_or(text);
        let plain = matches!(hour.len(), 1 | 2) && hour.bytes().all(|byte| byte.is_ascii_digit());
        let hour = hour.parse::<i16>().map_err(|_| wrong())?;
        if plain { Self::try_from(hour).map_err(|_| wrong()) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn all(hour: &str, zone: &TimeZone, from: &str, days: usize) -> Vec<String> {
        let hour: Hour = hour.parse().expect("an hour");
        let mut last = at(from);
        let due = (0..days).map(|_| {
            last = hour.next(zone, last);
            last.to_zoned(zone.clone()).strftime("%m-%d %H:%M %Z").to_string()
        });
        due.collect()
    }

    #[test]
    fn e13_an_hour_is_whole_and_of_the_day() {
        for (text, hour) in [("02", 2), ("2", 2), ("0", 0), ("23", 23), ("02:00", 2)] {
            assert_eq!(text.parse::<Hour>().map(Hour::get), Ok(hour));
        }
        for text in ["", "24", "-1", "02:30", "2:00:00", "+2", "x", "002"] {
            assert!(text.parse::<Hour>().is_err(), "{text}");
        }
    }

    #[test]
    fn e13_it_is_due_once_a_day_also_when_clocks_are_put_forward_or_back() {
        let there = zone("America/Los_Angeles");
        let forward = all("02", &there, "2026-03-07T00:00:00Z", 4);
        assert_eq!(
            forward,
            ["03-07 02:00 PST", "03-08 03:00 PDT", "03-09 02:00 PDT", "03-10 02:00 PDT"]
        );
        let back = all("1", &there, "2026-10-31T00:00:00Z", 4);
        assert_eq!(
            back,
            ["10-31 01:00 PDT", "11-01 01:00 PDT", "11-02 01:00 PST", "11-03 01:00 PST"]
        );
        let half = all("4", &zone("Asia/Kolkata"), "2026-01-01T00:00:00Z", 2);
        assert_eq!(half, ["01-02 04:00 IST", "01-03 04:00 IST"]);
        // A whole day that was skipped: 30 December 2011 in Samoa.
        let samoa = all("5", &zone("Pacific/Apia"), "2011-12-29T00:00:00Z", 3);
        assert_eq!(samoa.len(), 3);
    }

    #[test]
    fn what_is_due_now_is_not_due_again() {
        let (hour, utc) = ("2".parse::<Hour>().expect("an hour"), TimeZone::UTC);
        let due = hour.next(&utc, at("2026-01-01T01:59:59Z"));
        assert_eq!(due, at("2026-01-01T02:00:00Z"));
        assert_eq!(hour.next(&utc, due), at("2026-01-02T02:00:00Z"));
    }
}
