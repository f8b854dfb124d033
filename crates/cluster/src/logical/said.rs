//! What `pg_restore` says, line by line: what goes on, what is left out, and what ends a restore.

use super::list::is_only_tried;

/// Which errors a run of `pg_restore` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// None but those that mean nothing. Sessions side by side do not say whose error it is.
    None,
    /// Those of entries that are only tried.
    OfTried,
}

/// What a line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that anybody wants to know.
    Nothing,
    /// Something new is being done.
    Step(&'static str),
    /// Something could not be made, and is done without.
    Warning(String),
    /// The restore has failed.
    Fatal(String),
}

/// Hears one `pg_restore`.
#[derive(Debug)]
pub struct Hearing {
    tolerance: Tolerance,
    /// The entry that errors are of.
    entry: String,
    step: &'static str,
}

/// What is said of that which does no harm: settings that only newer servers know, and what the
/// platform has made before.
const HARMLESS: &[(&str, &str)] = &[
    ("unrecognized configuration parameter \"", "\""),
    ("schema \"", "\" already exists"),
    ("language \"plpgsql\"", " already exists"),
];

impl Hearing {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, entry: String::new(), step: "" }
    }

    /// Hears a line.
    pub fn hear(&mut self, line: &str) -> Heard {
        // What else there is belongs to an error: its statement, which may hold secrets.
        let Some(said) = line.strip_prefix("pg_restore: ") else { return Heard::Nothing };
        if let Some(entry) = said.strip_prefix("from TOC entry ") {
            entry.splitn(4, ' ').nth(3).unwrap_or_default().clone_into(&mut self.entry);
            return Heard::Nothing;
        }
        if let Some(error) = said.strip_prefix("error: ") {
            return self.error(error);
        }
        if let Some(warning) = said.strip_prefix("warning: ") {
            let is_sum = warning.starts_with("errors ignored on restore");
            return if is_sum { Heard::Nothing } else { Heard::Warning(warning.to_owned()) };
        }
        match step(said) {
            Some(step) if step != self.step => {
                self.step = step;
                Heard::Step(step)
            }
            Some(_) | None => Heard::Nothing,
        }
    }

    fn error(&self, error: &str) -> Heard {
        let message = error.strip_prefix("could not execute query: ERROR:  ").unwrap_or(error);
        let is = |(begin, end): &(&str, &str)| message.starts_with(begin) && message.ends_with(end);
        if HARMLESS.iter().any(is) {
            return Heard::Nothing;
        }
        if self.tolerance == Tolerance::OfTried && is_only_tried(&self.entry) {
            return Heard::Warning(format!("left out {}: {message}", self.entry));
        }
        if self.entry.is_empty() || self.tolerance == Tolerance::None {
            return Heard::Fatal(message.to_owned());
        }
        Heard::Fatal(format!("{}: {message}", self.entry))
    }
}

/// What a line of `--verbose` says that is done.
fn step(said: &str) -> Option<&'static str> {
    let (verb, what) = said.split_once(' ')?;
    let what = match verb {
        "creating" => what,
        "launching" => what.strip_prefix("item ")?.split_once(' ')?.1,
        "processing" => return said.contains("data for table").then_some("restoring rows"),
        _ => return None,
    };
    let begins = |kinds: &[&str]| kinds.iter().any(|kind| what.starts_with(kind));
    if begins(&["INDEX ", "CONSTRAINT "]) {
        Some("building indexes")
    } else if begins(&["FK CONSTRAINT "]) {
        Some("checking foreign keys")
    } else if begins(&["TABLE DATA "]) {
        Some("restoring rows")
    } else if begins(&["TABLE ", "FUNCTION ", "VIEW ", "SCHEMA "]) {
        Some("restoring tables")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(tolerance: Tolerance, lines: &[&str]) -> Vec<Heard> {
        let mut hearing = Hearing::new(tolerance);
        let all = lines.iter().map(|line| hearing.hear(line));
        all.filter(|heard| *heard != Heard::Nothing).collect()
    }

    #[test]
    fn e21_errors_end_a_restore_but_those_that_mean_nothing_or_are_of_what_is_only_tried() {
        let table = [
            "pg_restore: while PROCESSING TOC:",
            "pg_restore: from TOC entry 215; 1259 16510 TABLE t owner",
            "pg_restore: error: could not execute query: ERROR:  permission denied for schema x",
            "LINE 1: CREATE TABLE x.t (secret text)",
            "Command was: CREATE TABLE x.t (secret text)",
            "pg_restore: error: not of the statement",
        ];
        let message = "TABLE t owner: permission denied for schema x";
        let all = heard(Tolerance::OfTried, &table);
        assert_eq!(all[0], Heard::Fatal(message.to_owned()));
        let comment = [
            "pg_restore: from TOC entry 9; 0 0 COMMENT TABLE t owner",
            "pg_restore: error: could not execute query: ERROR:  must be owner of table t",
            "pg_restore: warning: errors ignored on restore: 1",
        ];
        let message = "left out COMMENT TABLE t owner: must be owner of table t".to_owned();
        assert_eq!(heard(Tolerance::OfTried, &comment), [Heard::Warning(message)]);
        let message = "must be owner of table t".to_owned();
        assert_eq!(heard(Tolerance::None, &comment), [Heard::Fatal(message)]);
        for harmless in [
            "unrecognized configuration parameter \"transaction_timeout\"",
            "schema \"heroku_ext\" already exists",
        ] {
            let line = format!("pg_restore: error: could not execute query: ERROR:  {harmless}");
            assert_eq!(heard(Tolerance::None, &[&line]), []);
        }
    }

    #[test]
    fn steps_are_told_once() {
        let lines = [
            "pg_restore: connecting to database for restore",
            "pg_restore: creating TABLE \"public.t\"",
            "pg_restore: creating VIEW \"public.v\"",
            "pg_restore: launching item 3390 TABLE DATA t",
            "pg_restore: processing data for table \"public.t\"",
            "pg_restore: launching item 3391 INDEX t_x",
            "pg_restore: finished item 3391 INDEX t_x",
        ];
        let steps = ["restoring tables", "restoring rows", "building indexes"].map(Heard::Step);
        assert_eq!(heard(Tolerance::None, &lines), steps);
    }
}
