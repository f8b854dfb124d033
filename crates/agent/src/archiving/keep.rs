//! What is known of one participant's WAL, and the answers to PostgreSQL's questions about it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use howdah_archive::timeline::Timeline;
use howdah_archive::wal::{Segment, WalName};
use howdah_cluster::Cluster;
use howdah_model::agent::Role;
use howdah_model::ids::ParticipantId;
use tokio::sync::Notify;

use super::door::{Answer, Answers, Asked};
use super::fetching::{Fetching, Got};
use super::{Archives, Histories};
use crate::board::Board;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) id: ParticipantId,
    pub(crate) archives: Arc<Archives>,
    pub(crate) board: Arc<Board>,
    pub(crate) cluster: Cluster,
    pub(crate) histories: Histories,
    /// Where what this participant writes goes.
    pub(crate) own: Timeline,
    fetching: Fetching,
    /// Files of WAL that are in the archive; only the newest matter.
    sent: Mutex<BTreeSet<WalName>>,
    /// PostgreSQL has asked for something: there is something to send.
    pub(crate) asked: Notify,
}

/// How many sent files are remembered.
const REMEMBERED: usize = 4096;

impl Keep {
    pub(crate) fn new(
        archives: &Arc<Archives>,
        board: &Arc<Board>,
        cluster: &Cluster,
        id: ParticipantId,
        histories: Histories,
    ) -> Result<Self> {
        let dir = cluster.data.parent().context("a data directory has a parent")?;
        let fetched = dir.join("fetched");
        std::fs::create_dir_all(dir).context("make the participant's directory")?;
        cluster.run_as.make_dir(&fetched).context("make the directory of fetched WAL")?;
        let source = archives.archive.timeline(histories.source);
        Ok(Self {
            id,
            own: archives.archive.timeline(histories.own),
            fetching: Fetching::new(source, fetched, cluster.run_as.clone()),
            archives: Arc::clone(archives),
            board: Arc::clone(board),
            cluster: cluster.clone(),
            histories,
            sent: Mutex::default(),
            asked: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<WalName>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_sent(&self, name: &WalName) -> bool {
        self.lock().contains(name)
    }

    fn remember(&self, name: WalName) {
        let mut sent = self.lock();
        sent.insert(name);
        while sent.len() > REMEMBERED {
            sent.pop_first();
        }
    }

    fn wal(&self, name: &WalName) -> PathBuf {
        self.cluster.data.join("pg_wal").join(name.to_string())
    }

    /// Sends one complete file of WAL. May be repeated.
    ///
    /// # Errors
    /// When the archive does not take it.
    pub(crate) async fn send(&self, name: WalName) -> Result<()> {
        if self.is_sent(&name) {
            return Ok(());
        }
        self.own.put_wal(&name, &self.wal(&name)).await.with_context(|| format!("send {name}"))?;
        self.remember(name);
        if let WalName::Segment(segment) = name
            && let Err(error) = self.own.clear_tail(segment).await
        {
            // They are in the segment; retention takes them later.
            tracing::debug!(participant.id = %self.id, "parts of {segment} remain: {error}");
        }
        Ok(())
    }

    /// The files of WAL that PostgreSQL has completed and that are not in the archive yet.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn ready(&self) -> Result<Vec<WalName>> {
        let dir = self.cluster.data.join("pg_wal/archive_status");
        let mut ready: Vec<WalName> = names(&dir)
            .with_context(|| format!("list {}", dir.display()))?
            .filter_map(|name| name.strip_suffix(".ready")?.parse().ok())
            .filter(|name| !self.is_sent(name))
            .collect();
        ready.sort();
        Ok(ready)
    }

    /// Sends all that a stopped server has left.
    ///
    /// # Errors
    /// When the archive does not take it.
    pub(crate) async fn send_rest(&self) -> Result<()> {
        if self.histories.role != Role::Leader || !self.cluster.is_made() {
            return Ok(());
        }
        for name in self.ready()? {
            self.send(name).await?;
        }
        // The newest segment was not completed. A record that is not, is not valid either.
        let segments = names(&self.cluster.data.join("pg_wal"))?.filter_map(|name| {
            let segment: Segment = name.parse().ok()?;
            (!self.is_done(segment)).then_some(segment)
        });
        let control = self.cluster.control_data().await.context("read the control file")?;
        let last = Segment::of(control.tli, control.checkpoint);
        for segment in segments.filter(|segment| *segment == last).collect::<Vec<_>>() {
            self.send_whole_tail(segment).await?;
        }
        Ok(())
    }

    fn is_done(&self, segment: Segment) -> bool {
        let status = self.cluster.data.join("pg_wal/archive_status");
        status.join(format!("{segment}.done")).exists() || self.is_sent(&WalName::Segment(segment))
    }

    async fn send_whole_tail(&self, segment: Segment) -> Result<()> {
        let path = self.wal(&WalName::Segment(segment));
        let mut bytes = tokio::fs::read(&path).await.context("read the last segment")?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        if bytes.is_empty() {
            return Ok(());
        }
        let generation = crate::clock::generation();
        self.own
            .put_tail(segment, generation, 0, bytes.into())
            .await
            .with_context(|| format!("send the last segment, {segment}"))?;
        Ok(())
    }
}

impl Answers for Keep {
    async fn answer(&self, asked: Asked) -> Answer {
        match asked {
            Asked::Archive(_) if self.histories.role == Role::Follower => {
                Answer::Error("a follower sends nothing to the archive".to_owned())
            }
            Asked::Archive(name) => match self.send(name).await {
                Ok(()) => {
                    self.asked.notify_one();
                    Answer::Ok(None)
                }
                Err(error) => Answer::Error(format!("{error:#}")),
            },
            Asked::Restore(name) => match self.fetching.fetch(name).await {
                Ok(Got::File(path)) => Answer::Ok(Some(path)),
                Ok(Got::Part(path, valid)) => {
                    let own = self.wal(&name);
                    match tokio::task::spawn_blocking(move || unless_there(&own, &path, valid))
                        .await
                    {
                        // What was streamed is never put back behind itself: PostgreSQL looks into
                        // the archive first, also when it is promoted.
                        Ok(Ok(None)) => Answer::Missing,
                        Ok(Ok(Some(path))) => Answer::Ok(Some(path)),
                        Ok(Err(error)) => Answer::Error(format!("{error:#}")),
                        Err(error) => Answer::Error(error.to_string()),
                    }
                }
                Ok(Got::Missing) => Answer::Missing,
                // A standby asks again; any other recovery must not take this for the end of WAL.
                Err(error) if self.histories.role == Role::Follower => {
                    tracing::warn!(participant.id = %self.id, "{error:#}");
                    Answer::Missing
                }
                Err(error) => Answer::Error(format!("{error:#}")),
            },
        }
    }
}

/// None, and the fetched part is removed, when the server's own file begins with the same bytes: it
/// has all of them and may have more. Else the fetched part.
fn unless_there(own: &Path, part: &Path, valid: u32) -> Result<Option<PathBuf>> {
    let begin = |path: &Path| -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(u64::from(valid)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let there = match begin(own) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some(part.to_owned()));
        }
        Err(error) => return Err(error).context("read a segment that is there already"),
    };
    if there != begin(part).context("read a part of a segment")? {
        return Ok(Some(part.to_owned()));
    }
    std::fs::remove_file(part).context("remove a part that is not needed")?;
    Ok(None)
}

