//! Sends what a leader writes to the archive: complete segments, several at once, and every second
//! what has been added to the one that is being written.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use howdah_archive::{About, Generation};
use howdah_cluster::canary::{self, Canary};
use howdah_cluster::connection::{Connection, Limits};
use howdah_model::agent::ParticipantSpec;
use howdah_model::lsn::Lsn;
use howdah_model::machine::back_off;
use howdah_model::protection::{Position, Protected, Trouble};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::backups::Backups;
use super::keep::Keep;
use super::leaders::{Answer, Leader, Unsecured};
use super::tail::{Part, Tail};
use crate::clock;

/// How often it is looked whether something was written.
const TICK: Duration = Duration::from_secs(1);
/// Segments that are sent at one time.
const AT_ONCE: usize = 4;
/// How long a round may take before it counts as trouble.
const BOUND: Duration = Duration::from_secs(120);
/// The longest pause after rounds that did not succeed.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Who waits for the archive at one time.
const WAITING: usize = 16;

/// See the module's text.
pub(crate) struct Shipping {
    keep: Arc<Keep>,
    backups: Backups,
    connection: Option<Connection>,
    tail: Tail,
    /// Distinguishes parts that were sent before a crash of PostgreSQL, which may have written
    /// other bytes in their place, from those after it.
    generation: Generation,
    is_described: bool,
    /// All before that place is in the archive.
    archived: Lsn,
    failures: u32,
    secure: mpsc::Receiver<Answer>,
    /// Who waits until a place is in the archive.
    waiting: Vec<(Canary, Answer)>,
}

impl Drop for Shipping {
    fn drop(&mut self) {
        self.keep.archives.leaders.leave(self.keep.histories.own, self.keep.id);
    }
}

impl Shipping {
    pub(crate) fn new(keep: Arc<Keep>, wanted: watch::Receiver<Arc<ParticipantSpec>>) -> Self {
        let (asks, secure) = mpsc::channel(WAITING);
        let (own, known) = (keep.own.clone(), wanted.clone());
        let leader = Leader { id: keep.id, secure: asks, own, wanted: known };
        keep.archives.leaders.enter(keep.histories.own, leader);
        Self {
            backups: Backups::new(&keep, wanted),
            keep,
            connection: None,
            tail: Tail::default(),
            generation: clock::generation(),
            is_described: false,
            archived: Lsn::default(),
            failures: 0,
            secure,
            waiting: Vec::new(),
        }
    }

