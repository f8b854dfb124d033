//! Client and server talk; the gateway reads the headers as they go by, and knows at every moment
//! whether the session could go on at another server.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use howdah_model::route::{Mode, Stage};

use super::asking::Asked;
use super::commits::Commit;
use super::flow::{Buffers, Flow, Stop, with_buffers};
use super::inflight::Inflight;
use super::next::Next;
use super::parting::Parting;
use super::pooling::{Claim, Pooled, Seat, translation};
use super::progress::Progress;
use super::record::Record;
use super::taps::{Down, Omens, Up};
use super::{Context, Session};
use crate::config::Commits;
use crate::error::{ErrorKind, Fatal};
use crate::limits::Place;
use crate::registry::{Order, Registration};
use crate::routes::Entry;
use crate::scram::ClientKey;
use crate::startup::Startup;
use crate::stats::SessionStats;
use crate::stream::Client;

/// Servers in a row that a session takes from its pool before another session of the thread gets its
/// turn.
const ROUNDS: usize = 16;

/// What a session holds for as long as it lasts.
#[derive(Debug)]
pub struct Holds {
    /// Its place among the sessions.
    pub registration: Registration,
    /// Its place among those of its database.
    pub claim: Claim,
    /// Its place among all clients.
    pub place: Place,
}

/// Whom a session is for: what it takes to open it again elsewhere.
#[derive(Debug)]
pub struct Identity {
    /// What the client asked for.
    pub startup: Startup,
    /// What its password proved.
    pub client_key: ClientKey,
}

/// A session that is open.
#[derive(Debug)]
pub struct Relaying {
    pub(super) context: Context,
    pub(super) client: Client,
    /// Its server, unless that has gone and nothing was asked since.
    pub(super) leg: Option<Seat>,
    pub(super) up: Flow,
    pub(super) down: Flow,
    pub(super) progress: Progress,
    pub(super) record: Record,
    pub(super) inflight: Inflight,
    pub(super) omens: Omens,
    pub(super) commit: Commit,
    pub(super) identity: Arc<Identity>,
    /// The route that it was opened by, or moved by last.
    pub(super) entry: Arc<Entry>,
    /// A session at the server that will be next.
    pub(super) next: Option<Next>,
    /// What it needs to take its servers from a pool, if it does.
    pub(super) pooled: Option<Box<Pooled>>,
    pub(super) wants: Wants,
    pub(super) stats: SessionStats,
    pub(super) holds: Holds,
}

/// What a session has to do when it comes to a boundary.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// Something was done since its state was last asked for as a whole.
    pub(super) ran: bool,
    /// The same since it was last asked for what has changed.
    pub(super) changed: bool,
    /// The client is owed the news that its transaction is lost.
    pub(super) debt: bool,
    /// The client believes in a failed transaction, which its next server has to have.
    pub(super) failed: bool,
    /// It needs a server though its client is silent: it listens.
    pub(super) listens: bool,
    /// Its client waits for an answer that needs a server.
    pub(super) answer: bool,
    /// It has said that it cannot be moved; that is looked at again when it has done something.
    pub(super) pinned: bool,
}

/// Why the relay stops for a moment, or for good.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The route has to be looked at.
    Attend,
    /// The state of the session has to be asked for.
    Snapshot,
    /// A server is needed.
    Attach,
    /// The server has gone.
    Lost,
    /// It is over.
    End(End),
}

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    ClientLeft,
    ClientSenseless,
    Ordered(Order),
    /// With words that were made elsewhere, counted as what they are.
    Words(ErrorKind, Vec<u8>),
    /// With words of ours.
    Fatal(Fatal),
}

impl Relaying {
    /// A session whose client was just told that it is in. `rest` is what its server said since.
    #[must_use]
    pub fn new(
        context: Context,
        client: Client,
        (leg, rest): (Option<Seat>, Vec<u8>),
        (identity, entry, record): (Arc<Identity>, Arc<Entry>, Record),
        holds: Holds,
    ) -> Self {
        context.counters.sessions.add(1);
        let mode = match holds.claim {
            Claim::Session(_) => Mode::Session,
            Claim::Client(_) => Mode::Transaction,
        };
        let stats = context.shared.statistics.open(&entry.route, mode);
        let mut down = Flow::default();
        if !rest.is_empty() {
            down.read_again(&rest);
        }
        Self {
            context,
            client,
            leg,
            up: Flow::default(),
            down,
            progress: Progress::default(),
            record,
            inflight: Inflight::default(),
            omens: Omens::default(),
            commit: Commit::default(),
            identity,
            entry,
            next: None,
            pooled: matches!(holds.claim, Claim::Client(_)).then(Box::default),
            wants: Wants::default(),
            stats,
            holds,
        }
    }

