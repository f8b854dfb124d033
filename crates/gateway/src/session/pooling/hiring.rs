//! A session takes a server from its pool, and gives it back.

use std::io;
use std::path::Path;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use howdah_model::route::Mode;
use tokio::time::timeout;

use super::{PoolServer, Seat, deadline};
use crate::error::ErrorKind;
use crate::pool::{Granted, Lease, Permit, Taken, WaitError};
use crate::session::flow::Buffers;
use crate::session::hindrance::{Hindrance, judge};
use crate::session::leg::{self, Leg, Opened};
use crate::session::names::{Holds, NameError};
use crate::session::progress::Status;
use crate::session::record::{Carried, Tie, apply};
use crate::session::relaying::{End, Identity, Relaying, Turn};
use crate::session::{Context as SessionContext, lost, taps};
use crate::stats::Standing;

/// The most of what a client says that is read while it waits for a server.
const MOST_UNREAD: usize = 64 * 1024;
/// Its last words.
const TERMINATE: &[u8] = b"X\0\0\0\x04";

impl Relaying {
    /// Gives the server back that the session has for a transaction, when that is over. Whether it
    /// did.
    pub(crate) fn gives_back(&mut self, attend: bool) -> bool {
        let Some(pooled) = &self.pooled else { return false };
        // Who has more to say goes on, unless others wait.
        let goes_on = self.up.has_unread()
            && !attend
            && !pooled.pool.as_ref().is_some_and(|pool| pool.has_waiters());
        pooled.used && !goes_on && self.is_free() && self.give_back()
    }

