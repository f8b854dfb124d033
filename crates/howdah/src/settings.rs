//! What the roles are told from outside: the environment, read once. The list with all meanings is
//! `howdah_model::setting::SETTINGS`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_gateway::{Commits, Plaintext};
use howdah_model::compliance::GRACE;
use howdah_model::plan::Catalogue;
use howdah_model::secret::Secret;

/// The port of the gateway's pools, beside its own 5433.
const POOL_PORT: u16 = 5434;
/// The longest that clients may be kept waiting: after that they are better told.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);
const MOST_THREADS: usize = 256;

/// How long sessions go on in a gateway that another one has taken over from: longer than most
/// applications keep a connection, and short enough that an old executable is gone some day.
/// How long the logins from before a rotation open their database at least.
const SETTLE: Duration = Duration::from_secs(60);
const LONGEST_SETTLE: Duration = Duration::from_secs(24 * 3600);
const DRAIN: Duration = Duration::from_secs(24 * 3600);
const LONGEST_DRAIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is logged: PostgreSQL's notices to the platform itself are for nobody.
const LOG: &str = "info,tokio_postgres=warn";

/// Where the gateway of a platform runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayPlace {
    /// Inside `howdah up`, as long as no `howdah gateway` runs.
    Auto,
    /// Only in a `howdah gateway`.
    External,
}

/// The settings of `howdah up`, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) listen: SocketAddr,
    /// The same with TLS; on any port beside it when it is not set.
    pub(crate) tls_listen: Option<SocketAddr>,
    pub(crate) gateway_listen: SocketAddr,
    /// Where clients take a server for each transaction.
    pub(crate) pool_listen: SocketAddr,
    /// The host that database URLs carry.
    pub(crate) gateway_host: String,
    pub(crate) plaintext: Plaintext,
    /// How long the gateway keeps clients waiting for a server that has gone.
    pub(crate) gateway_hold: Duration,
    pub(crate) gateway_commits: Commits,
    /// How long the logins from before a rotation open their database at least.
    pub(crate) rotation_settle: Duration,
    /// Where the gateway runs.
    pub(crate) gateway: GatewayPlace,
    /// How long the sessions of a gateway go on after another one has taken over.
    pub(crate) gateway_drain: Duration,
    /// The gateway's threads; one for each processor when it is not set.
    pub(crate) gateway_threads: Option<NonZeroUsize>,
    /// Where the platform's own state is; `None` for the cluster that it makes for itself.
    pub(crate) database_url: Option<Secret>,
    /// Where WAL and base backups go; below the home when it is not set.
    pub(crate) archive_url: Option<String>,
    /// Encrypts what goes there.
    pub(crate) archive_key: Option<Secret>,
    /// Networks that restores and imports may read from although they are not public.
    pub(crate) transfer_allow: howdah_agent::Networks,
    /// How long a database may have more rows than its plan.
    pub(crate) row_grace: Duration,
    /// Which catalogue of plans decides how long things are kept.
    pub(crate) plans: Catalogue,
    pub(crate) bindirs: Vec<PathBuf>,
    /// The operating system user of PostgreSQL.
    pub(crate) run_as: Option<String>,
    pub(crate) pool_size: u32,
    pub(crate) secret_key: Option<Secret>,
    /// What opens `GET /metrics`.
    pub(crate) metrics_token: Option<Secret>,
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
        let tls_listen = lookup("HOWDAH_TLS_LISTEN")
            .map(|_| address(lookup, "HOWDAH_TLS_LISTEN", "127.0.0.1:5443", &mut problems));
        let gateway_listen =
            address(lookup, "HOWDAH_GATEWAY_LISTEN", "127.0.0.1:5433", &mut problems);
        let pool_listen = pool_listen(lookup, gateway_listen, &mut problems);
        let plaintext = plaintext(lookup, &mut problems);
        let gateway_commits = commits(lookup, &mut problems);
        let gateway = gateway_place(lookup, &mut problems);
        let hold = howdah_gateway::Timeouts::default().hold;
        let gateway_hold = time(lookup, "HOWDAH_GATEWAY_HOLD", hold, LONGEST_HOLD, &mut problems);
        let rotation_settle =
            time(lookup, "HOWDAH_ROTATION_SETTLE", SETTLE, LONGEST_SETTLE, &mut problems);
        let gateway_drain =
            time(lookup, "HOWDAH_GATEWAY_DRAIN", DRAIN, LONGEST_DRAIN, &mut problems);
        let gateway_threads = threads(lookup, &mut problems);
        let pool_size = pool_size(lookup, &mut problems);
        let secret_key = secret(lookup, "HOWDAH_SECRET_KEY", &mut problems);
        let plans = plans(lookup, &mut problems);
        let archive_key = secret(lookup, "HOWDAH_ARCHIVE_KEY", &mut problems);
        let transfer_allow = networks(lookup, &mut problems);
        let row_grace = time(lookup, "HOWDAH_ROW_GRACE", GRACE, LONGEST_GRACE, &mut problems);
        let metrics_token = secret(lookup, "HOWDAH_METRICS_TOKEN", &mut problems);
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
            tls_listen,
            gateway_listen,
            pool_listen,
            gateway_host: lookup("HOWDAH_GATEWAY_HOST")
                .unwrap_or_else(|| reachable_host(gateway_listen)),
            plaintext,
            gateway,
            gateway_hold,
            gateway_commits,
            rotation_settle,
            gateway_drain,
            gateway_threads,
            database_url: lookup("HOWDAH_DATABASE_URL").map(Secret::new),
            archive_url: lookup("HOWDAH_ARCHIVE_URL"),
            archive_key,
            transfer_allow,
            row_grace,
            plans,
            bindirs: lookup("HOWDAH_PG_BINDIRS")
                .map_or_else(howdah_cluster::installed::default_dirs, |dirs| {
                    dirs.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
                }),
            run_as: lookup("HOWDAH_RUN_AS"),
            pool_size,
            secret_key,
            metrics_token,
            var_prefix,
            log: lookup("HOWDAH_LOG").unwrap_or_else(|| LOG.to_owned()),
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

