//! What `pg:diagnose` looks at, from when on it is a problem, and what can be done about it: one
//! table for the checks, their words and the documentation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a check came out, worst first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// It wants a cure now.
    Red,
    /// It should be looked at.
    Yellow,
    /// All is well.
    Green,
    /// It could not be looked at, or there is nothing to look at.
    Skipped,
}

/// What is looked at. The names are those that Heroku prints.
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
#[expect(missing_docs, reason = "the table below says what each is about")]
pub enum Name {
    #[strum(serialize = "Connection Count")]
    #[serde(rename = "Connection Count")]
    ConnectionCount,
    #[strum(serialize = "Long Queries")]
    #[serde(rename = "Long Queries")]
    LongQueries,
    #[strum(serialize = "Long Transactions")]
    #[serde(rename = "Long Transactions")]
    LongTransactions,
    #[strum(serialize = "Idle in Transaction")]
    #[serde(rename = "Idle in Transaction")]
    IdleInTransaction,
    #[strum(serialize = "Blocking Queries")]
    #[serde(rename = "Blocking Queries")]
    BlockingQueries,
    #[strum(serialize = "Indexes")]
    Indexes,
    #[strum(serialize = "Bloat")]
    Bloat,
    #[strum(serialize = "Hit Rate")]
    #[serde(rename = "Hit Rate")]
    HitRate,
    #[strum(serialize = "Sequences")]
    Sequences,
    #[strum(serialize = "Unlogged Tables")]
    #[serde(rename = "Unlogged Tables")]
    UnloggedTables,
    #[strum(serialize = "Table Transaction ID Wraparound")]
    #[serde(rename = "Table Transaction ID Wraparound")]
    TableWraparound,
    #[strum(serialize = "Database Transaction ID Wraparound")]
    #[serde(rename = "Database Transaction ID Wraparound")]
    DatabaseWraparound,
    #[strum(serialize = "Schema Count")]
    #[serde(rename = "Schema Count")]
    SchemaCount,
    #[strum(serialize = "Stale Statistics")]
    #[serde(rename = "Stale Statistics")]
    StaleStatistics,
    #[strum(serialize = "Autovacuum Disabled")]
    #[serde(rename = "Autovacuum Disabled")]
    AutovacuumDisabled,
    #[strum(serialize = "Foreign Keys without Index")]
    #[serde(rename = "Foreign Keys without Index")]
    ForeignKeys,
    #[strum(serialize = "Tables without Primary Key")]
    #[serde(rename = "Tables without Primary Key")]
    PrimaryKeys,
    #[strum(serialize = "Durability")]
    Durability,
    #[strum(serialize = "Collation Version")]
    #[serde(rename = "Collation Version")]
    CollationVersion,
    #[strum(serialize = "Extension Updates")]
    #[serde(rename = "Extension Updates")]
    ExtensionUpdates,
    #[strum(serialize = "Replication Slots")]
    #[serde(rename = "Replication Slots")]
    ReplicationSlots,
    #[strum(serialize = "Load")]
    Load,
    #[strum(serialize = "CPU Burst")]
    #[serde(rename = "CPU Burst")]
    CpuBurst,
    #[strum(serialize = "Memory")]
    Memory,
    #[strum(serialize = "Storage")]
    Storage,
    #[strum(serialize = "Backups")]
    Backups,
    #[strum(serialize = "Minor Version")]
    #[serde(rename = "Minor Version")]
    MinorVersion,
}

/// When a check is yellow and when red, and what people are told.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// The check.
    pub name: Name,
    /// From which value on it is yellow, in `unit`; below it where less is worse.
    pub yellow: f64,
    /// From which on it is red. Infinite where it never is.
    pub red: f64,
    /// What is measured.
    pub unit: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What can be done, commands in backticks.
    pub fix: &'static str,
}

const NEVER: f64 = f64::INFINITY;

const fn check(
    name: Name,
    yellow: f64,
    red: f64,
    unit: &'static str,
    why: &'static str,
    fix: &'static str,
) -> Threshold {
    Threshold { name, yellow, red, unit, why, fix }
}

