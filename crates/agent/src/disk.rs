//! The guard of the disk: what is done, stage by stage, before it is full, and the way back.
//!
//! PostgreSQL that cannot write WAL ends, and does not start again. So tenants stop writing before
//! that: people are told first, then nothing is made that can wait, then tenants only read. A
//! reserve file lies on the disk for the last moment: with it removed, servers can start, vacuum
//! and be emptied.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_cluster::Cluster;
use howdah_cluster::reserve;
use howdah_model::protection::DiskStage;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::board::Board;

/// How often what is free is looked at, and how often when it is not much.
const EVERY: Duration = Duration::from_secs(2);
const OFTEN: Duration = Duration::from_millis(100);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What must be free for each stage to be left out, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    warn: u64,
    throttle: u64,
    read_only: u64,
    reserve: u64,
}

/// For a disk of a size. A large share of a large one is kept by nobody.
fn limits(total: u64) -> Limits {
    let share = |percent: u64, most: u64| (total / 100 * percent).min(most);
    // One that is small is as quickly full as a large one.
    let at_least = |bytes: u64, percent: u64| bytes.min(total / 100 * percent);
    Limits {
        warn: share(10, 20 * GIB).max(at_least(GIB, 40)),
        throttle: share(6, 8 * GIB).max(at_least(512 * MIB, 33)),
        read_only: share(3, 3 * GIB).max(at_least(256 * MIB, 25)),
        reserve: share(1, 256 * MIB),
    }
}

/// What stays free of a disk of a size for what is there already, in bytes.
pub(crate) fn kept_free(total: u64) -> u64 {
    limits(total).warn
}

/// The stage for what is free. It is entered at its limit and left when half as much again is free,
/// so that it does not come and go.
fn stage(was: DiskStage, free: u64, limits: &Limits) -> DiskStage {
    let holds = |stage: DiskStage, limit: u64| {
        let limit = if was >= stage { limit + limit / 2 } else { limit };
        free < limit
    };
    if holds(DiskStage::ReadOnly, limits.read_only) {
        DiskStage::ReadOnly
    } else if holds(DiskStage::Throttle, limits.throttle) {
        DiskStage::Throttle
    } else if holds(DiskStage::Warn, limits.warn) {
        DiskStage::Warn
    } else {
        DiskStage::Ample
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Disk {
    home: PathBuf,
    reserve: PathBuf,
    board: Arc<Board>,
}

impl Disk {
    pub(crate) fn new(home: &Path, board: &Arc<Board>) -> Self {
        Self { home: home.to_owned(), reserve: home.join("reserve"), board: Arc::clone(board) }
    }

    /// Goes on until it is told to stop.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let pause = self.look().unwrap_or_else(|error| {
                tracing::warn!("the disk is not guarded now: {error:#}");
                EVERY
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Returns when to look again.
    fn look(&self) -> Result<Duration> {
        let (free, total) = Cluster::disk(&self.home).context("ask what is free of the disk")?;
        let limits = limits(total);
        let was = self.board.disk();
        // The reserve counts as free: to remove it is no relief.
        let held = reserve::size(&self.reserve).context("look at the reserve")?;
        let now = stage(was, free + held, &limits);
        if now != was {
            tracing::warn!(
                "the disk of {}: {was} -> {now}, {} MB free",
                self.home.display(),
                free / MIB
            );
            self.board.set_disk(now);
        }
        match now {
            DiskStage::ReadOnly if free < limits.read_only / 4 => {
                reserve::release(&self.reserve).context("release the reserve")?;
            }
            DiskStage::ReadOnly | DiskStage::Throttle | DiskStage::Warn => {}
            DiskStage::Ample => {
                reserve::ensure(&self.reserve, limits.reserve).context("keep a reserve")?;
            }
        }
        Ok(if free < limits.warn * 2 { OFTEN } else { EVERY })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_one_after_the_other_and_do_not_come_and_go() {
        let limits = limits(100 * GIB);
        assert_eq!(
            limits,
            Limits { warn: 10 * GIB, throttle: 6 * GIB, read_only: 3 * GIB, reserve: 256 * MIB }
        );
        use DiskStage::{Ample, ReadOnly, Throttle, Warn};
        for (was, free, now) in [
            (Ample, 50, Ample),
            (Ample, 9, Warn),
            (Warn, 11, Warn),
            (Warn, 15, Ample),
            (Warn, 5, Throttle),
            (Throttle, 2, ReadOnly),
            (ReadOnly, 4, ReadOnly),
            (ReadOnly, 5, Throttle),
            (ReadOnly, 40, Ample),
            (Ample, 1, ReadOnly),
        ] {
            assert_eq!(stage(was, free * GIB, &limits), now, "{was} at {free} GB");
        }
    }
}
