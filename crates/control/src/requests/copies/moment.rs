//! Moments and intervals as people write them (G3, G4).

use jiff::civil::DateTime;
use jiff::tz::{self, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::requests::error::{Error, Result};

/// A moment that somebody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// When.
    pub(super) at: Timestamp,
    /// Whether a time zone was given; else UTC was taken.
    pub(super) zoned: bool,
}

/// Reads `2014-10-05 15:02:00+00`, `2014-10-05 15:02 US/Pacific` and the like.
///
/// # Errors
/// When it is not such a text, the zone is not known, or the zone's clock showed that time twice or
/// never.
pub(super) fn moment(text: &str) -> Result<Moment> {
    let (civil, zone) = split(text.trim()).ok_or_else(|| unreadable(text))?;
    let civil: DateTime = civil.parse().map_err(|_| unreadable(text))?;
    let zoned = !zone.is_empty();
    let zone = named_zone(zone)?;
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    let why = match ambiguous.offset() {
        tz::AmbiguousOffset::Unambiguous { .. } => None,
        tz::AmbiguousOffset::Gap { .. } => Some("clocks were set forward over that time"),
        tz::AmbiguousOffset::Fold { .. } => Some("clocks were set back, so that time was twice"),
    };
    if let Some(why) = why {
        return Err(Error::invalid(format!(
            "`{text}` is not one moment: {why}. Give the offset, such as `{}+00`.",
            civil.strftime("%Y-%m-%d %H:%M:%S")
        )));
    }
    let at = ambiguous.unambiguous().map_err(|_| unreadable(text))?;
    Ok(Moment { at, zoned })
}

fn unreadable(text: &str) -> Error {
    Error::invalid(format!(
        "`{text}` is not a time. Write it as `2014-10-05 15:02:00+00` or `2014-10-05 15:02 \
         US/Pacific`."
    ))
}

/// Date with time of day, and the zone: a letter or sign after the time begins it.
fn split(text: &str) -> Option<(&str, &str)> {
    let date = text.get(..10)?;
    let rest = text.get(10..)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let digits = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.');
    let length = time.find(|c| !digits(c)).unwrap_or(time.len());
    if !date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') || length < 5 {
        return None;
    }
    let civil = text.get(..11 + length)?;
    Some((civil, time.get(length..)?.trim()))
}

fn named_zone(name: &str) -> Result<TimeZone> {
    match name {
        "" | "Z" | "z" => return Ok(TimeZone::UTC),
        _ => {}
    }
    if let Some(offset) = offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| {
        Error::invalid(format!(
            "`{name}` is not a time zone. Use a name such as `US/Pacific` or `Europe/Berlin`, or \
             an offset such as `+02`."
        ))
    })
}

/// `+02`, `-0730`, `+02:00`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest.replace(':', "")),
        ("-", rest) => (-1, rest.replace(':', "")),
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |part: &str| part.parse::<i32>().ok();
    let (hours, minutes) = match digits.len() {
        1 | 2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return None,
    };
    if minutes > 59 || hours > 15 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// Reads `2 days 5 hours 3 minutes`, any part of it, in that order or another.
///
/// # Errors
/// When it is not such a text, or no time at all.
pub(super) fn interval(text: &str) -> Result<SignedDuration> {
    let refused = || {
        Error::invalid(format!(
            "`{text}` is not an interval. Write it as `2 days 5 hours 3 minutes`, or with a part \
             of that."
        ))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut seen = [false; 3];
    let mut sum: i64 = 0;
    for pair in words.chunks(2) {
        let [number, unit] = pair else {
            return Err(refused());
        };
        let (place, seconds) = match *unit {
            "day" | "days" => (0, 86_400),
            "hour" | "hours" => (1, 3600),
            "minute" | "minutes" => (2, 60),
            _ => return Err(refused()),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = number.parse().ok().filter(|_| digits).ok_or_else(refused)?;
        if std::mem::replace(&mut seen[place], true) {
            return Err(refused());
        }
        let part = number.checked_mul(seconds).ok_or_else(refused)?;
        sum = sum.checked_add(part).ok_or_else(refused)?;
    }
    if sum == 0 {
        return Err(refused());
    }
    Ok(SignedDuration::from_secs(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        moment(text).expect(text).at
    }

    fn why(text: &str) -> String {
        moment(text).expect_err(text).to_string()
    }

    #[test]
    fn g3_the_spellings_of_one_instant_are_one_instant() {
        let instant: Timestamp = "2014-10-05T22:02:00Z".parse().expect("a time");
        for text in [
            "2014-10-05 22:02:00+00",
            "2014-10-05 22:02:00 +0000",
            "2014-10-05 22:02 UTC",
            "2014-10-05T22:02:00Z",
            "2014-10-05 15:02 US/Pacific",
            "2014-10-05 15:02:00.0 America/Los_Angeles",
            "2014-10-05 15:02:00-07",
            "2014-10-05 15:02:00-07:00",
            " 2014-10-06 03:32 +0530 ",
        ] {
            assert_eq!(moment(text).expect(text), Moment { at: instant, zoned: true }, "{text}");
        }
        let bare = moment("2014-10-05 22:02:00").expect("UTC is taken");
        assert_eq!(bare, Moment { at: instant, zoned: false });
    }

    #[test]
    fn g3_daylight_saving_is_respected_and_what_is_not_one_moment_is_refused() {
        let winter = at("2014-12-05 15:02 US/Pacific");
        assert_eq!(winter.to_string(), "2014-12-05T23:02:00Z");
        assert!(why("2014-11-02 01:30 US/Pacific").contains("twice"));
        assert!(why("2014-03-09 02:30 US/Pacific").contains("forward"));
        assert!(why("2014-03-09 02:30 US/Pacific").contains("2014-03-09 02:30:00+00"));
    }

    #[test]
    fn g3_what_cannot_be_read_is_refused() {
        for bad in [
            "",
            "soon",
            "2014-10-05",
            "2014-13-05 10:00",
            "2014-10-05 25:00",
            "2014-10-05 10",
            "2014-10-05 10:00 Mars/Olympus",
            "2014-10-05 10:00 +99",
            "10:00",
            "2014-10-05x10:00",
            "2014-10-05 10:00+1:2:3",
            "2014-10-0é 10:00",
            "éééééé",
            "2014-02-30 10:00",
            "9999999999-10-05 10:00",
            "2014-10-05 10:00 ../../etc/passwd",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn g4_intervals_are_any_subset_of_days_hours_and_minutes() {
        let seconds = |text| interval(text).map(|time| time.as_secs()).map_err(|e| e.to_string());
        assert_eq!(seconds("2 days 5 hours 3 minutes"), Ok(2 * 86_400 + 5 * 3600 + 180));
        assert_eq!(seconds("10 minutes"), Ok(600));
        assert_eq!(seconds("1 hour 5 minutes"), Ok(3900));
        assert_eq!(seconds("1 day"), Ok(86_400));
        for bad in [
            "",
            "soon",
            "5",
            "days",
            "5 weeks",
            "-1 hours",
            "1.5 hours",
            "1 hour 1 hour",
            "0 minutes",
            "9223372036854775807 days",
            "+1 hour",
            "1 hour and 5 minutes",
        ] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
