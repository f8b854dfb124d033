//! A session at the server that will be next, made while the client goes on.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::asking::Asked;
use super::hindrance::{Hindrance, judge};
use super::leg::{self, Opened};
use super::record::Script;
use super::relaying::{End, Identity, Relaying};
use crate::routes::Entry;

/// A session at the server that will be next, opened and filled while the client goes on.
#[derive(Debug)]
pub(super) struct Next {
    dir: Box<Path>,
    /// The state that it was filled with.
    generation: u64,
    /// One task, which ends with the session.
    opening: JoinSet<Result<Opened, Hindrance>>,
}

impl Relaying {
    /// Begins to open and fill a session at the server that will be next.
    pub(super) async fn prepare(&mut self, dir: &Path) -> Option<End> {
        if self.pooled.is_some() {
            self.warm(dir).await;
            return None;
        }
        if self.leg.is_none() || self.identity.startup.replication() {
            return None;
        }
        if let Some(end) = self.take_snapshot(Asked::All).await {
            return Some(end);
        }
        self.next = Some(self.begin_next(dir));
        None
    }

    fn begin_next(&self, dir: &Path) -> Next {
        let (identity, entry) = (self.identity.clone(), self.entry.clone());
        let (script, generation) = (self.record.fill(), self.record.generation());
        let (bound, to) = (self.bound(), dir.to_path_buf());
        let openings = self.context.shared.openings.of(entry.route.database_id);
        let handle = self.holds.registration.handle.clone();
        let mut opening = JoinSet::new();
        opening.spawn(async move {
            let opened = open_filled(&identity, &entry, &to, &script, &openings, bound).await;
            if opened.is_ok() {
                handle.is_prepared();
            }
            opened
        });
        Next { dir: dir.into(), generation, opening }
    }

    /// Tells the session that is prepared what has changed since, while nothing runs.
    pub(super) async fn refresh_next(&mut self) {
        let Some(next) = self.next.take() else { return };
        if next.generation == self.record.generation() {
            self.next = Some(next);
            return;
        }
        let (script, generation, bound) =
            (self.record.refill(), self.record.generation(), self.bound());
        let Next { dir, mut opening, .. } = next;
        let mut refilled = JoinSet::new();
        refilled.spawn(async move {
            let mut opened = joined(&mut opening).await?;
            judge(&opened.bring(&script, bound).await?)?;
            Ok(opened)
        });
        self.next = Some(Next { dir, generation, opening: refilled });
    }

    /// The session at the next server: the one that was prepared, or a new one.
    pub(super) async fn next_for(&mut self, dir: &Path) -> Result<Opened, Hindrance> {
        if self.pooled.is_some() {
            return self.hire(dir).await;
        }
        let (generation, bound) = (self.record.generation(), self.bound());
        if let Some(mut next) = self.next.take().filter(|next| *next.dir == *dir) {
            let filled = next.generation == generation;
            let opened =
                timeout(bound, joined(&mut next.opening)).await.map_err(io::Error::other)?;
            // One that could not be prepared is tried once more, with its own reasons.
            if let Ok(mut opened) = opened {
                if !filled {
                    judge(&opened.bring(&self.record.refill(), bound).await?)?;
                }
                return Ok(opened);
            }
        }
        let openings = self.context.shared.openings.of(self.entry.route.database_id);
        open_filled(&self.identity, &self.entry, dir, &self.record.fill(), &openings, bound).await
    }
}

/// Opens a session and fills it. Few at a time: a server that has just come up is not overrun.
async fn open_filled(
    identity: &Identity,
    entry: &Entry,
    dir: &Path,
    script: &Script,
    openings: &Semaphore,
    bound: Duration,
) -> Result<Opened, Hindrance> {
    let _turn = openings.acquire().await.map_err(io::Error::other)?;
    let mut opened = leg::open(identity, entry, dir, bound).await?;
    judge(&opened.bring(script, bound).await?)?;
    Ok(opened)
}

async fn joined(opening: &mut JoinSet<Result<Opened, Hindrance>>) -> Result<Opened, Hindrance> {
    let gone = || io::Error::from(io::ErrorKind::NotConnected);
    opening.join_next().await.ok_or_else(gone)?.map_err(io::Error::other)?
}
