//! HOWDAH_HOME: where everything of a platform lies, who holds it, and what was decided once.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use howdah_model::ids::ServerId;
use howdah_model::secret::Secret;
use serde::{Deserialize, Serialize};

/// The longest home whose unix sockets still fit into the kernel's 107 bytes:
/// `<home>/s/<8 hex>/.s.PGSQL.5432`, and the lock file beside it.
const LONGEST_HOME: usize = 75;

/// The directory of a platform.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
}

/// What was decided when the platform was made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) server: ServerId,
}

/// The addresses that the running platform answers on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) gateway: SocketAddr,
    /// None in what a platform without pools has written.
    #[serde(default)]
    pub(crate) pool: Option<SocketAddr>,
    /// The API with TLS; none in what an older platform has written.
    #[serde(default)]
    pub(crate) tls: Option<SocketAddr>,
}

/// The home, held: while this lives, no other platform can run on it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) home: Home,
    _lock: nix::fcntl::Flock<File>,
}

impl Home {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let length = path.as_os_str().len();
        if length > LONGEST_HOME {
            bail!(
                "HOWDAH_HOME is {length} bytes long, and unix sockets allow {LONGEST_HOME}\n\
                 Choose a shorter path than {}",
                path.display()
            );
        }
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Makes the directories that the platform itself writes. 0711 where PostgreSQL's user must
    /// pass through, 0700 where it has no business.
    pub(crate) fn make(&self) -> Result<()> {
        for (dir, mode) in [("", 0o711), ("run", 0o700), ("log", 0o700), ("tls", 0o700)] {
            let dir = if dir.is_empty() { self.path.clone() } else { self.join(dir) };
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(&dir)
                .and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)))
                .with_context(|| {
                    format!(
                        "make the directory {}\nGive it to this user, or set HOWDAH_HOME",
                        dir.display()
                    )
                })?;
        }
        Ok(())
    }

    /// Takes the home for this process.
    ///
    /// # Errors
    /// When another platform runs on it.
    pub(crate) fn hold(&self) -> Result<Held> {
        self.make()?;
        let path = self.join("lock");
        let file = private(&path).with_context(|| format!("open {}", path.display()))?;
        match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Held { home: self.clone(), _lock: lock }),
            Err(_) => bail!(
                "another platform runs on {}{}\nUse it, stop it with `howdah down`, or set HOWDAH_HOME to another directory",
                self.path.display(),
                self.pid().map(|pid| format!(" (process {pid})")).unwrap_or_default(),
            ),
        }
    }

    /// Whether a platform runs on this home now.
    pub(crate) fn is_held(&self) -> bool {
        File::open(self.join("lock")).is_ok_and(|file| {
            nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockSharedNonblock).is_err()
        })
    }

    /// The process of the platform that holds this home, if one does. The file alone may name a
    /// process of before, whose number another program has by now.
    pub(crate) fn pid(&self) -> Option<nix::unistd::Pid> {
        let text = fs::read_to_string(self.join("run/howdah.pid")).ok()?;
        let pid: i32 = text.trim().parse().ok().filter(|pid| *pid > 0)?;
        let lock = fs::metadata(self.join("lock")).ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let has_it = files
            .flatten()
            .filter_map(|file| fs::metadata(file.path()).ok())
            .any(|file| (file.dev(), file.ino()) == (lock.dev(), lock.ino()));
        has_it.then(|| nix::unistd::Pid::from_raw(pid))
    }

    /// The addresses of the platform that runs here, or that ran here last.
    pub(crate) fn addresses(&self) -> Option<Addresses> {
        serde_json::from_str(&fs::read_to_string(self.join("run/addresses.json")).ok()?).ok()
    }
}

