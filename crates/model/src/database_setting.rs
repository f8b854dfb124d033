//! What people set of a database with `pg:settings`: what a server notes of its statements.
//!
//! None of these can be set by the database's owner by SQL; the platform sets them for it. They
//! belong to the database and outlive its content and its participants.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::Tier;

/// A value, in the type that it has in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Switch(bool),
    /// A whole number; of milliseconds, where it is a time.
    Number(i64),
    /// One of a few words.
    Word(Cow<'static, str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(switch) => switch.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

/// Which values a setting has, and what each comes to, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On or off: what it comes to when on, when off.
    Switch(&'static str, &'static str),
    /// A time in milliseconds: what it comes to when -1, when 0, and when more, with `{}` for it.
    Milliseconds(&'static str, &'static str, &'static str),
    /// One of these words.
    Words(&'static [(&'static str, &'static str)]),
}

/// How a setting comes into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// As a setting of the database.
    Database,
    /// As one, as long as `auto_explain` is on.
    AutoExplain,
    /// As a setting of the server, which it has for itself: PostgreSQL has it for whole servers only.
    Server,
    /// Not at all: there is nothing here that it is about.
    Nothing,
}

/// A setting that people can change.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name, as the API has it.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// Its value when nobody has changed it.
    pub default: Value,
    /// What PostgreSQL does by itself.
    own: Value,
    by: By,
    /// What it is for, in a sentence.
    pub about: &'static str,
}

const ON: Value = Value::Switch(true);
const OFF: Value = Value::Switch(false);
const NEVER: Value = Value::Number(-1);

const fn word(word: &'static str) -> Value {
    Value::Word(Cow::Borrowed(word))
}

const fn known(
    name: &'static str,
    by: By,
    own: Value,
    default: Value,
    kind: Kind,
    about: &'static str,
) -> Known {
    Known { name, kind, default, own, by, about }
}

/// The name of the setting that the ones of [`By::AutoExplain`] depend on.
const AUTO_EXPLAIN: &str = "auto_explain";

/// The settings, by name.
#[rustfmt::skip]
pub const KNOWN: &[Known] = {
    use Kind::{Milliseconds, Switch, Words};
    &[
        known(AUTO_EXPLAIN, By::Database, OFF, OFF, Switch(
            "Execution plans of queries will be logged for future connections.",
            "Execution plans of queries will not be logged for future connections.",
        ), "Logs how slow statements were carried out. Sessions that are open do not notice."),
        known("auto_explain.log_analyze", By::AutoExplain, OFF, OFF, Switch(
            "EXPLAIN ANALYZE execution plans will be logged.",
            "EXPLAIN ANALYZE execution plans will not be logged.",
        ), "Measures each step of every statement, logged or not: this costs time."),
        known("auto_explain.log_buffers", By::AutoExplain, OFF, OFF, Switch(
            "Buffer statistics have been enabled for auto_explain.",
            "Buffer statistics have been disabled for auto_explain.",
        ), "Adds what was read and written, with log_analyze."),
        known("auto_explain.log_format", By::AutoExplain, word("text"), word("text"), Words(&[
            ("text", "Auto explain log output will log in text format."),
            ("json", "Auto explain log output will log in json format."),
            ("yaml", "Auto explain log output will log in yaml format."),
            ("xml", "Auto explain log output will log in xml format."),
        ]), "The form of the plans."),
        known("auto_explain.log_min_duration", By::AutoExplain, NEVER, NEVER, Milliseconds(
            "Execution plan logging has been disabled.",
            "All queries will have their execution plans logged.",
            "All execution plans will be logged for queries taking up to {} milliseconds or more.",
        ), "How slow a statement is whose plan is logged, in milliseconds."),
        known("auto_explain.log_nested_statements", By::AutoExplain, OFF, OFF, Switch(
            "Nested statements will be included in execution plan logs.",
            "Only top-level execution plans will be included in logs.",
        ), "Also the statements within functions."),
        known("auto_explain.log_triggers", By::AutoExplain, OFF, OFF, Switch(
            "Trigger execution statistics have been enabled for auto-explain.",
            "Trigger execution statistics have been disabled for auto-explain.",
        ), "Adds what triggers took, with log_analyze."),
        known("auto_explain.log_verbose", By::AutoExplain, OFF, OFF, Switch(
            "Verbose execution plan logging has been enabled for auto_explain.",
            "Verbose execution plan logging has been disabled for auto_explain.",
        ), "Adds the columns and schemas of each step."),
        known("data_connector_details_logs", By::Nothing, OFF, OFF, Switch(
            "Data replication slot details will be logged.",
            "Data replication slot details will no longer be logged.",
        ), "Kept for Heroku's sake: this platform has no data connectors."),
        known("log_connections", By::Server, OFF, OFF, Switch(
            "When login attempts are made, a log message will be emitted in your application's logs.",
            "When login attempts are made, no log message will be emitted in your application's logs.",
        ), "Also those of the platform, which looks at the database now and then."),
        known("log_lock_waits", By::Database, OFF, ON, Switch(
            "When a deadlock is detected, a log message will be emitted in your application's logs.",
            "When a deadlock is detected, no log message will be emitted in your application's logs.",
        ), "Logs who waits for a lock for longer than a second."),
        known("log_min_duration_statement", By::Database, NEVER, Value::Number(2000), Milliseconds(
            "The duration of each completed statement will not be logged.",
            "The duration of each completed statement will be logged.",
            "The duration of each completed statement will be logged if the statement ran for at least {} milliseconds.",
        ), "How slow a statement is that is logged, in milliseconds."),
        known("log_min_error_statement", By::Database, word("error"), word("error"), Words(&[
            ("error", "All SQL statements that cause an error, log, fatal or panic will be logged."),
            ("log", "All SQL statements that cause a log, fatal or panic will be logged."),
            ("fatal", "All SQL statements that cause a fatal error or a panic will be logged."),
            ("panic", "Only SQL statements that cause a panic will be logged."),
        ]), "From which error on the statement is logged that caused it. It may hold secrets."),
        known("log_statement", By::Database, word("none"), word("none"), Words(&[
            ("none", "No SQL statements will be logged."),
            ("ddl", "All data definition SQL statements, such as CREATE, ALTER and DROP, will be logged."),
            ("mod", "All statements from ddl and data-modifying statements, such as INSERT, UPDATE, DELETE, TRUNCATE and COPY, will be logged."),
            ("all", "All SQL statements executed will be logged."),
        ]), "Which statements are logged. They may hold secrets, such as a new password."),
        known("track_functions", By::Database, word("none"), word("none"), Words(&[
            ("none", "No functions will be tracked."),
            ("pl", "Only procedural language functions will be tracked."),
            ("all", "All functions, including SQL and C language functions, will be tracked. Simple SQL-language that are inlined will not be tracked."),
        ]), "Which functions are counted in pg_stat_user_functions."),
    ]
};