    /// Whether the session has a shared server that it needs no more.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.leg, Some(Seat::Hired(_)))
            && self.at_boundary()
            && !self.record.is_dirty()
            && self.record.pins().is_empty()
            && self.pooled.as_ref().is_some_and(|pooled| !pooled.names.are_tied())
    }

    /// Whether it did: a cancel request that is on its way to the server comes first.
    pub(crate) fn give_back(&mut self) -> bool {
        let (Some(Seat::Hired(_)), Some(pooled)) = (&self.leg, &mut self.pooled) else {
            return false;
        };
        if !self.holds.registration.handle.leaves_server() {
            return false;
        }
        let Some(Seat::Hired(mut lease)) = self.leg.take() else { return false };
        lease.reported = self.record.reported().clone();
        lease.carried = self.record.carried().clone();
        pooled.rest();
        self.wants.ran = false;
        self.stats.stands(Standing::Idle);
        let shard = self.context.shard;
        match &pooled.pool {
            Some(pool) => pool.give_back(shard, *lease),
            // The route is another; its servers are of no use any more.
            None => lease.close(),
        }
        true
    }

    /// Takes a server when the client says something. Nothing when it has one now.
    pub(crate) fn poll_hire(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
        attend: bool,
    ) -> Poll<Option<Turn>> {
        let Some(pooled) = &mut self.pooled else { return Poll::Ready(Some(Turn::Attach)) };
        if attend {
            pooled.forget_place();
            return Poll::Ready(Some(Turn::Attend));
        }
        // Who only begins to say something gets no server for that.
        while !self.up.has_message(taps::needed) {
            match ready!(self.up.poll_fill(cx, &mut self.client, buffers)) {
                Ok(()) if !self.up.unread().starts_with(TERMINATE) => {}
                Ok(()) | Err(_) => return Poll::Ready(Some(Turn::End(End::ClientLeft))),
            }
        }
        if self.wants.debt || self.wants.failed {
            return Poll::Ready(Some(Turn::Attach));
        }
        let granted = match self.poll_take(cx) {
            Poll::Ready(Some(granted)) => granted,
            Poll::Ready(None) => return Poll::Ready(Some(Turn::Attach)),
            Poll::Pending => return self.poll_client(cx, buffers),
        };
        match granted {
            Granted::Idle(lease) if self.fits(&lease) => {
                self.seat(lease);
                Poll::Ready(None)
            }
            granted => {
                if let Some(pooled) = &mut self.pooled {
                    pooled.granted = Some(granted);
                }
                Poll::Ready(Some(Turn::Attach))
            }
        }
    }

    /// Takes what the pool has, or waits for it. Nothing when the route has to be looked at first.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Granted<PoolServer>>> {
        let shard = self.context.shard;
        let Some(pooled) = &mut self.pooled else { return Poll::Ready(None) };
        let Some(pool) = &pooled.pool else { return Poll::Ready(None) };
        if pooled.waiting.is_none() {
            let record = &self.record;
            match pool.try_take_fitting(shard, |server| server.carried == *record.carried()) {
                Taken::Idle(lease) => return Poll::Ready(Some(Granted::Idle(lease))),
                Taken::Open(permit) => return Poll::Ready(Some(Granted::Open(permit))),
                Taken::Gone => {
                    pooled.forget_place();
                    return Poll::Ready(None);
                }
                Taken::Full => {
                    let bound = self.context.shared.config.timeouts.queue;
                    match pool.wait(shard, deadline(bound)) {
                        Ok(waiting) => {
                            pooled.waiting = Some(waiting);
                            self.stats.stands(Standing::Waiting);
                        }
                        Err(why) => {
                            pooled.refused = Some(why);
                            return Poll::Ready(None);
                        }
                    }
                }
            }
        }
        let Some(waiting) = &mut pooled.waiting else { return Poll::Ready(None) };
        let outcome = ready!(waiting.poll_unpin(cx));
        pooled.waiting = None;
        self.stats.goes(Standing::Active);
        Poll::Ready(match outcome {
            Ok(granted) => Some(granted),
            Err(WaitError::Gone) => {
                pooled.forget_place();
                None
            }
            Err(why) => {
                pooled.refused = Some(why);
                None
            }
        })
    }

    /// While it waits for a server it notices when its client leaves.
    fn poll_client(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<Option<Turn>> {
        while self.up.unread().len() < MOST_UNREAD {
            if ready!(self.up.poll_fill(cx, &mut self.client, buffers)).is_err() {
                return Poll::Ready(Some(Turn::End(End::ClientLeft)));
            }
        }
        Poll::Pending
    }

    /// Whether a server has the settings of the session, and its client knows what it reports.
    fn fits(&self, server: &PoolServer) -> bool {
        server.carried == *self.record.carried() && server.reported == *self.record.reported()
    }

    fn seat(&mut self, lease: Lease<PoolServer>) {
        self.holds.registration.handle.takes_server(lease.leg.cancellation());
        self.leg = Some(Seat::Hired(Box::new(lease)));
    }

    /// Takes a server from the pool at a target, and brings it to the settings of the session.
    pub(crate) async fn hire(&mut self, dir: &Path) -> Result<Opened, Hindrance> {
        let pool = self.context.shared.servers.pool(&self.entry, dir);
        let Some(pooled) = &mut self.pooled else { return Err(gone()) };
        if let Some(why) = pooled.refused.take() {
            return Err(Hindrance::Queue(why));
        }
        if !pooled.pool.as_ref().is_some_and(|own| std::sync::Arc::ptr_eq(own, &pool)) {
            // What was granted is of another pool.
            pooled.forget_place();
            pooled.pool = Some(pool.clone());
        }
        let granted = match pooled.granted.take() {
            Some(granted) => granted,
            None => {
                let bound = self.context.shared.config.timeouts.queue;
                self.stats.stands(Standing::Waiting);
                let taken = take(&pool, self.context.shard, deadline(bound)).await;
                self.stats.goes(Standing::Active);
                taken?
            }
        };
        let lease = match granted {
            Granted::Idle(lease) => lease,
            Granted::Open(permit) => {
                open(&self.context, &self.identity, &self.entry, permit, dir).await?
            }
        };
        self.bring(lease).await
    }

    async fn bring(&self, lease: Lease<PoolServer>) -> Result<Opened, Hindrance> {
        let bound = leg::bound(&self.context);
        let script = apply(self.record.carried(), &lease.carried);
        let mut opened = opened(lease);
        judge(&opened.bring(&script, bound).await?)?;
        let ties = self.record.pins();
        if [Tie::Libraries, Tie::Prepared, Tie::Listens].into_iter().any(|tie| ties.has(tie)) {
            judge(&opened.bring(&self.record.fill(), bound).await?)?;
        }
        Ok(opened)
    }

    /// Opens a server at the target that will be next, as many sessions as servers are here.
    pub(crate) async fn warm(&mut self, dir: &Path) {
        let servers = &self.context.shared.servers;
        let Some(here) = leg::dir(&self.entry) else { return };
        let (here, next) = (servers.pool(&self.entry, here), servers.pool(&self.entry, dir));
        if next.stats().servers() >= here.stats().servers() {
            return;
        }
        let Taken::Open(permit) = next.try_take(self.context.shard) else { return };
        match open(&self.context, &self.identity, &self.entry, permit, dir).await {
            Ok(lease) => next.give_back(self.context.shard, lease),
            Err(_) => tracing::debug!("the next server does not take a session yet"),
        }
    }

    /// Tells the request for which no server came free.
    pub(crate) async fn tell_queue(&mut self, why: WaitError) -> Option<End> {
        let length = match self.whole_request().await {
            Ok(length) => length,
            Err(end) => return Some(end),
        };
        self.up.discard(length);
        self.context.counters.error(ErrorKind::QueueTimeout);
        self.stats.error(ErrorKind::QueueTimeout);
        self.answer(&lost::no_server(why), Status::Idle, 1);
        None
    }

    /// Whether the messages of a shared server or of its client make no sense.
    pub(crate) fn is_senseless(&self) -> bool {
        let trouble = self.pooled.as_ref().and_then(|pooled| pooled.trouble);
        trouble == Some(NameError::TooLong)
    }
}