    pub(super) async fn step(mut self) -> Session {
        // What changed while it was opened was told to nobody.
        let settled = self.is_at_route() && self.entry.route.stage == Stage::Open;
        let mut end = if settled { None } else { Box::pin(self.attend()).await };
        let end = loop {
            if let Some(end) = end {
                break end;
            }
            let turn = poll_fn(|cx| self.poll(cx)).await;
            // Boxed, so that a session at rest has no memory for what it seldom does.
            end = match turn {
                Turn::Attend => Box::pin(self.attend()).await,
                Turn::Snapshot => Box::pin(self.take_snapshot(Asked::Changes)).await,
                Turn::Attach => Box::pin(self.attach()).await,
                Turn::Lost => Box::pin(self.lost()).await,
                Turn::End(end) => Some(end),
            };
        };
        self.context.counters.sessions_ended.add(1);
        self.part(end)
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Turn> {
        let order = self.holds.registration.handle.poll_order(cx);
        let attend = match order {
            None => false,
            Some(Order::Attend) => true,
            Some(order) => return Poll::Ready(Turn::End(End::Ordered(order))),
        };
        with_buffers(|buffers| {
            for _ in 0..ROUNDS {
                if self.leg.is_none()
                    && let Some(turn) = ready!(self.poll_detached(cx, buffers, attend))
                {
                    return Poll::Ready(turn);
                }
                if let Poll::Ready(turn) = self.poll_down(cx, buffers) {
                    return Poll::Ready(turn);
                }
                if !self.gives_back(attend) {
                    return self.poll_rest(cx, buffers, attend);
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn poll_rest(
        &mut self,
        cx: &mut TaskContext<'_>,
        buffers: &mut Buffers,
        attend: bool,
    ) -> Poll<Turn> {
        if self.at_boundary() {
            if attend && (!self.wants.pinned || self.wants.ran || !self.is_at_route()) {
                return Poll::Ready(Turn::Attend);
            }
            if self.record.is_dirty() && self.wants.changed {
                return Poll::Ready(Turn::Snapshot);
            }
        } else if attend && self.progress.has_whole_request() {
            // The next request waits until this one has come to its end.
            return Poll::Pending;
        }
        self.poll_up(cx, buffers, attend)
    }

    /// Whether the session could leave its server now: nothing runs, no transaction is open, and
    /// all that the server said has reached the client.
    pub(super) fn at_boundary(&self) -> bool {
        self.progress.at_boundary()
            && self.down.is_clear()
            && !self.down.has_unread()
            && self.up.is_clear()
            && self.pooled.as_ref().is_none_or(|pooled| pooled.names.is_quiet())
    }

    fn poll_down(&mut self, cx: &mut TaskContext<'_>, buffers: &mut Buffers) -> Poll<Turn> {
        let Self {
            leg,
            client,
            down,
            progress,
            record,
            inflight,
            omens,
            commit,
            context,
            stats,
            ..
        } = self;
        let Some(leg) = leg else { return Poll::Pending };
        let counters = &*context.counters;
        let (leg, holds) = leg.parts();
        let statements = &context.shared.shelf.statements;
        let translation = translation(&mut self.pooled, holds, statements);
        let mut tap = Down {
            progress,
            record,
            inflight,
            counters,
            stats,
            omens,
            commit,
            answer: 0,
            translation,
        };
        let stop = ready!(down.poll(cx, &mut leg.stream, client, buffers, &mut tap));
        Poll::Ready(match stop {
            Stop::Ended | Stop::Senseless | Stop::Stopped => Turn::Lost,
            Stop::Broken => Turn::End(End::ClientLeft),
        })
    }

    fn poll_up(
        &mut self,
        cx: &mut TaskContext<'_>,
        buffers: &mut Buffers,
        one_by_one: bool,
    ) -> Poll<Turn> {
        let Self {
            leg, client, up, progress, record, inflight, context, wants, stats, commit, ..
        } = self;
        let Some(leg) = leg.as_mut().filter(|leg| !leg.is_deaf) else { return Poll::Pending };
        let counters = &*context.counters;
        let ran = (&mut wants.ran, &mut wants.changed);
        let resolves = context.shared.config.commits == Commits::Resolve;
        let commit = resolves.then_some(commit);
        let (leg, holds) = leg.parts();
        let statements = &context.shared.shelf.statements;
        let translation = translation(&mut self.pooled, holds, statements);
        let mut tap = Up {
            progress,
            record,
            inflight,
            counters,
            stats,
            commit,
            ran,
            one_by_one,
            translation,
        };
        let Poll::Ready(stop) = up.poll(cx, client, &mut leg.stream, buffers, &mut tap) else {
            return if self.has_left() {
                Poll::Ready(Turn::End(End::ClientLeft))
            } else {
                Poll::Pending
            };
        };
        match stop {
            Stop::Stopped if self.is_senseless() => Poll::Ready(Turn::End(End::ClientSenseless)),
            Stop::Ended => Poll::Ready(Turn::End(End::ClientLeft)),
            Stop::Senseless => Poll::Ready(Turn::End(End::ClientSenseless)),
            Stop::Stopped => Poll::Pending,
            // It may have said why; that is read until its end.
            Stop::Broken => {
                if let Some(leg) = &mut self.leg {
                    leg.is_deaf = true;
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Whether the client has said good-bye to a server that others share: it stays, so it is the
    /// gateway that has to close.
    fn has_left(&self) -> bool {
        self.pooled.is_some() && self.progress.is_terminated() && self.progress.is_quiet()
    }

    /// Without a server: it takes one when its client says something. Nothing when it has one now.
    fn poll_detached(
        &mut self,
        cx: &mut TaskContext<'_>,
        buffers: &mut Buffers,
        attend: bool,
    ) -> Poll<Option<Turn>> {
        if attend {
            self.holds.registration.handle.attended();
        }
        if ready!(self.down.poll_send(cx, &mut self.client)).is_err() {
            return Poll::Ready(Some(Turn::End(End::ClientLeft)));
        }
        if self.has_left() {
            return Poll::Ready(Some(Turn::End(End::ClientLeft)));
        }
        if self.pooled.is_some() {
            return self.poll_hire(cx, buffers, attend);
        }
        if self.up.has_unread() || self.wants.listens {
            return Poll::Ready(Some(Turn::Attach));
        }
        Poll::Ready(Some(match ready!(self.up.poll_fill(cx, &mut self.client, buffers)) {
            Ok(()) if self.up.unread().starts_with(b"X\0\0\0\x04") => Turn::End(End::ClientLeft),
            Ok(()) => Turn::Attach,
            Err(_) => Turn::End(End::ClientLeft),
        }))
    }

    fn part(self, end: End) -> Session {
        let is_here = !matches!(end, End::ClientLeft);
        let words = match end {
            End::ClientLeft => None,
            End::ClientSenseless => Some(Fatal::protocol("invalid message length")),
            End::Ordered(Order::Shutdown) => Some(Fatal::terminated(ErrorKind::Shutdown)),
            End::Ordered(Order::Evict) => Some(Fatal::terminated(ErrorKind::Evicted)),
            End::Ordered(Order::Terminate | Order::Attend) => {
                Some(Fatal::terminated(ErrorKind::Terminated))
            }
            End::Fatal(fatal) => Some(fatal),
            End::Words(kind, words) => return self.part_with(is_here, Some(kind), &words),
        };
        let bytes = words.as_ref().map(Fatal::to_bytes).unwrap_or_default();
        self.part_with(is_here, words.map(|fatal| fatal.kind), &bytes)
    }

    fn part_with(mut self, is_here: bool, kind: Option<ErrorKind>, last: &[u8]) -> Session {
        // A shared server goes on without it, unless it has left something there.
        if self.is_free() {
            self.give_back();
        }
        let Self { context, client, leg, mut down, progress, stats, holds, .. } = self;
        let Holds { registration, claim, place } = holds;
        if let Some(kind) = kind {
            context.counters.error(kind);
            stats.error(kind);
        }
        // A query whose client said good-bye is carried out, as PostgreSQL does.
        let abandoned = !progress.is_quiet() && !progress.is_terminated();
        let cancellation = registration.handle.cancellation().filter(|_| abandoned);
        // From here on its key is nobody's.
        drop(registration);
        let mut words = Vec::new();
        // Words in the middle of a message would be taken for a part of it.
        if down.at_boundary() {
            words = down.take_unsent();
            words.extend_from_slice(last);
        }
        Session::Parting(Box::new(Parting {
            context,
            client: is_here.then_some((client, words)),
            server: leg,
            cancellation,
            claim,
            place,
        }))
    }
}
