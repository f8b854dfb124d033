//! What statements a server has.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::answers::{Answers, Place};
use crate::statement::Statement;

/// The most of our statements that a server has, unless told otherwise. It keeps the plan of each
/// in its memory.
const MOST: usize = 256;

/// The statements that one server has, as it will be when all that was sent has succeeded.
#[derive(Debug)]
pub struct Holds {
    most: usize,
    statements: HashMap<u64, Held, BuildHasherDefault<Spread>>,
    /// Grows with every use.
    uses: u64,
    /// Whose statement without a name it has, as far as the answers tell.
    unnamed: Option<Whose>,
}

/// A client's statement without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) client: u64,
    /// Another for each of its statements.
    pub(super) version: u64,
}

#[derive(Debug)]
struct Held {
    /// Kept so that whoever prepares the text next finds that the server has it.
    statement: Arc<Statement>,
    used: u64,
    /// What gives it to the server, and for which client it was sent.
    place: Place,
    client: u64,
}

/// Numbers that are given one after the other need no better hash than this.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self::with_bound(MOST)
    }
}

impl Holds {
    /// A server without statements that is to have at most so many; at least one.
    #[must_use]
    pub fn with_bound(most: usize) -> Self {
        Self { most: most.max(1), statements: HashMap::default(), uses: 0, unnamed: None }
    }

    /// How many statements it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.statements.len()
    }

    /// The server was told something by others than clients: it has no statement without a name.
    pub fn overwritten(&mut self) {
        self.unnamed = None;
    }

    pub(super) fn has(&self, id: u64) -> bool {
        self.statements.contains_key(&id)
    }

    /// Marks it as used last.
    pub(super) fn touch(&mut self, id: u64) {
        self.uses += 1;
        if let Some(held) = self.statements.get_mut(&id) {
            held.used = self.uses;
        }
    }

    /// Whether it depends on an earlier batch that it has it.
    pub(super) fn is_unsettled(&self, id: u64, answers: &Answers) -> bool {
        let held = self.statements.get(&id);
        held.is_some_and(|held| held.client == answers.client && answers.is_open(held.place))
    }

    /// Whether what gives it to the server is not answered yet.
    pub(super) fn is_outstanding(&self, id: u64, answers: &Answers) -> bool {
        let held = self.statements.get(&id);
        held.is_some_and(|held| held.client == answers.client && answers.is_outstanding(held.place))
    }

    pub(super) fn insert(&mut self, statement: Arc<Statement>, answers: &Answers) {
        self.uses += 1;
        let (used, place, client) = (self.uses, answers.next(), answers.client);
        self.statements.insert(statement.id, Held { statement, used, place, client });
    }

    /// It has it still.
    pub(super) fn restore(&mut self, statement: Arc<Statement>) {
        let held = Held { used: 0, place: Place::default(), client: 0, statement };
        self.statements.insert(held.statement.id, held);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<Statement>> {
        self.statements.remove(&id).map(|held| held.statement)
    }

    /// All that were there before something that was sent for a client are gone.
    pub(super) fn clear_before(&mut self, client: u64, place: Place) {
        self.statements.retain(|_, held| held.client == client && held.place > place);
    }

    /// The one that was not used for longest, when there are as many as there may be.
    pub(super) fn coldest_above_bound(&self) -> Option<u64> {
        if self.statements.len() < self.most {
            return None;
        }
        self.statements.iter().min_by_key(|(_, held)| held.used).map(|(id, _)| *id)
    }

    pub(super) fn unnamed(&self) -> Option<Whose> {
        self.unnamed
    }

    pub(super) fn set_unnamed(&mut self, whose: Option<Whose>) {
        self.unnamed = whose;
    }
}
