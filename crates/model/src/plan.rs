//! The plan catalogue: data in one place (C23–C25, C40).

use std::fmt;
use std::time::Duration;

use crate::protection::Protection;

/// A family of plans with the same promises.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Tier {
    /// A database on a shared participant.
    Hobby,
    /// A participant of its own.
    Standard,
    /// A participant of its own, and one that stands by.
    Premium,
    /// As premium, with a longer rollback window.
    Enterprise,
}

/// Which catalogue decides how long things are kept.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[strum(serialize_all = "snake_case")]
pub enum Catalogue {
    /// The book's.
    #[default]
    Book,
    /// Today's.
    Today,
}

/// Whether a plan has a thing.
pub type Has = bool;

/// What a tier promises (C25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Features {
    /// Downtime that is tolerated in 30 days, in minutes.
    pub tolerated_downtime_minutes: u32,
    /// `--fork` and `--follow`.
    pub fork_follow: Has,
    /// How far back `--rollback` reaches, in hours; 0 when it does not.
    pub rollback_hours: u32,
    /// A standby takes over.
    pub high_availability: Has,
    /// The extensions `plv8` and `postgis`.
    pub big_extensions: Has,
    /// A URL of the gateway's pools.
    pub connection_pooling: Has,
    /// Credentials beside the default one.
    pub named_credentials: Has,
}

impl Tier {
    /// What the tier promises.
    #[must_use]
    pub fn features(self) -> Features {
        let promise = |downtime, rollback, ha| Features {
            tolerated_downtime_minutes: downtime,
            fork_follow: rollback > 0,
            rollback_hours: rollback,
            high_availability: ha,
            big_extensions: rollback > 0,
            connection_pooling: rollback > 0,
            named_credentials: rollback > 0,
        };
        match self {
            Self::Hobby => promise(240, 0, false),
            Self::Standard => promise(60, 1, false),
            Self::Premium => promise(15, 7 * 24, true),
            Self::Enterprise => promise(15, 30 * 24, true),
        }
    }

    /// How far back `--rollback` reaches; zero where it is not offered (G6).
    #[must_use]
    pub fn rollback(self, catalogue: Catalogue) -> Duration {
        let hours = match (self, catalogue) {
            (Self::Standard, Catalogue::Today) => 4 * 24,
            _ => self.features().rollback_hours,
        };
        Duration::from_secs(u64::from(hours) * 3600)
    }

    /// How its databases are protected. What can be restored reaches back a day at least, so that
    /// a hobby database survives its server (M10) and a base backup is never the only one.
    #[must_use]
    pub fn protection(self, catalogue: Catalogue) -> Protection {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        Protection {
            backup_every: DAY,
            keep: self.rollback(catalogue).as_secs().max(DAY),
            drill_every: match self {
                Self::Hobby => 7 * DAY,
                Self::Standard => 3 * DAY,
                Self::Premium | Self::Enterprise => DAY,
            },
            ..Protection::default()
        }
    }
}

/// One plan of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// Its name, without the service's.
    pub name: &'static str,
    /// Its tier.
    pub tier: Tier,
    /// Sessions that a database may have.
    pub connections: u32,
    /// Rows that a database may have; `None` for no limit.
    pub rows: Option<u64>,
    /// Virtual processors; 0 where they are shared.
    pub vcpu: u32,
    /// Memory in MiB; 0 where it is shared.
    pub ram_mib: u64,
    /// Disk in GiB; `None` where none is stated.
    pub disk_gib: Option<u64>,
    /// Provisioned input and output operations per second; 0 where they are shared.
    pub piops: u32,
    /// Whether databases of others may be on the same machine.
    pub multitenant: bool,
    /// Price for a month in cents; `None` where none is stated.
    pub cents: Option<u32>,
    /// Today's and old names of the same plan.
    pub aliases: &'static [&'static str],
}

/// The name of the add-on service.
pub const SERVICE: &str = "heroku-postgresql";

