//! What a session's state is, as far as it must be known to give the session another server.
//!
//! It is learnt in three layers: from the protocol ([`Record::parse`] and the like, always), by
//! asking the server when a command tag or a text says that something changed
//! ([`Record::is_dirty`], [`Record::snapshot`], [`Record::learn`]), and by asking again at a planned
//! move, which also finds what functions did unseen. Nothing here reads or writes a connection.

mod carried;
mod changing;
mod glance;
mod learning;
mod lexer;
mod look;
mod pending;
mod pins;
mod replay;
mod reported;
mod script;
mod snapshot;
mod tags;
mod unnamed;

use std::collections::HashMap;
use std::sync::Arc;

pub use carried::Carried;
pub use look::Looks;
pub use pins::{Pins, Tie};
pub use replay::apply;
pub use reported::Reported;
pub use script::{Script, Step, Trouble};
pub use snapshot::Unreadable;

use changing::{Dirt, Presumed, Routines};
use look::Notes;
use pending::{Change, Pending};
use unnamed::Unnamed;

use crate::interner::Interner;
use crate::message::take_cstr;
use crate::startup::Startup;
use crate::statement::{Statement, Statements, text_of};

/// The most that the named statements of one session may take together, in bytes.
const LARGEST_STATEMENTS: usize = 16 * 1024 * 1024;
/// What a named statement takes besides its text and its name.
const STATEMENT_OVERHEAD: usize = 100;
/// The most custom settings of one session that are followed.
const MOST_NAMES: usize = 256;
/// The most libraries.
const MOST_LIBRARIES: usize = 64;

/// What sessions have in common, each kept once.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Prepared statements.
    pub statements: Statements,
    texts: Interner<[u8]>,
}

impl Shelf {
    fn text(&self, text: Arc<[u8]>) -> Arc<[u8]> {
        self.texts.intern(&text.clone(), |known| known, || text)
    }
}

/// Whose the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// The session's own, opened with its own first packet.
    Own,
    /// Shared with others: opened with role and database alone, its statements named by the gateway.
    Shared,
}

/// How much of a text there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Its beginning.
    Beginning,
}

/// The record of one session.
#[derive(Debug)]
pub struct Record {
    shelf: Arc<Shelf>,
    user: Box<str>,
    tenure: Tenure,
    /// What the client heard last.
    reported: Reported,
    /// What it had heard when the settings were learnt.
    settled: Reported,
    carried: Carried,
    named: HashMap<Box<[u8]>, Arc<Statement>>,
    /// What `named` and what is to come into it take, in bytes.
    named_size: usize,
    unnamed: Unnamed,
    pending: Pending,
    /// What few sessions have.
    more: Option<Box<More>>,
    pins: Pins,
    dirt: Dirt,
    /// Whether the last status told was that of no transaction.
    outside: bool,
    presumed: Presumed,
    routines: Routines,
    /// Whether a prepared statement has a text that matters each time it runs.
    follows_binds: bool,
    generation: u64,
}

#[derive(Debug, Default)]
struct More {
    /// Custom settings that texts named, in order.
    names: Vec<Box<str>>,
    /// Settings whose present value is not known.
    changed: Vec<Box<str>>,
    prepared: Vec<Prepared>,
    listens: Vec<Box<str>>,
    libraries: Vec<Box<str>>,
    /// Whether a statement of an SQL `PREPARE` has a text that matters each time it runs.
    follows_executes: bool,
    /// Whether the server ends sessions that are idle.
    idle_limit: bool,
}

/// A statement of an SQL `PREPARE`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prepared {
    name: Box<str>,
    /// The whole command.
    command: Box<str>,
}

