//! What a server is expected to answer, in the order in which it was asked.

use std::collections::VecDeque;
use std::sync::Arc;

use super::wire::ServerName;
use super::{Name, Named};
use crate::statement::Statement;

/// The place of something among all that a client ever sent; never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// Memory for so many is kept while nothing is expected.
const MOST_KEPT: usize = 16;

/// What was sent, by how it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client's `Parse`.
    Parse,
    /// A client's `Parse` that was sent as a `Close`.
    ParseMade,
    /// A client's `Parse` that the server will refuse.
    ParseTaken,
    /// A `Parse` of ours.
    OurParse,
    /// A `Close` of ours.
    OurClose,
    /// `Bind`; of which statement, if it is one with a name.
    Bind(Option<ServerName>),
    /// `Describe`.
    Describe(Option<ServerName>),
    /// A client's `Close`.
    Close,
    /// `Execute`.
    Execute,
    /// `Sync`.
    Sync,
    /// A simple query.
    Query,
    /// A function call.
    Call,
    /// `CopyDone` or `CopyFail`, which have no answer.
    CopyEnd,
    /// What turned out to be ignored.
    Ignored,
}

impl Kind {
    /// Whether `ReadyForQuery` answers it.
    fn is_request(&self) -> bool {
        matches!(self, Self::Sync | Self::Query | Self::Call)
    }

    /// Whether a message of this type is its last answer.
    fn ends_with(&self, tag: u8) -> bool {
        match self {
            Self::Parse | Self::OurParse => tag == b'1',
            Self::ParseTaken | Self::CopyEnd | Self::Ignored => false,
            Self::Bind(_) => tag == b'2',
            Self::ParseMade | Self::OurClose | Self::Close => tag == b'3',
            Self::Describe(_) => matches!(tag, b'T' | b'n'),
            Self::Execute => matches!(tag, b'C' | b'I' | b's'),
            Self::Sync | Self::Query | Self::Call => tag == b'Z',
        }
    }
}

/// What is different once it has succeeded.
#[derive(Debug)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Nothing; if the server refuses it, it is to be called by this name instead of one of ours.
    Called(Name),
    /// A name of the client, which was changed already.
    Name(Box<NameChange>),
    /// The server has a statement, which was noted already.
    Hold(u64),
    /// The server has a statement no more, which was noted already.
    Release(Arc<Statement>),
    /// The client has a statement without a name. Its text waits in line, this long; nothing when
    /// it is too long to be kept.
    Unnamed(Option<usize>),
    /// The server has the client's statement without a name.
    BringUnnamed,
    /// There is no statement without a name any more.
    NoUnnamed,
}

/// A name of a client that was changed.
#[derive(Debug)]
pub(super) struct NameChange {
    pub(super) name: Name,
    pub(super) before: Option<Named>,
    /// The statement that the server has by the same message.
    pub(super) hold: Option<u64>,
}

/// Something that was sent.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) kind: Kind,
    pub(super) change: Change,
}

/// Whether the server waits for the data of a `COPY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copy {
    #[default]
    No,
    In,
}

/// What is expected of the server that a client has.
#[derive(Debug)]
pub(super) struct Answers {
    /// A number of this client's own.
    pub(super) client: u64,
    expected: VecDeque<Expected>,
    /// The place of the next thing that is sent.
    next: Place,
    /// The place of the first thing in the batch that is being sent.
    batch: Place,
    /// Whether the batch has a message that only a `Sync` ends.
    begun: bool,
    /// Whether the server ignores what is sent until the `Sync`.
    skipping: bool,
    copy: Copy,
    /// Whether the transaction has failed, as the last `ReadyForQuery` says.
    failed: bool,
}

impl Answers {
    pub(super) fn new(client: u64) -> Self {
        Self {
            client,
            expected: VecDeque::new(),
            next: Place(1),
            batch: Place(1),
            begun: false,
            skipping: false,
            copy: Copy::No,
            failed: false,
        }
    }

    /// How many answers are outstanding.
    pub(super) fn count(&self) -> usize {
        self.expected.len()
    }

    /// The place of the next thing that is sent.
    pub(super) fn next(&self) -> Place {
        self.next
    }

    /// The place of what is answered next.
    pub(super) fn first(&self) -> Place {
        Place(self.next.0 - self.expected.len() as u64)
    }

    /// Whether it is not answered and belongs to an earlier batch than the one that is being sent.
    pub(super) fn is_open(&self, place: Place) -> bool {
        self.first() <= place && place < self.batch
    }

