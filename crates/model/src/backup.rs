//! Backups as people see them: their ids, the plans of the add-on `pgbackups`, and what is kept.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::ISOWeekDate;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::ids::TransferId;

/// What a transfer is for people.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// A database to the archive.
    Backup,
    /// A dump to a database.
    Restore,
    /// A database to a database.
    Copy,
}

/// Who wanted it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// A person.
    Manual,
    /// A schedule, or the backup plan.
    Automatic,
}

/// The id that people know a transfer by: `b001`, `a002`, `r003`, `c004` (E8). The number counts all
/// transfers of an app and is never used again.
#[must_use]
pub fn label(kind: Kind, cause: Cause, number: i32) -> String {
    let letter = match (kind, cause) {
        (Kind::Backup, Cause::Manual) => 'b',
        (Kind::Backup, Cause::Automatic) => 'a',
        (Kind::Restore, _) => 'r',
        (Kind::Copy, _) => 'c',
    };
    format!("{letter}{number:03}")
}

/// The number that a text means: `7`, `b007` and `B007` are 7.
#[must_use]
pub fn number(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(|c: char| "abcrABCR".contains(c)).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0)
}

/// The service that the plans are of.
pub const SERVICE: &str = "pgbackups";

/// A plan of the add-on `pgbackups` (E1). All are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Its name, without the service's.
    pub name: &'static str,
    /// Its name for people.
    pub human_name: &'static str,
    /// The most manual backups of an app.
    pub manual: u32,
    /// Of how many days the automatic backup is kept.
    pub daily: u32,
    /// Of how many weeks before that one is kept.
    pub weekly: u32,
}

/// The plans. The first one holds where none was added.
pub const PLANS: &[Plan] = &[
    Plan { name: "plus", human_name: "Plus", manual: 7, daily: 0, weekly: 0 },
    Plan {
        name: "auto-week",
        human_name: "Auto - One Week Retention",
        manual: 2,
        daily: 7,
        weekly: 0,
    },
    Plan {
        name: "auto-month",
        human_name: "Auto - One Month Retention",
        manual: 2,
        daily: 7,
        weekly: 5,
    },
];

/// Of how many days the backups of a schedule are kept where the plan keeps none by itself.
const SCHEDULED: u32 = 7;

impl Plan {
    /// The plan that holds where none was added.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &PLANS[0]
    }

    /// The plan with a name, with or without the service's; the service alone means the first.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = match name.split_once(':') {
            Some((SERVICE, plan)) => plan,
            Some(_) => return None,
            None if name == SERVICE => PLANS[0].name,
            None => name,
        };
        PLANS.iter().find(|plan| plan.name == name)
    }

    /// `pgbackups:plus`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{SERVICE}:{}", self.name)
    }

    /// Whether it makes a backup every day by itself.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.daily > 0
    }

    /// Which of a series of automatic backups are not kept (E12): of each of the newest days that
    /// have one the newest, and before those of each of the newest weeks the newest.
    #[must_use]
    pub fn outdated(&self, series: &[(TransferId, Timestamp)]) -> Vec<TransferId> {
        let days = if self.daily == 0 { SCHEDULED } else { self.daily };
        let mut newest_first = series.to_vec();
        newest_first.sort_by_key(|(id, at)| std::cmp::Reverse((*at, *id)));
        let (mut kept_days, mut kept_weeks) = (BTreeSet::new(), BTreeSet::new());
        let mut outdated = Vec::new();
        for (id, at) in newest_first {
            let date = at.to_zoned(TimeZone::UTC).date();
            let week: ISOWeekDate = date.iso_week_date();
            let is_new_day = !kept_days.contains(&date);
            if is_new_day && kept_days.len() < days as usize {
                kept_days.insert(date);
                continue;
            }
            let is_before = kept_days.len() >= days as usize && is_new_day;
            let is_new_week = !kept_weeks.contains(&(week.year(), week.week()));
            if is_before && is_new_week && kept_weeks.len() < self.weekly as usize {
                kept_weeks.insert((week.year(), week.week()));
                continue;
            }
            outdated.push(id);
        }
        outdated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn e8_ids_have_a_letter_and_at_least_three_digits() {
        assert_eq!(label(Kind::Backup, Cause::Manual, 1), "b001");
        assert_eq!(label(Kind::Backup, Cause::Automatic, 373), "a373");
        assert_eq!(label(Kind::Restore, Cause::Manual, 1234), "r1234");
        assert_eq!(label(Kind::Copy, Cause::Manual, 4), "c004");
        for (text, wanted) in [("b001", Some(1)), ("A373", Some(373)), ("12", Some(12))] {
            assert_eq!(number(text), wanted, "{text}");
        }
        for text in ["", "b", "x001", "b-1", "b+1", "0", "b99999999999", "bb1"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn e1_the_plans_are_found_by_every_form_of_their_names() {
        for name in ["pgbackups", "pgbackups:plus", "plus"] {
            assert_eq!(Plan::find(name).map(|plan| plan.name), Some("plus"));
        }
        assert_eq!(Plan::find("pgbackups:auto-month").map(|plan| plan.weekly), Some(5));
        assert!(Plan::find("pgbackups:nope").is_none() && Plan::find("redis:plus").is_none());
    }

    /// Sixty days with a backup each, pruned after every one.
    fn sixty_days(plan: &str, a_day: usize) -> Vec<(TransferId, Timestamp)> {
        let plan = Plan::find(plan).expect("a plan");
        let mut there = Vec::new();
        let mut at = Timestamp::from_second(1_700_000_000).expect("a time");
        for _ in 0..60 {
            for _ in 0..a_day {
                there.push((TransferId::new(), at));
                let gone = plan.outdated(&there);
                there.retain(|(id, _)| !gone.contains(id));
                at += Duration::from_secs(600);
            }
            at += Duration::from_secs(86_400) - Duration::from_secs(600) * a_day as u32;
        }
        there
    }

    #[test]
    fn e12_after_sixty_days_there_are_seven_dailies_and_five_weeklies() {
        assert_eq!(sixty_days("auto-week", 1).len(), 7);
        assert_eq!(sixty_days("auto-month", 3).len(), 12);
        assert_eq!(sixty_days("plus", 1).len(), 7, "of a schedule");
        let month = sixty_days("auto-month", 1);
        let newest = month.last().expect("there are some").1;
        let age = |at: &Timestamp| newest.duration_since(*at).as_hours() / 24;
        let ages: Vec<_> = month.iter().map(|(_, at)| age(at)).collect();
        assert_eq!(ages[5..], [6, 5, 4, 3, 2, 1, 0]);
        assert!(ages[0] >= 28, "the oldest reaches back four weeks: {ages:?}");
        assert!(ages[..5].windows(2).all(|two| two[0] - two[1] <= 7), "{ages:?}");
    }

    #[test]
    fn e12_days_without_a_backup_do_not_use_up_what_is_kept() {
        let plan = Plan::find("auto-week").expect("a plan");
        let old = |days: i64| {
            let at = Timestamp::from_second(1_700_000_000 - days * 86_400).expect("a time");
            (TransferId::new(), at)
        };
        let series: Vec<_> = [0, 30, 60, 90, 120, 150, 180, 210].map(old).into();
        assert_eq!(plan.outdated(&series), [series[7].0]);
    }
}
