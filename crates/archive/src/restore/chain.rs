//! Restoring an incremental base backup: all that it adds to, one upon the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::claim::{Claim, What, make_dir, sync_dir};
use super::filling::{blocking, fill};
use super::{Error, Owner, Restoring};
use crate::Timeline;
use crate::backup::{Backup, Progress};

/// Where the backups lie before they are put together, within the directory.
const BELOW: &str = "howdah-chain";
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Without this file no server starts. It comes last.
const CONTROL: &str = "global/pg_control";

/// Restores an incremental backup. An attempt that is broken off is begun anew.
pub(super) async fn restore(
    timeline: &Timeline,
    backup: &Backup,
    how: &Restoring,
    progress: &Progress,
) -> Result<(), Error> {
    let chain = chain_of(timeline, backup).await?;
    progress.expect(chain.iter().map(|backup| backup.bytes).sum());
    let what = What { timeline: timeline.id(), backup: backup.id.clone() };
    let (dir, owner) = (how.to.clone(), how.owner);
    let claim = blocking(move || {
        let claim = Claim::take(&dir, &what, owner)?;
        claim.begin_anew()?;
        make_dir(&dir.join(BELOW), owner).map_err(Error::file(&dir))?;
        Ok(claim)
    })
    .await?;
    let below = how.to.join(BELOW);
    let mut inputs = Vec::new();
    for backup in &chain {
        let to = below.join(backup.id.as_str());
        fill(timeline, backup, &Restoring { to: to.clone(), ..how.clone() }, progress).await?;
        inputs.push(to);
    }
    let output = below.join("whole");
    combine(backup, how, &inputs, &output).await?;
    let (dir, owner) = (how.to.clone(), how.owner);
    blocking(move || {
        take_out(&dir, &output, owner, &claim)?;
        claim.complete()
    })
    .await
}

/// The backups that are needed, the full one first.
async fn chain_of(timeline: &Timeline, backup: &Backup) -> Result<Vec<Backup>, Error> {
    let all = timeline.backups().await?;
    let mut chain = vec![backup.clone()];
    while let Some((of, base)) = chain.last().and_then(|of| Some((of, of.base.clone()?))) {
        // A base is always older, so this ends.
        let found = all.iter().find(|one| one.id == base && one.id < of.id);
        let (of, base) = (of.id.clone(), base);
        let missing = || Error::NoBase { backup: of, base };
        chain.push(found.cloned().ok_or_else(missing)?);
    }
    chain.reverse();
    Ok(chain)
}

async fn combine(
    backup: &Backup,
    how: &Restoring,
    inputs: &[PathBuf],
    output: &Path,
) -> Result<(), Error> {
    let failed = |why: String| Error::NotCombined { backup: backup.id.clone(), why };
    let program = how.bindir.join("pg_combinebackup");
    let mut command = Command::new(&program);
    command.args(inputs).arg("--output").arg(output).arg("--no-sync");
    command.arg(if backup.major.0 >= 18 { "--link" } else { "--copy-file-range" });
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(PATIENCE, command.output());
    let ended = ended.await.map_err(|_| failed(format!("it took longer than {PATIENCE:?}")))?;
    let ended = ended.map_err(Error::file(&program))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    Err(failed(last.into_iter().rev().collect::<Vec<_>>().join("; ")))
}

/// Brings what was put together to its place and removes the rest; `pg_control` last.
fn take_out(dir: &Path, output: &Path, owner: Option<Owner>, claim: &Claim) -> Result<(), Error> {
    give(output, owner)?;
    let (control, aside) = (output.join(CONTROL), dir.join("howdah-pg_control"));
    fs::rename(&control, &aside).map_err(Error::file(&control))?;
    for entry in fs::read_dir(output).map_err(Error::file(output))? {
        let entry = entry.map_err(Error::file(output))?;
        let to = dir.join(entry.file_name());
        fs::rename(entry.path(), &to).map_err(Error::file(&to))?;
    }
    let below = dir.join(BELOW);
    fs::remove_dir_all(&below).map_err(Error::file(&below))?;
    claim.flush()?;
    let control = dir.join(CONTROL);
    fs::rename(&aside, &control).map_err(Error::file(&control))?;
    sync_dir(&dir.join("global"))
}

/// Gives a directory and all in it to its owner.
fn give(path: &Path, owner: Option<Owner>) -> Result<(), Error> {
    let Some(Owner { uid, gid }) = owner else { return Ok(()) };
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(Error::file(path))?;
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::file(path))? {
            give(&entry.map_err(Error::file(path))?.path(), owner)?;
        }
    }
    Ok(())
}