impl Record {
    /// The record of a session that was just opened, with what its client was told of parameters.
    #[must_use]
    pub fn new(shelf: Arc<Shelf>, startup: &Startup, tenure: Tenure, reported: Reported) -> Self {
        let reported = Reported { bytes: shelf.text(reported.bytes) };
        let carried = match tenure {
            Tenure::Own => Carried::none(),
            Tenure::Shared => Carried::of_startup(startup),
        };
        Self {
            user: startup.user.as_str().into(),
            tenure,
            settled: reported.clone(),
            reported,
            carried: Carried { bytes: shelf.text(carried.bytes) },
            named: HashMap::new(),
            named_size: 0,
            unnamed: Unnamed::default(),
            pending: Pending::default(),
            more: None,
            pins: Pins::default(),
            dirt: Dirt::None,
            outside: true,
            presumed: Presumed::Nothing,
            routines: Routines::default(),
            follows_binds: false,
            generation: 0,
            shelf,
        }
    }

    /// The client sends a simple query. `text` is the body of `Query`, with or without its zero.
    pub fn query(&mut self, text: &[u8], extent: Extent) {
        if self.pending.is_empty() {
            self.unnamed.forget();
        } else {
            self.pending.push(Change::ForgetUnnamed);
        }
        self.run(text.strip_suffix(&[0]).unwrap_or(text), extent);
    }

    /// The client sends `Parse`, with this body.
    pub fn parse(&mut self, body: &[u8], extent: Extent) {
        let mut rest = body;
        let Some(name) = take_cstr(&mut rest) else { return };
        if name.is_empty() {
            self.parse_unnamed(rest, extent);
        } else {
            self.parse_named(name, rest, extent);
        }
    }

    fn parse_unnamed(&mut self, rest: &[u8], extent: Extent) {
        let looks = self.run(text_of(rest), extent);
        self.follows_binds |= looks.matter();
        if extent == Extent::Whole && rest.len() <= unnamed::LONGEST {
            self.unnamed.wait(rest);
            self.pending.push(Change::ParseUnnamed(looks, rest.len()));
        } else {
            self.pending.push(Change::ParseTooLong(looks));
        }
    }

    fn parse_named(&mut self, name: &[u8], rest: &[u8], extent: Extent) {
        let size = size_of_named(name, rest);
        if extent == Extent::Beginning || self.named_size + size > LARGEST_STATEMENTS {
            self.pending.push(Change::ParseUnknown);
            return;
        }
        self.named_size += size;
        let statement = self.shelf.statements.intern(rest);
        if statement.looks().matter() {
            self.follows_binds = true;
            let mut notes = Notes::default();
            look::look(statement.text(), &mut notes);
            self.note(notes.names, notes.libraries);
        }
        self.pending.push(Change::Parse(name.into(), statement));
    }

    /// Whether [`Record::bind`] has to be told of each `Bind`, which is when some prepared statement
    /// changes state each time it runs.
    #[must_use]
    pub fn follows_binds(&self) -> bool {
        self.follows_binds
    }

    /// The client sends `Bind`, with this body or the beginning of it.
    pub fn bind(&mut self, body: &[u8]) {
        let mut rest = body;
        let (Some(_portal), Some(name)) = (take_cstr(&mut rest), take_cstr(&mut rest)) else {
            return;
        };
        let looks = if name.is_empty() {
            self.pending.unnamed().unwrap_or_else(|| self.unnamed.looks())
        } else {
            self.statement(name).map_or_else(Looks::default, |statement| statement.looks())
        };
        if !looks.matter() {
            return;
        }
        if looks.has(Looks::UNNAMED) {
            let names = text_parameters(rest).filter_map(look::custom_name);
            names.for_each(|name| self.follow(name));
        }
        self.pending.push(Change::Run(looks));
    }

    /// The client sends `Close`, with this body.
    pub fn close(&mut self, body: &[u8]) {
        let change = match body {
            [b'S', name @ ..] => Change::Close(name.strip_suffix(&[0]).unwrap_or(name).into()),
            _ => Change::ClosePortal,
        };
        self.pending.push(change);
    }