/// Why a value is none of a setting's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// It has two values.
    #[error("`{0}` is on or off")]
    Switch(&'static str),
    /// It is a time.
    #[error("`{0}` is a whole number of milliseconds, at most 2147483647, or -1 for never")]
    Milliseconds(&'static str),
    /// It has a few values.
    #[error("`{0}` is one of {1}")]
    Words(&'static str, String),
}

/// The setting of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// What people have set of one database, by name.
pub type Changed = BTreeMap<String, Value>;

impl Known {
    /// Whether a value is one of its values.
    ///
    /// # Errors
    /// See [`BadValue`].
    pub fn check(&self, value: &Value) -> Result<(), BadValue> {
        match (self.kind, value) {
            (Kind::Switch(..), Value::Switch(_)) => Ok(()),
            (Kind::Switch(..), _) => Err(BadValue::Switch(self.name)),
            (Kind::Milliseconds(..), Value::Number(time))
                if (-1..=i64::from(i32::MAX)).contains(time) =>
            {
                Ok(())
            }
            (Kind::Milliseconds(..), _) => Err(BadValue::Milliseconds(self.name)),
            (Kind::Words(words), Value::Word(word)) if words.iter().any(|(w, _)| w == word) => {
                Ok(())
            }
            (Kind::Words(words), _) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(BadValue::Words(self.name, words.join(", ")))
            }
        }
    }

    /// Reads a value as people write it.
    ///
    /// # Errors
    /// See [`BadValue`].
    pub fn parse(&self, typed: &str) -> Result<Value, BadValue> {
        let value = match self.kind {
            Kind::Switch(..) => match typed.to_ascii_lowercase().as_str() {
                "on" | "true" => Some(ON),
                "off" | "false" => Some(OFF),
                _ => None,
            },
            Kind::Milliseconds(..) => typed.parse().ok().map(Value::Number),
            Kind::Words(_) => None,
        };
        let value = value.unwrap_or_else(|| Value::Word(Cow::Owned(typed.to_owned())));
        self.check(&value)?;
        Ok(value)
    }

    /// Its value among what was changed.
    #[must_use]
    pub fn of<'v>(&'v self, changed: &'v Changed) -> &'v Value {
        changed.get(self.name).unwrap_or(&self.default)
    }

    /// What a value comes to, for people.
    #[must_use]
    pub fn explain(&self, value: &Value) -> String {
        match (self.kind, value) {
            (Kind::Switch(on, off), Value::Switch(switch)) => {
                if *switch { on } else { off }.to_owned()
            }
            (Kind::Milliseconds(never, ..), Value::Number(-1)) => never.to_owned(),
            (Kind::Milliseconds(_, always, _), Value::Number(0)) => always.to_owned(),
            (Kind::Milliseconds(.., more), Value::Number(time)) => {
                more.replace("{}", &time.to_string())
            }
            (Kind::Words(words), Value::Word(word)) => {
                let found = words.iter().find(|(one, _)| one == word);
                found.map_or_else(String::new, |(_, means)| (*means).to_owned())
            }
            (Kind::Switch(..) | Kind::Milliseconds(..) | Kind::Words(_), _) => String::new(),
        }
    }
}

/// The tiers whose databases have these settings: on a shared server the log is nobody's.
#[must_use]
pub fn has_settings(tier: Tier) -> bool {
    tier != Tier::Hobby
}

/// The settings of the database (`ALTER DATABASE … SET`) that what was changed comes to.
#[must_use]
pub fn of_database(changed: &Changed, tier: Tier) -> BTreeMap<String, String> {
    if !has_settings(tier) {
        return BTreeMap::new();
    }
    let explains = changed.get(AUTO_EXPLAIN) == Some(&ON);
    let mut all = of(changed, |by| by == By::Database || (by == By::AutoExplain && explains));
    if all.remove(AUTO_EXPLAIN).is_some() {
        all.insert("session_preload_libraries".to_owned(), AUTO_EXPLAIN.to_owned());
    }
    all
}

/// The settings of the server that what was changed of its one database comes to.
#[must_use]
pub fn of_server(changed: &Changed, tier: Tier) -> BTreeMap<String, String> {
    if has_settings(tier) { of(changed, |by| by == By::Server) } else { BTreeMap::new() }
}

/// What differs from what PostgreSQL does by itself.
fn of(changed: &Changed, counts: impl Fn(By) -> bool) -> BTreeMap<String, String> {
    let told = KNOWN.iter().filter(|known| counts(known.by) && known.of(changed) != &known.own);
    told.map(|known| {
        let value = match known.of(changed) {
            Value::Switch(switch) => if *switch { "on" } else { "off" }.to_owned(),
            value => value.to_string(),
        };
        (known.name.to_owned(), value)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(all: &[(&str, Value)]) -> Changed {
        all.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn the_list_is_by_name_and_every_default_and_every_own_value_is_a_value_with_words() {
        assert!(KNOWN.is_sorted_by_key(|known| known.name));
        for known in KNOWN {
            for value in [&known.default, &known.own] {
                assert_eq!(known.check(value), Ok(()), "{}", known.name);
                assert!(known.explain(value).ends_with('.'), "{}", known.name);
                assert_eq!(known.parse(&value.to_string()).as_ref(), Ok(value), "{}", known.name);
            }
            assert_eq!(find(known.name).map(|found| found.name), Some(known.name));
        }
    }

    #[test]
    fn i7_what_nobody_changed_is_told_only_where_it_is_not_postgresqls_own_and_not_to_hobby() {
        let told = of_database(&Changed::new(), Tier::Standard);
        let expected = [("log_lock_waits", "on"), ("log_min_duration_statement", "2000")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told, BTreeMap::from(expected));
        assert!(of_server(&Changed::new(), Tier::Premium).is_empty());
        let all = changed(&[("log_statement", word("all")), ("log_connections", ON)]);
        assert!(of_database(&all, Tier::Hobby).is_empty());
        assert!(of_server(&all, Tier::Hobby).is_empty());
        assert_eq!(of_server(&all, Tier::Standard)["log_connections"], "on");
        assert_eq!(of_database(&all, Tier::Standard)["log_statement"], "all");
        assert!(!of_database(&all, Tier::Standard).contains_key("log_connections"));
    }

    #[test]
    fn plans_are_explained_only_with_the_library_and_its_settings_come_with_it() {
        let time = ("auto_explain.log_min_duration", Value::Number(5));
        let without = of_database(&changed(std::slice::from_ref(&time)), Tier::Standard);
        assert!(without.keys().all(|name| !name.contains("explain")), "{without:?}");
        let with = of_database(&changed(&[time, (AUTO_EXPLAIN, ON)]), Tier::Standard);
        assert_eq!(with["session_preload_libraries"], "auto_explain");
        assert_eq!(with["auto_explain.log_min_duration"], "5");
        assert!(!with.contains_key("auto_explain"));
    }

    #[test]
    fn values_are_checked_whatever_their_type() {
        let known = |name| find(name).expect("known");
        let time = known("log_min_duration_statement");
        for bad in [ON, Value::Number(-2), Value::Number(1 << 31), word("5")] {
            assert!(time.check(&bad).is_err(), "{bad}");
        }
        assert_eq!(time.parse("5"), Ok(Value::Number(5)));
        assert!(time.parse("5s").is_err());
        assert_eq!(known("auto_explain").parse("ON"), Ok(ON));
        assert!(known("auto_explain").check(&word("on")).is_err());
        let error = known("log_statement").parse("everything").expect_err("refused");
        assert_eq!(error.to_string(), "`log_statement` is one of none, ddl, mod, all");
        assert!(find("work_mem").is_none());
    }
}
