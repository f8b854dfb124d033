//! What the roles are told from outside: the environment, read once. The list with all meanings is
//! `howdah_model::setting::SETTINGS`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use howdah_gateway::Plaintext;
use howdah_model::secret::Secret;

/// The settings of `howdah up`, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) gateway_listen: SocketAddr,
    /// The host that database URLs carry.
    pub(crate) gateway_host: String,
    pub(crate) plaintext: Plaintext,
    /// Where the platform's own state is; `None` for the cluster that it makes for itself.
    pub(crate) database_url: Option<Secret>,
    pub(crate) bindirs: Vec<PathBuf>,
    /// The operating system user of PostgreSQL.
    pub(crate) run_as: Option<String>,
    pub(crate) pool_size: u32,
    pub(crate) secret_key: Option<Secret>,
    pub(crate) var_prefix: String,
    pub(crate) log: String,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// All that is wrong with it, one line each.
    pub(crate) fn from_env() -> Result<Self, String> {
        Self::read(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut problems = Vec::new();
        let listen = address(lookup, "HOWDAH_LISTEN", "127.0.0.1:5080", &mut problems);
        let gateway_listen =
            address(lookup, "HOWDAH_GATEWAY_LISTEN", "127.0.0.1:5433", &mut problems);
        let plaintext = match lookup("HOWDAH_GATEWAY_PLAINTEXT").as_deref() {
            None | Some("refuse") => Plaintext::Refused,
            Some("loopback") => Plaintext::Loopback,
            Some(other) => {
                problems.push(format!(
                    "HOWDAH_GATEWAY_PLAINTEXT is `{other}`; it can be `refuse` or `loopback`"
                ));
                Plaintext::Refused
            }
        };
        let pool_size = match lookup("HOWDAH_POOL_SIZE").map(|text| text.parse()) {
            None => 1,
            Some(Ok(size @ 0..=100)) => size,
            Some(Ok(_) | Err(_)) => {
                problems.push("HOWDAH_POOL_SIZE must be a number from 0 to 100".to_owned());
                1
            }
        };
        let secret_key = secret(lookup, "HOWDAH_SECRET_KEY", &mut problems);
        let var_prefix =
            lookup("HOWDAH_VAR_PREFIX").unwrap_or_else(|| "HEROKU_POSTGRESQL".to_owned());
        if var_prefix.parse::<howdah_model::name::AttachmentName>().is_err() {
            problems.push(format!(
                "HOWDAH_VAR_PREFIX is `{var_prefix}`; it takes upper-case letters, digits and `_`"
            ));
        }
        let home = lookup("HOWDAH_HOME").map_or_else(|| default_home(lookup), PathBuf::from);
        if !home.is_absolute() {
            problems.push(format!("HOWDAH_HOME is `{}`; it must be absolute", home.display()));
        }
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        Ok(Self {
            home,
            listen,
            gateway_listen,
            gateway_host: lookup("HOWDAH_GATEWAY_HOST")
                .unwrap_or_else(|| reachable_host(gateway_listen)),
            plaintext,
            database_url: lookup("HOWDAH_DATABASE_URL").map(Secret::new),
            bindirs: lookup("HOWDAH_PG_BINDIRS")
                .map_or_else(howdah_cluster::installed::default_dirs, |dirs| {
                    dirs.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
                }),
            run_as: lookup("HOWDAH_RUN_AS"),
            pool_size,
            secret_key,
            var_prefix,
            log: lookup("HOWDAH_LOG").unwrap_or_else(|| "info".to_owned()),
        })
    }
}

fn address(
    lookup: &dyn Fn(&str) -> Option<String>,
    name: &str,
    default: &str,
    problems: &mut Vec<String>,
) -> SocketAddr {
    let text = lookup(name).unwrap_or_else(|| default.to_owned());
    text.parse().unwrap_or_else(|_| {
        problems.push(format!("{name} is `{text}`; it takes an address and a port, as {default}"));
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

/// A secret from the variable itself or from the file that `<name>_FILE` names.
fn secret(
    lookup: &dyn Fn(&str) -> Option<String>,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<Secret> {
    if let Some(value) = lookup(name) {
        return Some(Secret::new(value));
    }
    let file = lookup(&format!("{name}_FILE"))?;
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(Secret::new(text.trim().to_owned())),
        Err(error) => {
            problems.push(format!("{name}_FILE: cannot read {file}: {error}"));
            None
        }
    }
}

fn default_home(lookup: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/howdah");
    }
    lookup("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| lookup("HOME").map(|home| Path::new(&home).join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("howdah")
}

/// What clients of this machine can dial when the gateway listens on every address.
fn reachable_host(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(&|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let settings = read(&[("HOME", "/home/me")]).expect("defaults");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:5080");
        assert_eq!(settings.gateway_listen.to_string(), "127.0.0.1:5433");
        assert_eq!(settings.gateway_host, "127.0.0.1");
        assert_eq!(settings.pool_size, 1);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let problems = read(&[
            ("HOWDAH_LISTEN", "here"),
            ("HOWDAH_POOL_SIZE", "-1"),
            ("HOWDAH_HOME", "relative"),
            ("HOWDAH_VAR_PREFIX", "low"),
        ])
        .expect_err("four problems");
        assert_eq!(problems.lines().count(), 4, "{problems}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = read(&[("HOWDAH_DATABASE_URL", "postgres://u:hush@h/d")]).expect("fine");
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn every_setting_that_is_read_here_is_in_the_list() {
        let asked = std::cell::RefCell::new(Vec::new());
        let _ = Settings::read(&|name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        for name in asked.into_inner() {
            let known = howdah_model::setting::SETTINGS
                .iter()
                .any(|setting| setting.name == name || name == format!("{}_FILE", setting.name));
            assert!(known || !name.starts_with("HOWDAH_"), "{name} is not in the list");
        }
    }
}