    /// The client has sent what a `ReadyForQuery` will answer: `Query`, `Sync` or `FunctionCall`.
    pub fn request_ended(&mut self) {
        self.pending.sent();
    }

    /// The server sends `ParseComplete`.
    pub fn parse_complete(&mut self) {
        match self.pending.take(Change::is_parse) {
            Some(Change::ParseUnnamed(looks, length)) => self.unnamed.arrive(length, looks),
            Some(Change::ParseTooLong(looks)) => self.unnamed.arrive_too_long(looks),
            Some(Change::ParseUnknown) => self.pins.set(Tie::LargeStatements, true),
            Some(Change::Parse(name, statement)) => {
                self.generation += 1;
                // PostgreSQL does not let a name be taken twice; what is there is only replaced
                // when a `DEALLOCATE` was not seen.
                let size = self.named.get(&name).map(|old| size_of_named(&name, old.body()));
                self.named_size -= size.unwrap_or(0);
                self.named.insert(name, statement);
            }
            _ => {}
        }
    }

    /// The server sends `CloseComplete`.
    pub fn close_complete(&mut self) {
        match self.pending.take(Change::is_close) {
            Some(Change::Close(name)) if name.is_empty() => self.unnamed.forget(),
            Some(Change::Close(name)) => self.forget_named(&name),
            _ => {}
        }
    }

    /// The server sends `ParameterStatus`, with this body, and the client hears it.
    pub fn parameter(&mut self, body: &[u8]) {
        if self.reported.note(body) {
            self.reported.bytes = self.shelf.text(self.reported.bytes.clone());
        }
        if body.starts_with(b"in_hot_standby\0") {
            // It is not the session's.
            self.settled.note(body);
            self.settled.bytes = self.shelf.text(self.settled.bytes.clone());
        }
    }

    /// The server sends `ErrorResponse`.
    pub fn error(&mut self) {
        if self.presumed != Presumed::Nothing {
            self.mark();
        }
    }

    /// The server sends `ReadyForQuery` with this status.
    pub fn ready(&mut self, status: u8) {
        if self.pending.is_awaited() {
            if !self.pending.is_empty() {
                self.settle_pending();
            }
            self.pending.answered();
            if self.pending.is_empty() {
                self.unnamed.rest();
            }
        }
        if std::mem::take(&mut self.presumed) == Presumed::Discarded {
            self.settled = self.reported.clone();
        }
        self.outside = status == b'I';
        if self.outside && !Arc::ptr_eq(&self.reported.bytes, &self.settled.bytes) {
            self.compare_reported();
        }
    }

    /// Changes of a batch that had no answer of their own: texts that have run, and what an error
    /// has made void.
    fn settle_pending(&mut self) {
        while let Some(change) = self.pending.take(|_| true) {
            match change {
                Change::Run(looks) => self.ran(looks),
                Change::ForgetUnnamed => self.unnamed.forget(),
                // PostgreSQL drops the old one before it reads the new one.
                Change::ParseUnnamed(_, length) => {
                    self.unnamed.drop_waiting(length);
                    self.unnamed.forget();
                }
                Change::ParseTooLong(_) => self.unnamed.forget(),
                Change::Parse(name, statement) => {
                    self.named_size -= size_of_named(&name, statement.body());
                }
                Change::ParseUnknown
                | Change::Close(_)
                | Change::ClosePortal
                | Change::Load(_)
                | Change::Set(_) => {}
            }
        }
    }

    /// The server has gone: of what was under way nothing is known to have happened.
    pub fn server_lost(&mut self) {
        self.pending = Pending::default();
        self.presumed = Presumed::Nothing;
        self.unnamed.drop_waiting(usize::MAX);
        self.count_named();
    }

    /// What ties the session to its server, as far as it is known.
    #[must_use]
    pub fn pins(&self) -> Pins {
        self.pins
    }

