//! The settings that a server has started with, kept for the day when newer ones do not work: a
//! check finds bad names and values, but not, say, more memory than the machine has.

use std::io;

use crate::{Cluster, durable, settings};

const IN_USE: &str = "postgresql.conf";
const PROVEN: &str = "postgresql.conf.proven";

impl Cluster {
    /// Whether settings of this cluster have ever been written. A base backup has those of the
    /// cluster that it was taken of: its socket, its archive.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        std::fs::read_to_string(self.data.join(IN_USE)).is_ok_and(|text| self.is_own(&text))
    }

    fn is_own(&self, conf: &str) -> bool {
        conf.lines().any(|line| settings::socket_line(&self.socket_dir).as_deref() == Ok(line))
    }

    /// Keeps the settings that the server has just started with.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep_settings(&self) -> io::Result<()> {
        let (in_use, proven) = (self.data.join(IN_USE), self.data.join(PROVEN));
        let content = std::fs::read(&in_use)?;
        if std::fs::read(&proven).is_ok_and(|old| old == content) {
            return Ok(());
        }
        // Another name for the same file, which is on the disk already: both are only ever
        // replaced as a whole.
        let beside = durable::beside(&proven);
        durable::remove_file(&beside)?;
        match std::fs::hard_link(&in_use, &beside) {
            Ok(()) => std::fs::rename(&beside, &proven),
            // Not every file system has these.
            Err(_) => durable::write(&proven, &content, Some(&self.run_as)),
        }
    }

    /// Goes back to the settings that the server has last started with. Says whether that made a
    /// difference, so that another start may help.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn fall_back(&self) -> io::Result<bool> {
        match std::fs::read_to_string(self.data.join(PROVEN)) {
            Ok(proven) if self.is_own(&proven) => {
                let in_use = self.data.join(IN_USE);
                durable::write_changed(&in_use, proven.as_bytes(), Some(&self.run_as))
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
