//! What lies in the home's `run` directory: the lock, the admin socket of each gateway, and the name
//! that leads to that of the one that accepts clients.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use rustix::fs::FlockOperation;
use rustix::process::{Pid, test_kill_process};
use tokio::net::UnixListener;

/// Leads to the admin socket of the gateway that accepts clients.
const CURRENT: &str = "gateway.sock";
/// Held by the gateway that accepts clients.
const LOCK: &str = "gateway.lock";
/// Before and after the number of the process in the names of admin sockets.
const OWN: (&str, &str) = ("gateway-", ".sock");

/// The directory.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// A socket's place in the directory; removed when dropped.
#[derive(Debug)]
pub struct Placed {
    /// Its name in the directory.
    pub name: String,
    path: PathBuf,
}

impl Drop for Placed {
    fn drop(&mut self) {
        // Whoever comes later removes what is left.
        let _ = fs::remove_file(&self.path);
    }
}

impl RunDir {
    /// The directory, which must be there and be its owner's alone.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The admin socket of the gateway that accepts clients.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.path.join(CURRENT)
    }

    /// A place in the directory by the name that somebody gave; none for what is no plain name.
    pub(crate) fn beside(&self, name: &str) -> Option<PathBuf> {
        let is_plain = Path::new(name).file_name().is_some_and(|plain| plain == name);
        is_plain.then(|| self.join(name))
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a gateway has the right to accept clients now.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        // Where there is no directory yet there is no gateway.
        self.join(LOCK).exists() && self.try_lock().is_ok_and(|lock| lock.is_none())
    }

    /// Takes the lock if nobody has it.
    pub(super) fn try_lock(&self) -> anyhow::Result<Option<OwnedFd>> {
        let path = self.join(LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file.into())),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }

    /// Binds a socket for the owner only, under a name that no other gateway has.
    pub(super) fn bind(&self, purpose: &str) -> anyhow::Result<(UnixListener, Placed)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // A process can have several gateways one after the other.
        let number = match COUNT.fetch_add(1, Ordering::Relaxed) {
            0 => String::new(),
            more => format!(".{more}"),
        };
        let name = format!("{purpose}{}{number}{}", std::process::id(), OWN.1);
        let path = self.join(&name);
        let bind = || -> io::Result<UnixListener> {
            // A process of before had our number.
            remove_if_there(&path)?;
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = bind().with_context(|| format!("bind {}", path.display()))?;
        Ok((listener, Placed { name, path }))
    }

    /// Binds the admin socket of a gateway.
    pub(super) fn bind_own(&self) -> anyhow::Result<(UnixListener, Placed)> {
        self.bind(OWN.0)
    }

    /// Says that a gateway is the one that accepts clients, in one step.
    pub(super) fn point_to(&self, placed: &Placed) -> anyhow::Result<()> {
        let draft = self.join(&format!("{}.new", placed.name));
        let point = || -> io::Result<()> {
            remove_if_there(&draft)?;
            symlink(&placed.name, &draft)?;
            fs::rename(&draft, self.current())
        };
        point().with_context(|| format!("point {} to this gateway", self.current().display()))
    }

    /// The names of all other gateways' admin sockets. Those that dead ones left are removed.
    pub(super) fn others(&self, own: &Placed) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| *name != own.name && self.is_alive(name)).collect()
    }

    fn is_alive(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(OWN.0).and_then(|rest| rest.strip_suffix(OWN.1)) else {
            return false;
        };
        let pid = rest.split('.').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return false };
        let is_gone = test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
        if is_gone {
            let _ = fs::remove_file(self.join(name));
        }
        !is_gone
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_current_gateway_is_found_by_one_name_and_dead_ones_are_cleared_away() {
        let dir = tempfile::tempdir().expect("directory");
        let run = RunDir::new(dir.path().to_owned());
        let (_first_listener, first) = run.bind_own().expect("bound");
        let (_second_listener, second) = run.bind_own().expect("bound");
        for placed in [&first, &second] {
            run.point_to(placed).expect("pointed");
            assert_eq!(fs::read_link(run.current()).expect("a link"), PathBuf::from(&placed.name));
        }
        let mode = fs::metadata(run.current()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The numbers of processes end far below this one.
        let dead = run.join("gateway-2000000000.sock");
        fs::write(&dead, "").expect("left over");
        assert_eq!(run.others(&first), std::slice::from_ref(&second.name));
        assert!(!dead.exists());
        drop(second);
        assert!(run.others(&first).is_empty());
    }

    #[test]
    fn the_lock_is_held_until_its_last_copy_is_gone() {
        let dir = tempfile::tempdir().expect("directory");
        let run = RunDir::new(dir.path().to_owned());
        let lock = run.try_lock().expect("tried").expect("free");
        let copy = lock.try_clone().expect("copied");
        drop(lock);
        assert!(run.try_lock().expect("tried").is_none());
        drop(copy);
        assert!(run.try_lock().expect("tried").is_some());
    }
}