    /// Goes on until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let next = Instant::now() + TICK;
            let done = timeout(BOUND, self.round()).await;
            let done = done.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long")));
            let pause = match done {
                Ok(()) => {
                    self.failures = 0;
                    next
                }
                Err(error) => self.failed(&error),
            };
            self.answer_waiting();
            if !self.waiting.is_empty() && self.failures == 0 {
                continue;
            }
            tokio::select! {
                () = sleep_until(pause) => {}
                () = self.keep.asked.notified() => {}
                Some(answer) = self.secure.recv() => self.begin_to_secure(answer).await,
            }
        }
    }

    fn failed(&mut self, error: &anyhow::Error) -> Instant {
        let text = format!("{error:#}");
        tracing::warn!(participant.id = %self.keep.id, "WAL is not sent: {text}");
        let pause = back_off(self.failures, 0.5).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        // A session that was lost is opened anew, and what it wrote may have been lost with it.
        self.connection = None;
        self.tail = Tail::default();
        self.generation = clock::generation();
        self.tell(|protected| {
            let since = protected.trouble.as_ref().map_or_else(clock::now, |old| old.since);
            protected.trouble = Some(Trouble { what: text, since });
        });
        Instant::now() + pause
    }

    async fn round(&mut self) -> Result<()> {
        let position = self.position().await?;
        self.describe().await?;
        // Asked before the segments are listed: all before the position is in one of these or in
        // the segment that is being written.
        let ready = self.keep.ready()?;
        self.note_lag(position);
        let keep = &self.keep;
        stream::iter(ready)
            .map(|name| async move { keep.send(name).await })
            .buffered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let mut reached = howdah_archive::wal::Segment::of(position.tli, position.lsn).start();
        if let Some(part) = self.tail.next(position.tli, position.lsn) {
            self.send_part(part).await?;
        }
        if self.tail.covers(position) {
            reached = position.lsn;
        }
        self.archived = self.archived.max(reached);
        let (archived, backups) = (self.archived, &self.backups);
        self.tell(|protected| {
            protected.archived = archived;
            protected.lag_bytes = position.lsn.ahead_of(archived);
            if protected.lag_bytes == 0 {
                protected.archived_at = Some(position.at);
            }
            protected.trouble = None;
            backups.tell(protected);
        });
        self.backups.turn();
        Ok(())
    }

    async fn position(&mut self) -> Result<Position> {
        let connection = match self.connection.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.open().await?,
        };
        let position = self.keep.cluster.position(&connection).await?;
        self.connection = Some(connection);
        self.keep.board.update(self.keep.id, |one| one.position = Some(position));
        Ok(position)
    }

    async fn open(&mut self) -> Result<Connection> {
        // The server may have been another one in between.
        self.tail = Tail::default();
        self.generation = clock::generation();
        let opened = self.keep.cluster.connect("postgres", Limits::LOOK).await;
        opened.context("open a session for the archive")
    }

    async fn describe(&mut self) -> Result<()> {
        if self.is_described {
            return Ok(());
        }
        let control = self.keep.cluster.control_data().await.context("read the control file")?;
        let about = About {
            major: self.keep.cluster.installed.version.major,
            system_identifier: control.system_identifier,
            parent: None,
        };
        self.keep.own.describe(&about).await.context("describe the timeline in the archive")?;
        self.is_described = true;
        Ok(())
    }

    /// Told before it is tried to send it, so that it grows while that does not succeed.
    fn note_lag(&self, position: Position) {
        if self.archived != Lsn::default() {
            self.tell(|protected| protected.lag_bytes = position.lsn.ahead_of(self.archived));
        }
    }

    async fn send_part(&mut self, part: Part) -> Result<()> {
        let path = self.keep.cluster.data.join("pg_wal").join(part.segment.to_string());
        let bytes = tokio::task::spawn_blocking(move || read_part(&path, part))
            .await
            .context("wait for the disk")?
            .context("read the segment that is being written")?;
        self.keep
            .own
            .put_tail(part.segment, self.generation, part.from, bytes)
            .await
            .with_context(|| format!("send a part of {}", part.segment))?;
        self.tail.sent(part);
        Ok(())
    }

    /// Makes a commit; whoever asked is answered once it is in the archive.
    async fn begin_to_secure(&mut self, answer: Answer) {
        let made = match &self.connection {
            Some(connection) => {
                let made = canary::commit(connection).await;
                made.map_err(|error| Unsecured::Silent(error.to_string()))
            }
            None => Err(Unsecured::Silent("it has no session".to_owned())),
        };
        match made {
            Ok(canary) => self.waiting.push((canary, answer)),
            // Who asked may have gone.
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn answer_waiting(&mut self) {
        self.waiting.retain(|(_, answer)| !answer.is_closed());
        let archived = self.archived;
        for (canary, answer) in self.waiting.extract_if(.., |(made, _)| made.lsn <= archived) {
            // Who asked may have gone.
            let _ = answer.send(Ok(canary));
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Protected)) {
        self.keep.board.update(self.keep.id, |one| {
            change(one.protected.get_or_insert_with(unknown));
        });
    }
}

/// Of a leader of which nothing is known yet.
fn unknown() -> Protected {
    Protected {
        archived: Lsn::default(),
        archived_at: None,
        lag_bytes: 0,
        trouble: None,
        gap: None,
        earliest: None,
        backup: None,
        backing_up: None,
        backups: 0,
        drill: None,
        drills: 0,
    }
}

fn read_part(path: &std::path::Path, part: Part) -> std::io::Result<Bytes> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open(path)?;
    let mut bytes = vec![0; (part.to - part.from) as usize];
    file.read_exact_at(&mut bytes, u64::from(part.from))?;
    Ok(bytes.into())
}
