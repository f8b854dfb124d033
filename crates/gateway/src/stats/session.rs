//! What one session has done. Its own thread alone writes, without a lock and without an atomic
//! addition; whoever reads adds it to the rest of its credential.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::clock::Moment;
use super::credential::CredentialStats;
use crate::error::ErrorKind;

/// What a session's client does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::FromRepr)]
#[repr(u8)]
pub enum Standing {
    /// It asks nothing and has no server.
    #[default]
    Idle,
    /// It asks nothing and has a server.
    Pinned,
    /// It is in a transaction, or waits for the answer to a statement.
    Active,
    /// It waits for a server.
    Waiting,
    /// It waits because its database is held, or because its server has gone.
    Held,
}

/// What an answer said of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// It goes on.
    Open,
    /// It has ended, well or not.
    Ended,
}

/// The figures of a session that others read: one writer, any number of readers.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Figures {
    pub(super) transactions: Single,
    pub(super) queries: Single,
    pub(super) transaction_micros: Single,
    pub(super) query_micros: Single,
    pub(super) bytes_from_client: Single,
    pub(super) bytes_to_client: Single,
    /// Since when it stands as it does, kept for those that wait.
    since: AtomicU64,
    standing: AtomicU8,
}

/// A number that one thread adds to: a load and a store cost a tenth of an atomic addition.
#[derive(Debug, Default)]
pub(super) struct Single(AtomicU64);

impl Single {
    fn add(&self, count: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Figures {
    /// What the client does, and since when if it waits.
    pub(super) fn standing(&self) -> (Standing, Moment) {
        let standing = Standing::from_repr(self.standing.load(Ordering::Relaxed));
        let since = Moment::from_micros(self.since.load(Ordering::Relaxed));
        (standing.unwrap_or_default(), since)
    }
}

/// A session's hand on its figures. Dropped with the session, which adds them to what the ended
/// sessions of its credential have.
#[derive(Debug)]
pub struct SessionStats {
    figures: Arc<Figures>,
    credential: Arc<CredentialStats>,
    /// When the statement that is not answered came, or the last answer when more are awaited.
    asked: Option<Moment>,
    /// When the first message of the transaction came.
    begun: Option<Moment>,
    /// When the wait or the hold began that goes on.
    waits: Option<std::time::Instant>,
}

impl SessionStats {
    pub(super) fn new(credential: Arc<CredentialStats>) -> Self {
        let figures = Arc::new(Figures::default());
        credential.enter(&figures);
        Self { figures, credential, asked: None, begun: None, waits: None }
    }

    /// Bytes of the client went to the server.
    #[inline]
    pub fn bytes_from_client(&self, count: u64) {
        self.figures.bytes_from_client.add(count);
    }

    /// Bytes of the server went to the client.
    #[inline]
    pub fn bytes_to_client(&self, count: u64) {
        self.figures.bytes_to_client.add(count);
    }

    /// A message that has to be answered came from the client. Those that come before the answer
    /// change nothing. Costs one coarse look at the clock when the session was at rest.
    #[inline]
    pub fn asked(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let now = Moment::now();
        self.asked = Some(now);
        self.begun.get_or_insert(now);
        self.set(Standing::Active);
    }

    /// The session stands differently, but for [`asked`](Self::asked), [`waits`](Self::waits) and
    /// [`answered`](Self::answered), which say so themselves.
    #[inline]
    pub fn stands(&self, standing: Standing) {
        self.set(standing);
    }

    /// A statement was answered by `ReadyForQuery`. `next` is [`Standing::Active`] as long as more
    /// answers are awaited or the transaction goes on; the next one's time counts from the next
    /// [`asked`](Self::asked).
    #[inline]
    pub fn answered(&mut self, transaction: Transaction, next: Standing) {
        let now = Moment::now();
        self.figures.queries.add(1);
        if let Some(asked) = self.asked.take() {
            self.figures.query_micros.add(now.since(asked));
        }
        if transaction == Transaction::Ended {
            self.figures.transactions.add(1);
            if let Some(begun) = self.begun.take() {
                self.figures.transaction_micros.add(now.since(begun));
            }
        }
        self.set(next);
    }

    /// The client waits for a server ([`Standing::Waiting`]) or is held ([`Standing::Held`]), until
    /// [`goes`](Self::goes). A wait that turns into a hold is said again and ends the wait. Waits for
    /// a server of a pool are counted by the pool: there, only say how the session
    /// [stands](Self::stands).
    pub fn waits(&mut self, how: Standing) {
        self.goes(Standing::Active);
        self.waits = Some(std::time::Instant::now());
        self.figures.since.store(Moment::now().micros(), Ordering::Relaxed);
        self.set(how);
    }

    /// The wait is over, well or not; without one, the session only stands differently.
    pub fn goes(&mut self, next: Standing) {
        if let Some(begun) = self.waits.take() {
            match self.figures.standing().0 {
                Standing::Held => self.credential.held(begun.elapsed()),
                _ => self.credential.waited(begun.elapsed()),
            }
        }
        self.set(next);
    }

    /// The session went on at another server, with its state.
    pub fn moved(&self) {
        self.credential.rare().moves.add(1);
    }

    /// The session could not be moved and is ended.
    pub fn move_failed(&self) {
        self.credential.rare().moves_failed.add(1);
    }

    /// A statement was sent again after its server went away.
    pub fn sent_again(&self) {
        self.credential.rare().resent.add(1);
    }

    /// A transaction was lost with its server; the client was told.
    pub fn lost(&mut self) {
        self.credential.rare().transactions_lost.add(1);
        self.over();
    }

    /// Whether a commit came about could not be found out; the client was told.
    pub fn in_doubt(&mut self) {
        self.credential.rare().commits_in_doubt.add(1);
        self.over();
    }

    /// The gateway gave the client an error.
    pub fn error(&self, kind: ErrorKind) {
        self.credential.error(kind);
    }

    /// The credential, for what its pool counts.
    #[must_use]
    pub fn credential(&self) -> &Arc<CredentialStats> {
        &self.credential
    }

    /// What was asked and begun has no answer of its own.
    fn over(&mut self) {
        (self.asked, self.begun) = (None, None);
    }

    fn set(&self, standing: Standing) {
        self.figures.standing.store(standing as u8, Ordering::Relaxed);
    }
}

impl Drop for SessionStats {
    fn drop(&mut self) {
        self.goes(Standing::Idle);
        self.credential.leave(&self.figures);
    }
}
