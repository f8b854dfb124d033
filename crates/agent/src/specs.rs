//! Specs on the disk. A crash leaves the old or the new one.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use howdah_cluster::durable;
use howdah_model::agent::ParticipantSpec;
use howdah_model::ids::ParticipantId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// What was done for a participant that cannot be seen from its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How many of the wanted restarts were done.
    pub(crate) restarts: i32,
    /// How often the postmaster was found dead and was started again.
    pub(crate) deaths: u32,
    /// WAL of its source ends before the moment that it was to be recovered to: it is recovered to
    /// that end.
    #[serde(default)]
    pub(crate) to_the_end: bool,
    /// Its data is a copy of a running server's, with all WAL that it needs.
    #[serde(default)]
    pub(crate) copied: bool,
    /// It has followed a leader with the data that it has: all WAL that it needs is its own, and the
    /// archive may lack the end of that.
    #[serde(default)]
    pub(crate) followed: bool,
}

impl Layout {
    pub(crate) fn write_spec(&self, spec: &ParticipantSpec) -> Result<()> {
        let dir = self.participant(spec.id);
        match std::fs::DirBuilder::new().mode(0o711).create(&dir) {
            Ok(()) => durable::sync_dir(&self.participants())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("make the participant's directory"),
        }
        durable::write(&self.spec(spec.id), &serde_json::to_vec_pretty(spec)?, None)
            .context("write the spec to the disk")
    }

    /// Keeps the spec of a removed participant, so that an older one cannot bring it back, and
    /// removes what is left of its directory.
    pub(crate) fn bury(&self, spec: &ParticipantSpec) -> Result<()> {
        let content = serde_json::to_vec_pretty(spec)?;
        durable::write(&self.tombstone(spec.id), &content, None).context("write the tombstone")?;
        durable::remove_dir(&self.participant(spec.id))
            .context("remove the participant's directory")
    }

    pub(crate) fn unbury(&self, id: ParticipantId) -> Result<()> {
        durable::remove_file(&self.tombstone(id)).context("remove the tombstone")
    }

    /// The specs of all participants, and those of removed ones. One that cannot be read is told
    /// and left out: its server goes on, and the control plane sends the spec again.
    pub(crate) fn read_specs(&self) -> Result<Specs> {
        // Without a spec it was never answered for: a crash came before.
        let files = entries(&self.participants())?.map(|dir| dir.join("spec.json"));
        let files: Vec<PathBuf> = files.filter(|file| file.is_file()).collect();
        let wanted = readable(files.iter().cloned());
        let all =
            files.iter().filter_map(|file| file.parent()?.file_name()?.to_str()?.parse().ok());
        Ok(Specs {
            unreadable: all.filter(|id| !wanted.contains_key(id)).collect(),
            wanted,
            gone: readable(
                entries(&self.gone())?.filter(|file| file.extension().is_some_and(|e| e == "json")),
            ),
        })
    }

    /// The spec of one participant, as it was kept last.
    pub(crate) fn read_spec(&self, id: ParticipantId) -> Result<ParticipantSpec> {
        read(&self.spec(id))
    }

    pub(crate) fn read_progress(&self, id: ParticipantId) -> Option<Progress> {
        read(&self.progress(id)).ok()
    }

    pub(crate) fn write_progress(&self, id: ParticipantId, progress: Progress) -> Result<()> {
        durable::write(&self.progress(id), &serde_json::to_vec(&progress)?, None)
            .context("write the progress")
    }
}

/// All specs of a home.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    /// Participants that are there and whose spec cannot be read.
    pub(crate) unreadable: Vec<ParticipantId>,
    pub(crate) wanted: BTreeMap<ParticipantId, ParticipantSpec>,
    pub(crate) gone: BTreeMap<ParticipantId, ParticipantSpec>,
}

fn entries(dir: &Path) -> Result<impl Iterator<Item = PathBuf> + use<>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()))
}

fn readable(files: impl Iterator<Item = PathBuf>) -> BTreeMap<ParticipantId, ParticipantSpec> {
    let mut specs = BTreeMap::new();
    for file in files {
        match read::<ParticipantSpec>(&file) {
            Ok(spec) => {
                specs.insert(spec.id, spec);
            }
            Err(error) => tracing::error!("leave out a spec: {error:#}"),
        }
    }
    specs
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let content = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&content).with_context(|| format!("understand {}", path.display()))
}
