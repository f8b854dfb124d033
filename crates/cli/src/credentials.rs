//! The stored keys: `credentials.json` of mode 0600 in the user's config directory. It maps the
//! address of a platform to the account that is logged in there, so that several platforms live
//! side by side.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use howdah_model::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::environment::{self, Environment};

/// An account that is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The e-mail address of the account.
    pub email: String,
    /// Its API key.
    pub token: Secret,
}

/// The stored keys could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Unusable {
    path: PathBuf,
    source: std::io::Error,
}

/// What is stored for the platform at this address, such as `http://127.0.0.1:5080`. `None` when
/// nobody is logged in there, or when the file cannot be read.
#[must_use]
pub fn load(platform: &str) -> Option<Stored> {
    Keys::of(&Environment::of_process()).load(platform).ok().flatten()
}

/// Stores an account for the platform at this address, and replaces the one that was there.
///
/// # Errors
/// When the file cannot be read or written.
pub fn store(platform: &str, account: &Stored) -> Result<(), Unusable> {
    Keys::of(&Environment::of_process()).store(platform, account)
}

/// The file that holds what is stored.
#[must_use]
pub fn path() -> PathBuf {
    Keys::of(&Environment::of_process()).file()
}

/// The keys of one config directory.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    directory: PathBuf,
}

type Accounts = BTreeMap<String, Stored>;

impl Keys {
    pub(crate) fn of(environment: &Environment) -> Self {
        Self { directory: environment.config_directory() }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("credentials.json")
    }

    pub(crate) fn load(&self, platform: &str) -> Result<Option<Stored>, Unusable> {
        Ok(self.read()?.remove(&normal(platform)))
    }

    pub(crate) fn store(&self, platform: &str, account: &Stored) -> Result<(), Unusable> {
        self.change(|accounts| {
            accounts.insert(normal(platform), account.clone());
        })
    }

    /// Forgets the account of a platform.
    pub(crate) fn forget(&self, platform: &str) -> Result<(), Unusable> {
        if !self.file().exists() {
            return Ok(());
        }
        self.change(|accounts| {
            accounts.remove(&normal(platform));
        })
    }

    fn read(&self) -> Result<Accounts, Unusable> {
        let path = self.file();
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                // serde's own words would repeat what is in the file.
                let place = format!("not understood at line {}", error.line());
                unusable(&path)(std::io::Error::other(place))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Accounts::new()),
            Err(error) => Err(unusable(&path)(error)),
        }
    }

    /// Changes the file under a lock, so that two programs that log in at once both stay logged in.
    fn change(&self, change: impl FnOnce(&mut Accounts)) -> Result<(), Unusable> {
        let directory = &self.directory;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(unusable(directory))?;
        let lock = File::create(directory.join("credentials.lock")).map_err(unusable(directory))?;
        lock.lock().map_err(unusable(directory))?;
        let mut accounts = self.read()?;
        change(&mut accounts);
        self.write(&accounts).map_err(unusable(&self.file()))
    }

    /// A temporary file (mode 0600) that takes the old one's place whole.
    fn write(&self, accounts: &Accounts) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer_pretty(&mut file, accounts)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(self.file())?;
        Ok(())
    }
}

/// The address under which a platform is known: one that listens on every address is reached on the
/// loopback.
fn normal(platform: &str) -> String {
    let platform = platform.trim_end_matches('/');
    match platform.split_once("://") {
        Some((scheme, listen)) => format!("{scheme}://{}", environment::dialled(listen)),
        None => platform.to_owned(),
    }
}

fn unusable<E: Into<std::io::Error>>(path: &Path) -> impl FnOnce(E) -> Unusable {
    move |source| Unusable { path: path.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn account(name: &str) -> Stored {
        Stored { email: format!("{name}@example.com"), token: Secret::new(format!("t-{name}")) }
    }

    #[test]
    fn several_platforms_have_their_keys_side_by_side_for_the_owner_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = Keys { directory: directory.path().join("deep/howdah") };
        assert_eq!(keys.load("http://a").expect("reads"), None);
        keys.forget("http://a").expect("nothing to forget");
        keys.store("http://a/", &account("a")).expect("stores");
        keys.store("http://b", &account("b")).expect("stores");
        assert_eq!(keys.load("http://a").expect("reads"), Some(account("a")));
        let mode = |path: PathBuf| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(keys.file()), mode(keys.directory.clone())), (0o600, 0o700));
        keys.forget("http://a").expect("forgets");
        assert_eq!(keys.load("http://a").expect("reads"), None);
        assert_eq!(keys.load("http://b/").expect("reads"), Some(account("b")));
        keys.store("http://0.0.0.0:5080", &account("c")).expect("stores");
        assert_eq!(keys.load("http://127.0.0.1:5080").expect("reads"), Some(account("c")));
    }

    #[test]
    fn two_programs_that_log_in_at_once_both_stay_logged_in() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = Keys { directory: directory.path().to_owned() };
        std::thread::scope(|scope| {
            for n in 0..8 {
                let keys = &keys;
                scope.spawn(move || keys.store(&format!("http://{n}"), &account("x")));
            }
        });
        assert_eq!(keys.read().expect("reads").len(), 8);
    }

    #[test]
    fn a_broken_file_is_named_and_its_content_is_not_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = Keys { directory: directory.path().to_owned() };
        std::fs::write(keys.file(), "{\"http://a\": \"s3cret\"").expect("writes");
        let error = keys.load("http://a").expect_err("broken").to_string();
        assert!(error.contains("credentials.json") && !error.contains("s3cret"), "{error}");
    }
}
