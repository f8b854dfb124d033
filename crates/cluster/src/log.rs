//! The log of a server, kept from filling the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::{Cluster, durable};

/// The size from which a log is cut, in bytes.
const MOST: u64 = 64 << 20;
/// What is kept of it, in bytes.
const KEPT: u64 = 8 << 20;

impl Cluster {
    /// Cuts the log when it has grown large; its end is kept in a file beside it, `log.old`. The
    /// server goes on writing to the same file, at its new end.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn cut_log(&self) -> io::Result<()> {
        self.cut_log_above(MOST, KEPT)
    }

    fn cut_log_above(&self, most: u64, kept: u64) -> io::Result<()> {
        let mut log = File::options().read(true).write(true).open(&self.log)?;
        let size = log.metadata()?.len();
        if size <= most {
            return Ok(());
        }
        log.seek(SeekFrom::Start(size.saturating_sub(kept)))?;
        let mut end = Vec::new();
        (&log).take(kept).read_to_end(&mut end)?;
        durable::write(&self.log.with_extension("old"), &end, Some(&self.run_as))?;
        log.set_len(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunAs;
    use howdah_model::agent::Installed;

    #[test]
    fn a_large_log_is_cut_and_its_end_is_kept() {
        let dir = tempfile::tempdir().expect("make a directory");
        let path = |name: &str| dir.path().join(name);
        let cluster = Cluster {
            data: path("data"),
            socket_dir: path("s"),
            log: path("log"),
            installed: Installed { version: "18.1".parse().expect("good"), bindir: path("bin") },
            run_as: RunAs::current().expect("this process has a user"),
        };
        std::fs::write(&cluster.log, "0123456789").expect("write");
        cluster.cut_log_above(10, 4).expect("cut");
        assert_eq!(std::fs::read(&cluster.log).expect("read"), b"0123456789");
        cluster.cut_log_above(9, 4).expect("cut");
        assert_eq!(std::fs::read(&cluster.log).expect("read"), b"");
        assert_eq!(std::fs::read(path("log.old")).expect("read"), b"6789");
    }
}
