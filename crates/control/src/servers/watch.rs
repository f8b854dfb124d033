//! Watches servers: keeps their newest observations, and wakes what has changed.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use howdah_model::agent::ServerObservation;
use howdah_model::ids::{ParticipantId, ServerId};
use howdah_store::servers::{self, Server};
use howdah_store::wakes::{self, Changed};
use howdah_store::{participants, routes};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::participants::send_spec;

/// How long an agent may hold its answer when nothing changes.
const HOLD: Duration = Duration::from_secs(4);
/// The same while it copies something, as people watch how far that is.
const HOLD_COPYING: Duration = Duration::from_secs(1);
/// How soon an agent that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often is looked for servers that were registered elsewhere.
const LOOK_FOR_NEW: Duration = Duration::from_secs(5);

/// Watches all servers until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    let mut watched = HashSet::new();
    let mut tasks = JoinSet::new();
    while !cancelled.is_cancelled() {
        match registered(&control).await {
            Ok(all) => {
                for server in all.into_iter().filter(|server| watched.insert(server.id)) {
                    let (control, cancelled) = (control.clone(), cancelled.clone());
                    tasks.spawn(async move {
                        let id = server.id;
                        watch(&control, server, &cancelled).await;
                        id
                    });
                }
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "look for servers"),
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = control.news().server.notified() => {}
            Some(ended) = tasks.join_next() => restart(ended, &mut watched),
            () = tokio::time::sleep(LOOK_FOR_NEW) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// A watch ends only in a panic: begin it again.
fn restart(ended: Result<ServerId, tokio::task::JoinError>, watched: &mut HashSet<ServerId>) {
    match ended {
        Ok(server) => {
            watched.remove(&server);
        }
        Err(error) => {
            tracing::error!(%error, "the watch of a server ended in a panic");
            watched.clear();
        }
    }
}

async fn registered(control: &Control) -> Result<Vec<Server>> {
    let mut conn = control.reader().get().await?;
    Ok(servers::list(&mut conn).await?)
}

async fn watch(control: &Control, server: Server, cancelled: &CancellationToken) {
    let mut failing = false;
    loop {
        let last = control.sightings().last(server.id);
        let after = last.as_ref().map(|last| last.server.change);
        let hold = if last.is_some_and(|last| last.is_copying()) { HOLD_COPYING } else { HOLD };
        let asked = async {
            let wait = if after.is_some() { hold } else { Duration::ZERO };
            let seen = control.servers().observe(&server, after, wait).await?;
            control.observed(seen).await
        };
        let outcome = tokio::select! {
            () = cancelled.cancelled() => return,
            outcome = asked => outcome,
        };
        if let Err(error) = &outcome {
            if !failing {
                tracing::warn!(server.id = %server.id, error = format!("{error:#}"), "observe server `{}`", server.name);
            }
            tokio::time::sleep(AGAIN).await;
        } else if failing {
            tracing::info!(server.id = %server.id, "server `{}` answers again", server.name);
        }
        failing = outcome.is_err();
        if let Err(error) = notice_silence(control, server.id).await {
            tracing::warn!(error = format!("{error:#}"), "wake what is on a silent server");
        }
    }
}

/// Wakes all that is on a server when its last observation has become too old.
async fn notice_silence(control: &Control, server: ServerId) -> Result<()> {
    if !control.sightings().became_old(server, control.now()) {
        return Ok(());
    }
    let changed = Changed { servers: vec![server], ..Changed::default() };
    let mut tx = control.store().begin().await?;
    wakes::insert_for(&mut tx, &changed).await?;
    Ok(tx.commit().await?)
}

impl Control {
    /// Takes an observation of a server: keeps it in memory, and wakes exactly the machines that
    /// something has changed for.
    ///
    /// # Errors
    /// When the store does not answer. What it would have woken is then woken with the next.
    pub async fn observed(&self, observation: ServerObservation) -> Result<()> {
        let server = observation.server;
        let dirs: Vec<_> = observation
            .participants
            .iter()
            .map(|one| (one.id, one.socket_dir.to_string_lossy().into_owned()))
            .collect();
        let first = self.sightings().last(observation.server).is_none();
        let changed = self.sightings().take(observation, self.now());
        if first {
            self.news().pool.notify_one();
        }
        if !changed.is_empty() {
            let told = self.tell(&changed, &dirs).await.context("wake what has changed");
            if told.is_err() {
                self.sightings().not_told(server, changed);
                return told;
            }
        }
        self.remove_again(server, &dirs).await
    }

    async fn tell(&self, changed: &Changed, dirs: &[(ParticipantId, String)]) -> Result<()> {
        // Lost in a crash of the store's machine, it would only be seen later.
        let mut tx = self.store().begin_relaxed().await?;
        if participants::socket_dirs(&mut tx, dirs).await? {
            routes::changed(&mut tx).await?;
        }
        wakes::insert_for(&mut tx, changed).await?;
        Ok(tx.commit().await?)
    }

    /// An order to make a participant may reach an agent after everybody believed the participant
    /// to be gone. What an agent has of those is removed again.
    async fn remove_again(&self, server: ServerId, dirs: &[(ParticipantId, String)]) -> Result<()> {
        let there: Vec<_> = dirs.iter().map(|(id, _)| *id).collect();
        let mut conn = self.reader().get().await?;
        let removed = participants::list_removed(&mut conn, &there).await?;
        if removed.is_empty() {
            return Ok(());
        }
        let server = servers::get(&mut conn, server).await?.context("the server is not there")?;
        drop(conn);
        for id in removed {
            tracing::warn!(participant.id = %id, "participant {id} is on server `{}` though it was removed: removing it again", server.name);
            send_spec(self, &server, id).await.context("remove a participant again")?;
        }
        Ok(())
    }
}