impl Held {
    pub(crate) fn write_pid(&self) -> Result<()> {
        let path = self.home.join("run/howdah.pid");
        fs::write(&path, format!("{}\n", std::process::id()))
            .with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn write_addresses(&self, addresses: Addresses) -> Result<()> {
        replace(&self.home.join("run/addresses.json"), &serde_json::to_vec(&addresses)?)
    }

    /// What was decided when the platform was made, decided now if it was not.
    pub(crate) fn platform(&self) -> Result<Platform> {
        let path = self.home.join("platform.json");
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.has_participants() {
                    bail!(
                        "{} is missing, and there are databases that belong to it\n\
                         Put it back: without it nobody would know them",
                        path.display()
                    );
                }
                let platform = Platform { server: ServerId::new() };
                replace(&path, &serde_json::to_vec_pretty(&platform)?)?;
                Ok(platform)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// What opens the platform's figures: the given token, else the one of the home, else a new one.
    /// Nothing depends on it but those who were given it.
    pub(crate) fn metrics_token(
        &self,
        given: Option<Secret>,
        fresh: impl FnOnce() -> Secret,
    ) -> Result<Secret> {
        if let Some(token) = given {
            return Ok(token);
        }
        let path = self.home.join("metrics.token");
        if let Some(token) = read_private(&path)? {
            return Ok(token);
        }
        let token = fresh();
        replace(&path, token.reveal().as_bytes())?;
        Ok(token)
    }

    fn has_participants(&self) -> bool {
        fs::read_dir(self.home.join("p")).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// The key that encrypts stored secrets: the given one, else the one of the home, else a new one.
    pub(crate) fn secret_key(
        &self,
        given: Option<Secret>,
        fresh: impl FnOnce() -> Secret,
    ) -> Result<Secret> {
        if let Some(key) = given {
            return Ok(key);
        }
        let path = self.home.join("secret.key");
        if let Some(key) = read_private(&path)? {
            return Ok(key);
        }
        // That file comes after the key.
        if self.home.join("platform.json").exists() {
            bail!(
                "{} is missing, and what was encrypted with it cannot be read without it\n\
                 Put it back, or set HOWDAH_SECRET_KEY to what it held",
                path.display()
            );
        }
        let key = fresh();
        replace(&path, key.reveal().as_bytes())?;
        Ok(key)
    }
}

/// The secret in a file, which is kept from others: one that was put back from a copy may be
/// readable for everybody. None when there is no such file.
fn read_private(path: &Path) -> Result<Option<Secret>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))
                .with_context(|| format!("keep {} from others", path.display()))?;
            Ok(Some(Secret::new(text.trim().to_owned())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Opens a file that only this user may read and write, made if it is not there.
fn private(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Writes a 0600 file so that after a crash there is either the old one or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_held_once_and_free_again_after() {
        let dir = tempfile::tempdir().expect("temp dir");
        let home = Home::new(dir.path()).expect("short enough");
        let held = home.hold().expect("free");
        assert!(home.is_held());
        let refused = home.hold().expect_err("held").to_string();
        assert!(refused.contains("howdah down"), "{refused}");
        drop(held);
        assert!(!home.is_held());
        home.hold().expect("free again");
    }

    #[test]
    fn what_was_decided_once_stays() {
        let dir = tempfile::tempdir().expect("temp dir");
        let held = Home::new(dir.path()).expect("short enough").hold().expect("free");
        let first = held.platform().expect("made").server;
        assert_eq!(held.platform().expect("read").server, first);
        fs::remove_file(dir.path().join("platform.json")).expect("remove");
        let key = held.secret_key(None, || Secret::new("k".into())).expect("made");
        held.platform().expect("made again: there is no database yet");
        let path = dir.path().join("secret.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("let all read it");
        assert_eq!(held.secret_key(None, || Secret::new("other".into())).expect("read"), key);
        let mode = fs::metadata(dir.path().join("secret.key")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_token_of_the_figures_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().expect("temp dir");
        let held = Home::new(dir.path()).expect("short enough").hold().expect("free");
        let token = |given: Option<&str>, fresh: &str| {
            let given = given.map(|text| Secret::new(text.into()));
            held.metrics_token(given, || Secret::new(fresh.into())).expect("a token")
        };
        assert_eq!(token(Some("given"), "a").reveal(), "given");
        assert_eq!(token(None, "a").reveal(), "a");
        assert_eq!(token(None, "b").reveal(), "a");
        let file = fs::metadata(dir.path().join("metrics.token")).expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_databases_depend_on_is_not_made_anew() {
        let dir = tempfile::tempdir().expect("temp dir");
        let held = Home::new(dir.path()).expect("short enough").hold().expect("free");
        let secret = || Secret::new("k".into());
        held.secret_key(None, secret).expect("made");
        held.platform().expect("made");
        fs::create_dir_all(dir.path().join("p/one")).expect("make a participant");
        for file in ["secret.key", "platform.json"] {
            fs::rename(dir.path().join(file), dir.path().join("away")).expect("move away");
            let missing = match file {
                "secret.key" => held.secret_key(None, secret).map(|_| ()),
                _ => held.platform().map(|_| ()),
            };
            let said = missing.expect_err("refused").to_string();
            assert!(said.contains(file) && said.contains("Put it back"), "{said}");
            assert!(!dir.path().join(file).exists());
            fs::rename(dir.path().join("away"), dir.path().join(file)).expect("move back");
        }
    }

    #[test]
    fn only_a_process_that_holds_the_home_is_taken_for_its_platform() {
        let dir = tempfile::tempdir().expect("temp dir");
        let home = Home::new(dir.path()).expect("short enough");
        let held = home.hold().expect("free");
        held.write_pid().expect("written");
        assert_eq!(home.pid(), Some(nix::unistd::Pid::this()));
        drop(held);
        assert_eq!(home.pid(), None, "this process has let go of it");
        fs::write(dir.path().join("run/howdah.pid"), "-1\n").expect("write");
        assert_eq!(home.pid(), None);
    }

    #[test]
    fn the_addresses_of_a_platform_without_pools_are_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        let home = Home::new(dir.path()).expect("short enough");
        home.make().expect("made");
        let old = r#"{"http":"127.0.0.1:5080","gateway":"127.0.0.1:5433"}"#;
        fs::write(dir.path().join("run/addresses.json"), old).expect("write");
        let read = home.addresses().expect("read");
        assert_eq!((read.gateway.port(), read.pool), (5433, None));
    }

    #[test]
    fn a_home_that_is_too_long_for_sockets_is_refused() {
        let long = PathBuf::from(format!("/{}", "x".repeat(80)));
        assert!(Home::new(&long).expect_err("too long").to_string().contains("shorter"));
    }
}
