//! A restore drill: the newest base backup and all WAL behind it become a running server, which is
//! looked into and removed. A backup is not a backup until it was restored.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_archive::backup::{Backup, Progress};
use howdah_archive::quiet;
use howdah_archive::restore::{self, Owner, Restoring};
use howdah_cluster::connection::Limits;
use howdah_cluster::{
    Cluster, Mode, Recovery, RecoveryTarget, StopMode, canary, commands, durable, sound,
};
use howdah_model::agent::{ParticipantSpec, Role};
use howdah_model::protection::Drilled;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::keep::Keep;
use super::{Histories, door};

/// What must be free beside twice the size of the data, in bytes.
const ROOM: u64 = 1 << 30;
/// How long a drill may take, however large the database.
const BOUND: Duration = Duration::from_secs(6 * 3600);
/// How long one wait for the server lasts.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);

/// Runs a drill. Nothing of it is left afterwards.
pub(crate) async fn run(keep: &Arc<Keep>, spec: &ParticipantSpec, backup: &Backup) -> Drilled {
    match room(keep, backup) {
        Ok(()) => {}
        Err(why) => return Drilled::Skipped { why },
    }
    let place = match Place::new(keep) {
        Ok(place) => place,
        Err(error) => return Drilled::Failed { why: format!("{error:#}") },
    };
    let proven = timeout(BOUND, prove(keep, spec, backup, &place)).await;
    let outcome = match proven {
        Ok(Ok((took, lost))) => Drilled::Proven { took_ms: millis(took), lost_ms: millis(lost) },
        Ok(Err(error)) => Drilled::Failed { why: format!("{error:#}") },
        Err(_) => Drilled::Failed { why: "it took longer than six hours".to_owned() },
    };
    if let Err(error) = place.clear().await {
        tracing::warn!(participant.id = %keep.id, "a drill is not cleared away: {error:#}");
    }
    outcome
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn room(keep: &Keep, backup: &Backup) -> Result<(), String> {
    let needed = backup.bytes * 2 + ROOM;
    let dir = keep.cluster.data.parent().unwrap_or(&keep.cluster.data);
    let free = Cluster::disk(dir).map_err(|error| error.to_string())?.0;
    if free < needed {
        let mib = |bytes: u64| bytes >> 20;
        return Err(format!("no room: {} MB are free and it needs {} MB", mib(free), mib(needed)));
    }
    Ok(())
}

/// Where a drill is.
struct Place {
    dir: PathBuf,
    cluster: Cluster,
}

impl Place {
    fn new(keep: &Keep) -> Result<Self> {
        let drills = &keep.archives.drills;
        std::fs::create_dir_all(drills).context("make the directory of drills")?;
        keep.cluster.run_as.open_way(drills)?;
        let dir = drills.join(keep.id.to_string());
        durable::remove_dir(&dir).context("remove an earlier drill")?;
        std::fs::create_dir(&dir).context("make the directory of the drill")?;
        keep.cluster.run_as.open_way(&dir)?;
        let cluster = Cluster {
            data: dir.join("data"),
            // Beside the participant's own, as a socket's path must be short.
            socket_dir: keep.cluster.socket_dir.with_extension("d"),
            log: dir.join("log"),
            ..keep.cluster.clone()
        };
        Ok(Self { dir, cluster })
    }

    async fn clear(&self) -> Result<()> {
        self.cluster.remove().await?;
        durable::remove_dir(&self.dir).context("remove its directory")
    }
}

/// Answers how long it took, and how much of the newest history the archive lacked.
async fn prove(
    keep: &Arc<Keep>,
    spec: &ParticipantSpec,
    backup: &Backup,
    place: &Place,
) -> Result<(Duration, Duration)> {
    let leader = keep.archives.leaders.of(keep.histories.own).context("the leader is not up")?;
    let begin = Instant::now();
    let canary = leader.secure().await.context("bring the newest WAL to the archive")?;
    let lost = begin.elapsed();
    let begin = Instant::now();
    restored(keep, backup, place).await?;
    let cluster = &place.cluster;
    let histories = Histories { source: keep.histories.own, role: Role::Leader, ..keep.histories };
    let source = Keep::new(&keep.archives, &keep.board, cluster, keep.id, histories)?;
    let listener = door::listen(&cluster.socket_dir, &cluster.run_as)?;
    // Ends with this function.
    let mut serving = JoinSet::new();
    serving.spawn(door::serve(listener, Arc::new(source)));
    recover(keep, spec, cluster).await?;
    let connection = cluster.connect("postgres", Limits::WORK).await.context("ask it")?;
    let took = begin.elapsed();
    let there = canary::read(&connection).await.context("look for the canary")?;
    connection.close().await;
    let there = there.map_or(0, |there| there.number);
    if there < canary.number {
        bail!("the restored database has our commit {there} and lacks {}", canary.number);
    }
    sound::check(cluster, BOUND).await.context("check its tables and indexes")?;
    cluster.stop(StopMode::Fast, STOP).await?;
    sound::checksums(cluster, BOUND).await.context("check its pages")?;
    Ok((took, lost))
}

async fn restored(keep: &Keep, backup: &Backup, place: &Place) -> Result<()> {
    let owner = &keep.cluster.run_as;
    let how = Restoring {
        to: place.cluster.data.clone(),
        owner: Some(Owner { uid: owner.uid(), gid: owner.gid() }),
        parallel: 1,
        bindir: keep.cluster.installed.bindir.clone(),
    };
    let (timeline, backup) = (keep.own.clone(), backup.clone());
    let id = backup.id.clone();
    let restoring = move || async move {
        restore::restore(&timeline, &backup, &how, &Progress::default()).await
    };
    quiet::run(restoring).await?.with_context(|| format!("restore the base backup {id}"))
}

async fn recover(keep: &Keep, spec: &ParticipantSpec, cluster: &Cluster) -> Result<()> {
    let mut settings = spec.settings.clone();
    for (name, value) in [("shared_buffers", "32MB"), ("max_wal_size", "1GB")] {
        settings.insert(name.to_owned(), value.to_owned());
    }
    let mode = Mode::Recover(Recovery {
        restore_command: commands::restore(
            &keep.archives.program,
            &door::path(&cluster.socket_dir),
        )?,
        target: RecoveryTarget::End,
        timeline: None,
    });
    // Without archive_command: it must send nothing.
    cluster.configure(&settings).await.context("configure it")?;
    loop {
        match cluster.start_as(&mode, START).await {
            Ok(_) => return Ok(()),
            Err(howdah_cluster::StartError::TooSlow(_)) => {}
            Err(error) => return Err(error).context("recover it"),
        }
    }
}