/// The pooling port: beside the gateway's, on the same address. A gateway that takes any port that
/// is free (0) takes another such port for it.
fn pool_listen(
    lookup: &dyn Fn(&str) -> Option<String>,
    gateway: SocketAddr,
    problems: &mut Vec<String>,
) -> SocketAddr {
    const NAME: &str = "HOWDAH_GATEWAY_POOL_LISTEN";
    let port = if gateway.port() == 0 { 0 } else { POOL_PORT };
    let default = SocketAddr::new(gateway.ip(), port).to_string();
    let listen = address(lookup, NAME, &default, problems);
    if listen == gateway && listen.port() != 0 {
        problems
            .push(format!("{NAME} is {listen}, as HOWDAH_GATEWAY_LISTEN; give it another port"));
    }
    listen
}

fn plaintext(lookup: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Plaintext {
    match lookup("HOWDAH_GATEWAY_PLAINTEXT").as_deref() {
        None | Some("refuse") => Plaintext::Refused,
        Some("loopback") => Plaintext::Loopback,
        Some(other) => {
            problems.push(format!(
                "HOWDAH_GATEWAY_PLAINTEXT is `{other}`; it can be `refuse` or `loopback`"
            ));
            Plaintext::Refused
        }
    }
}

fn networks(
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> howdah_agent::Networks {
    let text = lookup("HOWDAH_TRANSFER_ALLOW").unwrap_or_default();
    text.parse().unwrap_or_else(|error| {
        problems.push(format!("HOWDAH_TRANSFER_ALLOW: {error}"));
        howdah_agent::Networks::default()
    })
}

fn commits(lookup: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Commits {
    match lookup("HOWDAH_GATEWAY_COMMITS").as_deref() {
        None | Some("resolve") => Commits::Resolve,
        Some("tell") => Commits::Tell,
        Some(other) => {
            problems.push(format!(
                "HOWDAH_GATEWAY_COMMITS is `{other}`; it can be `resolve` or `tell`"
            ));
            Commits::Resolve
        }
    }
}

fn gateway_place(
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> GatewayPlace {
    match lookup("HOWDAH_GATEWAY").as_deref() {
        None | Some("auto") => GatewayPlace::Auto,
        Some("external") => GatewayPlace::External,
        Some(other) => {
            problems.push(format!("HOWDAH_GATEWAY is `{other}`; it can be `auto` or `external`"));
            GatewayPlace::Auto
        }
    }
}

/// A time in seconds (`30`), or with units (`1m 30s`, `500ms`).
fn time(
    lookup: &dyn Fn(&str) -> Option<String>,
    name: &str,
    default: Duration,
    longest: Duration,
    problems: &mut Vec<String>,
) -> Duration {
    let Some(text) = lookup(name) else { return default };
    let given = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok()),
    };
    given.filter(|time| *time <= longest).unwrap_or_else(|| {
        let hours = longest.as_secs() / 3600;
        problems.push(format!(
            "{name} is `{text}`; it takes seconds, or a time as `30s`, up to {hours} h"
        ));
        default
    })
}

fn pool_size(lookup: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> u32 {
    match lookup("HOWDAH_POOL_SIZE").map(|text| text.parse()) {
        None => 1,
        Some(Ok(size @ 0..=100)) => size,
        Some(Ok(_) | Err(_)) => {
            problems.push("HOWDAH_POOL_SIZE must be a number from 0 to 100".to_owned());
            1
        }
    }
}

fn threads(
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Option<NonZeroUsize> {
    let text = lookup("HOWDAH_GATEWAY_THREADS")?;
    let given = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MOST_THREADS);
    if given.is_none() {
        problems.push(format!(
            "HOWDAH_GATEWAY_THREADS is `{text}`; it takes a number from 1 to {MOST_THREADS}"
        ));
    }
    given
}

/// A secret from the variable itself or from the file that `<name>_FILE` names.
fn plans(lookup: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Catalogue {
    let Some(text) = lookup("HOWDAH_PLANS") else { return Catalogue::default() };
    text.parse().unwrap_or_else(|_| {
        problems.push(format!("HOWDAH_PLANS is `{text}`; it must be `book` or `today`"));
        Catalogue::default()
    })
}

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
        assert_eq!(settings.pool_listen.to_string(), "127.0.0.1:5434");
        assert_eq!(settings.gateway_host, "127.0.0.1");
        assert_eq!(settings.gateway_hold, Duration::from_secs(30));
        assert_eq!(settings.gateway_threads, None);
        assert_eq!(settings.pool_size, 1);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let problems = read(&[
            ("HOWDAH_LISTEN", "here"),
            ("HOWDAH_POOL_SIZE", "-1"),
            ("HOWDAH_HOME", "relative"),
            ("HOWDAH_VAR_PREFIX", "low"),
            ("HOWDAH_GATEWAY_POOL_LISTEN", "127.0.0.1:5433"),
            ("HOWDAH_GATEWAY_HOLD", "for ever"),
            ("HOWDAH_GATEWAY_THREADS", "0"),
            ("HOWDAH_GATEWAY_COMMITS", "maybe"),
        ])
        .expect_err("eight problems");
        assert_eq!(problems.lines().count(), 8, "{problems}");
    }

    #[test]
    fn the_pooling_port_is_beside_the_gateways() {
        let pool = |vars: &[_]| read(vars).expect("fine").pool_listen.to_string();
        let gateway = |address| ("HOWDAH_GATEWAY_LISTEN", address);
        assert_eq!(pool(&[gateway("10.1.2.3:6000")]), "10.1.2.3:5434");
        assert_eq!(pool(&[gateway("[::1]:0")]), "[::1]:0");
        assert_eq!(pool(&[("HOWDAH_GATEWAY_POOL_LISTEN", "0.0.0.0:6432")]), "0.0.0.0:6432");
        let clash = read(&[gateway("127.0.0.1:5434")]).expect_err("the same port");
        assert!(clash.contains("HOWDAH_GATEWAY_POOL_LISTEN"), "{clash}");
    }

    #[test]
    fn h18_the_hold_is_in_seconds_or_has_units_and_is_bounded() {
        let hold = |text: &str| read(&[("HOWDAH_GATEWAY_HOLD", text)]).map(|all| all.gateway_hold);
        assert_eq!(hold("5"), Ok(Duration::from_secs(5)));
        assert_eq!(hold("0"), Ok(Duration::ZERO));
        assert_eq!(hold("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(hold("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["-1", "-1s", "3601", "2h", "soon"] {
            assert!(hold(bad).is_err(), "{bad}");
        }
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
