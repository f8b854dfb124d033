//! What a server answers.

use super::answers::{Change, Expected, Kind, NameChange, Place};
use super::holds::{Holds, Whose};
use super::wire::{self, PREFIX, ServerName};
use super::{Meaning, NameError, Names};
use crate::message::{Builder, take_cstr};
use crate::statement::{Statement, Statements};

/// The longest error that is looked into.
const LONGEST_ERROR: usize = 8 * 1024;
/// The longest command tag that matters, with its zero.
const LONGEST_TAG: usize = b"DEALLOCATE ALL\0".len();

/// What a client is told of a server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The message.
    Pass,
    /// Nothing.
    Swallow,
    /// These bytes.
    Instead(Vec<u8>),
    /// `ParseComplete`.
    ParseComplete,
}

/// The bytes of `ParseComplete`.
pub const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";

impl Names {
    /// How many bytes of the body of a server's message [`Names::server`] has to be shown; `length`
    /// is that of the message as sent.
    #[must_use]
    pub fn wanted(tag: u8, length: u32) -> usize {
        let body = (length as usize).saturating_sub(4);
        match tag {
            b'Z' => body.min(1),
            b'C' => body.min(LONGEST_TAG),
            b'E' => body.min(LONGEST_ERROR),
            _ => 0,
        }
    }

    /// Goes over a message of the server; `body` is its beginning, as [`Names::wanted`].
    ///
    /// # Errors
    /// [`NameError::OutOfOrder`]: then nothing is known of what the server has.
    pub fn server(
        &mut self,
        tag: u8,
        length: u32,
        body: &[u8],
        holds: &mut Holds,
        statements: &Statements,
    ) -> Result<Answer, NameError> {
        match tag {
            b'1' | b'2' | b'3' => return self.completed(tag, holds),
            b'T' | b'n' | b'I' | b's' => {
                self.answers.take(tag);
            }
            b'C' => {
                if matches!(body, b"DEALLOCATE ALL\0" | b"DISCARD ALL\0") {
                    self.all_gone(holds);
                }
                self.answers.take(tag);
            }
            b'G' => self.answers.copy_begins(),
            b'Z' => self.ready(body.first().copied().unwrap_or(b'I'), holds),
            b'E' => return Ok(self.error(length, body, holds, statements)),
            _ => {}
        }
        Ok(Answer::Pass)
    }

    fn completed(&mut self, tag: u8, holds: &mut Holds) -> Result<Answer, NameError> {
        let Expected { kind, change } = self.answers.take(tag).ok_or(NameError::OutOfOrder)?;
        self.commit(change, holds);
        Ok(match kind {
            Kind::OurParse | Kind::OurClose => Answer::Swallow,
            Kind::ParseMade => Answer::ParseComplete,
            _ => Answer::Pass,
        })
    }

    fn ready(&mut self, status: u8, holds: &mut Holds) {
        let mut expected = self.answers.ready(status);
        let request = expected.pop();
        self.undo_all(expected, holds);
        if request.is_some_and(|request| request.kind == Kind::Query) {
            self.no_unnamed(holds);
        }
    }

    fn error(
        &mut self,
        length: u32,
        body: &[u8],
        holds: &mut Holds,
        statements: &Statements,
    ) -> Answer {
        let whole = body.len() + 4 == length as usize;
        let Some(front) = self.answers.front() else { return Answer::Pass };
        let name = match &front.kind {
            // `ReadyForQuery` comes next.
            Kind::Sync | Kind::Query | Kind::Call => return Answer::Pass,
            Kind::Bind(name) | Kind::Describe(name) => *name,
            Kind::ParseTaken => Some(ServerName::TAKEN),
            _ => None,
        };
        let called = match &front.change {
            Change::Called(name) => Some(name.clone()),
            _ => None,
        };
        let loses_unnamed = matches!(front.change, Change::Unnamed(_));
        let is_brought = matches!(front.change, Change::BringUnnamed);
        let statement = name.and_then(|name| self.statement(name));
        let answer = match (name, called) {
            (Some(name), Some(called)) if whole => told(body, name, &called),
            _ => Answer::Pass,
        };
        let expected = self.answers.fail();
        self.undo_all(expected, holds);
        if loses_unnamed {
            self.no_unnamed(holds);
        } else if is_brought {
            holds.set_unnamed(None);
        }
        match (field(body, b'C'), name.and_then(ServerName::id)) {
            // Somebody took it away unseen.
            (Some(b"26000"), Some(id)) => drop(holds.remove(id)),
            (Some(b"0A000"), Some(_)) if field(body, b'R') == Some(b"RevalidateCachedQuery") => {
                // Whoever prepares the text from now on gets its new form.
                if let Some(statement) = statement {
                    statements.renew(&statement);
                }
            }
            _ => {}
        }
        answer
    }

