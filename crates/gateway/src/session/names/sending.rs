//! A client's message on its way to a server.

use std::sync::Arc;

use super::answers::{Change, Kind, NameChange};
use super::holds::{Holds, Whose};
use super::wire::{self, Bind, Head, ServerName};
use super::{LONGEST_PARSE, Meaning, Name, NameError, Named, Names, PASS, Part, Standing, Verdict};
use crate::statement::{Statement, Statements};

/// The longest `Parse` without a name that is kept.
const LONGEST_UNNAMED: usize = 16 * 1024;
/// The most that the named statements of a client may take together, in bytes; those above it tie
/// the client to its server.
const LARGEST_NAMED: usize = 16 * 1024 * 1024;
/// The most bytes of a `Bind`, `Describe` or `Close` that are waited for until its names have ended.
const LONGEST_NAMES: usize = 16 * 1024;
/// The body of a `Parse` of nothing.
const EMPTY: &[u8] = b"\0\0\0";

/// What the server is told instead of a client's name.
enum Reference {
    /// This name; errors call it by the client's.
    To(ServerName, Name),
    /// The client's own name.
    AsItIs,
    /// That depends on a batch that is not answered.
    Unknown,
}

/// A message on its way to a server.
pub(super) struct Sending<'a> {
    pub(super) names: &'a mut Names,
    pub(super) holds: &'a mut Holds,
    pub(super) output: &'a mut Vec<u8>,
}

