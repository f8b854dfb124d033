//! What `pg:info` shows of a database: the rows, in the book's order.

mod protection;

use howdah_control::requests::lineage::{Lineage, Other};
use howdah_control::requests::protection::State as Protection;
use howdah_model::agent::DatabaseLook;
use howdah_model::compliance::Compliance;
use howdah_model::database::State;
use howdah_model::plan::{Plan, Tier};
use howdah_model::size::Bytes;
use howdah_model::version::{Major, Support, Version};
use howdah_store::incidents::Incident;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What is known of a database.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Its plan.
    pub(crate) plan: &'static Plan,
    /// How it fares.
    pub(crate) state: State,
    /// Its major version.
    pub(crate) major: Major,
    /// The version that runs, when it is known.
    pub(crate) version: Option<Version>,
    /// When it was asked for.
    pub(crate) created_at: Timestamp,
    /// The newest figures, if it was ever looked at.
    pub(crate) look: Option<DatabaseLook>,
    /// Whether an app has a URL of its pools.
    pub(crate) pooling: Pooling,
    /// What to say when its server has less memory than the plan stands for.
    pub(crate) memory: Option<String>,
    /// What stands in the way of its participant, for people.
    pub(crate) warning: Option<String>,
    /// How it stands to its limit of rows, when it has one and was counted.
    pub(crate) compliance: Option<Compliance>,
    /// When this was looked at.
    pub(crate) now: Timestamp,
    /// How it shall be protected, and how it is.
    pub(crate) protection: Protection,
    /// What it has to do with others.
    pub(crate) lineage: Lineage,
    /// What is wrong with its protection now.
    pub(crate) incidents: Vec<Incident>,
}

/// Whether an app has a URL of a database's pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// It can have one.
    Available,
    /// It has one.
    Attached,
}

