//! Base backups and drills of a leader: when they are due, and their doing, one at a time on a
//! server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_archive::backup::{self, Backup, Checkpoint, Progress, Taking};
use howdah_archive::quiet;
use howdah_archive::wal::index::Gap;
use howdah_cluster::{durable, settings};
use howdah_model::agent::{ParticipantSpec, Wanted};
use howdah_model::machine::back_off;
use howdah_model::protection::{BackupSeen, DiskStage, DrillSeen, Protected, Trouble};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::drill;
use super::keep::Keep;
use super::leaders::kept;
use crate::clock;

/// How often it is looked for gaps and for what is too old.
const SURVEY: Duration = Duration::from_secs(3600);
/// Parts of a base backup that are compressed and sent at one time.
const PARALLEL: usize = 2;
/// The most that a base backup by the clock reads of the disk, in bytes a second.
const RATE: u64 = 32 << 20;
/// How long a gap is told of after it was found: it is closed within seconds, and people are to know.
const TELL_GAP: Duration = Duration::from_secs(300);
/// How long nothing is begun for a new server: somebody waits for the first answer of it.
const REST: Duration = Duration::from_secs(2);

/// What is kept on the disk: it cannot be seen from the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// How many of the base backups that were asked for are done.
    backups: u32,
    /// The same of drills.
    drills: u32,
    /// The last drill.
    drill: Option<DrillSeen>,
}

/// What is known.
#[derive(Debug, Default)]
struct Known {
    kept: Kept,
    /// The newest complete base backup.
    newest: Option<Backup>,
    earliest: Option<Timestamp>,
    /// WAL is missing between the backups and now: only a new backup makes what follows of use.
    has_gap: bool,
    /// The last gap that was found, and when.
    gap: Option<(Trouble, Instant)>,
    /// Of the base backup that is being taken.
    progress: Option<Progress>,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Look at what the archive has.
    Survey,
    /// Take a base backup.
    Backup(Checkpoint),
    /// Prove that it can be restored.
    Drill,
}

/// When things were done the last time, and what was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now: Timestamp,
    /// How long ago it was looked at what the archive has; none when never.
    pub(crate) surveyed: Option<Duration>,
    pub(crate) backup: Option<Timestamp>,
    pub(crate) drill: Option<Timestamp>,
    pub(crate) has_gap: bool,
    pub(crate) backup_asked: bool,
    pub(crate) drill_asked: bool,
}

/// The schedule.
pub(crate) fn due(times: &Times, backup_every: u64, drill_every: u64) -> Option<Job> {
    let older = |at: Option<Timestamp>, seconds: u64| {
        let age = at.map(|at| times.now.duration_since(at).as_secs());
        age.is_none_or(|age| u64::try_from(age).is_ok_and(|age| age >= seconds))
    };
    if times.surveyed.is_none_or(|ago| ago > SURVEY) {
        return Some(Job::Survey);
    }
    if times.backup.is_none() || times.has_gap || times.backup_asked {
        return Some(Job::Backup(Checkpoint::Fast));
    }
    if older(times.backup, backup_every) {
        return Some(Job::Backup(Checkpoint::Spread));
    }
    let drill_due = drill_every > 0 && older(times.drill, drill_every);
    // A cluster that is younger than a drill's turn has nothing yet that is worth one.
    let is_young = times.drill.is_none() && !older(times.backup, drill_every.min(600));
    (times.drill_asked || (drill_due && !is_young)).then_some(Job::Drill)
}

/// Whether a job waits for room: what can wait takes none from databases.
fn must_wait(job: Job, disk: DiskStage, drill_asked: bool) -> bool {
    match job {
        Job::Survey => false,
        // Without the first one, or behind a gap, nothing could be restored.
        Job::Backup(Checkpoint::Fast) => disk >= DiskStage::ReadOnly,
        Job::Backup(Checkpoint::Spread) => disk >= DiskStage::Throttle,
        Job::Drill => disk >= DiskStage::Throttle && !drill_asked,
    }
}

/// See the module's text.
pub(crate) struct Backups {
    keep: Arc<Keep>,
    wanted: watch::Receiver<Arc<ParticipantSpec>>,
    known: Arc<Mutex<Known>>,
    running: JoinSet<(Job, Result<()>)>,
    surveyed: Option<Instant>,
    failures: u32,
    retry_at: Instant,
}

impl Backups {
    pub(crate) fn new(keep: &Arc<Keep>, wanted: watch::Receiver<Arc<ParticipantSpec>>) -> Self {
        let kept = read(keep).unwrap_or_else(|| {
            // What was asked for of others, before this participant was one, is not done again.
            let protection = wanted.borrow().protection;
            Kept { backups: protection.backups, drills: protection.drills, drill: None }
        });
        let known = Known { kept, ..Known::default() };
        Self {
            keep: Arc::clone(keep),
            wanted,
            known: Arc::new(Mutex::new(known)),
            running: JoinSet::new(),
            surveyed: None,
            failures: 0,
            retry_at: Instant::now() + REST,
        }
    }