    /// Another number whenever a server that was filled before has to be filled again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The settings that a server must have to serve the session.
    #[must_use]
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// What the client last heard of parameters.
    #[must_use]
    pub fn reported(&self) -> &Reported {
        &self.reported
    }

    /// The messages that tell the client what another server reports otherwise.
    #[must_use]
    pub fn differences(&self, now: &Reported) -> Vec<u8> {
        self.reported.differences(now)
    }

    /// The session is on another server, and its client was told of the differences.
    pub fn moved(&mut self, now: Reported) {
        self.reported = Reported { bytes: self.shelf.text(now.bytes) };
        self.settled = self.reported.clone();
    }

    /// A named prepared statement, as it is when all that was sent has succeeded.
    #[must_use]
    pub fn statement(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.pending.statement(name).unwrap_or_else(|| self.named.get(name))
    }

    /// The unnamed prepared statement: text, zero, and types, as they come after the name in
    /// `Parse`. None also when it is too long to be kept.
    #[must_use]
    pub fn unnamed(&self) -> Option<&[u8]> {
        self.unnamed.body()
    }

    /// A text will run, if nothing goes wrong.
    fn run(&mut self, text: &[u8], extent: Extent) -> Looks {
        let mut notes = Notes::default();
        let mut looks = look::look(text, &mut notes);
        if extent == Extent::Beginning {
            looks.add(look::unseen());
            notes.set = None;
        }
        if looks.matter() {
            self.pending.push(Change::Run(looks));
            self.pending.set(notes.set);
        }
        self.note(notes.names, notes.libraries);
        looks
    }

    fn note(&mut self, names: Vec<Box<str>>, libraries: Vec<Box<str>>) {
        names.into_iter().for_each(|name| self.follow(name));
        libraries.into_iter().for_each(|library| self.pending.push(Change::Load(library)));
    }

    /// Has the server asked for a custom setting from now on.
    fn follow(&mut self, name: Box<str>) {
        let names = &mut self.more.get_or_insert_default().names;
        match names.binary_search(&name) {
            Err(_) if names.len() >= MOST_NAMES => self.pins.set(Tie::CustomSettings, true),
            Err(place) => names.insert(place, name),
            Ok(_) => {}
        }
    }

    fn loaded(&mut self, library: Box<str>) {
        let libraries = &mut self.more.get_or_insert_default().libraries;
        if !libraries.contains(&library) && libraries.len() < MOST_LIBRARIES {
            libraries.push(library);
            self.generation += 1;
            self.pins.set(Tie::Libraries, true);
        }
    }

    fn forget_named(&mut self, name: &[u8]) {
        if let Some(statement) = self.named.remove(name) {
            self.named_size -= size_of_named(name, statement.body());
            self.generation += 1;
        }
    }

    fn count_named(&mut self) {
        let held = self.named.iter().map(|(name, statement)| (&**name, statement));
        let all = held.chain(self.pending.named());
        self.named_size = all.map(|(name, one)| size_of_named(name, one.body())).sum();
    }
}

fn size_of_named(name: &[u8], body: &[u8]) -> usize {
    name.len() + body.len() + STATEMENT_OVERHEAD
}

/// The parameters in a `Bind` that are short texts. `body` is what comes after the two names.
fn text_parameters(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    fn take_u16(body: &mut &[u8]) -> Option<u16> {
        let (&value, rest) = body.split_first_chunk()?;
        *body = rest;
        Some(u16::from_be_bytes(value))
    }
    let mut rest = body;
    let formats = take_u16(&mut rest).unwrap_or(0);
    for _ in 0..formats {
        take_u16(&mut rest);
    }
    let count = take_u16(&mut rest).unwrap_or(0);
    // The binary form of a text is the text.
    (0..count).map_while(move |_| {
        let length = crate::message::take_u32(&mut rest)?;
        if length == u32::MAX {
            return Some(&b""[..]);
        }
        let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        Some(value)
    })
}

#[cfg(test)]
mod tests;