impl Sending<'_> {
    pub(super) fn parse(
        &mut self,
        part: Part<'_>,
        statements: &Statements,
    ) -> Result<Verdict, NameError> {
        let Some((name, body)) = wire::split_name(part.body) else { return incomplete(part) };
        if name.is_empty() {
            return Ok(self.parse_unnamed(part, body));
        }
        match self.names.look_up(name) {
            Standing::Unknown => return Ok(Verdict::Wait),
            Standing::Something(..) => return Ok(self.parse_taken(part, name)),
            Standing::Nothing => {}
        }
        let size = part.length as usize;
        if size > LONGEST_PARSE || self.names.size + size > LARGEST_NAMED {
            return Ok(self.parse_here(part, name));
        }
        if !part.is_whole() {
            return Ok(Verdict::More);
        }
        let statement = statements.intern(body);
        if self.holds.is_unsettled(statement.id, &self.names.answers) {
            return Ok(Verdict::Wait);
        }
        Ok(self.parse_shared(part, name, statement))
    }

    fn parse_shared(&mut self, part: Part<'_>, name: &[u8], statement: Arc<Statement>) -> Verdict {
        let (id, server_name) = (statement.id, ServerName::of(&statement));
        let meaning = Meaning::Shared(statement.clone());
        // In a transaction that has failed PostgreSQL refuses it.
        if self.holds.has(id) && !self.names.answers.may_refuse() {
            self.holds.touch(id);
            wire::close_nothing(self.output);
            let change = self.define(name, meaning, None);
            self.names.answers.push_with(Kind::ParseMade, change);
            return Verdict::Send { replaces: 1 + part.length as usize };
        }
        self.make_room();
        self.close_ours(id);
        part.head().renamed(self.output, name, server_name);
        self.holds.insert(statement, &self.names.answers);
        let change = self.define(name, meaning, Some(id));
        self.names.answers.push_with(Kind::Parse, change);
        Verdict::Send { replaces: Head::SIZE + name.len() + 1 }
    }

    /// A statement that is too long to be given to other servers.
    fn parse_here(&mut self, part: Part<'_>, name: &[u8]) -> Verdict {
        self.names.counter += 1;
        let server_name = ServerName::here(self.names.counter);
        // Another client may have left one of this name.
        wire::close_statement(self.output, server_name);
        self.names.answers.push(Kind::OurClose);
        part.head().renamed(self.output, name, server_name);
        let change = self.define(name, Meaning::Here(server_name), None);
        self.names.answers.push_with(Kind::Parse, change);
        Verdict::Send { replaces: Head::SIZE + name.len() + 1 }
    }

    /// A name that is taken: the server is given a statement of that name first, and refuses
    /// another.
    fn parse_taken(&mut self, part: Part<'_>, name: &[u8]) -> Verdict {
        wire::close_statement(self.output, ServerName::TAKEN);
        self.names.answers.push(Kind::OurClose);
        wire::parse(self.output, ServerName::TAKEN, EMPTY);
        self.names.answers.push(Kind::OurParse);
        part.head().renamed(self.output, name, ServerName::TAKEN);
        self.names.answers.push_with(Kind::ParseTaken, Change::Called(name.into()));
        Verdict::Send { replaces: Head::SIZE + name.len() + 1 }
    }

    fn parse_unnamed(&mut self, part: Part<'_>, body: &[u8]) -> Verdict {
        let keeps = part.length as usize <= LONGEST_UNNAMED;
        if keeps && !part.is_whole() {
            return Verdict::More;
        }
        let length = keeps.then_some(body.len());
        if keeps {
            self.names.unnamed.sent.extend_from_slice(body);
        }
        self.names.clearing.begun |= wire::clears(body);
        self.names.unnamed.change = self.names.answers.next();
        self.names.answers.push_with(Kind::Parse, Change::Unnamed(length));
        PASS
    }

    pub(super) fn bind(&mut self, part: Part<'_>) -> Result<Verdict, NameError> {
        let Some(Bind { portal, statement }) = wire::bind(part.body) else {
            return incomplete(part);
        };
        if statement.is_empty() {
            if !self.bring_unnamed() {
                return Ok(Verdict::Wait);
            }
            self.names.answers.push(Kind::Bind(None));
            return Ok(PASS);
        }
        let (name, called) = match self.refer(statement) {
            Reference::Unknown => return Ok(Verdict::Wait),
            Reference::AsItIs => {
                self.names.answers.push(Kind::Bind(None));
                return Ok(PASS);
            }
            Reference::To(name, called) => (name, called),
        };
        self.names.answers.push_with(Kind::Bind(Some(name)), Change::Called(called));
        part.head().sized(self.output, statement);
        self.output.extend_from_slice(portal);
        self.output.push(0);
        name.put(self.output);
        Ok(Verdict::Send { replaces: Head::SIZE + portal.len() + statement.len() + 2 })
    }

    pub(super) fn describe(&mut self, part: Part<'_>) -> Result<Verdict, NameError> {
        let (b'S', name) = (match part.body.split_first() {
            Some((kind, rest)) => (*kind, rest),
            None => return incomplete(part),
        }) else {
            self.names.answers.push(Kind::Describe(None));
            return Ok(PASS);
        };
        let Some((name, _)) = wire::split_name(name) else { return incomplete(part) };
        if name.is_empty() {
            if !self.bring_unnamed() {
                return Ok(Verdict::Wait);
            }
            self.names.answers.push(Kind::Describe(None));
            return Ok(PASS);
        }
        let (server_name, called) = match self.refer(name) {
            Reference::Unknown => return Ok(Verdict::Wait),
            Reference::AsItIs => {
                self.names.answers.push(Kind::Describe(None));
                return Ok(PASS);
            }
            Reference::To(server_name, called) => (server_name, called),
        };
        self.names.answers.push_with(Kind::Describe(Some(server_name)), Change::Called(called));
        part.head().sized(self.output, name);
        self.output.push(b'S');
        server_name.put(self.output);
        Ok(Verdict::Send { replaces: Head::SIZE + name.len() + 2 })
    }

    pub(super) fn close(&mut self, part: Part<'_>) -> Result<Verdict, NameError> {
        let Some((b'S', name)) = part.body.split_first() else {
            if part.body.is_empty() {
                return incomplete(part);
            }
            self.names.answers.push(Kind::Close);
            return Ok(PASS);
        };
        let Some((name, _)) = wire::split_name(name) else { return incomplete(part) };
        if name.is_empty() {
            self.names.unnamed.change = self.names.answers.next();
            self.names.answers.push_with(Kind::Close, Change::NoUnnamed);
            return Ok(PASS);
        }
        let change = match self.names.look_up(name) {
            Standing::Unknown => return Ok(Verdict::Wait),
            Standing::Nothing if ServerName::is_one(name) => Change::None,
            // It may be of an SQL `PREPARE`.
            Standing::Nothing => {
                self.names.answers.push(Kind::Close);
                return Ok(PASS);
            }
            Standing::Something(..) => self.define(name, Meaning::Nothing, None),
        };
        wire::close_nothing(self.output);
        self.names.answers.push_with(Kind::Close, change);
        Ok(Verdict::Send { replaces: Head::SIZE + name.len() + 2 })
    }

    /// The server's name for a client's, after the server was given the statement if it lacks it.
    fn refer(&mut self, name: &[u8]) -> Reference {
        let (name, server_name, lacking, clears) = match self.names.look_up(name) {
            Standing::Unknown => return Reference::Unknown,
            // One of our names is not to be had without its client's own.
            Standing::Nothing if ServerName::is_one(name) => {
                return Reference::To(ServerName::NOTHING, name.into());
            }
            Standing::Nothing => return Reference::AsItIs,
            Standing::Something(name, Meaning::Shared(statement)) => {
                let lacking = !self.holds.has(statement.id);
                if self.holds.is_unsettled(statement.id, &self.names.answers) {
                    return Reference::Unknown;
                }
                let clears = wire::clears(statement.body());
                let lacking = lacking.then(|| statement.clone());
                (name.clone(), ServerName::of(statement), lacking, clears)
            }
            Standing::Something(name, Meaning::Here(here)) => (name.clone(), *here, None, false),
            Standing::Something(_, Meaning::Nothing) => return Reference::AsItIs,
        };
        self.names.clearing.begun |= clears;
        match (lacking, server_name.id()) {
            (Some(statement), _) => self.give(statement),
            (None, Some(id)) => self.holds.touch(id),
            (None, None) => {}
        }
        Reference::To(server_name, name)
    }

    /// Gives the server a statement that it lacks. One whose result has another form by now is not
    /// given again: the client relies on the form that it knows, and is told that it is gone.
    fn give(&mut self, statement: Arc<Statement>) {
        if statement.is_outdated() {
            return;
        }
        let id = statement.id;
        self.make_room();
        self.close_ours(id);
        wire::parse(self.output, ServerName::of_id(id), statement.body());
        self.holds.insert(statement, &self.names.answers);
        self.names.answers.push_with(Kind::OurParse, Change::Hold(id));
    }

    /// Has the server close what it may have under a name: it costs little, and then the `Parse`
    /// that follows is right whatever was there.
    fn close_ours(&mut self, id: u64) {
        wire::close_statement(self.output, ServerName::of_id(id));
        // What was not answered yet may never have been there. To forget what is there costs only
        // another `Parse`.
        let unsure = self.holds.is_outstanding(id, &self.names.answers);
        let released = self.holds.remove(id).filter(|_| !unsure);
        let change = released.map_or(Change::None, Change::Release);
        self.names.answers.push_with(Kind::OurClose, change);
    }

    fn make_room(&mut self) {
        while let Some(id) = self.holds.coldest_above_bound() {
            self.close_ours(id);
        }
    }

    fn define(&mut self, name: &[u8], meaning: Meaning, hold: Option<u64>) -> Change {
        let named = Named { meaning, place: self.names.answers.next() };
        let before = self.names.set(name.into(), Some(named));
        Change::Name(Box::new(NameChange { name: name.into(), before, hold }))
    }

    /// Makes sure that what the server has without a name is the client's. Says no when answers
    /// must come first.
    fn bring_unnamed(&mut self) -> bool {
        let Names { unnamed, answers, clearing, .. } = &mut *self.names;
        if answers.is_open(unnamed.change) {
            return false;
        }
        // Within the batch it is as the client wants it, or the server says that there is none.
        if answers.is_outstanding(unnamed.change) {
            return true;
        }
        let whose = Whose { client: answers.client, version: unnamed.version };
        clearing.begun |= unnamed.body.as_deref().is_some_and(wire::clears);
        match self.holds.unnamed() {
            Some(held) if held == whose => return true,
            None if unnamed.body.is_none() => return true,
            _ => {}
        }
        unnamed.change = answers.next();
        if let Some(body) = &unnamed.body {
            wire::parse_unnamed(self.output, body);
            answers.push_with(Kind::OurParse, Change::BringUnnamed);
        } else {
            wire::close_unnamed(self.output);
            answers.push_with(Kind::OurClose, Change::NoUnnamed);
        }
        true
    }
}

/// A message whose names have not ended yet. When all of it is there, the server says what is wrong.
fn incomplete(part: Part<'_>) -> Result<Verdict, NameError> {
    if part.is_whole() {
        return Ok(PASS);
    }
    if part.body.len() > LONGEST_NAMES { Err(NameError::TooLong) } else { Ok(Verdict::More) }
}