fn names(dir: &Path) -> std::io::Result<impl Iterator<Item = String> + use<>> {
    Ok(std::fs::read_dir(dir)?.flatten().filter_map(|entry| entry.file_name().into_string().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g20_a_part_of_the_archive_never_takes_the_place_of_what_was_streamed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (own, part) = (dir.path().join("own"), dir.path().join("part"));
        let offered = |streamed: Option<&[u8]>, archived: &[u8]| {
            let _ = std::fs::remove_file(&own);
            if let Some(streamed) = streamed {
                std::fs::write(&own, streamed).expect("write");
            }
            std::fs::write(&part, [archived, &[0; 4]].concat()).expect("write");
            let valid = u32::try_from(archived.len()).expect("small");
            unless_there(&own, &part, valid).expect("both can be read").is_some()
        };
        assert!(offered(None, b"abc"), "there is nothing yet");
        assert!(!offered(Some(b"abcdef"), b"abc"), "more was streamed");
        assert!(!offered(Some(b"abc"), b"abc"));
        assert!(!part.exists());
        assert!(offered(Some(b"ab\0\0"), b"abc"), "the archive has more");
        assert!(offered(Some(b"ab"), b"abc"), "the archive has more");
        assert!(offered(Some(b"xyzdef"), b"abc"), "an old file that is to be used anew");
    }
}
