//! When the server of a database may be restarted, and what is due for it.

use std::fmt;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// How long a window is open.
pub const LENGTH: SignedDuration = SignedDuration::from_hours(4);
/// How long before its time people are told of what is due, at least.
pub const NOTICE: SignedDuration = SignedDuration::from_hours(24);
/// How long it can be put off.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(28 * 24);

const MINUTES_OF_DAY: u16 = 24 * 60;
const WEEK: i64 = 7 * 24 * 3600;

/// A time of the week, in UTC, at which a window of [`LENGTH`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// 0 is Monday.
    day: u8,
    minute: u16,
}

/// Why there is no such window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// Not a day.
    #[error("`{0}` is not a day of the week, such as `sunday`")]
    Day(String),
    /// Not a time of a day.
    #[error("`{0}` is not a time of the day, such as `13:30` or `1:30PM`")]
    Time(String),
}

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Window {
    /// The window of that day (0 is Monday) and minute, if there is one.
    #[must_use]
    pub fn new(day: u8, minute: u16) -> Option<Self> {
        (usize::from(day) < DAYS.len() && minute < MINUTES_OF_DAY).then_some(Self { day, minute })
    }

    /// The window of a database for which none was chosen: any of the week, always the same.
    #[must_use]
    pub fn of(id: Uuid) -> Self {
        // The low half of an id is random.
        let random = id.as_u128() & 0xffff_ffff;
        let (day, half_hour) = (random % 7, random / 7 % 48);
        Self { day: day as u8, minute: half_hour as u16 * 30 }
    }

    /// The window of a day and a time as people write them: `sunday`, `Sun`; `13:30`, `1:30PM`.
    ///
    /// # Errors
    /// See [`BadWindow`].
    pub fn parse(day: &str, time: &str) -> Result<Self, BadWindow> {
        let typed = day.trim().to_ascii_lowercase();
        let typed = typed.strip_suffix("days").map_or(typed.clone(), |stem| format!("{stem}day"));
        let is_meant = |name: &&str| {
            let name = name.to_ascii_lowercase();
            name == typed || (typed.len() >= 3 && name.starts_with(&typed))
        };
        let found = DAYS.iter().position(is_meant);
        let day = found.ok_or_else(|| BadWindow::Day(day.to_owned()))?;
        let minute = minute(time).ok_or_else(|| BadWindow::Time(time.to_owned()))?;
        Ok(Self { day: day as u8, minute })
    }

    /// Its day: 0 is Monday.
    #[must_use]
    pub fn day(self) -> u8 {
        self.day
    }

    /// The minute of the day at which it begins.
    #[must_use]
    pub fn minute(self) -> u16 {
        self.minute
    }

    /// The first time at or after another at which it begins.
    #[must_use]
    pub fn next(self, after: Timestamp) -> Timestamp {
        let civil = after.to_zoned(TimeZone::UTC);
        let weekday: Weekday = civil.weekday();
        let into_week = i64::from(weekday.to_monday_zero_offset()) * 24 * 3600
            + i64::from(civil.hour()) * 3600
            + i64::from(civil.minute()) * 60
            + i64::from(civil.second());
        let begins = i64::from(self.day) * 24 * 3600 + i64::from(self.minute) * 60;
        let whole = Timestamp::from_second(after.as_second()).unwrap_or(after);
        let passed = whole < after;
        let mut wait = (begins - into_week).rem_euclid(WEEK);
        if wait == 0 && passed {
            wait = WEEK;
        }
        whole.saturating_add(SignedDuration::from_secs(wait)).unwrap_or(Timestamp::MAX)
    }
}

/// `Thursdays 22:00 to Fridays 02:00 UTC`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.minute + LENGTH.as_mins() as u16;
        let later = usize::from(self.day) + usize::from(end / MINUTES_OF_DAY);
        let (from, to) = (DAYS[usize::from(self.day)], DAYS[later % DAYS.len()]);
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        write!(f, "{from}s {} to {to}s {} UTC", time(self.minute), time(end))
    }
}

/// The minute of the day: `13:30`, `1:30PM`, `1 pm`, `13`.
fn minute(typed: &str) -> Option<u16> {
    let text = typed.trim().to_ascii_lowercase();
    let text = text.strip_suffix("utc").unwrap_or(&text).trim();
    let (text, half) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(text), _) => (text.trim(), Some(0)),
        (_, Some(text)) => (text.trim(), Some(12)),
        (None, None) => (text, None),
    };
    let (hour, minute) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| {
        let is_short = !text.is_empty() && text.len() <= 2;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_short && digits { text.parse::<u16>().ok() } else { None }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let hour = match half {
        None if hour < 24 => hour,
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        None | Some(_) => return None,
    };
    (minute < 60).then_some(hour * 60 + minute)
}

/// Where a maintenance stands.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    serde::Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// Nothing is due.
    None,
    /// It waits for its time.
    Pending,
    /// The server is being restarted.
    Running,
    /// It was done.
    Completed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_is_read_as_people_write_it_and_printed_as_heroku_does() {
        let shown = |day, time| Window::parse(day, time).map(|window| window.to_string());
        let thursday = "Thursdays 22:00 to Fridays 02:00 UTC";
        for (day, time) in
            [("thursday", "22:00"), ("Thursdays", "10PM"), ("thu", "10:00 pm"), ("THURS", "22")]
        {
            assert_eq!(shown(day, time).as_deref(), Ok(thursday), "{day} {time}");
        }
        assert_eq!(shown("sunday", "1:30PM").as_deref(), Ok("Sundays 13:30 to Sundays 17:30 UTC"));
        assert_eq!(shown("sun", "12am").as_deref(), Ok("Sundays 00:00 to Sundays 04:00 UTC"));
        assert_eq!(shown("sun", "23:59").as_deref(), Ok("Sundays 23:59 to Mondays 03:59 UTC"));
        for (day, time) in [
            ("someday", "1:00"),
            ("s", "1:00"),
            ("", "1:00"),
            ("sunday", ""),
            ("sunday", "24:00"),
            ("sunday", "13pm"),
            ("sunday", "1:60"),
            ("sunday", "-1:00"),
            ("sunday", "1:2:3"),
            ("sunday", "0am"),
        ] {
            assert!(Window::parse(day, time).is_err(), "{day} {time}");
        }
    }

    #[test]
    fn the_next_one_is_within_a_week_and_at_once_when_it_begins_now() {
        // 2026-11-20 is a Friday.
        let window = Window::parse("friday", "10:00").expect("a window");
        for (after, next) in [
            ("2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z"),
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
            ("2026-11-20T10:00:00.5Z", "2026-11-27T10:00:00Z"),
            ("2026-11-20T10:00:01Z", "2026-11-27T10:00:00Z"),
            ("2026-11-21T00:00:00Z", "2026-11-27T10:00:00Z"),
        ] {
            assert_eq!(window.next(time(after)), time(next), "{after}");
        }
    }

    #[test]
    fn databases_have_windows_all_over_the_week_and_keep_theirs() {
        let ids: Vec<_> = (0..2000).map(|_| Uuid::now_v7()).collect();
        let mut days = [0_u32; 7];
        for id in &ids {
            let window = Window::of(*id);
            assert_eq!(window, Window::of(*id));
            assert_eq!(Window::new(window.day(), window.minute()), Some(window));
            days[usize::from(window.day())] += 1;
        }
        assert!(days.iter().all(|count| *count > 100), "{days:?}");
    }
}
