//! Making a participant from another's data: by a copy of the directory where the source is on this
//! server and its present is wanted, else from the archive.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_archive::backup::{Backup, Progress};
use howdah_archive::restore::{self, Owner, Restoring};
use howdah_cluster::copy::{self, By};
use howdah_cluster::{Cluster, Mode, Recovery, RecoveryTarget, Standby, copy_running};
use howdah_model::agent::{InstanceState, ParticipantSpec, Role, Source};
use howdah_model::protection::{Making, MakingStep, Origin, Until};
use jiff::Timestamp;
use tokio::time::sleep;

use super::Participant;
use crate::archiving::leaders::Unsecured;
use crate::archiving::{Archives, door};

/// How often it is told how far a copy is.
const TELL: Duration = Duration::from_millis(500);
/// Parts of a base backup that are fetched at one time.
const PARALLEL: usize = 2;
/// The `restore_command` of a recovery that needs none: there is no such file.
const NOTHING: &str = "false";

impl Participant {
    /// What the server is when it starts.
    pub(super) fn mode(&self, spec: &ParticipantSpec) -> Result<Mode> {
        let Some(archives) = &self.archives else { return Ok(Mode::Primary) };
        let socket = door::path(&self.cluster.socket_dir);
        let restore_command = || howdah_cluster::commands::restore(&archives.program, &socket);
        Ok(match (spec.role, &spec.source) {
            (Role::Leader, Source::Empty) => Mode::Primary,
            // Killed while it was promoted. A segment that the archive has only the beginning of
            // would take the place of its own.
            (Role::Leader, Source::Timeline(_)) if self.progress.followed => {
                Mode::Recover(Recovery {
                    restore_command: NOTHING.to_owned(),
                    target: RecoveryTarget::End,
                    timeline: None,
                })
            }
            // The archive may lack the end of what the copy has, and would come first.
            (Role::Leader, Source::Timeline(_)) if self.progress.copied => {
                Mode::Recover(Recovery {
                    restore_command: NOTHING.to_owned(),
                    target: RecoveryTarget::Immediate,
                    timeline: None,
                })
            }
            (Role::Leader, Source::Timeline(origin)) => Mode::Recover(Recovery {
                restore_command: restore_command()?,
                target: if self.progress.to_the_end { RecoveryTarget::End } else { target(origin) },
                timeline: None,
            }),
            (Role::Follower, _) => Mode::Standby(Standby {
                primary: spec.leader.map(|id| self.layout.socket_dir(id)),
                restore_command: Some(restore_command()?),
                application_name: spec.id.to_string(),
            }),
        })
    }

    /// Makes the data directory from another's data.
    pub(super) async fn make_from(
        &mut self,
        origin: &Origin,
        spec: &ParticipantSpec,
    ) -> Result<()> {
        self.show(InstanceState::Making);
        self.note_copied(false)?;
        let archives = self.archives.clone().context("this agent has no archive")?;
        let copied = match self.source_beside(origin, spec) {
            Some(source) => self.copy_beside(&source).await,
            None => Ok(false),
        };
        match copied {
            Ok(true) => {}
            Ok(false) => self.restore(&archives, origin, None).await?,
            Err(error) => {
                let note = format!("its source cannot be copied ({error:#})");
                tracing::warn!(participant.id = %self.id, "{note}; the archive is used");
                self.restore(&archives, origin, Some(note)).await?;
            }
        }
        // The source's configuration came along, and is not for here.
        self.settings = None;
        self.tell_making(MakingStep::Replaying, (0, 0), None);
        Ok(())
    }

    /// Whether the data is a copy that needs no archive to start.
    fn note_copied(&mut self, copied: bool) -> Result<()> {
        self.progress.copied = copied;
        self.progress.followed = false;
        self.layout.write_progress(self.id, self.progress)
    }

    /// The source's cluster, when its present is what is wanted and it is here.
    fn source_beside(&self, origin: &Origin, spec: &ParticipantSpec) -> Option<Cluster> {
        let id = match origin.until {
            Until::Now { .. } | Until::End => origin.beside.or(spec.leader)?,
            Until::Time { .. } | Until::Backup => return None,
        };
        let source = self.layout.cluster(id, &self.cluster.installed, &self.cluster.run_as);
        source.postmaster().map(|_| source)
    }

