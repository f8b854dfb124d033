//! A session comes to another server: at a planned move, with everything that it has, and after the
//! loss of its server, with all that is known of it.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_model::route::{Stage, Target};
use tokio::time::{Instant, sleep};

use super::asking::Asked;
use super::hindrance::{Hindrance, judge};
use super::leg::{self, Opened};
use super::record::Tie;
use super::relaying::{End, Relaying};
use crate::error::{ErrorKind, Fatal};
use crate::message::Builder;
use crate::registry::{Order, Standing};
use crate::routes::Entry;

/// Between two attempts at a server that does not take sessions yet: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

impl Relaying {
    /// Whether it is where its route leads.
    pub(super) fn is_at_route(&self) -> bool {
        self.route().is_some_and(|now| Arc::ptr_eq(&now, &self.entry))
    }

    pub(super) fn is_pinned(&self) -> bool {
        !self.record.pins().can_move()
            || self.pooled.as_ref().is_some_and(|pooled| pooled.names.are_tied())
    }

    /// What ties it to its server, in words.
    fn ties(&self) -> String {
        let mut words: Vec<String> = self
            .record
            .pins()
            .iter()
            .filter(|tie| !tie.can_move())
            .map(|tie| tie.to_string())
            .collect();
        if self.identity.startup.replication() {
            words.push("a replication connection".to_owned());
        }
        words.join(", ")
    }

    fn route(&self) -> Option<Arc<Entry>> {
        self.context.shared.routes.find(&self.identity.startup.user)
    }

    pub(super) fn bound(&self) -> Duration {
        leg::bound(&self.context)
    }

    /// Looks at the route, at a boundary, and does what it says.
    pub(super) async fn attend(&mut self) -> Option<End> {
        let mut replaced = self.context.shared.routes.subscribe();
        loop {
            self.holds.registration.handle.attended();
            replaced.mark_unchanged();
            self.wants.pinned = false;
            let entry = self.route()?;
            self.entry = entry.clone();
            match (&entry.route.stage, leg::dir(&entry)) {
                (Stage::Hold { .. }, _) => {
                    if let Some(end) = self.take_snapshot(Asked::All).await {
                        return Some(end);
                    }
                    self.leg.as_ref()?;
                    if self.is_pinned() || self.identity.startup.replication() {
                        self.stand_pinned();
                        // It comes here again when it has done something.
                        self.holds.registration.handle.attend_again();
                        return None;
                    }
                    self.refresh_next().await;
                    self.stands(Standing::Held);
                    if let Some(end) = self.wait_held(&mut replaced).await {
                        return Some(end);
                    }
                }
                (Stage::Prepare { next }, _) => return self.prepare(next).await,
                (Stage::Open, Some(dir)) if !self.is_at(dir) => {
                    return self.switch(&entry, dir).await;
                }
                (Stage::Open, _) => {
                    self.next = None;
                    self.stands(match self.leg {
                        Some(_) => Standing::Running,
                        None => Standing::Detached,
                    });
                    return None;
                }
            }
        }
    }

    fn is_at(&self, dir: &Path) -> bool {
        self.leg.as_ref().is_none_or(|leg| *leg.dir == *dir)
    }

    fn stands(&self, standing: Standing) {
        self.holds.registration.handle.stands(standing, None);
    }

    fn stand_pinned(&mut self) {
        self.wants.pinned = true;
        let why = self.ties();
        self.holds.registration.handle.stands(Standing::Pinned, Some(why));
    }

