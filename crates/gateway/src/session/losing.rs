//! The server of a session has gone: what the table says is done.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::time::timeout;

use super::commits::{self, Commit, Fate};
use super::errand;
use super::leg::{self, Birth, Leg};
use super::lost::{self, Gone, Request, Verdict, verdict};
use super::progress::Status;
use super::relaying::{End, Relaying};
use super::request;
use crate::error::{ErrorKind, Fatal};
use crate::frame::HEADER;
use crate::server::{self, OpenError};

/// The longest request that is read to be told that its transaction is lost.
const LONGEST_REQUEST: usize = 1 << 20;

/// Servers that are known to have been shut down: each was asked by one session for all.
#[derive(Debug, Default)]
pub struct Shutdowns {
    /// The last one of each.
    of: Mutex<HashMap<PathBuf, Birth>>,
}

impl Shutdowns {
    fn knows(&self, leg: &Leg) -> bool {
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        leg.birth.is_some() && of.get(&*leg.dir).copied() == leg.birth
    }

    fn note(&self, leg: &Leg) {
        let Some(birth) = leg.birth else { return };
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.insert(leg.dir.to_path_buf(), birth);
    }
}

impl Relaying {
    /// The connection to the server has ended, or its last words are there.
    pub(super) async fn lost(&mut self) -> Option<End> {
        if self.progress.is_terminated() {
            return Some(End::ClientLeft);
        }
        let leg = self.leg.take()?;
        let gone = self.omens.gone();
        let dismissed = match gone {
            None => true,
            Some(Gone::Orderly) => self.was_dismissed(&leg).await,
            Some(Gone::Crash) => false,
        };
        let (Some(gone), false) = (gone, dismissed) else { return Some(self.last_words()) };
        if self.identity.startup.replication() || self.is_pinned() {
            return Some(self.last_words());
        }
        // What it changed last was not asked for yet: it would go on with another state than it has.
        if self.record.is_dirty() && self.progress.at_boundary() {
            return Some(self.last_words());
        }
        // In the middle of a message nothing can be said, and nothing sent again.
        if !self.down.at_boundary() || !self.up.at_boundary() {
            return Some(self.last_words());
        }
        let known = |name: &[u8]| self.text(name);
        let request = request::judge(self.inflight.whole(), self.inflight.is_answered(), known);
        let verdict = verdict(&self.progress, request, gone);
        tracing::debug!(?verdict, ?gone, ?request, "a session has lost its server");
        self.carry_out(verdict).await
    }

    /// The same at a boundary, found by the gateway itself.
    pub(super) async fn lost_at_boundary(&mut self) -> Option<End> {
        if self.is_pinned() || self.record.is_dirty() {
            return Some(self.last_words());
        }
        self.detached();
        None
    }

    async fn carry_out(&mut self, verdict: Verdict) -> Option<End> {
        let counters = self.context.counters.clone();
        let again = self.inflight.whole().map(<[u8]>::to_vec).unwrap_or_default();
        let simple = again.first() == Some(&b'Q');
        let count = self.progress.unanswered();
        match verdict {
            Verdict::End => return Some(self.last_words()),
            Verdict::GoOn => self.detached(),
            Verdict::StayFailed => {
                self.detached();
                self.wants.failed = true;
            }
            Verdict::TellNext => {
                self.detached();
                self.wants.debt = true;
            }
            Verdict::SendAgain => {
                counters.sent_again.add(1);
                self.stats.sent_again();
                self.settle(Status::Idle);
                self.up.read_again(&again);
                return self.attach().await;
            }
            Verdict::FailTransaction => {
                counters.transactions_lost.add(1);
                self.stats.lost();
                self.settle(Status::Failed);
                self.wants.failed = true;
                self.answer(&lost::transaction_lost(), Status::Failed, count);
            }
            Verdict::NotDone => {
                counters.transactions_lost.add(1);
                self.stats.lost();
                self.settle(Status::Idle);
                self.answer(&lost::not_done(), Status::Idle, count);
            }
            Verdict::RolledBack => {
                self.settle(Status::Idle);
                let words = if simple { lost::rolled_back() } else { lost::transaction_lost() };
                self.answer(&words, Status::Idle, count);
            }
            Verdict::InDoubt => return self.resolve(&again, count).await,
        }
        None
    }

    /// The text of a prepared statement.
    fn text(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.record.statement(name).map(|statement| statement.text().to_vec())
    }

    /// Finds out what became of a commit, as far as that can be.
    async fn resolve(&mut self, request: &[u8], count: u32) -> Option<End> {
        let commit = std::mem::take(&mut self.commit);
        self.settle(Status::Idle);
        let (fate, end) = match commit {
            Commit::Numbered(Some(number)) if count == 1 => self.inquire(number).await,
            // It has written nothing: there is nothing to be lost.
            Commit::Numbered(None) if count == 1 => (Fate::Committed, None),
            _ => (Fate::Unknown, None),
        };
        let words = match fate {
            Fate::Committed => commits::committed(request),
            Fate::RolledBack => {
                self.context.counters.transactions_lost.add(1);
                self.stats.lost();
                lost::transaction_lost()
            }
            Fate::Unknown => {
                self.context.counters.in_doubt.add(1);
                self.stats.in_doubt();
                lost::in_doubt()
            }
        };
        self.answer(&words, Status::Idle, count);
        end
    }

