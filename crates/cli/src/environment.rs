//! What the command line reads from around it: variables, directories, the platform's address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The variables and the directory of this call.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    /// The directory that we were started in.
    pub(crate) directory: PathBuf,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        Self { variables: variables.collect(), directory }
    }

    /// An environment with these variables only.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)], directory: PathBuf) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { variables: variables.iter().map(own).collect(), directory }
    }

    /// A variable; one that is empty counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables, for a program that we start.
    pub(crate) fn all(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The directory of stored keys: `HOWDAH_CONFIG_DIR`, else below `XDG_CONFIG_HOME`, else
    /// `~/.config`.
    pub(crate) fn config_directory(&self) -> PathBuf {
        if let Some(directory) = self.get("HOWDAH_CONFIG_DIR") {
            return PathBuf::from(directory);
        }
        match self.get("XDG_CONFIG_HOME") {
            Some(config) => PathBuf::from(config).join("howdah"),
            None => PathBuf::from(self.get("HOME").unwrap_or(".")).join(".config/howdah"),
        }
    }

    /// The platform's address: `HOWDAH_URL`, else that of `HOWDAH_LISTEN`, else the default.
    pub(crate) fn platform(&self) -> String {
        if let Some(url) = self.get("HOWDAH_URL") {
            return url.trim_end_matches('/').to_owned();
        }
        let listen = self.get("HOWDAH_LISTEN").unwrap_or("127.0.0.1:5080");
        format!("http://{}", dialled(listen))
    }

    /// A program of this name on the `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.get("PATH")?;
        std::env::split_paths(path).map(|directory| directory.join(name)).find(|file| {
            use std::os::unix::fs::PermissionsExt as _;
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    }
}

/// What a client dials when a server listens on this address: a server that listens on every
/// address is reached on the loopback.
pub(crate) fn dialled(listen: &str) -> String {
    let Ok(address) = listen.parse::<SocketAddr>() else { return listen.to_owned() };
    if !address.ip().is_unspecified() {
        return listen.to_owned();
    }
    let host = if address.is_ipv6() { "[::1]" } else { "127.0.0.1" };
    format!("{host}:{}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_address_comes_from_the_nearest_setting() {
        let platform =
            |variables: &[(&str, &str)]| Environment::of(variables, PathBuf::new()).platform();
        assert_eq!(platform(&[]), "http://127.0.0.1:5080");
        assert_eq!(platform(&[("HOWDAH_LISTEN", "0.0.0.0:81")]), "http://127.0.0.1:81");
        assert_eq!(platform(&[("HOWDAH_LISTEN", "[::]:81")]), "http://[::1]:81");
        assert_eq!(platform(&[("HOWDAH_LISTEN", "10.0.0.5:81")]), "http://10.0.0.5:81");
        let both = [("HOWDAH_LISTEN", "10.0.0.5:81"), ("HOWDAH_URL", "https://h.test/")];
        assert_eq!(platform(&both), "https://h.test");
        assert_eq!(platform(&[("HOWDAH_URL", "")]), "http://127.0.0.1:5080");
    }
}