    fn statement(&self, name: ServerName) -> Option<std::sync::Arc<Statement>> {
        self.named.values().find_map(|named| match &named.meaning {
            Meaning::Shared(statement) if ServerName::of(statement) == name => {
                Some(statement.clone())
            }
            _ => None,
        })
    }

    /// What was sent has succeeded.
    fn commit(&mut self, change: Change, holds: &mut Holds) {
        match change {
            Change::None | Change::Called(_) | Change::Hold(_) | Change::Release(_) => {}
            Change::Name(change) => self.bury(&change.name),
            Change::Unnamed(length) => {
                self.no_unnamed(holds);
                if let Some(length) = length {
                    let length = length.min(self.unnamed.sent.len());
                    self.unnamed.body = Some(self.take_sent(length));
                }
                holds.set_unnamed(Some(self.whose()));
            }
            Change::BringUnnamed => holds.set_unnamed(Some(self.whose())),
            Change::NoUnnamed => self.no_unnamed(holds),
        }
    }

    /// The text at the front of those that were sent.
    fn take_sent(&mut self, length: usize) -> Vec<u8> {
        if self.unnamed.sent.len() == length {
            return std::mem::take(&mut self.unnamed.sent);
        }
        self.unnamed.sent.drain(..length).collect()
    }

    /// Forgets a name that was closed, unless it has another meaning again.
    fn bury(&mut self, name: &[u8]) {
        if let Some(named) = self.named.get(name)
            && matches!(named.meaning, Meaning::Nothing)
            && !self.answers.is_outstanding(named.place)
        {
            self.set(name.into(), None);
        }
    }

    fn undo_all(&mut self, expected: Vec<Expected>, holds: &mut Holds) {
        for expected in expected.into_iter().rev() {
            self.undo(expected.change, holds);
        }
    }

    /// What was sent will not be done.
    pub(super) fn undo(&mut self, change: Change, holds: &mut Holds) {
        match change {
            Change::Name(change) => {
                let NameChange { name, before, hold } = *change;
                self.set(name.clone(), before);
                self.bury(&name);
                if let Some(id) = hold {
                    holds.remove(id);
                }
            }
            Change::Hold(id) => drop(holds.remove(id)),
            Change::Release(statement) => holds.restore(statement),
            Change::Unnamed(Some(length)) => {
                // All of a batch go, and they are before those of the next.
                self.unnamed.sent.drain(..length.min(self.unnamed.sent.len()));
            }
            Change::None
            | Change::Called(_)
            | Change::Unnamed(None)
            | Change::BringUnnamed
            | Change::NoUnnamed => {}
        }
    }

    fn no_unnamed(&mut self, holds: &mut Holds) {
        self.unnamed.body = None;
        self.unnamed.version += 1;
        holds.set_unnamed(None);
    }

    fn whose(&self) -> Whose {
        Whose { client: self.answers.client, version: self.unnamed.version }
    }

    /// The server has no statement with a name any more, of whomever.
    fn all_gone(&mut self, holds: &mut Holds) {
        let now: Place = self.answers.first();
        self.forget(now, |_| true);
        for expected in self.answers.outstanding() {
            if let Change::Name(change) = &mut expected.change {
                change.before = None;
            }
        }
        holds.clear_before(self.answers.client, now);
    }
}

/// The error with the client's name for a statement instead of ours.
fn told(body: &[u8], ours: ServerName, called: &[u8]) -> Answer {
    let Some(place) = memchr::memmem::find(body, PREFIX) else { return Answer::Pass };
    if ServerName::parse(&body[place..]) != Some(ours) {
        return Answer::Pass;
    }
    let mut builder = Builder::default();
    builder.message(b'E', |bytes| {
        bytes.extend_from_slice(&body[..place]);
        bytes.extend_from_slice(called);
        bytes.extend_from_slice(&body[place + wire::LENGTH..]);
    });
    Answer::Instead(builder.into_bytes())
}

/// A field of an error.
fn field(body: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = body;
    loop {
        match take_cstr(&mut rest)?.split_first() {
            Some((found, text)) if *found == kind => return Some(text),
            Some(_) => {}
            None => return None,
        }
    }
}
