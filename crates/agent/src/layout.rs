//! Where the agent keeps things below HOWDAH_HOME.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use howdah_cluster::{Cluster, RunAs};
use howdah_model::agent::Installed;
use howdah_model::ids::ParticipantId;

/// The longest path that a unix socket can have, in bytes.
const SOCKET_PATH: usize = 107;

/// The directories of a home.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    home: PathBuf,
}

impl Layout {
    /// Makes the directories that are missing. PostgreSQL's user may pass through them.
    pub(crate) fn new(home: &Path, run_as: &RunAs) -> Result<Self> {
        let home = std::path::absolute(home)?;
        for part in ["p", "s", "gone", "spares", "templates", "transfers"] {
            let dir = home.join(part);
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(&dir)
                .with_context(|| format!("make {}", dir.display()))?;
        }
        let longest = home.join("s/12345678/.s.PGSQL.5432").as_os_str().len();
        if longest > SOCKET_PATH {
            let over = longest - SOCKET_PATH;
            bail!("the path {} is too long for unix sockets by {over} bytes", home.display());
        }
        run_as.open_way(&home.join("p"))?;
        run_as.open_way(&home.join("s"))?;
        run_as.open_way(&home.join("transfers"))?;
        Ok(Self { home })
    }

    pub(crate) fn templates(&self) -> PathBuf {
        self.home.join("templates")
    }

    /// Where copies of the templates are that nobody has taken yet.
    pub(crate) fn spares(&self) -> PathBuf {
        self.home.join("spares")
    }

    /// Where restores are proven.
    pub(crate) fn drills(&self) -> PathBuf {
        self.home.join("drills")
    }

    /// Where dumps lie while they are restored.
    pub(crate) fn transfers(&self) -> PathBuf {
        self.home.join("transfers")
    }

    /// Where all that belongs to participants is, one directory each.
    pub(crate) fn participants(&self) -> PathBuf {
        self.home.join("p")
    }

    /// The directory of one participant.
    pub(crate) fn participant(&self, id: ParticipantId) -> PathBuf {
        self.participants().join(id.to_string())
    }

    /// Its spec.
    pub(crate) fn spec(&self, id: ParticipantId) -> PathBuf {
        self.participant(id).join("spec.json")
    }

    /// What was done for it that its cluster does not tell.
    pub(crate) fn progress(&self, id: ParticipantId) -> PathBuf {
        self.participant(id).join("progress.json")
    }

    /// Where the last specs of removed participants are.
    pub(crate) fn gone(&self) -> PathBuf {
        self.home.join("gone")
    }

    /// The last spec of a removed participant.
    pub(crate) fn tombstone(&self, id: ParticipantId) -> PathBuf {
        self.gone().join(format!("{id}.json"))
    }

    /// The directory of its socket. The last part of an id is random, the first one is time.
    pub(crate) fn socket_dir(&self, id: ParticipantId) -> PathBuf {
        let id = id.0.simple().to_string();
        self.home.join("s").join(&id[id.len() - 8..])
    }

    pub(crate) fn cluster(
        &self,
        id: ParticipantId,
        installed: &Installed,
        run_as: &RunAs,
    ) -> Cluster {
        let dir = self.participant(id);
        Cluster {
            data: dir.join("data"),
            socket_dir: self.socket_dir(id),
            log: dir.join("log"),
            installed: installed.clone(),
            run_as: run_as.clone(),
        }
    }

    /// The data directories of all participants.
    pub(crate) fn data_dirs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.participants()) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path().join("data")).collect()
    }
}
