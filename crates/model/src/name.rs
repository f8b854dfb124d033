//! Names: parsed once where they come in, and right ever after.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that breaks its rule. Says which name, and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {what}: {rule}")]
pub struct BadName {
    /// What was given, cut to 80 characters.
    pub name: String,
    /// What it was to be.
    pub what: &'static str,
    /// The rule.
    pub rule: &'static str,
}

macro_rules! name {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let name = text.chars().take(80).collect();
                    Err(BadName { name, what: $what, rule: $rule })
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
    )+};
}

fn slug(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn upper_identifier(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn sql_identifier(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

name! {
    /// The name of an app.
    AppName, "app name",
        "3 to 30 lower-case letters, digits and dashes, starting with a letter",
        |text| slug(text, 3, 30);
    /// The name of an add-on, such as `postgresql-curved-12345`.
    AddonName, "add-on name",
        "3 to 60 lower-case letters, digits and dashes, starting with a letter",
        |text| slug(text, 3, 60);
    /// The name of an attachment, such as `DATABASE` or `HEROKU_POSTGRESQL_PINK`.
    AttachmentName, "attachment name",
        "1 to 64 upper-case letters, digits and underscores, starting with a letter",
        upper_identifier;
    /// The name of a config var.
    ConfigVarName, "config var name",
        "1 to 128 letters, digits and underscores, not starting with a digit",
        |text| (1..=128).contains(&text.len())
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    /// The name of a process type of a Procfile, such as `web`.
    ProcessType, "process type",
        "1 to 30 letters, digits, dashes and underscores",
        |text| (1..=30).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    /// The name of a PostgreSQL role that the platform made. Needs no quoting anywhere.
    RoleName, "role name",
        "1 to 63 lower-case letters, digits and underscores, starting with a letter",
        sql_identifier;
    /// The name of a link: of a foreign server and of a schema in a tenant's database.
    LinkName, "link name",
        "1 to 63 lower-case letters, digits and underscores, starting with a letter, and none of PostgreSQL's or the platform's",
        |text| sql_identifier(text)
            && !text.starts_with("pg_")
            && !text.starts_with("howdah")
            && !["public", "information_schema"].contains(&text);
    /// The name of a PostgreSQL database that the platform made. Needs no quoting anywhere.
    DatabaseName, "database name",
        "1 to 63 lower-case letters, digits and underscores, starting with a letter",
        sql_identifier;
}

impl AttachmentName {
    /// The config var that carries the attachment's URL.
    #[must_use]
    pub fn url_var(&self) -> String {
        format!("{}_URL", self.0)
    }
}

/// The attachment that an app's primary database has.
pub const PRIMARY: &str = "DATABASE";

/// The colours of second and further databases (C5).
pub const COLORS: &[&str] = &[
    "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "BROWN", "CHARCOAL", "COBALT", "COPPER", "CRIMSON",
    "CYAN", "GOLD", "GRAY", "GREEN", "IVORY", "JADE", "MAROON", "MAUVE", "NAVY", "OLIVE", "ONYX",
    "ORANGE", "PINK", "PUCE", "PURPLE", "RED", "ROSE", "SILVER", "TEAL", "VIOLET", "WHITE",
    "YELLOW",
];

/// Adjectives for invented names.
pub const ADJECTIVES: &[&str] = &[
    "agile", "amber", "bold", "brave", "bright", "calm", "clear", "crisp", "curved", "deep", "dry",
    "early", "fair", "fast", "fresh", "gentle", "glad", "golden", "grand", "keen", "kind",
    "lively", "lucid", "mellow", "mighty", "noble", "placid", "proud", "quick", "quiet", "rapid",
    "regular", "round", "serene", "shiny", "silent", "slow", "smooth", "solid", "sturdy", "sunny",
    "swift", "tidy", "tranquil", "vast", "vivid", "warm", "wide", "wise", "young",
];

/// Nouns for invented names of apps.
pub const NOUNS: &[&str] = &[
    "acacia",
    "atoll",
    "bay",
    "bridge",
    "brook",
    "canyon",
    "cliff",
    "cloud",
    "coast",
    "cove",
    "creek",
    "delta",
    "dune",
    "fjord",
    "forest",
    "garden",
    "glade",
    "glen",
    "grove",
    "harbor",
    "hill",
    "island",
    "lagoon",
    "lake",
    "meadow",
    "mesa",
    "mountain",
    "oasis",
    "ocean",
    "orchard",
    "peak",
    "plain",
    "plateau",
    "pond",
    "prairie",
    "reef",
    "ridge",
    "river",
    "savanna",
    "shore",
    "spring",
    "steppe",
    "stream",
    "summit",
    "tundra",
    "valley",
    "waterfall",
    "woods",
];

/// An invented app name, such as `mighty-atoll-7219` (B2), from a random number.
#[must_use]
pub fn invent_app_name(random: u64) -> String {
    let (adjective, rest) = pick(ADJECTIVES, random);
    let (noun, rest) = pick(NOUNS, rest);
    format!("{adjective}-{noun}-{:04}", rest % 10_000)
}

/// An invented add-on name, such as `postgresql-curved-12345`, from a random number.
#[must_use]
pub fn invent_addon_name(random: u64) -> String {
    let (adjective, rest) = pick(ADJECTIVES, random);
    format!("postgresql-{adjective}-{:05}", rest % 100_000)
}

fn pick(words: &[&'static str], random: u64) -> (&'static str, u64) {
    let count = words.len() as u64;
    let index = usize::try_from(random % count).unwrap_or_default();
    (words[index], random / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass_and_bad_names_are_told_the_rule() {
        assert!("demo".parse::<AppName>().is_ok());
        for bad in
            ["", "ab", "Demo", "9lives", "a b", "demo-", "x".repeat(31).as_str(), "dé-mo", "a;b"]
        {
            let error = bad.parse::<AppName>().expect_err(bad).to_string();
            assert!(error.contains("lower-case"), "{error}");
        }
        assert!("HEROKU_POSTGRESQL_PINK".parse::<AttachmentName>().is_ok());
        assert!("pink".parse::<AttachmentName>().is_err());
        assert!("_A1".parse::<ConfigVarName>().is_ok() && "1A".parse::<ConfigVarName>().is_err());
        assert!("d1\"; drop".parse::<DatabaseName>().is_err());
    }

    #[test]
    fn b2_invented_names_have_the_known_form() {
        for random in [0, 1, 987_654_321, u64::MAX] {
            let app = invent_app_name(random);
            let parts: Vec<_> = app.split('-').collect();
            assert!(parts.len() == 3 && parts[2].len() == 4, "{app}");
            assert!(app.parse::<AppName>().is_ok(), "{app}");
            assert!(invent_addon_name(random).parse::<AddonName>().is_ok());
        }
    }
}
