//! What a new database is filled with (C35, G2–G4, G27, G28): the options of `addons:create`.

use serde_json::{Map, Value, json};

use crate::command::Opt;
use crate::failure::Failure;
use crate::given::Given;

/// A copy as it is now.
pub(super) const FORK: Opt =
    Opt::value("fork", None, "DATABASE", "begin with a copy of this database");
/// A copy that can be had sooner.
pub(super) const FAST: Opt =
    Opt::flag("fast", None, "with --fork: from its newest base backup, up to 30 h old");
/// A copy that stays up to date.
pub(super) const FOLLOW: Opt =
    Opt::value("follow", None, "DATABASE", "follow this database, read-only");
/// A copy as it was.
pub(super) const ROLLBACK: Opt =
    Opt::value("rollback", None, "DATABASE", "begin with what this database was earlier");
/// As it was when.
pub(super) const TO: Opt =
    Opt::value("to", None, "TIME", "with --rollback: '2026-01-02 15:04:05+00' or with a zone");
/// As it was how long ago.
pub(super) const BY: Opt =
    Opt::value("by", None, "INTERVAL", "with --rollback: '2 days 5 hours 3 minutes' ago");

/// The options that name the database whose data is taken.
const SOURCES: [&str; 3] = ["fork", "follow", "rollback"];
/// All options of this file that take a value.
const VALUES: [&str; 5] = ["fork", "follow", "rollback", "to", "by"];

/// Whether a database that is made so is empty at first.
pub(super) fn is_empty(config: &Map<String, Value>) -> bool {
    !SOURCES.iter().any(|name| config.contains_key(*name))
}

/// Adds the options that were given to what the provider is told.
pub(super) fn tell(given: &Given, config: &mut Map<String, Value>) {
    for name in VALUES {
        if let Some(value) = given.value(name) {
            config.insert(name.to_owned(), json!(value));
        }
    }
    if given.has(FAST.long) {
        config.insert(FAST.long.to_owned(), json!(true));
    }
}

/// Refuses what cannot be meant, whichever way it was written.
pub(super) fn check(config: &Map<String, Value>) -> Result<(), Failure> {
    let has = |name: &str| config.contains_key(name);
    let refuse = |message: String| Err(Failure::usage(message));
    let is_word = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    if let Some(name) = VALUES.iter().find(|name| config.get(**name).is_some_and(|v| !is_word(v))) {
        let opt = [FORK, FOLLOW, ROLLBACK, TO, BY].into_iter().find(|opt| opt.long == *name);
        return refuse(match opt.map(|opt| opt.takes) {
            Some(crate::command::Takes::Value(value)) => format!("--{name} needs a value: {value}"),
            _ => format!("--{name} needs a value"),
        });
    }
    let sources: Vec<_> = SOURCES.iter().filter(|name| has(name)).collect();
    if let [one, other, ..] = sources.as_slice() {
        return refuse(format!(
            "--{one} and --{other} exclude each other: specify one or the other"
        ));
    }
    match (has("rollback"), has("to"), has("by")) {
        (true, true, true) => refuse(
            "You cannot specify both the --to and --by options for rollback. \
             Specify one or the other"
                .to_owned(),
        ),
        (true, false, false) => refuse(
            "--rollback needs to know how far back: --to TIME or --by INTERVAL, such as\n\
             --to '2026-01-02 15:04:05+00' or --by '2 days 5 hours 3 minutes'"
                .to_owned(),
        ),
        (false, true, _) => refuse("--to goes with --rollback DATABASE".to_owned()),
        (false, _, true) => refuse("--by goes with --rollback DATABASE".to_owned()),
        _ if has("fast") && !has("fork") => refuse("--fast goes with --fork DATABASE".to_owned()),
        _ => Ok(()),
    }
}
