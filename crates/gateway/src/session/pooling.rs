//! Sessions whose server is theirs for a transaction only.
//!
//! Such a session is a [`Relaying`] like any other. It has no server while no transaction is open;
//! its client's next message takes one from the pool, on the way and mostly without waiting. The
//! server is then brought to the settings of the session, unless it has them already, as it has when
//! its last client had the same. Statements have names of ours on it ([`names`]). What only one
//! server can have ([`record::Pins`]) keeps the server with the session for as long as it lasts.
//!
//! [`names`]: super::names
//! [`record::Pins`]: super::record::Pins

mod entering;
mod hiring;
mod seat;
mod servers;

use std::sync::Arc;

pub use seat::{Claim, PoolServer, Seat};
pub use servers::Servers;

use super::names::{Answer, Holds, NameError, Names, PARSE_COMPLETE, Part, Verdict};
use crate::frame::{Edit, HEADER, Message, Step};
use crate::pool::{Granted, Pool, WaitError, Waiting};
use crate::statement::Statements;
use crate::stats::clock::Moment;

#[expect(unused_imports, reason = "documentation")]
use super::relaying::Relaying;

/// What a session has that takes its servers from a pool.
#[derive(Debug, Default)]
pub struct Pooled {
    /// Its statements.
    pub(super) names: Names,
    /// Where its servers come from; nothing when the route has to be looked at first.
    pub(super) pool: Option<Arc<Pool<PoolServer>>>,
    /// Its place in the queue.
    pub(super) waiting: Option<Waiting<PoolServer>>,
    /// What came of waiting and could not be used on the way.
    pub(super) granted: Option<Granted<PoolServer>>,
    /// Why it got none.
    pub(super) refused: Option<WaitError>,
    /// Whether the server that it has was told anything.
    pub(super) used: bool,
    /// Room for messages that are made anew.
    pub(super) scratch: Vec<u8>,
    /// Why the messages of one side make no sense.
    pub(super) trouble: Option<NameError>,
}

/// Memory that a session may keep for messages that are made anew.
const SCRATCH_KEPT: usize = 512;

impl Pooled {
    /// How the messages between client and server are translated.
    pub(super) fn translation<'a>(
        &'a mut self,
        holds: &'a mut Holds,
        statements: &'a Statements,
    ) -> Translation<'a> {
        let Self { names, used, scratch, trouble, .. } = self;
        Translation { names, holds, statements, used, scratch, trouble }
    }

    /// It stands nowhere any more.
    pub(super) fn forget_place(&mut self) {
        (self.pool, self.waiting, self.granted) = (None, None, None);
    }

    pub(super) fn rest(&mut self) {
        self.used = false;
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
    }
}

/// What it takes to translate messages.
#[derive(Debug)]
pub struct Translation<'a> {
    /// What the client calls its statements.
    pub names: &'a mut Names,
    /// What the server has.
    pub holds: &'a mut Holds,
    /// All statements.
    pub statements: &'a Statements,
    /// Set when the server is told something.
    pub used: &'a mut bool,
    /// Room for what is made anew.
    pub scratch: &'a mut Vec<u8>,
    /// Set when messages make no sense.
    pub trouble: &'a mut Option<NameError>,
}

/// When somebody who waits from now on has waited too long.
fn deadline(bound: std::time::Duration) -> Moment {
    let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Moment::from_micros(Moment::now().micros().saturating_add(bound))
}

/// How messages are translated between a session and its server, if that is a shared one.
#[inline]
pub(super) fn translation<'a>(
    pooled: &'a mut Option<Box<Pooled>>,
    holds: Option<&'a mut Holds>,
    statements: &'a Statements,
) -> Option<Translation<'a>> {
    Some(pooled.as_mut()?.translation(holds?, statements))
}

impl Translation<'_> {
    /// A message of the client.
    pub(super) fn up(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        // The client leaves; the server stays.
        if message.tag == b'X' {
            edit.skip(message.at, HEADER + message.body.len());
            return Step::Next;
        }
        let part = Part { tag: message.tag, length: message.size + 4, body: message.body };
        self.scratch.clear();
        match self.names.client(part, self.holds, self.statements, self.scratch) {
            Ok(Verdict::Send { replaces }) => {
                *self.used = true;
                if !self.scratch.is_empty() {
                    edit.insert(message.at, self.scratch);
                }
                if replaces > 0 {
                    edit.skip(message.at, replaces);
                }
                Step::Next
            }
            Ok(Verdict::Wait) => Step::Stop,
            // As much was shown as names may take.
            Ok(Verdict::More) | Err(NameError::TooLong) => {
                *self.trouble = Some(NameError::TooLong);
                Step::Stop
            }
            Err(error @ NameError::OutOfOrder) => {
                *self.trouble = Some(error);
                Step::Stop
            }
        }
    }

    /// A message of the server: as which message it is to be taken, or nothing when it was not for
    /// the client.
    pub(super) fn down(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Option<u8> {
        let (tag, length) = (message.tag, message.size + 4);
        let wanted = Names::wanted(tag, length).min(message.body.len());
        let body = &message.body[..wanted];
        match self.names.server(tag, length, body, self.holds, self.statements) {
            Ok(Answer::Pass) => return Some(tag),
            Ok(Answer::Swallow) => edit.skip(message.at, message.length()),
            Ok(Answer::ParseComplete) => {
                edit.insert(message.at, PARSE_COMPLETE);
                edit.skip(message.at, message.length());
                return Some(b'1');
            }
            Ok(Answer::Instead(bytes)) => {
                edit.insert(message.at, &bytes);
                edit.skip(message.at, message.length());
                return Some(tag);
            }
            Err(error) => *self.trouble = Some(error),
        }
        None
    }
}
