//! Prepared statements of clients whose server changes with every transaction.
//!
//! On servers a statement has a name of ours, made of the [`Statement`]'s number, so that it serves
//! every client that prepares the same text. A client's names are its own: they are replaced in
//! `Parse`, `Bind`, `Describe` and `Close`, and a server that lacks a statement is given it first.
//! Whatever is sent to a server beyond the client's own messages has its answer, which the client
//! must not see; so what is expected is written down in the order in which it was sent
//! ([`answers`]), and every answer is known by its place.
//!
//! What is sent is translated before it is known whether what was sent before succeeds. Within a
//! batch (up to `Sync`) that does no harm: PostgreSQL ignores all of it after an error, and what was
//! written down for it is undone. What depends on the outcome of an earlier batch waits for it.
//!
//! Three messages are made to mean something else:
//! * `Parse` of a statement that the server has is sent as the `Close` of one that nobody has. Its
//!   answer comes where that of the `Parse` would have come, also when an error comes before it, and
//!   is told as `ParseComplete`.
//! * `Close` of a statement is sent as the same, as others may use the statement.
//! * `Parse` of a name that the client has already is sent with a name that the server was just given,
//!   so that PostgreSQL refuses it in its own words.

mod answers;
mod holds;
mod sending;
mod server;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use holds::Holds;
pub use server::{Answer, PARSE_COMPLETE};

use answers::{Answers, Kind, Place};
use sending::Sending;
use wire::{Head, ServerName};

use crate::statement::{Statement, Statements};

/// The longest `Parse` that is kept to be sent to other servers as well. A longer one with a name
/// ties the client to its server; one without is gone with the server.
pub const LONGEST_PARSE: usize = 256 * 1024;
/// Answers that may be outstanding. Far more than a server keeps back before it sends, so that
/// whoever waits for one of so many does not wait for ever.
const MOST_EXPECTED: usize = 4096;

/// A message of a client, as far as it has come.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The type byte.
    pub tag: u8,
    /// The length as sent: the body and four bytes for itself.
    pub length: u32,
    /// The beginning of the body, or all of it.
    pub body: &'a [u8],
}

/// What becomes of a client's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What was added to the output goes to the server instead of the message's first `replaces`
    /// bytes, type and length included; what follows these goes as it is. With 0 the output goes
    /// before the whole message.
    Send {
        /// How many.
        replaces: usize,
    },
    /// More of the message must come first.
    More,
    /// Answers must come first. Nothing of the message may be sent until then.
    Wait,
}

/// As it is.
const PASS: Verdict = Verdict::Send { replaces: 0 };

/// Why a client's or a server's messages make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The names of a client's message have no end.
    #[error("a name is too long")]
    TooLong,
    /// The server answered what nobody asked.
    #[error("the server's answer is out of order")]
    OutOfOrder,
}

/// What a name of a client stands for.
#[derive(Clone, Debug)]
enum Meaning {
    /// A statement that can be prepared anywhere.
    Shared(Arc<Statement>),
    /// One that only the server has on which it was prepared.
    Here(ServerName),
    /// Nothing, once the `Close` that was sent has been answered.
    Nothing,
}

/// A client's name. What is expected refers to it as well, to call a statement by it in errors.
type Name = Arc<[u8]>;

/// A name of a client, as it will be when all that was sent has succeeded.
#[derive(Clone, Debug)]
struct Named {
    meaning: Meaning,
    /// What gave it this meaning.
    place: Place,
}

/// The names of one client's statements, and what it waits for.
#[derive(Debug)]
pub struct Names {
    named: HashMap<Name, Named>,
    /// What they take, in bytes.
    size: usize,
    /// How many of them are [`Meaning::Here`].
    here: usize,
    unnamed: Unnamed,
    answers: Answers,
    /// For names of what is on one server only.
    counter: u64,
    clearing: Clearing,
}

/// What may take all statements away (`DEALLOCATE`, `DISCARD`): what comes after it waits.
#[derive(Clone, Copy, Debug, Default)]
struct Clearing {
    /// Whether the batch that is being sent has one.
    begun: bool,
    /// What ends the last batch that has one.
    end: Place,
}

/// The statement without a name, as the last answer left it.
#[derive(Debug, Default)]
struct Unnamed {
    /// Text, zero and types.
    body: Option<Vec<u8>>,
    /// Another whenever there is another one, or none.
    version: u64,
    /// Those that were sent and not answered, one after the other.
    sent: Vec<u8>,
    /// What was sent last that changes it, or what the server has of it.
    change: Place,
}

/// Numbers for clients.
static CLIENTS: AtomicU64 = AtomicU64::new(0);

impl Default for Names {
    fn default() -> Self {
        Self {
            named: HashMap::new(),
            size: 0,
            here: 0,
            unnamed: Unnamed::default(),
            answers: Answers::new(CLIENTS.fetch_add(1, Ordering::Relaxed)),
            counter: 0,
            clearing: Clearing::default(),
        }
    }
}

