//! Base backups over PostgreSQL's replication protocol.
//!
//! The server sends the cluster as one tar archive, and then its manifest. The archive is cut into
//! parts while it comes; each is compressed, checksummed and put while the next ones fill. Every
//! file's size and checksum are compared with the manifest. `backup.json` is written last: without
//! it there is no backup.

mod cutting;
mod id;
pub(crate) mod index;
pub(crate) mod manifest;
pub(crate) mod objects;
mod putting;
mod tar;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use howdah_model::lsn::{Lsn, Tli};
use howdah_model::version::Major;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::cutting::Cutter;
pub use self::id::{BackupId, NotABackupId};
use self::manifest::Manifest;
pub use self::manifest::{BadManifest, Disagrees};
use self::putting::Putting;
pub use self::tar::BadTar;
pub use self::wire::WireError;
use self::wire::{Copied, Row, Wire};
use crate::{Timeline, quiet};

/// How long the server may take to begin: a checkpoint comes first, and it may be a spread one.
const BEGIN: Duration = Duration::from_secs(2 * 3600);
/// How long the server may then say nothing.
const SILENCE: Duration = Duration::from_secs(600);
/// The only size of segments that the archive has names for.
const SEGMENT: &str = "16MB";
/// The bounds of PostgreSQL for MAX_RATE, in kB/s.
const RATES: std::ops::RangeInclusive<u64> = 32..=1_048_576;

/// A complete base backup; `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its name; sorts by time.
    pub id: BackupId,
    /// When it was begun.
    pub began_at: Timestamp,
    /// When the server had sent it all: moments from here on can be restored by it.
    pub ended_at: Timestamp,
    /// PostgreSQL's timeline that it began on.
    pub tli: Tli,
    /// WAL is needed from here on.
    pub start: Lsn,
    /// WAL is needed at least up to here: then what is restored is consistent.
    pub stop: Lsn,
    /// Bytes of the cluster that are in it.
    pub bytes: u64,
    /// Bytes in the archive.
    pub stored: u64,
    /// The backup that this one adds to, when it is incremental.
    pub base: Option<BackupId>,
    /// PostgreSQL's version.
    pub major: Major,
    /// PostgreSQL's name of the cluster.
    pub system_identifier: u64,
    /// How many parts it has.
    pub parts: u32,
    /// What it was taken for, for people.
    pub label: String,
}

/// How fast the server gets to the checkpoint that a backup begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// At once.
    Fast,
    /// As its settings spread checkpoints: with little load for everybody else.
    Spread,
}

/// How a base backup is taken.
#[derive(Clone, Debug)]
pub struct Taking {
    /// The directory of the server's socket.
    pub socket_dir: PathBuf,
    /// The role; it must have REPLICATION and come in by `peer`.
    pub user: String,
    /// The checkpoint before it.
    pub checkpoint: Checkpoint,
    /// Bytes of the cluster per second, at most.
    pub rate: Option<u64>,
    /// How many parts are compressed and put at the same time.
    pub parallel: usize,
    /// The backup that this one shall add to: only what changed since is sent. PostgreSQL 17 and
    /// later, with `summarize_wal`; it refuses when it has not all summaries since then any more
    /// ([`WireError::Refused`]), and a full one must be taken.
    pub base: Option<Backup>,
    /// What it is taken for, for people.
    pub label: String,
}

