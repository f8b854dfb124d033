//! A dump on the disk, as several sessions that restore side by side need it: made for one restore,
//! gone with it.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use howdah_cluster::{Cluster, durable};
use howdah_model::ids::TransferId;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::Shared;
use crate::disk;

/// How often what is free is looked at, in bytes that were written.
const LOOK: u64 = 16 << 20;
const GIB: f64 = (1_u64 << 30) as f64;

/// A dump that is being written to the disk.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    file: File,
    written: u64,
    looked: u64,
}

impl Shared {
    /// The directory of a transfer.
    pub(super) fn spool_dir(&self, id: TransferId) -> PathBuf {
        self.layout.transfers().join(id.to_string())
    }

    /// Removes what is on the disk of a transfer.
    pub(super) async fn remove_spool(&self, id: TransferId) {
        let dir = self.spool_dir(id);
        let removed = tokio::task::spawn_blocking(move || durable::remove_dir(&dir)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::warn!("the dump of transfer {id} stays on the disk for now: {removed:?}");
        }
    }

    /// Removes what was left of transfers by an agent that has died.
    pub(super) fn remove_spools(&self) -> Result<()> {
        let dir = self.layout.transfers();
        for entry in std::fs::read_dir(&dir).context("look for what transfers have left")? {
            durable::remove_dir(&entry?.path()).context("remove what a transfer has left")?;
        }
        Ok(())
    }

    /// Whether so many bytes more leave enough for the databases that are there.
    pub(super) fn check_room(&self, bytes: u64) -> Result<()> {
        let (free, total) =
            Cluster::disk(&self.layout.transfers()).context("ask what is free of the disk")?;
        let kept = disk::kept_free(total);
        if free < bytes.saturating_add(kept) {
            bail!(
                "the disk has not enough room: this takes about {} GB, {} GB are free, and {} GB \
                 of these are kept for the databases; make room or add a disk",
                gigabytes(bytes),
                gigabytes(free),
                gigabytes(kept)
            );
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown to people")]
fn gigabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / GIB)
}

impl Spool {
    /// Begins the dump of a transfer. `bytes` is what is expected to be written, there and to the
    /// database.
    pub(super) async fn begin(shared: &Shared, id: TransferId, bytes: u64) -> Result<Self> {
        shared.check_room(bytes)?;
        let dir = shared.spool_dir(id);
        shared.remove_spool(id).await;
        shared.run_as.make_dir(&dir).context("make a directory for the dump")?;
        let path = dir.join("dump");
        let mut options = std::fs::File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let file = file.context("make a file for the dump")?;
        shared.run_as.give(&path).context("give the dump to PostgreSQL's user")?;
        Ok(Self { dir, file: File::from_std(file), written: 0, looked: 0 })
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) async fn write(&mut self, shared: &Shared, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).await.context("write the dump to the disk")?;
        self.written += bytes.len() as u64;
        if self.written >= self.looked + LOOK {
            self.looked = self.written;
            shared.check_room(0)?;
        }
        Ok(())
    }

    /// Begins anew.
    pub(super) async fn rewind(&mut self) -> Result<()> {
        self.file.rewind().await?;
        self.file.set_len(0).await?;
        (self.written, self.looked) = (0, 0);
        Ok(())
    }

    /// The file with all of it. It need not outlive a crash.
    pub(super) async fn finish(mut self) -> Result<PathBuf> {
        self.file.flush().await.context("write the dump to the disk")?;
        Ok(self.dir.join("dump"))
    }
}