    /// Waits while the database is held: until the route is another, or the client has waited for
    /// its answer as long as it may.
    async fn wait_held(&mut self, replaced: &mut tokio::sync::watch::Receiver<u64>) -> Option<End> {
        let handle = self.holds.registration.handle.clone();
        let longest = self.context.shared.config.timeouts.hold;
        self.stats.waits(crate::stats::Standing::Held);
        let (client, up) = (&mut self.client, &mut self.up);
        let wish = async {
            let asked = up.has_unread() || up.fill(client).await;
            if asked {
                sleep(longest).await;
            }
            asked
        };
        let ordered = poll_fn(|cx| match handle.poll_order(cx) {
            Some(order) if order > Order::Attend => std::task::Poll::Ready(order),
            Some(_) | None => std::task::Poll::Pending,
        });
        let end = tokio::select! {
            // The sender lives as long as the gateway.
            _ = replaced.changed() => None,
            order = ordered => Some(End::Ordered(order)),
            waited = wish => Some(match waited {
                true => End::Fatal(waited_too_long()),
                false => End::ClientLeft,
            }),
        };
        self.stats.goes(crate::stats::Standing::Pinned);
        end
    }

    /// Goes on at another server, at a boundary.
    async fn switch(&mut self, entry: &Arc<Entry>, dir: &Path) -> Option<End> {
        if let Some(end) = self.take_snapshot(Asked::All).await {
            return Some(end);
        }
        self.leg.as_ref()?;
        if self.is_pinned() || self.identity.startup.replication() {
            self.stats.move_failed();
            let why = self.ties();
            tracing::info!(role = %entry.route.role, "a session of `{}` could not be moved: it has {why}", entry.route.role);
            return Some(End::Fatal(Fatal::terminated(ErrorKind::Evicted)));
        }
        match self.next_for(dir).await {
            Ok(opened) => self.take(opened).await,
            Err(hindrance) => {
                // What it had is known; it comes to the new server when its client wants something.
                if let Some(leg) = self.leg.take() {
                    leg.leave();
                }
                if let Hindrance::NotNow(error) = &hindrance {
                    tracing::debug!(error = %error, "the next server does not take a session yet");
                }
                self.detached();
                None
            }
        }
    }

    /// Takes a filled session as its own.
    async fn take(&mut self, mut opened: Opened) -> Option<End> {
        let script = self.record.finish(&[]);
        let finished = match opened.bring(&script, self.bound()).await {
            Ok(troubles) => judge(&troubles),
            Err(error) => Err(Hindrance::NotNow(error)),
        };
        if let Err(Hindrance::State(what)) = finished {
            return Some(state_lost(&what));
        }
        if let Some(leg) = self.leg.take() {
            leg.leave();
        }
        if finished.is_err() {
            self.detached();
            return None;
        }
        if self.wants.failed {
            // The client believes in a failed transaction: so there is one.
            if opened.say((&failed_transaction(), 2), self.bound()).await.is_err() {
                self.detached();
                return None;
            }
        }
        if let Some(pooled) = &mut self.pooled {
            if self.wants.failed {
                pooled.names.transaction_failed();
            }
            pooled.rest();
        }
        self.wants.failed = false;
        self.wants.listens = false;
        self.down.send(&self.record.differences(&opened.reported));
        self.record.moved(opened.reported);
        self.down.read_again(&opened.rest);
        self.holds.registration.handle.runs_at(Some(opened.seat.cancellation()));
        self.leg = Some(opened.seat);
        self.stands(Standing::Running);
        self.context.counters.moves.add(1);
        self.stats.moved();
        None
    }

    /// It has no server now.
    pub(super) fn detached(&mut self) {
        self.leg = None;
        self.next = None;
        self.up.forget_writer();
        self.down.forget_reader();
        self.omens = super::taps::Omens::default();
        if let Some(pooled) = &mut self.pooled {
            pooled.names.lost();
            pooled.rest();
        }
        self.wants.ran = false;
        self.wants.listens = self.record.pins().has(Tie::Listens);
        self.holds.registration.handle.runs_at(None);
        self.stands(Standing::Detached);
    }

