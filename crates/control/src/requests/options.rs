//! What may follow `addons:create … --`: the options of a new database.

use std::collections::BTreeMap;

use howdah_model::plan::{Plan, SERVICE};
use howdah_model::version::{Major, Support, Version};

use super::error::{Error, Result};

/// Options that need the archive of base backups and WAL.
const OF_THE_ARCHIVE: &[&str] = &["follow", "fork", "rollback", "to", "by", "fast"];

/// The major version that a new database shall have.
///
/// `given` are the options as they came; `installed` is what the servers have.
///
/// # Errors
/// When an option is not known or not offered, or the version is not there.
pub(crate) fn major(
    given: &BTreeMap<String, String>,
    plan: &Plan,
    installed: &[Version],
) -> Result<Major> {
    let mut wanted = None;
    for (name, value) in given {
        match name.as_str() {
            "version" => wanted = Some(value.as_str()),
            // Says that the client does not wait, which it knows by itself.
            "no-wait" => {}
            of_archive if OF_THE_ARCHIVE.contains(&of_archive) => {
                return Err(needs_archive(of_archive, plan));
            }
            unknown => {
                return Err(Error::invalid(format!(
                    "`{unknown}` is not an option of {SERVICE}. Its option is `version`."
                )));
            }
        }
    }
    match wanted {
        Some(text) => named(text, installed),
        None => Major::default_of(majors(installed)).ok_or_else(|| {
            Error::Unavailable(format!(
                "No supported version of PostgreSQL is installed. {} Install one, or name its \
                 directory in HOWDAH_PG_BINDIRS.",
                there(installed)
            ))
        }),
    }
}

fn needs_archive(option: &str, plan: &Plan) -> Error {
    if !plan.tier.features().fork_follow && matches!(option, "follow" | "fork" | "rollback") {
        let name = option[..1].to_uppercase() + &option[1..];
        return Error::invalid(format!("{name} is only available on production databases."));
    }
    Error::invalid(format!(
        "`{option}` is not offered yet: it needs the archive of backups. Create the database \
         without it and copy the data with `pg_dump` and `pg_restore`."
    ))
}

fn named(text: &str, installed: &[Version]) -> Result<Major> {
    let major: Major = text.parse().map_err(|_| {
        Error::invalid(format!(
            "`{text}` is not a major version of PostgreSQL. {}",
            there(installed)
        ))
    })?;
    if !majors(installed).any(|there| there == major) {
        return Err(Error::invalid(format!(
            "PostgreSQL {major} is not installed. {}",
            there(installed)
        )));
    }
    match major.support() {
        Support::Supported | Support::Beta => Ok(major),
        Support::Deprecated => Err(Error::invalid(format!(
            "PostgreSQL {major} is deprecated: new databases do not get it. {}",
            there(installed)
        ))),
    }
}

fn majors(installed: &[Version]) -> impl Iterator<Item = Major> {
    installed.iter().map(|version| version.major)
}

/// What is installed, as a sentence.
pub(crate) fn there(installed: &[Version]) -> String {
    let default = Major::default_of(majors(installed));
    let said = |version: &Version| match version.major.support() {
        _ if Some(version.major) == default => format!("{version} (default)"),
        Support::Supported => version.to_string(),
        Support::Beta => format!("{version} (beta)"),
        Support::Deprecated => format!("{version} (deprecated)"),
    };
    match installed {
        [] => "No PostgreSQL is installed.".to_owned(),
        some => format!("Installed: {}.", some.iter().map(said).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use howdah_model::plan;

    fn ask(given: &[(&str, &str)], plan: &str, installed: &[&str]) -> Result<u16, String> {
        let given =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let installed: Vec<_> = installed.iter().map(|v| v.parse().expect("a version")).collect();
        let plan = plan::find(plan).expect("a plan");
        major(&given, plan, &installed).map(|m| m.0).map_err(|error| error.to_string())
    }

    #[test]
    fn c37_c39_versions_are_those_that_are_there() {
        let there = ["14.19", "15.20", "18.6", "19.0"];
        assert_eq!(ask(&[], "standard-0", &there), Ok(18));
        assert_eq!(ask(&[("version", "15")], "standard-0", &there), Ok(15));
        assert_eq!(ask(&[("version", "19")], "standard-0", &there), Ok(19));
        let said = "Installed: 14.19 (deprecated), 15.20, 18.6 (default), 19.0 (beta).";
        for (version, why) in [
            ("17", "PostgreSQL 17 is not installed."),
            ("14", "PostgreSQL 14 is deprecated: new databases do not get it."),
            ("nope", "`nope` is not a major version of PostgreSQL."),
        ] {
            let asked = ask(&[("version", version)], "standard-0", &there);
            assert_eq!(asked, Err(format!("{why} {said}")));
        }
        assert!(ask(&[], "hobby-dev", &[]).expect_err("none").contains("No PostgreSQL"));
    }

    #[test]
    fn c35_what_needs_the_archive_is_refused_with_a_reason() {
        let there = ["18.6"];
        let fork = |plan| ask(&[("fork", "DATABASE")], plan, &there).expect_err("refused");
        assert_eq!(fork("hobby-dev"), "Fork is only available on production databases.");
        assert!(fork("standard-0").contains("not offered yet"));
        assert!(
            ask(&[("color", "red")], "standard-0", &there).expect_err("no").contains("`color`")
        );
    }
}
