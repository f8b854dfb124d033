//! What is in `postgresql.conf`, `pg_hba.conf` and `pg_ident.conf`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use howdah_model::agent::Installed;
use howdah_model::extension;
use howdah_model::version::Major;

use crate::replication::REPLICATION_ROLE;
use crate::{RunAs, brake, extension_share, installed, mode};

/// Server settings by name, unquoted.
pub type Settings = BTreeMap<String, String>;

/// The role that the platform itself uses: the superuser of every cluster.
pub const PLATFORM_ROLE: &str = "howdah";

/// The port in the name of every unix socket.
pub const PORT: u16 = 5432;

/// A setting that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// The name is not one.
    #[error("`{0}` is not the name of a setting")]
    Name(String),
    /// The value has a character that a configuration file cannot hold.
    #[error("the value of `{0}` has a line break or a zero byte in it")]
    Value(String),
    /// PostgreSQL refuses the settings; what it says.
    #[error("PostgreSQL refuses the settings: {0}")]
    Refused(String),
}

/// Settings that hold unless a spec says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("checkpoint_completion_target", "0.9"),
    ("checkpoint_timeout", "15min"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("hot_standby", "on"),
    ("log_checkpoints", "off"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
    // Some for standbys, for a base backup and for what follows a standby that is made anew.
    ("max_wal_senders", "16"),
    ("max_wal_size", "1GB"),
    ("min_wal_size", "80MB"),
    ("wal_compression", "on"),
];

/// Settings that are the platform's and that no spec changes.
fn fixed(installed: &Installed, socket_dir: &Path) -> Vec<(&'static str, String)> {
    let mut fixed = vec![
        ("listen_addresses", String::new()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", socket_dir.display().to_string()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("superuser_reserved_connections", "5".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("allow_system_table_mods", "off".to_owned()),
        // Less than this holds too little for an archive or a standby.
        ("wal_level", "replica".to_owned()),
    ];
    if installed.version.major.0 >= 17 {
        fixed.push(("allow_alter_system", "off".to_owned()));
        // For incremental base backups.
        fixed.push(("summarize_wal", "on".to_owned()));
    }
    fixed
}

/// Libraries that every server loads at its start, where they are installed. `pgextwlist` must be
/// among these: from `session_preload_libraries` or `local_preload_libraries` its settings would
/// be unknown to the server, and a tenant could choose a session without it.
const LIBRARIES: &[&str] = &["pg_stat_statements", "pgextwlist"];

/// The whole content of `postgresql.conf`.
///
/// The lists of allowed extensions are cut to those whose files are there.
///
/// # Errors
/// When a name or value of `wanted` cannot be written.
pub fn postgresql_conf(
    installed: &Installed,
    socket_dir: &Path,
    wanted: &Settings,
) -> Result<String, BadSetting> {
    let mut all: Settings = DEFAULTS.iter().map(|(k, v)| (s(k), s(v))).collect();
    for (name, value) in wanted {
        all.insert(name.to_ascii_lowercase(), offered(installed, name, value));
    }
    let libraries = libraries(installed, all.get("shared_preload_libraries"));
    if libraries.contains(&s("pgextwlist")) {
        let scripts = extension_share::dir(socket_dir).display().to_string();
        all.insert(s("extwlist.custom_path"), scripts);
    }
    if libraries.contains(&s("pg_stat_statements")) {
        all.entry(s("pg_stat_statements.track_utility")).or_insert_with(|| s("off"));
    }
    all.insert(s("shared_preload_libraries"), libraries.join(","));
    if let Some(size) = all.get("max_wal_size").and_then(|size| megabytes(size)) {
        all.entry(s("wal_keep_size")).or_insert_with(|| format!("{}MB", keep_of(size)));
    }
    all.extend(fixed(installed, socket_dir).into_iter().map(|(name, value)| (s(name), value)));
    let mut text = s("# Written by Howdah at every change of the spec; changes here are lost.\n");
    for (name, value) in &all {
        let _ = writeln!(text, "{} = {}", checked_name(name)?, quoted(name, value)?);
    }
    // Last, so that they win. Not in the data directory: copies of that must not have them.
    for name in INCLUDED {
        let path = socket_dir.join(name).display().to_string();
        let _ = writeln!(text, "include_if_exists {}", quoted("include_if_exists", &path)?);
    }
    Ok(text)
}

/// The line of `postgresql.conf` by which one cluster's is told from another's.
pub(crate) fn socket_line(socket_dir: &Path) -> Result<String, BadSetting> {
    let name = "unix_socket_directories";
    Ok(format!("{name} = {}", quoted(name, &socket_dir.display().to_string())?))
}

/// Files of settings beside the socket that come and go without the spec.
const INCLUDED: &[&str] = &[mode::MODE_CONF, brake::BRAKE_CONF];

/// How much WAL stays for standbys that were away for a while, in megabytes: what is older comes
/// from the archive.
fn keep_of(max_wal_size: u64) -> u64 {
    (max_wal_size / 2).clamp(64, 2048)
}

/// A size as settings have it, in megabytes.
fn megabytes(size: &str) -> Option<u64> {
    let digits = size.len() - size.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = size[..digits].parse().ok()?;
    match size[digits..].trim() {
        "" | "MB" => Some(number),
        "kB" => Some(number / 1024),
        "GB" => number.checked_mul(1024),
        "TB" => number.checked_mul(1024 * 1024),
        _ => None,
    }
}

/// The value of a setting of a server or database as this server can have it: a list of allowed
/// extensions without those that are not installed or would not be safe here, a list of libraries
/// without those that are not installed, which would keep everybody out; any other value as it is.
#[must_use]
pub fn offered(installed: &Installed, name: &str, value: &str) -> String {
    if name == "session_preload_libraries" {
        let there = |name: &&str| installed::has_library(installed, name);
        return value.split(',').map(str::trim).filter(there).collect::<Vec<_>>().join(",");
    }
    if !extension::SETTINGS.contains(&name) {
        return value.to_owned();
    }
    let dir = installed::extension_dir(installed);
    let there = |name: &&str| dir.join(format!("{name}.control")).is_file();
    let safe = |name: &&str| is_safe(name, installed.version.major, RunAs::is_someone_else());
    value.split(',').map(str::trim).filter(there).filter(safe).collect::<Vec<_>>().join(",")
}

/// Whether tenants may have an extension on a server of this version. `apart` says that PostgreSQL
/// runs as another operating system user than the platform.
///
/// What connects from inside the server comes as PostgreSQL's user: where that is the platform's as
/// well, `peer` lets it open a session of the platform, with options of the tenant's choice, before
/// the extension refuses it. And from libpq 18 on a connection string can name a file to append to
/// (`sslkeylogfile`), which `dblink` hands on and `postgres_fdw` does not.
#[must_use]
pub fn is_safe(extension: &str, major: Major, apart: bool) -> bool {
    match extension {
        "dblink" => apart && major < Major(18),
        "postgres_fdw" => apart,
        _ => true,
    }
}

fn libraries(installed: &Installed, wanted: Option<&String>) -> Vec<String> {
    let wanted = wanted.map(String::as_str).unwrap_or_default();
    let dir = installed::library_dir(installed);
    let mut all: Vec<String> = Vec::new();
    for name in LIBRARIES.iter().copied().chain(wanted.split(',').map(str::trim)) {
        let new = !name.is_empty() && all.iter().all(|known| known != name);
        if new && dir.join(format!("{name}.so")).is_file() {
            all.push(name.to_owned());
        }
    }
    all
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn checked_name(name: &str) -> Result<&str, BadSetting> {
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let good = name.split('.').count() <= 2 && name.split('.').all(word);
    // `include` and its like are no settings: they would read files of the machine.
    if good && !name.starts_with("include") { Ok(name) } else { Err(BadSetting::Name(s(name))) }
}

pub(crate) fn quoted(name: &str, value: &str) -> Result<String, BadSetting> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(BadSetting::Value(s(name)));
    }
    Ok(format!("'{}'", value.replace('\\', r"\\").replace('\'', "''")))
}

/// The whole content of `pg_hba.conf`: the platform by the operating system user of its process,
/// standbys by
/// that of theirs, tenants by their password's proof, nobody else and from nowhere else.
#[must_use]
pub fn pg_hba_conf() -> String {
    format!(
        "# Written by Howdah.\n\
         local all {PLATFORM_ROLE} peer map={PLATFORM_ROLE}\n\
         local replication {PLATFORM_ROLE} peer map={PLATFORM_ROLE}\n\
         local replication {REPLICATION_ROLE} peer map={REPLICATION_ROLE}\n\
         local postgres {REPLICATION_ROLE} peer map={REPLICATION_ROLE}\n\
         local all {REPLICATION_ROLE} reject\n\
         local all all scram-sha-256\n"
    )
}

/// The whole content of `pg_ident.conf`: only the platform's own operating system user is the
/// platform's role, not the one that the server runs as (unless that is the same). Servers come as
/// the one that they run as when they follow this one.
#[must_use]
pub fn pg_ident_conf(platform_user: &str, server_user: &str) -> String {
    let line =
        |role: &str, user: &str| format!("{role} \"{}\" {role}\n", user.replace('"', "\"\""));
    let platform = line(PLATFORM_ROLE, platform_user);
    format!("# Written by Howdah.\n{platform}{}", line(REPLICATION_ROLE, server_user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_bad_names_and_values_are_refused() {
        assert_eq!(quoted("a", r"it's \x"), Ok(r"'it''s \\x'".to_owned()));
        assert_eq!(quoted("a", "x\ny"), Err(BadSetting::Value("a".into())));
        for good in ["work_mem", "extwlist.extensions", "_x.y2"] {
            assert_eq!(checked_name(good), Ok(good));
        }
        for bad in ["", "a b", "a.b.c", "a=1 #", "1a", ".", "include", "include_dir", "a\nb"] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }
}