/// Every check, in the order in which they are made.
#[rustfmt::skip]
pub const THRESHOLDS: &[Threshold] = {
    use Name::*;
    &[
        check(ConnectionCount, 75.0, 90.0, "per cent of the plan's connections",
            "Beyond the limit nobody else can connect.",
            "`pg:connection-pooling:attach` lets many clients share servers; `pg:killall` ends all sessions."),
        check(LongQueries, 60.0, 300.0, "seconds",
            "A slow statement takes what others need, and keeps dead rows.",
            "`pg:kill PID` cancels it; EXPLAIN says whether an index is missing."),
        check(LongTransactions, 300.0, 1800.0, "seconds",
            "As long as it is open, no row that died since can be removed.",
            "`pg:kill PID -f` ends it; `rollback prepared` ends a prepared one."),
        check(IdleInTransaction, 60.0, 60.0, "seconds",
            "A client that does nothing holds locks and dead rows.",
            "`pg:kill PID -f` ends it; `alter role … set idle_in_transaction_session_timeout` prevents it."),
        check(BlockingQueries, 5.0, 60.0, "seconds",
            "Statements wait for a lock that another session holds.",
            "`pg:blocking` shows them; `pg:kill PID -f` ends who blocks."),
        check(Indexes, 1.0, NEVER, "indexes",
            "An index that nothing uses slows every write; an invalid one is no use at all.",
            "`drop index concurrently`; an invalid one: `reindex index concurrently`."),
        check(Bloat, 2.0, 10.0, "times the size that the rows need, with 100 MB of waste or more",
            "Room that dead rows have left is read and cached all the same.",
            "An index: `reindex index concurrently`. A table: `pg:vacuum DATABASE TABLE --full`, while nobody needs it."),
        check(HitRate, 99.0, 95.0, "per cent, and less is worse",
            "What is not in memory is read from the disk, which is far slower.",
            "Look at `pg:outliers` and `pg:seq-scans`, or take a plan with more memory."),
        check(Sequences, 75.0, 90.0, "per cent of the last number",
            "Inserts fail when a sequence or its column has no number left.",
            "`alter table … alter column … type bigint`, and `alter sequence … as bigint`."),
        check(UnloggedTables, 1.0, NEVER, "tables",
            "They are empty after a crash, in forks and on followers.",
            "`alter table … set logged`."),
        check(TableWraparound, 1.5, 2.0, "times autovacuum_freeze_max_age",
            "PostgreSQL stops all writes rather than to use a transaction number twice.",
            "`pg:vacuum DATABASE TABLE`, and end what keeps old rows: see Long Transactions."),
        check(DatabaseWraparound, 1.5, 2.0, "times autovacuum_freeze_max_age",
            "PostgreSQL stops all writes rather than to use a transaction number twice.",
            "`pg:vacuum DATABASE`, and end what keeps old rows: see Long Transactions."),
        check(SchemaCount, 50.0, 500.0, "schemas",
            "Many schemas slow down backups and changes of the schema.",
            "Keep tenants apart by a column rather than by schemas."),
        check(StaleStatistics, 50_000.0, NEVER, "rows changed since the last ANALYZE, and half of the table",
            "Plans are made for rows that are not there any more.",
            "`pg:vacuum DATABASE TABLE --analyze`."),
        check(AutovacuumDisabled, 1.0, NEVER, "tables",
            "Dead rows stay for ever, and so does the age of the table.",
            "`alter table … reset (autovacuum_enabled)`."),
        check(ForeignKeys, 10_000.0, NEVER, "rows in the table that refers",
            "To delete or change a row, the whole table that refers to it is read.",
            "`create index concurrently` on the columns of the foreign key."),
        check(PrimaryKeys, 10_000.0, NEVER, "rows",
            "Rows that cannot be told apart cannot be replicated one by one.",
            "`alter table … add primary key`."),
        check(Durability, 1.0, NEVER, "settings",
            "With synchronous_commit off, what was committed last can be lost in a crash.",
            "`alter database … reset synchronous_commit`, and for roles `alter role …`."),
        check(CollationVersion, 1.0, NEVER, "collations",
            "Indexes on text may be in another order than the system's library is now.",
            "Rebuild them: `reindex database concurrently`; then `alter database … refresh collation version`."),
        check(ExtensionUpdates, 1.0, NEVER, "extensions",
            "A newer version of the extension is installed than the one in the database.",
            "`alter extension … update`."),
        check(ReplicationSlots, 1.0, NEVER, "slots that nobody reads",
            "What a slot keeps fills the disk.",
            "Tell who runs the platform: its databases need none."),
        check(Load, 1.0, 2.0, "of the load average of a minute for each CPU",
            "More work is waiting than the server's CPUs can do.",
            "Look at `pg:ps` and `pg:outliers`, or take a larger plan."),
        check(CpuBurst, NEVER, NEVER, "credits", "", ""),
        check(Memory, 90.0, 95.0, "per cent of the server's memory in use",
            "Without memory the disk does the work, and in the end processes are ended.",
            "End what is not needed (`pg:ps`), or take a larger plan."),
        check(Storage, 90.0, 95.0, "per cent, of the plan's or of the server's disk",
            "A full disk accepts no more writes.",
            "Remove what is not needed (`pg:total-table-size`, `pg:bloat`), or take a larger plan."),
        check(Backups, 1.5, 3.0, "times the time between two base backups",
            "What is not in the archive, or was never restored, may not come back.",
            "`pg:protection` says what is wrong; `pg:protection:drill --wait` proves a restore."),
        check(MinorVersion, 1.0, NEVER, "versions",
            "Minor versions mend defects and holes in the security.",
            "`pg:maintenance:run` restarts the server now; else it is done in the window."),
    ]
};

