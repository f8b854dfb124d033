//! What may follow `addons:create … --`: the options of a new database.

use std::collections::BTreeMap;

use howdah_model::plan::SERVICE;
use howdah_model::version::{Major, Support, Version};

use super::error::{Error, Result};

/// Options that are about copies: see [`super::copies`].
const OF_COPIES: &[&str] = &["follow", "fork", "rollback", "to", "by", "fast"];

/// The major version that a new database shall have.
///
/// `given` are the options as they came; `installed` is what the servers have.
///
/// # Errors
/// When an option is not known or not offered, or the version is not there.
pub(crate) fn major(given: &BTreeMap<String, String>, installed: &[Version]) -> Result<Major> {
    check_known(given)?;
    match given.get("version") {
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

fn check_known(given: &BTreeMap<String, String>) -> Result<()> {
    for name in given.keys() {
        match name.as_str() {
            "version" => {}
            // Says that the client does not wait, which it knows by itself.
            "no-wait" => {}
            of_copies if OF_COPIES.contains(&of_copies) => {}
            unknown => {
                return Err(Error::invalid(format!(
                    "`{unknown}` is not an option of {SERVICE}. Its options are `version`, `fork` with \
                     `fast`, `rollback` with `to` or `by`, and `follow`."
                )));
            }
        }
    }
    Ok(())
}

/// The major version of a copy: the source's, which no option can change.
///
/// # Errors
/// When an option is not known, or another version is asked for.
pub(crate) fn major_of_copy(
    given: &BTreeMap<String, String>,
    source: Major,
    installed: &[Version],
) -> Result<Major> {
    let asked = given.contains_key("version").then(|| major(given, installed)).transpose()?;
    if asked.is_none() {
        // For its unknown options only.
        check_known(given)?;
    }
    match asked {
        Some(other) if other != source => Err(Error::invalid(format!(
            "A copy has the version of its source, which is PostgreSQL {source}. Leave `--version` \
             out."
        ))),
        _ => Ok(source),
    }
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

    fn ask(given: &[(&str, &str)], installed: &[&str]) -> Result<u16, String> {
        let given =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let installed: Vec<_> = installed.iter().map(|v| v.parse().expect("a version")).collect();
        major(&given, &installed).map(|m| m.0).map_err(|error| error.to_string())
    }

    #[test]
    fn c37_c39_versions_are_those_that_are_there() {
        let there = ["14.19", "15.20", "18.6", "19.0"];
        assert_eq!(ask(&[], &there), Ok(18));
        assert_eq!(ask(&[("version", "15")], &there), Ok(15));
        assert_eq!(ask(&[("version", "19")], &there), Ok(19));
        let said = "Installed: 14.19 (deprecated), 15.20, 18.6 (default), 19.0 (beta).";
        for (version, why) in [
            ("17", "PostgreSQL 17 is not installed."),
            ("14", "PostgreSQL 14 is deprecated: new databases do not get it."),
            ("nope", "`nope` is not a major version of PostgreSQL."),
        ] {
            let asked = ask(&[("version", version)], &there);
            assert_eq!(asked, Err(format!("{why} {said}")));
        }
        assert!(ask(&[], &[]).expect_err("none").contains("No PostgreSQL"));
    }

    #[test]
    fn c35_a_copy_has_the_version_of_its_source() {
        let installed = ["15.20", "18.6"].map(|text| text.parse().expect("a version"));
        let ask = |given: &[(&str, &str)]| {
            let given = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            major_of_copy(&given, Major(15), &installed).map_err(|error| error.to_string())
        };
        assert_eq!(ask(&[("fork", "DATABASE")]), Ok(Major(15)));
        assert_eq!(ask(&[("fork", "DATABASE"), ("version", "15")]), Ok(Major(15)));
        let other = ask(&[("fork", "DATABASE"), ("version", "18")]).expect_err("refused");
        assert!(other.contains("PostgreSQL 15"), "{other}");
        assert!(ask(&[("color", "red")]).expect_err("no").contains("`color`"));
    }
}