    /// Whether it is not answered.
    pub(super) fn is_outstanding(&self, place: Place) -> bool {
        self.first() <= place
    }

    /// Whether the transaction has failed, or may have by the time that the batch is carried out.
    pub(super) fn may_refuse(&self) -> bool {
        self.failed || self.first() < self.batch
    }

    pub(super) fn transaction_failed(&mut self) {
        self.failed = true;
    }

    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.expected.is_empty() && !self.begun && !self.skipping && self.copy == Copy::No
    }

    pub(super) fn push(&mut self, kind: Kind) {
        self.push_with(kind, Change::None);
    }

    pub(super) fn push_with(&mut self, kind: Kind, change: Change) {
        self.expected.push_back(Expected { kind, change });
        self.next.0 += 1;
        self.begun = true;
    }

    /// `Sync` is sent.
    pub(super) fn sync(&mut self) {
        // While it waits for data the server ignores it.
        if self.copy == Copy::In {
            return;
        }
        self.request(Kind::Sync);
        // What ends the ignoring is expected from now on.
        self.skipping = false;
    }

    /// Something is sent that `ReadyForQuery` answers.
    pub(super) fn request(&mut self, kind: Kind) {
        self.push(kind);
        self.batch = self.next;
        self.begun = false;
    }

    /// `CopyDone` or `CopyFail` is sent.
    pub(super) fn copy_ended(&mut self) {
        match self.copy {
            Copy::In => self.copy = Copy::No,
            // It may be known later that there is a COPY that it ends; otherwise it means nothing.
            Copy::No if self.expected.is_empty() => {}
            Copy::No => {
                let begun = self.begun;
                self.push(Kind::CopyEnd);
                self.begun = begun;
            }
        }
    }

    /// The server waits for data: it ignores each `Sync` before their end.
    pub(super) fn copy_begins(&mut self) {
        self.copy = Copy::In;
        let mut ended = false;
        for later in self.expected.iter_mut().skip(1) {
            match later.kind {
                Kind::Sync => later.kind = Kind::Ignored,
                Kind::CopyEnd => {
                    later.kind = Kind::Ignored;
                    ended = true;
                    break;
                }
                _ => {}
            }
        }
        if ended {
            self.copy = Copy::No;
        }
        // Whether a `Sync` has still to come.
        self.begun |= !self.expected.iter().any(|expected| expected.kind.is_request());
    }

    /// What the server is answering.
    pub(super) fn front(&self) -> Option<&Expected> {
        self.expected.front()
    }

    /// Takes off what a message of this type is the last answer of; nothing when it is not.
    pub(super) fn take(&mut self, tag: u8) -> Option<Expected> {
        if !self.front()?.kind.ends_with(tag) {
            return None;
        }
        self.copy = Copy::No;
        self.pop_front()
    }

    /// The server is ready; takes off what that answers. What was expected before it will not come.
    pub(super) fn ready(&mut self, status: u8) -> Vec<Expected> {
        self.failed = status == b'E';
        self.copy = Copy::No;
        let end = self.expected.iter().position(|expected| expected.kind.is_request());
        let Some(end) = end else { return Vec::new() };
        let taken = self.expected.drain(..=end).collect();
        self.rest();
        taken
    }

    /// An error came in the middle of a batch: takes off what the server ignores, up to the `Sync`.
    pub(super) fn fail(&mut self) -> Vec<Expected> {
        self.copy = Copy::No;
        let sync = self.expected.iter().position(|expected| expected.kind == Kind::Sync);
        self.skipping = sync.is_none();
        let end = sync.unwrap_or(self.expected.len());
        let taken = self.expected.drain(..end).collect();
        self.rest();
        taken
    }

    /// What is expected of the server, without the rest.
    pub(super) fn drain(&mut self) -> Vec<Expected> {
        let expected = self.expected.drain(..).collect();
        *self = Self { next: self.next, batch: self.next, ..Self::new(self.client) };
        expected
    }

    /// All that is outstanding.
    pub(super) fn outstanding(&mut self) -> impl Iterator<Item = &mut Expected> {
        self.expected.iter_mut()
    }

    fn pop_front(&mut self) -> Option<Expected> {
        let taken = self.expected.pop_front();
        self.rest();
        taken
    }

    fn rest(&mut self) {
        // These are never answered.
        while let Some(Expected { kind: Kind::CopyEnd | Kind::Ignored, .. }) = self.front() {
            self.expected.pop_front();
        }
        if self.expected.is_empty() && self.expected.capacity() > MOST_KEPT {
            self.expected = VecDeque::new();
        }
    }
}