impl Names {
    /// Goes over a message that the client sends to its server, after the one before was sent. The
    /// `output` is added to only when the message may be sent.
    ///
    /// # Errors
    /// [`NameError::TooLong`].
    pub fn client(
        &mut self,
        part: Part<'_>,
        holds: &mut Holds,
        statements: &Statements,
        output: &mut Vec<u8>,
    ) -> Result<Verdict, NameError> {
        if self.answers.count() >= MOST_EXPECTED {
            return Ok(Verdict::Wait);
        }
        if self.answers.is_skipping() {
            return Ok(self.skipped(part.tag));
        }
        let mut sending = Sending { names: self, holds, output };
        match part.tag {
            b'P' => return sending.parse(part, statements),
            b'B' => return sending.bind(part),
            b'D' => return sending.describe(part),
            b'C' => return sending.close(part),
            b'E' => self.answers.push(Kind::Execute),
            b'S' => self.request(Kind::Sync),
            b'Q' => {
                self.clearing.begun |= wire::clears(part.body);
                self.unnamed.change = self.answers.next();
                self.request(Kind::Query);
            }
            b'F' => self.request(Kind::Call),
            b'c' | b'f' => self.answers.copy_ended(),
            _ => {}
        }
        Ok(PASS)
    }

    /// Sends what `ReadyForQuery` answers.
    fn request(&mut self, kind: Kind) {
        if std::mem::take(&mut self.clearing.begun) {
            self.clearing.end = self.answers.next();
        }
        match kind {
            Kind::Sync => self.answers.sync(),
            kind => self.answers.request(kind),
        }
    }

    /// What comes after an error is ignored by the server up to the `Sync`.
    fn skipped(&mut self, tag: u8) -> Verdict {
        if tag == b'S' {
            self.answers.sync();
        }
        PASS
    }

    /// The transaction has failed, as far as the client knows, on a server that it just came to.
    pub fn transaction_failed(&mut self) {
        self.answers.transaction_failed();
    }

    /// Whether the server has answered everything, and nothing has begun that a `Sync` must end.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.answers.is_quiet()
    }

    /// Whether the client has statements that no other server can be given.
    #[must_use]
    pub fn are_tied(&self) -> bool {
        self.here > 0
    }

    /// How many named statements the client has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.named.len()
    }

    /// The server has gone, and with it whatever was not answered.
    pub fn lost(&mut self) {
        let mut gone = Holds::default();
        for expected in self.answers.drain().into_iter().rev() {
            self.undo(expected.change, &mut gone);
        }
        self.unnamed.sent = Vec::new();
        self.forget(self.answers.next(), |meaning| matches!(meaning, Meaning::Here(_)));
    }

    /// What a name stands for when the next message reaches the server.
    fn look_up(&self, name: &[u8]) -> Standing<'_> {
        match self.named.get_key_value(name) {
            _ if self.answers.is_open(self.clearing.end) => Standing::Unknown,
            Some((_, named)) if self.answers.is_open(named.place) => Standing::Unknown,
            Some((_, Named { meaning: Meaning::Nothing, .. })) | None => Standing::Nothing,
            Some((name, named)) => Standing::Something(name, &named.meaning),
        }
    }

    fn set(&mut self, name: Name, named: Option<Named>) -> Option<Named> {
        let size = name.len() + OVERHEAD;
        self.count_in(size, named.as_ref());
        let before = match named {
            Some(named) => self.named.insert(name, named),
            None => self.named.remove(&name),
        };
        if let Some(before) = &before {
            self.size -= size + before.meaning.size();
            self.here -= usize::from(matches!(before.meaning, Meaning::Here(_)));
        }
        before
    }

    fn count_in(&mut self, size: usize, named: Option<&Named>) {
        if let Some(named) = named {
            self.size += size + named.meaning.size();
            self.here += usize::from(matches!(named.meaning, Meaning::Here(_)));
        }
    }

    /// Forgets names that were given before something was sent.
    fn forget(&mut self, before: Place, is_meant: impl Fn(&Meaning) -> bool) {
        let meant = self
            .named
            .iter()
            .filter(|(_, named)| named.place < before && is_meant(&named.meaning))
            .map(|(name, _)| name.clone());
        for name in meant.collect::<Vec<_>>() {
            self.set(name, None);
        }
    }
}

/// What a name takes besides its letters and its text.
const OVERHEAD: usize = 100;

impl Meaning {
    fn size(&self) -> usize {
        match self {
            Self::Shared(statement) => statement.body().len(),
            Self::Here(_) | Self::Nothing => 0,
        }
    }
}

enum Standing<'a> {
    Nothing,
    Something(&'a Name, &'a Meaning),
    /// That depends on a batch that is not answered.
    Unknown,
}

impl Part<'_> {
    fn is_whole(&self) -> bool {
        self.body.len() + 4 == self.length as usize
    }

    fn head(&self) -> Head {
        Head { tag: self.tag, length: self.length }
    }
}
