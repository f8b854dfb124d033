//! What is in a dump, and which of it is restored.
//!
//! A tenant's role restores all that a tenant may make. Extensions are made by the platform before,
//! as tenants cannot make all that they may have; what only a superuser can make is left out.

use howdah_model::version::Major;

/// A line of a dump's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is, and the beginning of its name: `TABLE public t owner`.
    what: String,
    /// The line, as `pg_restore` takes it back.
    line: String,
}

/// The list of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The major version of the server that was dumped.
    pub dumped_from: Option<Major>,
    /// All that is in it.
    entries: Vec<Entry>,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The tenant's role restores it; without it the restore fails.
    Restored,
    /// The same; when that is not possible, people are told and the restore goes on.
    Tried,
    /// The platform makes it before, when it may.
    Extension,
    /// It says something of what is the platform's; nobody misses it.
    Dropped,
    /// Only a superuser could make it: people are told.
    LeftOut,
}

/// What begins an entry of a kind that is not simply restored.
const FATES: &[(&str, Fate)] = &[
    ("EXTENSION ", Fate::Extension),
    ("COMMENT - EXTENSION ", Fate::Dropped),
    ("ACL ", Fate::Dropped),
    ("DEFAULT ACL ", Fate::Dropped),
    ("DATABASE ", Fate::Dropped),
    ("SECURITY LABEL ", Fate::Dropped),
    ("PROCEDURAL LANGUAGE - plpgsql ", Fate::Dropped),
    ("SCHEMA - public ", Fate::Dropped),
    ("COMMENT - EVENT TRIGGER ", Fate::LeftOut),
    ("EVENT TRIGGER ", Fate::LeftOut),
    ("SUBSCRIPTION ", Fate::LeftOut),
    ("PROCEDURAL LANGUAGE ", Fate::LeftOut),
    ("FOREIGN DATA WRAPPER ", Fate::LeftOut),
    ("ACCESS METHOD ", Fate::LeftOut),
    ("COMMENT ", Fate::Tried),
    ("PUBLICATION ", Fate::Tried),
    ("POLICY ", Fate::Tried),
    ("SERVER ", Fate::Tried),
    ("USER MAPPING ", Fate::Tried),
    ("FOREIGN TABLE ", Fate::Tried),
];

/// What Heroku keeps for itself in its databases, by kind: new databases have what tools look for.
const HEROKUS: &[&str] = &[
    "SCHEMA -",
    "COMMENT - SCHEMA",
    "COMMENT",
    "FUNCTION",
    "PROCEDURE",
    "TYPE",
    "TABLE",
    "TABLE DATA",
    "VIEW",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "DEFAULT",
    "INDEX",
    "CONSTRAINT",
    "TRIGGER",
];

impl Entry {
    fn fate(&self) -> Fate {
        // Names may be empty at the end of a line, without the blank.
        let what = format!("{} ", self.what);
        let is_herokus = |kind: &&str| {
            what.strip_prefix(*kind).is_some_and(|rest| rest.starts_with(" _heroku "))
        };
        if HEROKUS.iter().any(is_herokus) {
            return Fate::Dropped;
        }
        let known = FATES.iter().find(|(begin, _)| what.starts_with(begin));
        known.map_or(Fate::Restored, |(_, fate)| *fate)
    }
}

/// Whether an entry of this kind may fail without ending the restore.
#[must_use]
pub fn is_only_tried(what: &str) -> bool {
    let entry = Entry { what: what.to_owned(), line: String::new() };
    matches!(entry.fate(), Fate::Tried | Fate::Dropped | Fate::LeftOut)
}

/// Lines of a list that are restored together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All that the tenant's role restores.
    Everything,
    /// That without which the restore fails.
    Needed,
    /// The rest.
    Tried,
    /// What the platform makes.
    Extensions,
}

impl Listing {
    /// Reads what `pg_restore --list` says.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix(';') {
                if let Some(version) = comment.trim().strip_prefix("Dumped from database version:")
                {
                    let digits = version.trim().split(|c: char| !c.is_ascii_digit()).next();
                    all.dumped_from = digits.and_then(|digits| digits.parse().ok());
                }
            } else if let Some(what) = what(line) {
                all.entries.push(Entry { what: what.to_owned(), line: line.to_owned() });
            }
        }
        all
    }

    /// How many tables are in it.
    #[must_use]
    pub fn tables(&self) -> u64 {
        let is_table = |entry: &&Entry| {
            let what = &entry.what;
            what.starts_with("TABLE ")
                && !["TABLE DATA ", "TABLE ATTACH "].iter().any(|other| what.starts_with(other))
        };
        self.entries.iter().filter(is_table).count() as u64
    }

    /// What is left out, for people.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        let out = self.entries.iter().filter(|entry| entry.fate() == Fate::LeftOut);
        out.map(|entry| entry.what.as_str())
    }

    /// A list for `pg_restore --use-list`; none when there is nothing in it.
    #[must_use]
    pub fn part(&self, part: Part) -> Option<String> {
        let is_in = |fate: Fate| match part {
            Part::Everything => matches!(fate, Fate::Restored | Fate::Tried),
            Part::Needed => fate == Fate::Restored,
            Part::Tried => fate == Fate::Tried,
            Part::Extensions => fate == Fate::Extension,
        };
        let lines: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| is_in(entry.fate()))
            .map(|entry| entry.line.as_str())
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n") + "\n")
    }
}

