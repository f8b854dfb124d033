//! Putting the parts of a backup, several at once.

use bytes::Bytes;
use tokio::task::JoinSet;

use super::index::Index;
use super::{Backup, BackupId, Error, json, objects};
use crate::Timeline;
use crate::envelope::How;
use crate::layout::BACKUP;
use crate::store::Stored;

/// The parts that are on their way, and those that have arrived.
pub(super) struct Putting<'a> {
    timeline: &'a Timeline,
    id: BackupId,
    parallel: usize,
    begun: usize,
    stored: u64,
    tasks: JoinSet<Result<u64, crate::Error>>,
}

impl<'a> Putting<'a> {
    pub(super) fn new(timeline: &'a Timeline, id: &BackupId, parallel: usize) -> Self {
        let (id, parallel) = (id.clone(), parallel.max(1));
        Self { timeline, id, parallel, begun: 0, stored: 0, tasks: JoinSet::new() }
    }

    /// Takes the next part. Returns when there is room for one more.
    pub(super) async fn put(&mut self, part: Bytes) -> Result<(), Error> {
        let name = objects::part(self.begun);
        let place = objects::place(self.timeline, &self.id, &name);
        self.begun += 1;
        let timeline = self.timeline.clone();
        self.tasks.spawn(async move {
            Ok(bytes(timeline.store.put_new(&place, part, How::Fast).await?))
        });
        // While the next part fills, so many are compressed, and two are on their way to the disk.
        while self.tasks.len() > self.parallel + 1 {
            self.gather().await?;
        }
        Ok(())
    }

    async fn gather(&mut self) -> Result<(), Error> {
        if let Some(joined) = self.tasks.join_next().await {
            self.stored += joined.map_err(|error| Error::Broke(error.to_string()))??;
        }
        Ok(())
    }

    /// Waits until all parts are there, and then makes the backup complete.
    pub(super) async fn complete(
        mut self,
        mut backup: Backup,
        manifest: Bytes,
        index: &Index,
    ) -> Result<Backup, Error> {
        while !self.tasks.is_empty() {
            self.gather().await?;
        }
        self.stored += self.object(objects::MANIFEST, manifest).await?;
        self.stored += self.object(objects::INDEX, json(index)?).await?;
        let parts = u32::try_from(self.begun);
        backup.parts = parts.map_err(|_| Error::Broke("there are too many parts".to_owned()))?;
        backup.stored = self.stored;
        self.object(BACKUP, json(&backup)?).await?;
        Ok(backup)
    }

    async fn object(&self, name: &str, content: Bytes) -> Result<u64, Error> {
        let place = objects::place(self.timeline, &self.id, name);
        Ok(bytes(self.timeline.store.put_new(&place, content, How::Fast).await?))
    }
}

/// What it takes in the archive.
fn bytes(stored: Stored) -> u64 {
    match stored {
        Stored::New { bytes } => bytes,
        Stored::Already => 0,
    }
}
