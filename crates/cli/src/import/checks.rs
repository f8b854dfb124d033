//! What stands in the way of a move, and what people should know before it.

use howdah_model::extension;
use howdah_model::plan::Plan;
use howdah_model::size::Bytes;
use serde::Serialize;

use super::inventory::Inventory;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// It cannot be moved so.
    Blocker,
    /// Something will be missing or different.
    Warning,
    /// It is good to know.
    Note,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) weight: Weight,
    /// A stable name, for scripts.
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

/// Where it would go, as far as that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'t> {
    pub(crate) plan: &'t Plan,
    /// Its major version; `None` while it is not there.
    pub(crate) major: Option<u32>,
}

/// Above this size a dump is not the intended tool (E26).
const LARGE: u64 = 20 << 30;
/// Names that are told of a list.
const MOST_NAMES: usize = 5;
/// The oldest version that we know the catalogues of.
const OLDEST: u32 = 10;

/// What is to be said of this source on the way to this target, what weighs most first.
pub(crate) fn judge(source: &Inventory, target: Target<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut add = |weight, code, text: String| all.push(Finding { weight, code, text });
    version(source, target, &mut add);
    size(source, target.plan, &mut add);
    contents(source, target.plan, &mut add);
    people(source, &mut add);
    all.sort_by_key(|finding| finding.weight);
    all
}