/// The plan of an add-on that names none: the smallest (C2).
pub const DEFAULT: &str = "hobby-dev";

/// The catalogue (C23, C24), smallest first.
#[rustfmt::skip]
pub const PLANS: &[Plan] = {
    const GIB: u64 = 1024;
    const TB: Option<u64> = Some(1024);
    use Tier::{Enterprise, Hobby, Premium, Standard};
    &[
        plan("hobby-dev",    Hobby,      20,  0,  0,         None,      0,    Some(0),       &["dev", "mini", "essential-0"]).rows(10_000),
        plan("hobby-basic",  Hobby,      20,  0,  0,         None,      0,    Some(900),     &["basic", "essential-1", "essential-2"]).rows(10_000_000),
        plan("standard-0",   Standard,   120, 2,  GIB,       Some(64),  200,  Some(5_000),   &["standard-yanari"]),
        plan("premium-0",    Premium,    120, 2,  GIB,       Some(64),  200,  Some(20_000),  &["premium-yanari"]),
        plan("standard-2",   Standard,   400, 2,  7 * GIB / 2, Some(256), 200, Some(20_000), &[]),
        plan("premium-2",    Premium,    400, 2,  7 * GIB / 2, Some(256), 200, Some(35_000), &[]),
        plan("standard-4",   Standard,   500, 2,  15 * GIB,  Some(512), 1000, Some(75_000),  &["standard-3"]).alone(),
        plan("premium-4",    Premium,    500, 2,  15 * GIB,  Some(512), 1000, Some(120_000), &["premium-3"]).alone(),
        plan("standard-5",   Standard,   500, 4,  30 * GIB,  TB,        2000, Some(140_000), &[]).alone(),
        plan("premium-5",    Premium,    500, 4,  30 * GIB,  TB,        2000, Some(250_000), &[]).alone(),
        plan("standard-6",   Standard,   500, 8,  60 * GIB,  TB,        3000, Some(200_000), &[]).alone(),
        plan("premium-6",    Premium,    500, 8,  60 * GIB,  TB,        3000, Some(350_000), &[]).alone(),
        plan("standard-7",   Standard,   500, 16, 120 * GIB, TB,        4000, Some(350_000), &["standard-8", "standard-9"]).alone(),
        plan("premium-7",    Premium,    500, 16, 120 * GIB, TB,        4000, Some(600_000), &["premium-8", "premium-9"]).alone(),
        plan("enterprise-7", Enterprise, 500, 16, 120 * GIB, TB,        4000, None,          &["private-7", "shield-7"]).alone(),
        plan("enterprise-8", Enterprise, 500, 32, 240 * GIB, TB,        4000, None,          &["private-8", "shield-8"]).alone(),
    ]
};

#[expect(clippy::too_many_arguments, reason = "one column of the table each")]
const fn plan(
    name: &'static str,
    tier: Tier,
    connections: u32,
    vcpu: u32,
    ram_mib: u64,
    disk_gib: Option<u64>,
    piops: u32,
    cents: Option<u32>,
    aliases: &'static [&'static str],
) -> Plan {
    Plan {
        name,
        tier,
        connections,
        rows: None,
        vcpu,
        ram_mib,
        disk_gib,
        piops,
        multitenant: true,
        cents,
        aliases,
    }
}

impl Plan {
    const fn rows(self, rows: u64) -> Self {
        Self { rows: Some(rows), ..self }
    }

    const fn alone(self) -> Self {
        Self { multitenant: false, ..self }
    }

    /// Whether databases of this plan live together in a shared participant.
    #[must_use]
    pub fn shares_participant(&self) -> bool {
        self.tier == Tier::Hobby
    }