    async fn copy_beside(&mut self, source: &Cluster) -> Result<bool> {
        let progress = copy::Progress::default();
        let (to, owner) = (&self.cluster.data, &self.cluster.run_as);
        let copying = copy_running(source, to, owner, &progress);
        let telling = async {
            loop {
                let far = (progress.done(), progress.total());
                self.tell_making(MakingStep::Copying, far, None);
                sleep(TELL).await;
            }
        };
        let copied = tokio::select! {
            copied = copying => copied?,
            () = telling => return Ok(false),
        };
        let note = match copied.by {
            By::Reflink => "copied by reference".to_owned(),
            By::Copy => {
                "the file system does not copy by reference; copied byte by byte".to_owned()
            }
        };
        tracing::info!(
            participant.id = %self.id,
            "made from {}: {} bytes, {note}",
            source.data.display(),
            copied.bytes
        );
        // What follows goes on beyond the copy.
        let is_leader = self.wanted.borrow().role == Role::Leader;
        self.note_copied(is_leader)?;
        self.tell_making(MakingStep::Copying, (copied.bytes, copied.bytes), Some(note));
        Ok(true)
    }

    async fn restore(
        &mut self,
        archives: &Archives,
        origin: &Origin,
        note: Option<String>,
    ) -> Result<()> {
        self.tell_making(MakingStep::Securing, (0, 0), note.clone());
        let note = self.secure(archives, origin).await?.or(note);
        let timeline = archives.archive.timeline(origin.timeline);
        let backups = timeline.backups().await.context("list the base backups of its source")?;
        let backup = choose(backups, origin.until).with_context(|| {
            format!("the archive has no base backup of {} for that", origin.timeline)
        })?;
        let owner = &self.cluster.run_as;
        let how = Restoring {
            to: self.cluster.data.clone(),
            owner: Some(Owner { uid: owner.uid(), gid: owner.gid() }),
            parallel: PARALLEL,
            bindir: self.cluster.installed.bindir.clone(),
        };
        let progress = Progress::default();
        let restoring = restore::restore(&timeline, &backup, &how, &progress);
        let telling = async {
            loop {
                let far = (progress.done(), progress.total().max(backup.bytes));
                self.tell_making(MakingStep::Copying, far, note.clone());
                sleep(TELL).await;
            }
        };
        tokio::select! {
            restored = restoring => restored
                .with_context(|| format!("restore the base backup {}", backup.id)),
            () = telling => Ok(()),
        }
    }

    /// Has a living source send all that is wanted to the archive, and commit once more: a recovery
    /// to a moment ends at the first commit that is later.
    /// Without a living source what the archive has is used; that is said.
    async fn secure(&self, archives: &Archives, origin: &Origin) -> Result<Option<String>> {
        if origin.until == Until::Backup {
            return Ok(None);
        }
        let why = match archives.leaders.of(origin.timeline) {
            None => "its source is not here".to_owned(),
            Some(leader) => match leader.secure().await {
                Ok(_) => return Ok(None),
                Err(why @ Unsecured::Silent(_)) => why.to_string(),
                Err(late @ Unsecured::Late) => return Err(late.into()),
            },
        };
        let note = format!("{why}: it has what came to the archive before");
        tracing::info!(participant.id = %self.id, "{note} ({})", origin.timeline);
        Ok(Some(note))
    }

    /// A recovery has come to the end of WAL before the moment that was asked for. While the source
    /// lives there is more to come; else all there is was committed before that moment.
    pub(super) fn not_reached(&mut self, spec: &ParticipantSpec) -> Result<()> {
        let (Some(archives), Source::Timeline(origin)) = (&self.archives, &spec.source) else {
            bail!("WAL ends before the moment that was to be recovered");
        };
        if archives.leaders.of(origin.timeline).is_some() {
            bail!("WAL ends before the moment that was to be recovered; it is tried again");
        }
        self.progress.to_the_end = true;
        self.layout.write_progress(self.id, self.progress)
    }

    pub(super) fn tell_making(&self, step: MakingStep, far: (u64, u64), note: Option<String>) {
        let (done, total) = far;
        self.board.update(self.id, |one| {
            let old = one.making.as_ref().and_then(|making| making.note.clone());
            one.making = Some(Making { step, done, total, note: note.or(old) });
        });
    }
}

fn target(origin: &Origin) -> RecoveryTarget {
    match origin.until {
        Until::Time { at } => RecoveryTarget::Time(at),
        Until::Backup => RecoveryTarget::Immediate,
        Until::Now { .. } | Until::End => RecoveryTarget::End,
    }
}

/// The base backup to begin with: the newest that is not past the target.
fn choose(backups: Vec<Backup>, until: Until) -> Option<Backup> {
    let ends_before = |at: Timestamp| move |backup: &Backup| backup.ended_at <= at;
    match until {
        Until::Time { at } => backups.into_iter().rfind(ends_before(at)),
        Until::Now { .. } | Until::Backup | Until::End => backups.into_iter().next_back(),
    }
}