/// The row of a check.
#[must_use]
pub fn threshold(name: Name) -> &'static Threshold {
    // Each has a row: a test says so.
    THRESHOLDS.iter().find(|one| one.name == name).unwrap_or(&THRESHOLDS[0])
}

/// The page about the checks.
#[must_use]
pub fn markdown() -> String {
    let mut page = "# What `pg:diagnose` looks at\n\nGenerated by `cargo xtask docs` from \
                    `crates/model/src/diagnosis.rs`.\n"
        .to_owned();
    for row in THRESHOLDS {
        let from =
            |value: f64| if value.is_finite() { value.to_string() } else { "never".to_owned() };
        page += &format!("\n## {}\n\n", row.name);
        if row.why.is_empty() {
            page += "Always skipped: no plan of this platform has it.\n";
            continue;
        }
        let Threshold { unit, why, fix, .. } = row;
        let (yellow, red) = (from(row.yellow), from(row.red));
        page += &format!("Yellow from {yellow} on, red: {red} ({unit}).\n\n{why}\n\n{fix}\n");
    }
    page
}

/// A row of what was found.
pub type Finding = Map<String, Value>;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: Name,
    /// How it came out.
    pub status: Status,
    /// What was found: flat rows with the same keys. Of one that was skipped, the reason.
    pub results: Vec<Finding>,
    /// Why it matters; only when something was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do about it; only when something was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
    /// Where more is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
}

impl Check {
    /// A check with what was found.
    #[must_use]
    pub fn new(name: Name, status: Status, results: Vec<Finding>) -> Self {
        let (why, fix, docs) = match status {
            Status::Red | Status::Yellow => {
                let row = threshold(name);
                let anchor = name.to_string().to_lowercase().replace(' ', "-");
                (row.why.to_owned(), row.fix.to_owned(), format!("docs/diagnose.md#{anchor}"))
            }
            Status::Green | Status::Skipped => Default::default(),
        };
        Self { name, status, results, why, fix, docs }
    }

    /// One that was not made, and why.
    #[must_use]
    pub fn skipped(name: Name, reason: impl Into<String>) -> Self {
        let reason = Value::String(reason.into());
        Self::new(name, Status::Skipped, vec![Map::from_iter([("reason".to_owned(), reason)])])
    }

    /// One of a single value that is the worse the more it is.
    #[must_use]
    pub fn measured(name: Name, value: f64, finding: Finding) -> Self {
        let row = threshold(name);
        let status = match value {
            value if value >= row.red => Status::Red,
            value if value >= row.yellow => Status::Yellow,
            _ => Status::Green,
        };
        let results = if status == Status::Green { Vec::new() } else { vec![finding] };
        Self::new(name, status, results)
    }
}

/// What an agent needs to know for its part of a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Sessions that the plan allows.
    pub connections: u32,
}

/// How much tables and indexes take (`bytes`), and would take without bloat (`needed`): the
/// beginning of a query, whose `both_kinds` has `type`, `nspname` and `object_name`, too.
pub const BLOAT: &str = include_str!("bloat.sql");

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn every_check_has_one_row_and_says_why_and_what_to_do() {
        for name in Name::iter() {
            assert_eq!(THRESHOLDS.iter().filter(|one| one.name == name).count(), 1, "{name}");
            let row = threshold(name);
            assert!(row.name == name && !row.unit.is_empty());
            let is_one = name != Name::CpuBurst;
            assert!((row.why.ends_with('.') && row.fix.ends_with('.')) == is_one, "{name}");
            assert!(row.yellow <= row.red || name == Name::HitRate, "{name}");
            let json = serde_json::to_value(name).expect("JSON");
            assert_eq!(json, name.to_string(), "both are what Heroku prints");
        }
        assert!(Status::Red < Status::Yellow && Status::Green < Status::Skipped);
    }

    #[test]
    fn a_measured_value_is_green_yellow_or_red_and_only_findings_have_advice() {
        let status = |load| Check::measured(Name::Load, load, Finding::new()).status;
        assert_eq!([0.9, 1.0, 2.5].map(status), [Status::Green, Status::Yellow, Status::Red]);
        let green = serde_json::to_value(Check::new(Name::Bloat, Status::Green, Vec::new()));
        let green = green.expect("JSON");
        assert_eq!(green, serde_json::json!({ "name": "Bloat", "status": "green", "results": [] }));
        let red = Check::new(Name::HitRate, Status::Red, Vec::new());
        assert!(red.docs.ends_with("#hit-rate") && !red.fix.is_empty());
    }
}