/// Takes what the pool has, or waits for it.
pub(super) async fn take(
    pool: &std::sync::Arc<crate::pool::Pool<PoolServer>>,
    shard: crate::pool::Shard,
    deadline: crate::stats::clock::Moment,
) -> Result<Granted<PoolServer>, Hindrance> {
    let outcome = match pool.try_take(shard) {
        Taken::Idle(lease) => return Ok(Granted::Idle(lease)),
        Taken::Open(permit) => return Ok(Granted::Open(permit)),
        Taken::Gone => Err(WaitError::Gone),
        Taken::Full => match pool.wait(shard, deadline) {
            Ok(waiting) => waiting.await,
            Err(why) => Err(why),
        },
    };
    outcome.map_err(|why| match why {
        WaitError::Gone => gone(),
        why => Hindrance::Queue(why),
    })
}

/// The route is another by now.
fn gone() -> Hindrance {
    Hindrance::NotNow(io::ErrorKind::NotFound.into())
}

/// Opens a server for a pool.
pub(super) async fn open(
    context: &SessionContext,
    identity: &Identity,
    entry: &crate::routes::Entry,
    permit: Permit<PoolServer>,
    dir: &Path,
) -> Result<Lease<PoolServer>, Hindrance> {
    let bare =
        Identity { startup: identity.startup.bare(), client_key: identity.client_key.clone() };
    let bound = leg::bound(context);
    let opened =
        timeout(bound, leg::open(&bare, entry, dir, bound)).await.map_err(io::Error::other)??;
    let Opened { seat: Seat::Own(leg), reported, .. } = opened else { return Err(gone()) };
    context.shared.statistics.credential(&entry.route, Mode::Transaction).server_opened();
    Ok(permit.opened(server(leg, reported)))
}

fn server(leg: Leg, reported: crate::session::record::Reported) -> PoolServer {
    PoolServer { leg, reported, carried: Carried::none(), holds: Holds::default() }
}

/// A shared server as one that was just opened.
pub(super) fn opened(lease: Lease<PoolServer>) -> Opened {
    let reported = lease.reported.clone();
    let seat = Seat::Hired(Box::new(lease));
    Opened { seat, reported, greeting: Vec::new(), rest: Vec::new() }
}