    /// Asks the next server. Without one the session ends, and its outcome is not known.
    async fn inquire(&mut self, number: u64) -> (Fate, Option<End>) {
        self.wants.answer = true;
        let end = self.attach().await;
        self.wants.answer = false;
        let bound = leg::bound(&self.context);
        let Some(leg) = self.leg.as_mut().filter(|_| end.is_none()) else {
            return (Fate::Unknown, end);
        };
        let inquiry = commits::inquiry(number);
        match errand::run(&mut leg.stream, (&inquiry, 2), Vec::new(), bound).await {
            Ok(answer) => (commits::fate(number, &answer.messages), None),
            Err(_) => {
                self.detached();
                (Fate::Unknown, None)
            }
        }
    }

    /// Nothing is under way any more.
    fn settle(&mut self, status: Status) {
        self.detached();
        self.inflight.settle();
        self.record.server_lost();
        self.progress.settle(status);
    }

    /// Answers so many requests.
    pub(super) fn answer(&mut self, words: &[u8], status: Status, count: u32) {
        for _ in 0..count {
            self.down.send(words);
            self.down.send(&lost::ready(status));
        }
    }

    /// The client is told what the server said last, or what we know.
    fn last_words(&mut self) -> End {
        if let Some(fatal) = self.omens.fatal.take() {
            return End::Words(ErrorKind::ServerLost, fatal);
        }
        if self.progress.ended_by_error() {
            return End::Words(ErrorKind::ServerLost, Vec::new());
        }
        let message = "the connection to the database was lost";
        End::Fatal(Fatal::new(ErrorKind::ServerLost, message).hint("Connect again."))
    }

    /// Whether a server that goes on has ended this one session (`pg_terminate_backend`): a query
    /// that somebody has killed must not come back to life.
    async fn was_dismissed(&self, leg: &Leg) -> bool {
        let shutdowns = &self.context.shared.shutdowns;
        if shutdowns.knows(leg) {
            return false;
        }
        let bound = self.context.shared.config.timeouts.server;
        let opening = leg::open(&self.identity, &self.entry, &leg.dir, bound);
        let stays = match timeout(bound, opening).await {
            Ok(Ok(opened)) => {
                let same = opened.seat.birth == leg.birth;
                opened.seat.leave();
                same
            }
            Ok(Err(OpenError::Refused(message))) => server::sqlstate(&message) != Some(b"57P03"),
            Ok(Err(_)) | Err(_) => false,
        };
        if !stays {
            shutdowns.note(leg);
        }
        stays
    }

    /// Reads the next request of the client to its end, and says how long it is.
    pub(super) async fn whole_request(&mut self) -> Result<usize, End> {
        loop {
            if let Some(length) = first_request(self.up.unread()) {
                return Ok(length);
            }
            if self.up.unread().len() > LONGEST_REQUEST {
                return Err(self.last_words());
            }
            if !self.up.fill(&mut self.client).await {
                return Err(End::ClientLeft);
            }
        }
    }

    /// Tells the first request after the loss of its transaction what has happened. `None` when
    /// there is nothing to tell; otherwise what the session goes on with.
    pub(super) async fn pay_debt(&mut self) -> Option<Option<End>> {
        if !self.wants.debt {
            return None;
        }
        let length = match self.whole_request().await {
            Ok(length) => length,
            Err(end) => return Some(Some(end)),
        };
        self.wants.debt = false;
        let asked = &self.up.unread()[..length];
        let simple = asked.first() == Some(&b'Q');
        let request = request::judge(Some(asked), false, |name| self.text(name));
        self.up.discard(length);
        let (words, status) = match request {
            Request::RollsBack if simple => (lost::rolled_back(), Status::Idle),
            Request::RollsBack | Request::Commits => (lost::transaction_lost(), Status::Idle),
            Request::Whole | Request::Part | Request::Unclear => {
                (lost::transaction_lost(), Status::Failed)
            }
        };
        self.context.counters.transactions_lost.add(1);
        self.stats.lost();
        self.progress.settle(status);
        self.wants.failed = status == Status::Failed;
        self.answer(&words, status, 1);
        Some(None)
    }
}

/// The length of the first whole request: a simple query, a function call, or all until a Sync.
fn first_request(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (tag, body) in super::inflight::messages(bytes) {
        length += HEADER + body.len();
        if matches!(tag, b'Q' | b'F' | b'S') {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_ends_with_its_sync() {
        let query = b"Q\0\0\0\x06a\0";
        let batch = b"P\0\0\0\x08a\0b\0S\0\0\0\x04";
        assert_eq!(first_request(&[&query[..], batch].concat()), Some(query.len()));
        assert_eq!(first_request(&[&batch[..], query].concat()), Some(batch.len()));
        assert_eq!(first_request(&batch[..batch.len() - 1]), None);
    }
}
