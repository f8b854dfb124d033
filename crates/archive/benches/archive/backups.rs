//! Base backups and restores.

use std::path::PathBuf;

use anyhow::Context as _;
use howdah_archive::backup::{self, Backup, Checkpoint, Progress, Taking};
use howdah_archive::restore::{self, Owner, Restoring};
use howdah_archive::{Timeline, quiet};
use howdah_cluster::settings::PLATFORM_ROLE;
use tokio_util::sync::CancellationToken;

use crate::Effort;
use crate::bed::{Bed, remove, run, size};
use crate::report::{Rounds, order, turn};
use crate::rivals::{PgBackRest, copy_with_zstd, restore_with_zstd};

const NAMES: [&str; 3] = ["ours", "pgBackRest", "cp + zstd"];
/// What each uses of this machine.
pub(crate) const PARALLEL: usize = 2;

/// What is measured of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Backup,
    Restore,
    Both,
}

/// The last backup of each.
struct Taken {
    ours: Option<(Timeline, Backup)>,
    pgbackrest: Option<PgBackRest>,
    copied: Option<PathBuf>,
}

pub(crate) async fn measure(bed: &Bed, effort: &Effort, what: What) -> anyhow::Result<()> {
    let names = || NAMES.map(str::to_owned).to_vec();
    let mut backups = Rounds::new("Base backup", names());
    let mut restores = Rounds::new("Restore", names());
    let mut taken = Taken { ours: None, pgbackrest: None, copied: None };
    for round in 0..effort.rounds {
        if what != What::Restore || round == 0 {
            for who in order(NAMES.len(), round) {
                one_backup(bed, &mut taken, who, &mut backups).await?;
            }
        }
        if what != What::Backup {
            for who in order(NAMES.len(), round) {
                one_restore(bed, &taken, who, &mut restores).await?;
            }
        }
    }
    if what != What::Restore {
        backups.print(bed.bytes);
    }
    if what != What::Backup {
        restores.print(bed.bytes);
    }
    Ok(())
}

async fn one_backup(
    bed: &Bed,
    taken: &mut Taken,
    who: usize,
    rounds: &mut Rounds,
) -> anyhow::Result<()> {
    match who {
        0 => {
            let timeline = bed.timeline("ours")?;
            bed.settle().await;
            let (turn, backup) =
                turn(bed.account(), ours(bed, &timeline, None, &Progress::default())).await?;
            rounds.add(who, Some(turn), backup.stored);
            taken.ours = Some((timeline, backup));
        }
        1 => {
            taken.pgbackrest = None;
            let rival = PgBackRest::new(bed, "pgbackrest", &bed.cluster.data).await?;
            let Some(rival) = rival else { return Ok(()) };
            bed.settle().await;
            let (turn, ()) =
                turn(bed.account(), run(&mut rival.command(&["--type=full", "backup"]))).await?;
            rounds.add(who, Some(turn), size(&rival.repository().join("backup"), &[])?);
            taken.pgbackrest = Some(rival);
        }
        _ => {
            let to = bed.fresh("copied")?;
            bed.settle().await;
            let (turn, ()) = turn(bed.account(), copy_with_zstd(&bed.cluster.data, &to)).await?;
            rounds.add(who, Some(turn), size(&to, &[])?);
            taken.copied = Some(to);
        }
    }
    Ok(())
}

/// Takes a base backup.
pub(crate) async fn ours(
    bed: &Bed,
    timeline: &Timeline,
    rate: Option<u64>,
    progress: &Progress,
) -> anyhow::Result<Backup> {
    Ok(backup::take(timeline, &taking(bed, rate), progress, &CancellationToken::new()).await?)
}

/// The same as the platform does it.
pub(crate) async fn ours_quietly(
    bed: &Bed,
    timeline: &Timeline,
    rate: Option<u64>,
    progress: &Progress,
) -> anyhow::Result<Backup> {
    let (timeline, how, progress) = (timeline.clone(), taking(bed, rate), progress.clone());
    let taken = quiet::run(move || async move {
        backup::take(&timeline, &how, &progress, &CancellationToken::new()).await
    });
    Ok(taken.await??)
}

fn taking(bed: &Bed, rate: Option<u64>) -> Taking {
    Taking {
        socket_dir: bed.cluster.socket_dir.clone(),
        user: PLATFORM_ROLE.to_owned(),
        checkpoint: Checkpoint::Fast,
        rate,
        parallel: PARALLEL,
        base: None,
        label: "bench".to_owned(),
    }
}

async fn one_restore(
    bed: &Bed,
    taken: &Taken,
    who: usize,
    rounds: &mut Rounds,
) -> anyhow::Result<()> {
    let to = bed.fresh("restored")?;
    bed.settle().await;
    let turn = match who {
        0 => {
            let (timeline, backup) = taken.ours.as_ref().context("there is no backup")?;
            let user = &bed.home.run_as;
            let how = Restoring {
                to: to.clone(),
                owner: Some(Owner { uid: user.uid(), gid: user.gid() }),
                parallel: PARALLEL,
                bindir: bed.cluster.installed.bindir.clone(),
            };
            let progress = Progress::default();
            let work = async { Ok(restore::restore(timeline, backup, &how, &progress).await?) };
            Some(turn(bed.account(), work).await?.0)
        }
        1 => match &taken.pgbackrest {
            Some(rival) => {
                let to = format!("--pg1-path={}", to.display());
                let mut command = rival.command(&["--type=immediate", &to, "restore"]);
                Some(turn(bed.account(), run(&mut command)).await?.0)
            }
            None => None,
        },
        _ => {
            let from = taken.copied.as_ref().context("there is no copy")?;
            Some(turn(bed.account(), restore_with_zstd(from, &to)).await?.0)
        }
    };
    rounds.add(who, turn, size(&to, &[])?);
    remove(&to)
}
