//! The operating system user that PostgreSQL runs as.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use tokio::process::Command;

/// An operating system user. PostgreSQL refuses to run as root, so a platform that is root runs it
/// as another user; an ordinary user's platform runs it as that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    name: String,
    uid: u32,
    gid: u32,
}

/// The user cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is no such user.
    #[error("there is no operating system user `{0}`: create it, or set HOWDAH_RUN_AS")]
    Unknown(String),
    /// The list of users cannot be read.
    #[error("read the operating system's users")]
    Unreadable(#[source] io::Error),
}

/// PostgreSQL's user cannot get to a directory.
#[derive(Debug, thiserror::Error)]
#[error("user `{user}` cannot enter `{dir}`: allow it with `chmod o+x {dir}`, or move HOWDAH_HOME")]
pub struct NoWay {
    user: String,
    dir: PathBuf,
}

impl RunAs {
    /// The user of this process.
    ///
    /// # Errors
    /// When the process' user id has no name.
    pub fn current() -> Result<Self, UserError> {
        let uid = Uid::effective();
        let found = User::from_uid(uid).map_err(|errno| UserError::Unreadable(errno.into()))?;
        found.map(Self::of).ok_or_else(|| UserError::Unknown(uid.to_string()))
    }

    /// Whether PostgreSQL runs as another user than this process: PostgreSQL refuses to run as root,
    /// and nobody but root can run it as somebody else.
    #[must_use]
    pub fn is_someone_else() -> bool {
        Uid::effective().is_root()
    }

    /// The user of a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, UserError> {
        let found = User::from_name(name).map_err(|errno| UserError::Unreadable(errno.into()))?;
        found.map(Self::of).ok_or_else(|| UserError::Unknown(name.to_owned()))
    }

    fn of(user: User) -> Self {
        Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The id of the user's own group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    fn is_other(&self) -> bool {
        Uid::effective().as_raw() != self.uid
    }

    /// A program that will run as the user, in `/`, with nothing of our environment but the time
    /// zone and a plain path: a `PGOPTIONS` of ours must not reach a server.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .current_dir("/");
        if self.is_other() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes a directory of mode 0700 that belongs to the user, or makes an existing one so.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make_dir(&self, path: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        self.give(path)
    }

    /// Makes a file or directory the user's.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        if !self.is_other() {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }

    /// Makes sure that the user can pass through a directory and all above it. Only directories of
    /// our own are changed: they get the right to pass (`o+x`), not to list.
    ///
    /// # Errors
    /// [`NoWay`] names the directory of someone else that stands in the way.
    pub fn open_way(&self, dir: &Path) -> Result<(), NoWay> {
        if !self.is_other() {
            return Ok(());
        }
        for dir in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            let no_way = || NoWay { user: self.name.clone(), dir: dir.to_owned() };
            let meta = dir.metadata().map_err(|_| no_way())?;
            if self.may_enter(&meta) {
                continue;
            }
            if meta.uid() != Uid::effective().as_raw() {
                return Err(no_way());
            }
            let mode = std::fs::Permissions::from_mode(meta.mode() & 0o7777 | 0o001);
            std::fs::set_permissions(dir, mode).map_err(|_| no_way())?;
        }
        Ok(())
    }

    fn may_enter(&self, meta: &std::fs::Metadata) -> bool {
        let bit = if meta.uid() == self.uid {
            0o100
        } else if meta.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        meta.mode() & bit != 0
    }
}