fn version(
    source: &Inventory,
    target: Target<'_>,
    add: &mut impl FnMut(Weight, &'static str, String),
) {
    let major = source.major();
    if major < OLDEST {
        let text = format!("PostgreSQL {major} is too old; {OLDEST} is the oldest that is known");
        add(Weight::Blocker, "too-old", text);
    }
    if let Some(newer) = target.major.filter(|target| *target < major) {
        let text = format!(
            "The source is PostgreSQL {major} and the target {newer}: what is new in {major} cannot be restored"
        );
        add(Weight::Warning, "newer-source", text);
    }
    if source.encoding == "SQL_ASCII" {
        let text = "Its encoding is SQL_ASCII: text that is not UTF-8 cannot be restored";
        add(Weight::Warning, "encoding", text.to_owned());
    } else if source.encoding != "UTF8" {
        let text = format!("Its text is converted from {} to UTF8", source.encoding);
        add(Weight::Note, "encoding", text);
    }
    if !["C", "POSIX", "C.UTF-8", "C.utf8"].contains(&source.collation.as_str()) {
        let text = format!(
            "It sorts text as {}; here text sorts as C.UTF-8 (by code point) where a column does not say otherwise",
            source.collation
        );
        add(Weight::Warning, "collation", text);
    }
}

fn size(source: &Inventory, plan: &Plan, add: &mut impl FnMut(Weight, &'static str, String)) {
    if let Some(limit) = plan.rows.filter(|limit| source.rows > *limit) {
        let text = format!("It has about {} rows, and {plan} allows {limit}", source.rows);
        add(Weight::Blocker, "rows", text);
    }
    let disk = plan.disk_gib.map(|gib| gib << 30);
    if let Some(disk) = disk.filter(|disk| source.bytes > *disk) {
        let text = format!("It has {}, and {plan} has {}", Bytes(source.bytes), Bytes(disk));
        add(Weight::Blocker, "storage", text);
    }
    if source.bytes > LARGE {
        let text = format!(
            "It has {}: above {} a dump takes long, and what is written meanwhile is not in it",
            Bytes(source.bytes),
            Bytes(LARGE)
        );
        add(Weight::Warning, "large", text);
    }
}

fn contents(source: &Inventory, plan: &Plan, add: &mut impl FnMut(Weight, &'static str, String)) {
    let allowed = extension::allowed(plan.tier);
    let missing: Vec<_> = source
        .extensions
        .iter()
        .filter(|name| !allowed.split(',').any(|allowed| allowed == name.as_str()))
        .cloned()
        .collect();
    if !missing.is_empty() {
        let text = format!(
            "{plan} does not offer {}: what needs them is missing",
            names(&missing, "extension")
        );
        add(Weight::Warning, "extensions", text);
    }
    if !source.unreadable.is_empty() {
        let text = format!("You may not read all rows of {}", names(&source.unreadable, "table"));
        add(Weight::Blocker, "unreadable", text);
    }
    if !source.event_triggers.is_empty() {
        let text = format!(
            "Event triggers stay behind, as only superusers make them: {}",
            names(&source.event_triggers, "trigger")
        );
        add(Weight::Warning, "event-triggers", text);
    }
    if !source.superuser.is_empty() {
        let text = format!("Only superusers make {}", names(&source.superuser, "thing"));
        add(Weight::Warning, "superuser", text);
    }
    if !source.tablespaces.is_empty() {
        let text = format!(
            "There are no tablespaces here: what is in {} goes to the only one",
            names(&source.tablespaces, "tablespace")
        );
        add(Weight::Note, "tablespaces", text);
    }
    if !source.unlogged.is_empty() {
        let text = format!(
            "Unlogged tables are empty after a crash and on followers: {}",
            names(&source.unlogged, "table")
        );
        add(Weight::Note, "unlogged", text);
    }
    if source.large_objects > 0 {
        let text = format!("Large objects are copied too: {}", source.large_objects);
        add(Weight::Note, "large-objects", text);
    }
    if !source.without_identity.is_empty() {
        let text = format!(
            "No primary key or replica identity: {} (a dump does not need one, replication does)",
            names(&source.without_identity, "table")
        );
        add(Weight::Note, "identity", text);
    }
}

fn people(source: &Inventory, add: &mut impl FnMut(Weight, &'static str, String)) {
    if !source.owners.is_empty() {
        let text = format!(
            "Roles and grants stay behind; all will belong to the target's default credential, also what belongs to {}",
            names(&source.owners, "role")
        );
        add(Weight::Note, "roles", text);
    }
    if source.writable {
        let others = match source.sessions {
            0 => String::new(),
            sessions => format!(", and {sessions} other sessions are open"),
        };
        let text = format!(
            "It can still be written to{others}: what is written after the copy has begun will be missing. Stop its app, or ALTER DATABASE … SET default_transaction_read_only = on"
        );
        add(Weight::Warning, "writable", text);
    }
    if source.prepared_transactions > 0 {
        let text = format!(
            "{} prepared transactions are open; what they did is not copied",
            source.prepared_transactions
        );
        add(Weight::Warning, "prepared", text);
    }
}

/// `5 tables: a, b, c, d, e, …`; a single one by its name.
pub(crate) fn names(all: &[String], what: &str) -> String {
    if let [one] = all {
        return one.clone();
    }
    let mut shown = all.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > MOST_NAMES {
        shown.push_str(", …");
    }
    format!("{} {what}s ({shown})", all.len())
}

#[cfg(test)]
mod tests {
    use howdah_model::plan;

    use super::*;

    fn found(source: &Inventory, plan: &str, major: Option<u32>) -> Vec<(Weight, &'static str)> {
        let plan = plan::find(plan).expect("a plan");
        let all = judge(source, Target { plan, major });
        all.into_iter().map(|finding| (finding.weight, finding.code)).collect()
    }

    fn quiet() -> Inventory {
        Inventory {
            version: 150_013,
            bytes: 8 << 20,
            encoding: "UTF8".into(),
            collation: "C.UTF-8".into(),
            extensions: vec!["plpgsql".into()],
            rows: 100,
            ..Inventory::default()
        }
    }

    #[test]
    fn h24_a_source_that_fits_has_nothing_to_be_said_of() {
        assert!(found(&quiet(), "hobby-dev", Some(18)).is_empty());
    }

    #[test]
    fn h24_what_does_not_fit_is_told_with_what_weighs_most_first() {
        let source = Inventory { rows: 20_000, bytes: 100 << 30, writable: true, ..quiet() };
        assert_eq!(
            found(&source, "hobby-dev", None),
            [(Weight::Blocker, "rows"), (Weight::Warning, "large"), (Weight::Warning, "writable")]
        );
        assert!(found(&source, "standard-0", None).contains(&(Weight::Blocker, "storage")));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let source = Inventory {
            version: 180_001,
            encoding: "LATIN1".into(),
            collation: "de_DE".into(),
            extensions: names(&["plpgsql", "postgis", "timescaledb"]),
            unreadable: names(&["public.secret"]),
            unlogged: names(&["public.cache"]),
            event_triggers: names(&["on_ddl"]),
            ..quiet()
        };
        let all = found(&source, "standard-0", Some(15));
        assert_eq!(all[0], (Weight::Blocker, "unreadable"));
        for code in ["newer-source", "collation", "extensions", "event-triggers"] {
            assert!(all.contains(&(Weight::Warning, code)), "{code}");
        }
        assert!(all.contains(&(Weight::Note, "encoding")));
        let plan = plan::find("standard-0").expect("a plan");
        let told = judge(&source, Target { plan, major: None });
        assert!(told.iter().any(|one| one.text.contains("does not offer timescaledb")), "{told:?}");
    }

    #[test]
    fn of_a_long_list_the_beginning_is_told() {
        let all: Vec<_> = (1..=7).map(|n| format!("t{n}")).collect();
        assert_eq!(names(&all, "table"), "7 tables (t1, t2, t3, t4, t5, …)");
        assert_eq!(names(&all[..1], "table"), "t1");
        assert_eq!(names(&all[..2], "table"), "2 tables (t1, t2)");
    }
}
