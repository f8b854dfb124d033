//! Participants that are made in advance, so that the next database need not wait for one.

use std::time::Duration;

use anyhow::Result;
use howdah_model::ids::{ParticipantId, ServerId};
use howdah_model::plan::{self, Plan};
use howdah_model::version::Major;
use howdah_store::participants::{self, New};
use howdah_store::{Tx, placement, servers};
use tokio_util::sync::CancellationToken;

use crate::Control;

/// The plan that pooled participants are made for.
pub const PLAN: &str = "standard-0";
/// The plan that the settings of shared participants carry.
const SHARED_PLAN: &str = "hobby-basic";
/// How often is looked without being told.
const POLL: Duration = Duration::from_secs(10);

/// Keeps the pools full until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.fill_pools().await {
            tracing::warn!(error = format!("{error:#}"), "fill the pool");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = control.news().pool.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

impl Control {
    /// Makes what the pools of the servers lack and removes what they have too much. A server that
    /// was not seen lately is left as it is.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn fill_pools(&self) -> Result<()> {
        for (server, seen) in self.sightings().all_fresh(self.now()) {
            let majors = seen.server.installed.iter().map(|there| there.version.major);
            if let Some(major) = Major::default_of(majors) {
                self.fill_pool(server, major).await?;
            }
        }
        Ok(())
    }

    async fn fill_pool(&self, server: ServerId, major: Major) -> Result<()> {
        let size = self.config().pool_size;
        let mut tx = self.store().begin().await?;
        servers::lock(&mut tx, server).await?;
        let there = placement::count_pooled(&mut tx, server, major).await?;
        for _ in there..i64::from(size) {
            insert(self, &mut tx, server, major, Part::Pooled).await?;
        }
        if size > 0 && placement::shared(&mut tx, server, major, i64::MAX).await?.is_none() {
            insert(self, &mut tx, server, major, Part::Shared).await?;
        }
        for surplus in placement::surplus(&mut tx, server, major, i64::from(size)).await? {
            participants::want_absent(&mut tx, surplus, self.now()).await?;
            participants::raise(&mut tx, surplus).await?;
        }
        Ok(tx.commit().await?)
    }
}

#[derive(Clone, Copy)]
enum Part {
    Pooled,
    Shared,
}

async fn insert(
    control: &Control,
    tx: &mut Tx,
    server: ServerId,
    major: Major,
    part: Part,
) -> Result<()> {
    let (name, why) = match part {
        Part::Pooled => (PLAN, "the pool has too few"),
        Part::Shared => (SHARED_PLAN, "the server has none that many can share"),
    };
    let plan: &'static Plan = plan::find(name)?;
    let new = New {
        id: ParticipantId::new(),
        server_id: server,
        major,
        plan,
        shared: matches!(part, Part::Shared),
        pooled: matches!(part, Part::Pooled),
    };
    Ok(participants::insert(tx, &new, why, control.now()).await?)
}