    /// Says what is known.
    pub(crate) fn tell(&self, protected: &mut Protected) {
        let known = lock(&self.known);
        protected.earliest = known.earliest;
        protected.backup = known.newest.as_ref().map(|newest| BackupSeen {
            id: newest.id.to_string(),
            ended_at: newest.ended_at,
            bytes: newest.bytes,
            stored: newest.stored,
        });
        protected.backing_up = known.progress.as_ref().map(|p| (p.done(), p.total()));
        let told = known.gap.as_ref().filter(|(_, found)| found.elapsed() < TELL_GAP);
        protected.gap = told.map(|(gap, _)| gap.clone());
        protected.backups = known.kept.backups;
        protected.drill = known.kept.drill.clone();
        protected.drills = known.kept.drills;
    }

    /// Begins what is due, if nothing is being done. Waits for nothing.
    pub(crate) fn turn(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.ended(ended);
        }
        let spec = Arc::clone(&self.wanted.borrow());
        // One that is to go waits for its base backup alone.
        let may_begin = Instant::now() >= self.retry_at || spec.wanted == Wanted::Absent;
        if !self.running.is_empty() || !may_begin {
            return;
        }
        let times = self.times(&spec);
        let Some(job) = due(&times, spec.protection.backup_every, spec.protection.drill_every)
        else {
            return;
        };
        if must_wait(job, self.keep.board.disk(), times.drill_asked) {
            return;
        }
        let (keep, known) = (Arc::clone(&self.keep), Arc::clone(&self.known));
        self.running.spawn(async move {
            let done = match job {
                Job::Survey => survey(&keep, &known, &spec).await,
                Job::Backup(checkpoint) => take(&keep, &known, &spec, checkpoint).await,
                Job::Drill => prove(&keep, &known, &spec).await,
            };
            (job, done)
        });
    }

    fn times(&self, spec: &ParticipantSpec) -> Times {
        let known = lock(&self.known);
        Times {
            now: clock::now(),
            surveyed: self.surveyed.map(|at| at.elapsed()),
            backup: known.newest.as_ref().map(|newest| newest.ended_at),
            drill: known.kept.drill.as_ref().map(|drill| drill.at),
            has_gap: known.has_gap,
            backup_asked: spec.protection.backups > known.kept.backups,
            drill_asked: spec.protection.drills > known.kept.drills,
        }
    }

    fn ended(&mut self, ended: Result<(Job, Result<()>), tokio::task::JoinError>) {
        lock(&self.known).progress = None;
        let failed = match ended {
            Ok((Job::Survey, Ok(()))) => {
                self.surveyed = Some(Instant::now());
                None
            }
            Ok((Job::Backup(_) | Job::Drill, Ok(()))) => {
                // What is too old now, and whether a gap is closed.
                self.surveyed = None;
                None
            }
            Ok((job, Err(error))) => Some(format!("{job:?}: {error:#}")),
            Err(panic) => Some(panic.to_string()),
        };
        match failed {
            None => self.failures = 0,
            Some(why) => {
                let id = self.keep.id;
                tracing::warn!(participant.id = %id, "protection of {id}: {why}");
                self.retry_at = Instant::now() + back_off(self.failures, 0.5);
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at what the archive has, and removes what nobody needs any more.
async fn survey(keep: &Keep, known: &Mutex<Known>, spec: &ParticipantSpec) -> Result<()> {
    let timeline = &keep.own;
    let expiry =
        timeline.expiry(kept(spec), clock::now()).await.context("look for what is too old")?;
    timeline.expire(&expiry).await.context("remove what is too old")?;
    let backups = timeline.backups().await.context("list the base backups")?;
    let gaps = match backups.last() {
        Some(newest) => gaps(keep, newest).await?,
        None => Vec::new(),
    };
    let earliest = timeline.earliest().await.context("look for the earliest moment")?;
    let mut known = lock(known);
    known.has_gap = !gaps.is_empty();
    known.earliest = earliest;
    known.newest = backups.into_iter().next_back();
    if known.has_gap {
        let missing: Vec<_> = gaps.iter().map(ToString::to_string).collect();
        let what = format!(
            "WAL is missing in the archive of timeline {}: {}. A base backup is taken behind it; \
             moments in it cannot be restored",
            keep.histories.own,
            missing.join(", ")
        );
        tracing::error!(participant.id = %keep.id, "{what}");
        known.gap = Some((Trouble { what, since: clock::now() }, Instant::now()));
    }
    Ok(())
}

/// What is missing behind the newest base backup, of what has been sent. What is still on its way is
/// not missing.
async fn gaps(keep: &Keep, newest: &Backup) -> Result<Vec<Gap>> {
    let archived = keep.board.one(keep.id).and_then(|one| Some(one.protected?.archived));
    let archived = archived.unwrap_or_default();
    let index = keep.own.wal().await.context("list the archived WAL")?;
    let mut gaps = index.gaps(newest.tli, newest.start);
    gaps.retain(|gap| match gap {
        Gap::Segments { first, .. } => first.end() <= archived,
        Gap::History(_) | Gap::Elsewhere { .. } => true,
    });
    Ok(gaps)
}

async fn take(
    keep: &Keep,
    known: &Mutex<Known>,
    spec: &ParticipantSpec,
    checkpoint: Checkpoint,
) -> Result<()> {
    let _turn = keep.archives.heavy.acquire().await?;
    let progress = Progress::default();
    lock(known).progress = Some(progress.clone());
    let how = Taking {
        socket_dir: keep.cluster.socket_dir.clone(),
        user: settings::PLATFORM_ROLE.to_owned(),
        checkpoint,
        rate: match checkpoint {
            // Nobody waits for it.
            Checkpoint::Spread => Some(RATE),
            Checkpoint::Fast => None,
        },
        parallel: PARALLEL,
        base: None,
        label: format!("howdah {}", keep.histories.own),
    };
    let timeline = keep.own.clone();
    // Whoever drops the task breaks it off.
    let taking = move || async move {
        backup::take(&timeline, &how, &progress, &CancellationToken::new()).await
    };
    let taken = quiet::run(taking).await?.context("take a base backup")?;
    let mut known = lock(known);
    known.newest = Some(taken);
    known.has_gap = false;
    known.kept.backups = known.kept.backups.max(spec.protection.backups);
    write(keep, &known.kept)
}

async fn prove(keep: &Arc<Keep>, known: &Mutex<Known>, spec: &ParticipantSpec) -> Result<()> {
    let newest = lock(known).newest.clone().context("there is no base backup yet")?;
    let _turn = keep.archives.heavy.acquire().await?;
    let outcome = drill::run(keep, spec, &newest).await;
    let mut known = lock(known);
    known.kept.drill = Some(DrillSeen { at: clock::now(), outcome });
    known.kept.drills = known.kept.drills.max(spec.protection.drills);
    write(keep, &known.kept)
}

fn file(keep: &Keep) -> Option<std::path::PathBuf> {
    Some(keep.cluster.data.parent()?.join("protected.json"))
}

fn read(keep: &Keep) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(file(keep)?).ok()?).ok()
}

fn write(keep: &Keep, kept: &Kept) -> Result<()> {
    let file = file(keep).context("a data directory has a parent")?;
    durable::write(&file, &serde_json::to_vec(kept)?, None).context("keep what was proven")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    const WELL: Times = Times {
        now: Timestamp::UNIX_EPOCH,
        surveyed: Some(Duration::ZERO),
        backup: None,
        drill: None,
        has_gap: false,
        backup_asked: false,
        drill_asked: false,
    };

    /// M12: a base backup at once, and then before the last one is too old.
    #[test]
    fn m12_base_backups_come_at_once_and_then_by_the_clock() {
        let fast = Some(Job::Backup(Checkpoint::Fast));
        assert_eq!(due(&Times { surveyed: None, ..WELL }, DAY, 0), Some(Job::Survey));
        assert_eq!(due(&WELL, DAY, 0), fast);
        let day = i64::try_from(DAY).expect("small");
        let fresh = Times { now: at(day - 1), backup: Some(at(0)), ..WELL };
        assert_eq!(due(&fresh, DAY, 0), None);
        assert_eq!(
            due(&Times { now: at(day), ..fresh }, DAY, 0),
            Some(Job::Backup(Checkpoint::Spread))
        );
        assert_eq!(due(&Times { has_gap: true, ..fresh }, DAY, 0), fast);
        assert_eq!(due(&Times { backup_asked: true, ..fresh }, DAY, 0), fast);
        // A clock that was set back makes no storm.
        assert_eq!(due(&Times { now: at(-5), ..fresh }, DAY, 0), None);
    }

    #[test]
    fn what_can_wait_takes_no_room_from_databases() {
        let first = Job::Backup(Checkpoint::Fast);
        assert!(!must_wait(first, DiskStage::Throttle, false));
        assert!(must_wait(first, DiskStage::ReadOnly, false));
        assert!(must_wait(Job::Backup(Checkpoint::Spread), DiskStage::Throttle, false));
        assert!(must_wait(Job::Drill, DiskStage::Throttle, false));
        assert!(!must_wait(Job::Drill, DiskStage::Throttle, true));
        assert!(!must_wait(Job::Survey, DiskStage::ReadOnly, false));
    }

    /// M13: restores are proven by themselves, and when somebody asks.
    #[test]
    fn m13_drills_come_by_the_clock_and_when_they_are_asked_for() {
        let fresh = Times { now: at(10), backup: Some(at(0)), ..WELL };
        assert_eq!(due(&fresh, DAY, DAY), None);
        assert_eq!(due(&Times { drill_asked: true, ..fresh }, DAY, 0), Some(Job::Drill));
        assert_eq!(due(&Times { now: at(601), ..fresh }, DAY, DAY), Some(Job::Drill));
        let drilled = Times { now: at(700), drill: Some(at(650)), ..fresh };
        assert_eq!(due(&drilled, DAY, DAY), None);
        assert_eq!(due(&drilled, DAY, 50), Some(Job::Drill));
    }
}