    /// Takes a server, as the client wants something, and waits for one within the bound.
    pub(super) async fn attach(&mut self) -> Option<End> {
        if let Some(end) = self.pay_debt().await {
            return end;
        }
        self.stats.waits(crate::stats::Standing::Held);
        let end = self.find_server().await;
        self.stats.goes(crate::stats::Standing::Pinned);
        end
    }

    async fn find_server(&mut self) -> Option<End> {
        let longest = self.context.shared.config.timeouts.hold;
        // Who only listens has no question that waits for an answer.
        let waits = self.up.has_unread() || self.wants.answer;
        let mut until = waits.then(|| Instant::now() + longest);
        let mut replaced = self.context.shared.routes.subscribe();
        let mut pause = PAUSES.0;
        loop {
            self.holds.registration.handle.attended();
            replaced.mark_unchanged();
            let Some(entry) = self.route() else {
                return Some(End::Fatal(Fatal::terminated(ErrorKind::Terminated)));
            };
            self.entry = entry.clone();
            let open = matches!(entry.route.stage, Stage::Open | Stage::Prepare { .. });
            if let (true, Some(dir)) = (open, leg::dir(&entry)) {
                match self.next_for(dir).await {
                    Ok(opened) => {
                        let end = self.take(opened).await;
                        if end.is_some() || self.leg.is_some() {
                            return end;
                        }
                    }
                    Err(Hindrance::State(what)) => return Some(state_lost(&what)),
                    Err(Hindrance::Refused(words)) => {
                        return Some(End::Words(ErrorKind::ServerRefused, words));
                    }
                    Err(Hindrance::Queue(why)) => return self.tell_queue(why).await,
                    Err(Hindrance::NotNow(error)) => {
                        tracing::debug!(error = %error, "a session waits for its server");
                    }
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Some(End::Fatal(waited_too_long()));
            }
            let end = self.pause(&mut replaced, pause, until).await;
            if end.is_some() {
                return end;
            }
            if until.is_none() && self.up.has_unread() {
                until = Some(Instant::now() + longest);
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits a little for a server, or for news of the route.
    async fn pause(
        &mut self,
        replaced: &mut tokio::sync::watch::Receiver<u64>,
        pause: Duration,
        until: Option<Instant>,
    ) -> Option<End> {
        let is_held = matches!(self.entry.route.stage, Stage::Hold { .. })
            || !matches!(self.entry.route.target, Target::Local { .. });
        let handle = self.holds.registration.handle.clone();
        let (client, up) = (&mut self.client, &mut self.up);
        let asked = async {
            match up.has_unread() {
                true => std::future::pending().await,
                false => up.fill(client).await,
            }
        };
        let ordered = poll_fn(|cx| match handle.poll_order(cx) {
            Some(order) if order > Order::Attend => std::task::Poll::Ready(order),
            Some(_) | None => std::task::Poll::Pending,
        });
        let over = async {
            match (is_held, until) {
                (true, Some(until)) => tokio::time::sleep_until(until).await,
                (true, None) => std::future::pending().await,
                (false, _) => sleep(pause).await,
            }
        };
        tokio::select! {
            () = over => None,
            _ = replaced.changed() => None,
            order = ordered => Some(End::Ordered(order)),
            came = asked => (!came).then_some(End::ClientLeft),
        }
    }
}

/// Two simple queries.
fn failed_transaction() -> Vec<u8> {
    let mut builder = Builder::default();
    for text in ["begin\0", "rollback to savepoint \"its transaction was lost with its server\"\0"]
    {
        builder.message(b'Q', |body| body.extend_from_slice(text.as_bytes()));
    }
    builder.into_bytes()
}

pub(super) fn waited_too_long() -> Fatal {
    Fatal::new(ErrorKind::HoldTimeout, "the database system is not accepting connections")
        .hint("It has been away for longer than the gateway waits. Connect again.")
}

fn state_lost(what: &str) -> End {
    tracing::info!("a session could not be moved: {what}");
    End::Fatal(Fatal::terminated(ErrorKind::Evicted))
}