/// What an entry is, without its numbers: `215; 1259 16510 TABLE public t owner`.
fn what(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once("; ")?;
    number.parse::<u64>().ok()?;
    let mut rest = rest;
    for _ in 0..2 {
        let (number, behind) = rest.split_once(' ')?;
        number.parse::<u64>().ok()?;
        rest = behind;
    }
    Some(rest)
}

/// An extension that a dump has, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The schema that its objects are in.
    pub schema: Option<String>,
}

/// Reads the extensions from what `pg_restore` writes for these entries.
#[must_use]
pub fn extensions(sql: &str) -> Vec<Extension> {
    let read = |line: &str| {
        let rest = line.strip_prefix("CREATE EXTENSION ")?;
        let rest = rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest);
        let (name, rest) = identifier(rest)?;
        let schema = rest.strip_prefix(" WITH SCHEMA ").and_then(identifier);
        Some(Extension { name, schema: schema.map(|(schema, _)| schema) })
    };
    sql.lines().filter_map(read).collect()
}

/// An identifier at the beginning of a text, and what is behind it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$'));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
;
; Archive created at 2026-11-20 15:00:00 UTC
;     dbname: d_one
;     Dumped from database version: 15.18 (Debian 15.18-0+deb12u1)
;
2; 3079 16384 EXTENSION - uuid-ossp 
3400; 0 0 COMMENT - EXTENSION \"uuid-ossp\" 
215; 1259 16510 TABLE public t owner
216; 1259 16511 TABLE public DATA owner
3390; 0 16510 TABLE DATA public t owner
3391; 0 0 TABLE ATTACH public t_1 owner
3300; 3466 16520 EVENT TRIGGER - mine postgres
3301; 2620 16521 TRIGGER public EVENT TRIGGER owner
3302; 0 0 ACL public TABLE t owner
3303; 0 0 COMMENT public TABLE t owner
7; 2615 2200 SCHEMA - public owner
8; 2615 2201 SCHEMA - publicity owner
9; 2615 2202 SCHEMA - _heroku postgres
300; 1255 2203 FUNCTION _heroku create_ext() postgres
301; 1255 2204 FUNCTION public _heroku() owner
";

    #[test]
    fn e23_the_list_says_who_restores_what() {
        let list = Listing::parse(LIST);
        assert_eq!(list.dumped_from, "15".parse().ok());
        assert_eq!(list.tables(), 2);
        assert_eq!(list.left_out().collect::<Vec<_>>(), ["EVENT TRIGGER - mine postgres"]);
        let numbers = |part| {
            let text = list.part(part).unwrap_or_default();
            text.lines()
                .filter_map(|line| line.split_once(';'))
                .map(|(n, _)| n.to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(numbers(Part::Extensions), "2");
        assert_eq!(numbers(Part::Needed), "215 216 3390 3391 3301 8 301");
        assert_eq!(numbers(Part::Tried), "3303");
        assert_eq!(numbers(Part::Everything), "215 216 3390 3391 3301 3303 8 301");
        assert!(is_only_tried("COMMENT public TABLE t owner"));
        assert!(!is_only_tried("TABLE public t owner"));
    }

    #[test]
    fn extensions_are_read_with_their_schemas_and_nothing_else_is() {
        let sql = "SET x = 1;\n\
                   CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA heroku_ext;\n\
                   CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA \"a \"\"b\";\n\
                   CREATE EXTENSION plpgsql;\n--CREATE EXTENSION x;\nCREATE EXTENSION \"open";
        let one = |name: &str, schema: Option<&str>| Extension {
            name: name.to_owned(),
            schema: schema.map(ToOwned::to_owned),
        };
        assert_eq!(
            extensions(sql),
            [
                one("hstore", Some("heroku_ext")),
                one("uuid-ossp", Some("a \"b")),
                one("plpgsql", None)
            ]
        );
    }
}
