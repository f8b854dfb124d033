//! What was asked for and is not answered yet, in order, so far as it will change the record.
//!
//! A batch is what one `ReadyForQuery` ends. When an error comes, PostgreSQL does nothing more of
//! its batch, also not of what is sent later but before its end: what has had no answer when the
//! batch ends has not happened.

use std::collections::VecDeque;
use std::sync::Arc;

use super::look::Looks;
use crate::statement::Statement;

/// How many changes an idle session keeps memory for.
const MOST_KEPT: usize = 8;

/// One thing that will change the record when it succeeds.
#[derive(Debug)]
pub(super) enum Change {
    /// `Parse` with a name.
    Parse(Box<[u8]>, Arc<Statement>),
    /// `Parse` without; the text waits elsewhere, this long.
    ParseUnnamed(Looks, usize),
    /// `Parse` without a name of a text that is too long to be kept.
    ParseTooLong(Looks),
    /// `Parse` with a name that is not kept.
    ParseUnknown,
    /// `Close` of a statement.
    Close(Box<[u8]>),
    /// `Close` of a portal.
    ClosePortal,
    /// A simple query: the unnamed statement will be gone.
    ForgetUnnamed,
    /// A text with looks will run.
    Run(Looks),
    /// A `LOAD` of this library will run.
    Load(Box<str>),
    /// A `SET` of this setting will run.
    Set(Box<str>),
}

impl Change {
    /// Whether `ParseComplete` answers it.
    pub(super) fn is_parse(&self) -> bool {
        matches!(
            self,
            Self::Parse(..) | Self::ParseUnnamed(..) | Self::ParseTooLong(_) | Self::ParseUnknown
        )
    }

    /// Whether `CloseComplete` answers it.
    pub(super) fn is_close(&self) -> bool {
        matches!(self, Self::Close(_) | Self::ClosePortal)
    }

    /// Whether it waits for the tag of a `SET`.
    pub(super) fn is_set(&self) -> bool {
        matches!(self, Self::Set(_))
    }

    /// Whether it waits for the tag of a `LOAD`.
    pub(super) fn is_load(&self) -> bool {
        matches!(self, Self::Load(_))
    }
}

/// The changes of all batches that are not answered.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: VecDeque<(u32, Change)>,
    /// The batch that the next message of the client belongs to. Counts go round.
    sending: u32,
    /// The batch that the server answers.
    answering: u32,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn push(&mut self, change: Change) {
        self.changes.push_back((self.sending, change));
    }

    /// The client ends a batch.
    pub(super) fn sent(&mut self) {
        self.sending = self.sending.wrapping_add(1);
    }

    /// The first change of the batch that is being answered for which `wanted` holds.
    pub(super) fn take(&mut self, wanted: impl Fn(&Change) -> bool) -> Option<Change> {
        let answering = self.answering;
        let found = self
            .changes
            .iter()
            .take_while(|(batch, _)| *batch == answering)
            .position(|(_, change)| wanted(change))?;
        self.changes.remove(found).map(|(_, change)| change)
    }

    /// The looks of all texts of the batch that is being answered.
    pub(super) fn looks(&self) -> Looks {
        let mut looks = Looks::default();
        for (batch, change) in &self.changes {
            match change {
                _ if *batch != self.answering => break,
                Change::Run(more) => looks.add(*more),
                _ => {}
            }
        }
        looks
    }

    /// Whether a batch of the client waits for its `ReadyForQuery`.
    pub(super) fn is_awaited(&self) -> bool {
        self.answering != self.sending
    }

    /// The batch that is being answered is over, and nothing of it is left.
    pub(super) fn answered(&mut self) {
        self.answering = self.answering.wrapping_add(1);
        if self.changes.is_empty() && self.changes.capacity() > MOST_KEPT {
            self.changes = VecDeque::new();
        }
    }

    /// The text that was sent last sets this and nothing else.
    pub(super) fn set(&mut self, setting: Option<Box<str>>) {
        if let Some(setting) = setting {
            self.push(Change::Set(setting));
        }
    }

    /// How many texts of the batch that is being answered have a `SET`.
    pub(super) fn sets(&self) -> usize {
        let batch = self.changes.iter().take_while(|(batch, _)| *batch == self.answering);
        batch.filter(|(_, change)| matches!(change, Change::Run(l) if l.has(Looks::SETS))).count()
    }

    /// The last change to a named statement, if there is one.
    pub(super) fn statement(&self, name: &[u8]) -> Option<Option<&Arc<Statement>>> {
        self.changes.iter().rev().find_map(|(_, change)| match change {
            Change::Parse(named, statement) if **named == *name => Some(Some(statement)),
            Change::Close(named) if **named == *name => Some(None),
            _ => None,
        })
    }

    /// The looks of the unnamed statement that was sent last, if one was.
    pub(super) fn unnamed(&self) -> Option<Looks> {
        self.changes.iter().rev().find_map(|(_, change)| match change {
            Change::ParseUnnamed(looks, _) | Change::ParseTooLong(looks) => Some(*looks),
            Change::ForgetUnnamed => Some(Looks::default()),
            _ => None,
        })
    }

    /// All named statements that were sent.
    pub(super) fn named(&self) -> impl Iterator<Item = (&[u8], &Arc<Statement>)> {
        self.changes.iter().filter_map(|(_, change)| match change {
            Change::Parse(name, statement) => Some((&**name, statement)),
            _ => None,
        })
    }
}