/// How far a backup or a restore is; cheap to clone and to read.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Bytes done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// Bytes in all, as far as is known; 0 when it is not. Never less than what is done then.
    #[must_use]
    pub fn total(&self) -> u64 {
        match self.0.total.load(Ordering::Relaxed) {
            0 => 0,
            estimated => estimated.max(self.done()),
        }
    }

    pub(crate) fn expect(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A base backup was not taken. What was put of it is removed by retention.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was told to stop.
    #[error("the base backup was stopped")]
    Stopped,
    /// PostgreSQL.
    #[error(transparent)]
    Server(#[from] WireError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] crate::Error),
    /// What PostgreSQL sent is damaged.
    #[error("the archive that PostgreSQL sent is damaged: {0}")]
    Tar(#[from] BadTar),
    /// What PostgreSQL sent differs from its manifest.
    #[error("what PostgreSQL sent is not what its manifest says: {0}")]
    Disagrees(#[from] Disagrees),
    /// The manifest that PostgreSQL sent.
    #[error("the manifest that PostgreSQL sent cannot be used: {0}")]
    Manifest(#[from] BadManifest),
    /// What PostgreSQL says of itself.
    #[error("PostgreSQL answered {0} with what cannot be used: {1}")]
    Answer(&'static str, String),
    /// The cluster has segments of another size.
    #[error("the cluster has WAL segments of {0}, and the archive takes only {SEGMENT}")]
    Segments(String),
    /// The cluster has tablespaces.
    #[error(
        "the cluster has a tablespace at {0}; such clusters are not backed up: drop it with \
         DROP TABLESPACE, after its tables have been moved"
    )]
    Tablespace(String),
    /// It was to be incremental, and cannot.
    #[error("PostgreSQL {0} takes no incremental base backups; they come with 17")]
    NotIncremental(Major),
    /// Something of ours went wrong.
    #[error("the base backup broke off: {0}")]
    Broke(String),
}

/// Takes a base backup of a primary or of a standby. It is complete, and listed, when this returns
/// it; else it does not exist. Dropping the future breaks it off.
///
/// # Errors
/// See [`Error`]. All of them may be tried again.
pub async fn take(
    timeline: &Timeline,
    how: &Taking,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<Backup, Error> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Error::Stopped),
        taken = run(timeline, how, progress) => taken,
    }
}

async fn run(timeline: &Timeline, how: &Taking, progress: &Progress) -> Result<Backup, Error> {
    let mut wire = Wire::connect(&how.socket_dir, &how.user).await?;
    if let Some(process) = wire.process() {
        quiet::lower_server(process);
    }
    let server = Server::ask(&mut wire).await?;
    if let Some(base) = &how.base {
        if server.major < Major(17) {
            return Err(Error::NotIncremental(server.major));
        }
        let manifest = objects::get(timeline, &base.id, objects::MANIFEST).await?;
        wire.copy_in("UPLOAD_MANIFEST", &manifest).await?;
    }
    let began_at = now();
    let id = BackupId::new(began_at);
    wire.query(&statement(how)).await?;
    let (start, tli) = position("BASE_BACKUP", &wire.rows(BEGIN).await?)?;
    progress.expect(size_without_tablespaces(&wire.rows(SILENCE).await?)?);
    wire.copy_begins(SILENCE).await?;

    let mut putting = Putting::new(timeline, &id, how.parallel);
    let sent = receive(&mut wire, &mut putting, progress).await?;
    let (stop, _) = position("BASE_BACKUP", &wire.rows(SILENCE).await?)?;
    wire.ready(SILENCE).await?;
    let ended_at = now();
    drop(wire);

    let cut = sent.cutter.finish()?;
    if let Some(last) = cut.last {
        putting.put(last).await?;
    }
    let manifest = Manifest::read(&sent.manifest)?;
    manifest.compare(&cut.sums)?;
    if !manifest.reaches(start, stop) {
        let what = format!("a manifest whose WAL is not from {start} to {stop}");
        return Err(Error::Answer("BASE_BACKUP", what));
    }
    cut.index.check(&manifest).map_err(|what| Error::Answer("BASE_BACKUP", what))?;
    let backup = Backup {
        id,
        began_at,
        ended_at,
        tli,
        start,
        stop,
        bytes: cut.index.files.iter().map(|file| file.size).sum(),
        stored: 0,
        base: how.base.as_ref().map(|base| base.id.clone()),
        major: server.major,
        system_identifier: server.system_identifier,
        parts: 0,
        label: how.label.clone(),
    };
    putting.complete(backup, sent.manifest.into(), &cut.index).await
}

#[expect(clippy::disallowed_methods, reason = "the moment is written down; nothing waits for it")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// What the server is.
struct Server {
    system_identifier: u64,
    major: Major,
}

impl Server {
    async fn ask(wire: &mut Wire) -> Result<Self, Error> {
        let identity = wire.ask("IDENTIFY_SYSTEM").await?;
        let system_identifier = field(&identity, 0).and_then(|text| text.parse().ok());
        let system_identifier = system_identifier
            .ok_or_else(|| Error::Answer("IDENTIFY_SYSTEM", format!("{identity:?}")))?;
        let size = wire.ask("SHOW wal_segment_size").await?;
        match field(&size, 0) {
            Some(SEGMENT) => {}
            other => return Err(Error::Segments(other.unwrap_or("no known size").to_owned())),
        }
        let version = wire.ask("SHOW server_version_num").await?;
        let major = field(&version, 0).and_then(|text| text.parse::<u32>().ok());
        let major = major.and_then(|number| u16::try_from(number / 10_000).ok());
        let major = major.ok_or_else(|| Error::Answer("SHOW", format!("{version:?}")))?;
        Ok(Self { system_identifier, major: Major(major) })
    }
}

fn statement(how: &Taking) -> String {
    let checkpoint = match how.checkpoint {
        Checkpoint::Fast => "fast",
        Checkpoint::Spread => "spread",
    };
    let label: String = how.label.chars().filter(|c| !c.is_control()).collect();
    let label = label.replace('\'', "''");
    let rate = how.rate.map_or_else(String::new, |rate| {
        format!(", MAX_RATE {}", (rate / 1024).clamp(*RATES.start(), *RATES.end()))
    });
    let incremental = if how.base.is_some() { ", INCREMENTAL" } else { "" };
    format!(
        "BASE_BACKUP (LABEL '{label}', PROGRESS, CHECKPOINT '{checkpoint}', WAIT false, \
         MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C'{rate}{incremental})"
    )
}

fn field(rows: &[Row], column: usize) -> Option<&str> {
    rows.first()?.get(column)?.as_deref()
}

fn position(of: &'static str, rows: &[Row]) -> Result<(Lsn, Tli), Error> {
    let read = || Some((field(rows, 0)?.parse().ok()?, Tli(field(rows, 1)?.parse().ok()?)));
    read().ok_or_else(|| Error::Answer(of, format!("{rows:?}")))
}

/// The estimated size of the cluster in bytes.
fn size_without_tablespaces(rows: &[Row]) -> Result<u64, Error> {
    let mut size = 0;
    for row in rows {
        if let Some(Some(at)) = row.get(1) {
            return Err(Error::Tablespace(at.clone()));
        }
        let kilobytes = row.get(2).and_then(|size| size.as_deref()?.parse::<u64>().ok());
        size += kilobytes.unwrap_or_default() * 1024;
    }
    Ok(size)
}

/// What the server has sent.
struct Sent {
    cutter: Cutter,
    manifest: Vec<u8>,
}

async fn receive(
    wire: &mut Wire,
    putting: &mut Putting<'_>,
    progress: &Progress,
) -> Result<Sent, Error> {
    let mut sent = Sent { cutter: Cutter::new(), manifest: Vec::new() };
    let (mut archives, mut in_manifest) = (0, false);
    while let Copied::Data(message) = wire.copied(SILENCE).await? {
        match message.split_first() {
            Some((b'd', content)) if in_manifest => sent.manifest.extend_from_slice(content),
            Some((b'd', content)) => {
                progress.add(content.len() as u64);
                if let Some(part) = sent.cutter.take(content)? {
                    putting.put(part).await?;
                }
            }
            Some((b'n', _)) if archives == 0 && !in_manifest => archives = 1,
            Some((b'n', name)) => {
                return Err(Error::Tablespace(String::from_utf8_lossy(name).into_owned()));
            }
            Some((b'm', _)) => in_manifest = true,
            Some((b'p', _)) => {}
            other => {
                let what = format!("a message of kind {:?}", other.map(|(kind, _)| *kind as char));
                return Err(Error::Answer("BASE_BACKUP", what));
            }
        }
    }
    Ok(sent)
}

/// An object's content, as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Bytes, Error> {
    let text = serde_json::to_vec(value).map_err(|error| Error::Broke(error.to_string()))?;
    Ok(text.into())
}