    /// The name with the service's, as the API says it.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{SERVICE}:{}", self.name)
    }

    /// The name as `pg:info` says it: `Standard 0`, `Hobby-dev`.
    #[must_use]
    pub fn human_name(&self) -> String {
        let mut name = self.name.to_owned();
        if self.tier != Tier::Hobby {
            name = name.replace('-', " ");
        }
        name[..1].make_ascii_uppercase();
        name
    }

    /// The price as people read it (C3): `free`, `$50/mo`.
    #[must_use]
    pub fn price(&self) -> String {
        match self.cents {
            Some(0) => "free".to_owned(),
            Some(cents) => format!("${}/mo", cents / 100),
            None => "contract".to_owned(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// No such plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Couldn't find either the add-on service or the add-on plan of \"{0}\".")]
pub struct NoSuchPlan(pub String);

/// Finds a plan by what people call it: `heroku-postgresql`, `heroku-postgresql:standard-0`,
/// `standard-0`, or an alias (C40).
///
/// # Errors
/// When there is none of that name.
pub fn find(text: &str) -> Result<&'static Plan, NoSuchPlan> {
    let name = match text.split_once(':') {
        Some((SERVICE, plan)) => plan,
        None if text == SERVICE => DEFAULT,
        Some(_) => return Err(NoSuchPlan(text.to_owned())),
        None => text,
    };
    PLANS
        .iter()
        .find(|plan| plan.name == name || plan.aliases.contains(&name))
        .ok_or_else(|| NoSuchPlan(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_c24_the_catalogue_is_the_books() {
        assert_eq!(PLANS.len(), 16);
        let two = find("heroku-postgresql:standard-2").expect("there");
        assert_eq!((two.connections, two.ram_mib, two.cents), (400, 3584, Some(20_000)));
        assert_eq!(find("premium-4").map(|p| p.multitenant), Ok(false));
        assert_eq!(find("hobby-dev").map(|p| p.rows), Ok(Some(10_000)));
        assert_eq!(find("enterprise-8").map(|p| (p.vcpu, p.price())), Ok((32, "contract".into())));
    }

    #[test]
    fn c2_c40_the_smallest_is_the_default_and_old_and_new_names_are_found() {
        assert_eq!(find("heroku-postgresql").map(|p| p.name), Ok("hobby-dev"));
        assert_eq!(find("heroku-postgresql:essential-0").map(|p| p.tier), Ok(Tier::Hobby));
        assert_eq!(find("mini").map(|p| p.name), Ok("hobby-dev"));
        for bad in ["", "nope", "heroku-postgresql:", "heroku-postgresql:nope", "redis:standard-0"]
        {
            assert_eq!(find(bad), Err(NoSuchPlan(bad.into())));
        }
    }

    #[test]
    fn g6_m12_windows_are_those_of_the_catalogue_and_base_backups_come_daily() {
        let hours = |tier: Tier, catalogue| tier.rollback(catalogue).as_secs() / 3600;
        for (tier, book, today) in [
            (Tier::Hobby, 0, 0),
            (Tier::Standard, 1, 96),
            (Tier::Premium, 168, 168),
            (Tier::Enterprise, 720, 720),
        ] {
            assert_eq!(hours(tier, Catalogue::Book), book);
            assert_eq!(hours(tier, Catalogue::Today), today);
            for catalogue in [Catalogue::Book, Catalogue::Today] {
                let protection = tier.protection(catalogue);
                assert!(protection.backup_every <= 30 * 3600, "G28: --fast promises 30 hours");
                assert!(protection.keep >= protection.backup_every);
                assert!(protection.keep >= tier.rollback(catalogue).as_secs());
                assert!(protection.drill_every > 0, "M13: every restore is tested");
            }
        }
    }

    #[test]
    fn every_name_and_alias_means_one_plan() {
        let mut names: Vec<_> =
            PLANS.iter().flat_map(|p| p.aliases.iter().chain([&p.name])).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn c3_d3_d4_names_and_prices_as_people_read_them() {
        assert_eq!(
            find("hobby-dev").map(|p| (p.human_name(), p.price())),
            Ok(("Hobby-dev".into(), "free".into()))
        );
        assert_eq!(
            find("standard-2").map(|p| (p.human_name(), p.price())),
            Ok(("Standard 2".into(), "$200/mo".into()))
        );
    }
}
