//! The elder's part: it offers what it has, and drains once the younger one is ready.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, bail};
use howdah_model::ids::DatabaseId;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::link::{Link, Word};
use super::run_dir::{Placed, RunDir};
use super::{Duty, Held};
use crate::Gateway;

/// How long a younger gateway may take until it is ready. Meanwhile this one accepts.
const GETTING_READY: Duration = Duration::from_secs(60);
/// Between looks whether all sessions have ended.
const LOOK: Duration = Duration::from_millis(100);

/// What an elder has to hand on, and what it needs to come back.
#[derive(Debug)]
pub(super) struct Elder<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) run: &'a RunDir,
    pub(super) placed: &'a Placed,
    pub(super) lock: Option<OwnedFd>,
    /// The connection to the one that this one has taken over from.
    pub(super) own_elder: Option<Link>,
    /// How long its sessions may go on.
    pub(super) drain: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The younger one is gone, and this one accepts as before.
    NotTaken,
    /// It was handed on, and the sessions have ended or have had their time.
    Drained,
}

impl Elder<'_> {
    /// Hands on to the gateway at the other end.
    pub(super) async fn hand_on(&mut self, stream: UnixStream) -> Outcome {
        let mut link = Link::new(stream);
        if let Err(error) = self.offer(&mut link).await {
            tracing::warn!(error = format!("{error:#}"), "no other gateway took over");
            return Outcome::NotTaken;
        }
        if let Some(own_elder) = &mut self.own_elder {
            // When it cannot be told it is gone itself.
            let _ = own_elder.say(&Word::HandedOn).await;
        }
        self.gateway.listeners().set_duty(Duty::Drain);
        self.gateway.shared.elders.set_handed_on(true);
        let held = freeze(self.gateway);
        let moves = self.gateway.shared.routes.moves();
        tracing::info!(sessions = self.gateway.clients(), "another gateway takes over; draining");
        let told = link.say(&Word::Serve { held, moves }).await;
        let is_gone = match told {
            Err(_) => true,
            Ok(()) => tokio::select! {
                end = until_left(self.gateway, &mut self.lock, &mut link) => end,
                () = drained(self.gateway, self.drain) => false,
            },
        };
        if is_gone {
            self.come_back();
            return Outcome::NotTaken;
        }
        Outcome::Drained
    }

    async fn offer(&self, link: &mut Link) -> anyhow::Result<()> {
        let lock = self.lock.as_ref().context("this gateway has handed on already")?;
        let open = self.gateway.listeners().sockets();
        let ports = open.iter().map(|listener| listener.mode).collect();
        let mut descriptors: Vec<BorrowedFd<'_>> =
            open.iter().map(|listener| listener.socket.as_fd()).collect();
        descriptors.push(lock.as_fd());
        link.say_with(&Word::Offer { ports }, &descriptors).await.context("offer the sockets")?;
        let heard =
            timeout(GETTING_READY, link.hear()).await.context("it was not ready in time")?;
        match heard.context("it broke off")? {
            Some((Word::Ready, _)) => Ok(()),
            None => bail!("it ended before it was ready"),
            Some((word, _)) => bail!("it said {word:?} instead of being ready"),
        }
    }

    /// The younger one is gone without a successor.
    fn come_back(&self) {
        tracing::warn!("the gateway that had taken over is gone; accepting clients again");
        self.gateway.shared.limits.thaw();
        self.gateway.shared.elders.set_handed_on(false);
        self.gateway.listeners().set_duty(Duty::Serve);
        if let Err(error) = self.run.point_to(self.placed) {
            tracing::error!(error = format!("{error:#}"), "the admin socket leads to nobody");
        }
    }
}

/// Waits for the end of the younger one: `true` when nobody accepts then. Never returns when it has
/// handed on in its turn.
async fn until_left(gateway: &Gateway, lock: &mut Option<OwnedFd>, link: &mut Link) -> bool {
    loop {
        match link.hear().await {
            Ok(Some((Word::HandedOn, _))) => {
                // There are others now who have these.
                gateway.listeners().close();
                *lock = None;
                std::future::pending::<()>().await;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return true,
        }
    }
}

/// Waits until nobody is left, or the time is over.
async fn drained(gateway: &Gateway, bound: Duration) {
    let until = Instant::now() + bound;
    while gateway.clients() > 0 && Instant::now() < until {
        sleep(LOOK).await;
    }
}

/// Gives up what the databases' limits leave beyond what is needed here: the sessions that there are,
/// and a few for clients that take a server for each transaction and have none at the moment. Asked
/// again, it gives up more. Returns what is kept.
pub(crate) fn freeze(gateway: &Gateway) -> Held {
    let shared = &gateway.shared;
    let mut clients: HashMap<DatabaseId, (u32, u32)> = HashMap::new();
    for pool in gateway.figures().pools.pools {
        let of = clients.entry(pool.database_id).or_default();
        of.0 += pool.clients.active + pool.clients.waiting + pool.clients.idle;
        of.1 = of.1.max(pool.connection_limit);
    }
    let share = |(clients, limit): (u32, u32)| clients.min((limit / 4).max(1));
    let reserved = clients.into_iter().map(|(id, of)| (id, share(of)));
    // Who is on the way in has no session yet. PostgreSQL's own limit on the role holds for them.
    let sessions = usize::try_from(gateway.stats().sessions).unwrap_or(usize::MAX);
    let more = u32::try_from(gateway.clients().saturating_sub(sessions)).unwrap_or(u32::MAX);
    shared.limits.freeze(reserved.filter(|(_, kept)| *kept > 0).collect(), more)
}