/// One row: a label and its values. Without values it is not shown.
pub(crate) type Row = (&'static str, Vec<String>);

/// The rows, in order. Production plans have another order than hobby plans, as in the book.
pub(crate) fn rows(facts: &Facts) -> Vec<Row> {
    let head = [one("Plan", facts.plan.human_name()), one("Status", facts.state.shown())];
    let rows = match facts.plan.tier {
        Tier::Hobby => vec![
            connections(facts),
            version(facts),
            created(facts),
            size(facts),
            tables(facts),
            row_count(facts),
            one("Fork/Follow", "Unsupported"),
            one("Rollback", "Unsupported"),
        ],
        Tier::Standard | Tier::Premium | Tier::Enterprise => vec![
            size(facts),
            tables(facts),
            version(facts),
            connections(facts),
            fork_follow(facts),
            protection::rollback(facts),
            created(facts),
            one("Maintenance", "not required"),
            pooling(facts),
        ],
    };
    let relations = relations(&facts.lineage);
    let tail = [memory(facts), warning(facts)];
    let all = head.into_iter().chain(rows).chain(relations).chain(protection::rows(facts));
    let all = all.chain(tail);
    all.filter(|(_, values)| !values.is_empty()).collect()
}

/// The rows as the data API gives them.
pub(crate) fn json(rows: &[Row]) -> Value {
    let shown =
        |(name, values): &Row| json!({ "name": name, "values": values, "resolve_db_name": false });
    rows.iter().map(shown).collect()
}

/// A time as `pg:info` shows it: `2014-05-25 14:03 UTC` (M23).
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn one(label: &'static str, value: impl Into<String>) -> Row {
    (label, vec![value.into()])
}

fn looked(facts: &Facts, label: &'static str, value: impl Fn(&DatabaseLook) -> String) -> Row {
    (label, facts.look.iter().map(value).collect())
}

fn connections(facts: &Facts) -> Row {
    let limit = facts.plan.connections;
    looked(facts, "Connections", |look| format!("{}/{limit}", look.connections))
}

fn size(facts: &Facts) -> Row {
    looked(facts, "Data Size", |look| {
        Bytes(u64::try_from(look.size_bytes).unwrap_or_default()).to_string()
    })
}

fn tables(facts: &Facts) -> Row {
    looked(facts, "Tables", |look| look.table_count.to_string())
}

fn row_count(facts: &Facts) -> Row {
    let Some(limit) = facts.plan.rows else {
        return ("Rows", Vec::new());
    };
    looked(facts, "Rows", |look| {
        format!("{}/{limit} ({})", look.row_count, judged(facts, look, limit))
    })
}

/// What was counted last decides what the database may do, also when there are fewer by now.
fn judged(facts: &Facts, look: &DatabaseLook, limit: u64) -> String {
    let within = u64::try_from(look.row_count).unwrap_or_default() <= limit;
    match facts.compliance {
        Some(Compliance::Refused { .. }) => "Not in compliance, INSERT is refused".to_owned(),
        Some(Compliance::Over { until, .. }) => {
            format!("Not in compliance, INSERT will be refused after {}", time(until))
        }
        Some(Compliance::Within) | None if within => "In compliance".to_owned(),
        Some(Compliance::Within) | None => "Not in compliance".to_owned(),
    }
}

fn version(facts: &Facts) -> Row {
    let version = match facts.version {
        Some(version) => version.to_string(),
        None => facts.major.to_string(),
    };
    match facts.major.support() {
        Support::Supported => one("PG Version", version),
        other @ (Support::Beta | Support::Deprecated) => {
            one("PG Version", format!("{version} ({other})"))
        }
    }
}

fn created(facts: &Facts) -> Row {
    one("Created", time(facts.created_at))
}

/// A follower cannot be followed; what is made from it is made from its leader.
fn fork_follow(facts: &Facts) -> Row {
    let follows = facts.lineage.following.is_some();
    one("Fork/Follow", if follows { "Unavailable on followers" } else { "Available" })
}

/// The databases that it has to do with (D5).
fn relations(lineage: &Lineage) -> [Row; 5] {
    let names = |others: &[Other]| others.iter().map(|other| other.shown.clone()).collect();
    let name = |other: &Option<Other>| other.iter().map(|other| other.shown.clone()).collect();
    [
        ("Forked From", name(&lineage.forked_from)),
        ("Forks", names(&lineage.forks)),
        ("Following", name(&lineage.following)),
        ("Followers", names(&lineage.followers)),
        ("Behind By", lineage.behind.iter().map(|count| format!("{count} commits")).collect()),
    ]
}

fn pooling(facts: &Facts) -> Row {
    one(
        "Connection Pooling",
        match facts.pooling {
            Pooling::Available => "Available",
            Pooling::Attached => "Attached",
        },
    )
}

fn memory(facts: &Facts) -> Row {
    ("Memory", facts.memory.iter().cloned().collect())
}

fn warning(facts: &Facts) -> Row {
    ("Warning", facts.warning.iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use howdah_model::plan;

    fn facts(plan: &str) -> Facts {
        let at = "2014-05-25T14:03:17Z".parse().expect("a time");
        Facts {
            plan: plan::find(plan).expect("a plan"),
            state: State::Available,
            major: Major(15),
            version: Some("15.20".parse().expect("a version")),
            created_at: at,
            look: Some(DatabaseLook {
                at,
                connections: 1,
                size_bytes: 6_710_886,
                row_count: 23,
                table_count: 9,
                seq_scans: 0,
                index_scans: 0,
            }),
            pooling: Pooling::Available,
            memory: None,
            warning: None,
            compliance: None,
            now: at,
            protection: Protection::default(),
            lineage: Lineage::default(),
            incidents: Vec::new(),
        }
    }

    fn shown(facts: &Facts) -> String {
        let lines = rows(facts).into_iter().map(|(label, values)| {
            let values = values.join(", ");
            format!("{label}: {values}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn d3_c27_m23_the_rows_of_a_hobby_database() {
        insta::assert_snapshot!(shown(&facts("hobby-dev")), @r"
        Plan: Hobby-dev
        Status: Available
        Connections: 1/20
        PG Version: 15.20
        Created: 2014-05-25 14:03 UTC
        Data Size: 6.4 MB
        Tables: 9
        Rows: 23/10000 (In compliance)
        Fork/Follow: Unsupported
        Rollback: Unsupported
        ");
    }

    #[test]
    fn d4_the_rows_of_a_production_database() {
        let mut facts = facts("standard-2");
        facts.pooling = Pooling::Attached;
        facts.memory = Some("less than the plan's".into());
        insta::assert_snapshot!(shown(&facts), @r"
        Plan: Standard 2
        Status: Available
        Data Size: 6.4 MB
        Tables: 9
        PG Version: 15.20
        Connections: 1/400
        Fork/Follow: Available
        Rollback: Unsupported
        Created: 2014-05-25 14:03 UTC
        Maintenance: not required
        Connection Pooling: Attached
        Memory: less than the plan's
        ");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_not_called_zero() {
        let facts =
            Facts { look: None, version: None, state: State::Preparing, ..facts("hobby-dev") };
        insta::assert_snapshot!(shown(&facts), @r"
        Plan: Hobby-dev
        Status: Preparing
        PG Version: 15
        Created: 2014-05-25 14:03 UTC
        Fork/Follow: Unsupported
        Rollback: Unsupported
        ");
    }

    #[test]
    fn c28_more_rows_than_the_plan_has_are_not_in_compliance() {
        let mut facts = facts("hobby-dev");
        facts.look.as_mut().expect("a look").row_count = 10_001;
        assert_eq!(row_count(&facts), one("Rows", "10001/10000 (Not in compliance)"));
        let (since, until) = (facts.now, "2014-06-01T14:03:17Z".parse().expect("a time"));
        facts.compliance = Some(Compliance::Over { since, until });
        let told =
            "10001/10000 (Not in compliance, INSERT will be refused after 2014-06-01 14:03 UTC)";
        assert_eq!(row_count(&facts), one("Rows", told));
        facts.compliance = Some(Compliance::Refused { over: since, since: until });
        let told = "10001/10000 (Not in compliance, INSERT is refused)";
        assert_eq!(row_count(&facts), one("Rows", told));
    }
}
