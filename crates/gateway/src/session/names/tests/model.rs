//! As much of PostgreSQL as matters for names: statements, portals, errors up to the `Sync`, and
//! transactions.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::message::take_cstr;

pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// The type bytes of messages.
pub(super) fn tags(bytes: &[u8]) -> String {
    split(bytes).iter().map(|message| char::from(message[0])).collect()
}

/// Messages one by one.
pub(super) fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut messages) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().expect("a length")) as usize + 1;
        messages.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    messages
}

/// Whether a text may run in a transaction that has failed.
fn ends(text: &[u8]) -> bool {
    text == b"rollback" || text == b"commit"
}

#[derive(Debug, Default)]
pub(super) struct Server {
    named: HashMap<Vec<u8>, Vec<u8>>,
    unnamed: Option<Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
    status: Status,
    skipping: bool,
    copying: Option<Requested>,
    received: VecDeque<Vec<u8>>,
    said: VecDeque<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Transaction,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Requested {
    Simply,
    ByExecute,
}

type Refused = (&'static str, String);

fn missing(name: &[u8]) -> Refused {
    let name = String::from_utf8_lossy(name).into_owned();
    if name.is_empty() {
        return ("26000", "unnamed prepared statement does not exist".to_owned());
    }
    ("26000", format!("prepared statement \"{name}\" does not exist"))
}

impl Server {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received.extend(split(bytes));
    }

    /// Carries out at most so many messages.
    pub(super) fn work(&mut self, most: usize) {
        for _ in 0..most {
            let Some(message) = self.received.pop_front() else { return };
            self.carry_out(message[0], &message[5..]);
        }
    }

    pub(super) fn said(&mut self) -> Option<Vec<u8>> {
        self.said.pop_front()
    }

    pub(super) fn count(&self) -> usize {
        self.named.len()
    }

    pub(super) fn forget_all(&mut self) {
        self.named.clear();
    }

    pub(super) fn named(&self) -> &HashMap<Vec<u8>, Vec<u8>> {
        &self.named
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        self.said.push_back(message(tag, body));
    }

    fn carry_out(&mut self, tag: u8, body: &[u8]) {
        if let Some(requested) = self.copying {
            match tag {
                b'd' | b'S' | b'H' => return,
                b'c' => {
                    self.copying = None;
                    self.say(b'C', b"COPY 1\0");
                    if requested == Requested::Simply {
                        self.ready();
                    }
                    return;
                }
                _ => {
                    self.copying = None;
                    self.fail(&("57014", "COPY failed".to_owned()));
                    if requested == Requested::Simply {
                        return self.ready();
                    }
                    self.skipping = true;
                }
            }
        }
        if self.skipping && tag != b'S' {
            return;
        }
        match tag {
            b'S' => {
                self.skipping = false;
                self.ready();
            }
            b'Q' => {
                self.unnamed = None;
                let text = body.strip_suffix(&[0]).expect("a text").to_vec();
                if let Err(refused) = self.run(&text, Requested::Simply) {
                    self.fail(&refused);
                }
                if self.copying.is_none() {
                    self.ready();
                }
            }
            b'P' | b'B' | b'D' | b'C' | b'E' => {
                if let Err(refused) = self.extended(tag, body) {
                    self.fail(&refused);
                    self.skipping = true;
                }
            }
            _ => {}
        }
    }

    fn fail(&mut self, (code, text): &Refused) {
        if self.status == Status::Transaction {
            self.status = Status::Failed;
        }
        self.say(b'E', format!("SERROR\0C{code}\0M{text}\0\0").as_bytes());
    }

    fn ready(&mut self) {
        if self.status == Status::Idle {
            self.portals.clear();
        }
        let status = match self.status {
            Status::Idle => b"I",
            Status::Transaction => b"T",
            Status::Failed => b"E",
        };
        self.say(b'Z', status);
    }

    fn extended(&mut self, tag: u8, body: &[u8]) -> Result<(), Refused> {
        let mut rest = body;
        let kind = if matches!(tag, b'D' | b'C') { rest[0] } else { 0 };
        rest = &rest[usize::from(kind != 0)..];
        let name = take_cstr(&mut rest).expect("a name").to_vec();
        match (tag, kind) {
            (b'P', _) => self.parse(name, take_cstr(&mut rest).expect("a text")),
            (b'B', _) => self.bind(name, take_cstr(&mut rest).expect("a statement")),
            (b'D', b'S') => {
                let text = self.statement(&name)?;
                self.check(&text)?;
                self.say(b't', &text);
                self.say(b'n', b"");
                Ok(())
            }
            (b'D', _) => {
                let text = self.portal(&name)?;
                self.check(&text)?;
                self.say(b'T', &text);
                Ok(())
            }
            (b'C', _) => {
                match kind {
                    b'S' if name.is_empty() => self.unnamed = None,
                    b'S' => drop(self.named.remove(&name)),
                    _ => drop(self.portals.remove(&name)),
                }
                self.say(b'3', b"");
                Ok(())
            }
            _ => {
                let text = self.portal(&name)?;
                self.run(&text, Requested::ByExecute)
            }
        }
    }

    fn parse(&mut self, name: Vec<u8>, text: &[u8]) -> Result<(), Refused> {
        if name.is_empty() {
            self.unnamed = None;
        }
        if text == b"bad" {
            return Err(("42601", "syntax error".to_owned()));
        }
        self.check(text)?;
        if name.is_empty() {
            self.unnamed = Some(text.to_vec());
        } else if let Entry::Vacant(vacant) = self.named.entry(name.clone()) {
            vacant.insert(text.to_vec());
        } else {
            let name = String::from_utf8_lossy(&name);
            return Err(("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        self.say(b'1', b"");
        Ok(())
    }

    fn bind(&mut self, portal: Vec<u8>, statement: &[u8]) -> Result<(), Refused> {
        let text = self.statement(statement)?;
        self.check(&text)?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(("42P03", "cursor already exists".to_owned()));
        }
        self.portals.insert(portal, text);
        self.say(b'2', b"");
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<Vec<u8>, Refused> {
        let found = if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) };
        found.cloned().ok_or_else(|| missing(name))
    }

    fn portal(&self, name: &[u8]) -> Result<Vec<u8>, Refused> {
        let missing = || ("34000", "portal does not exist".to_owned());
        self.portals.get(name).cloned().ok_or_else(missing)
    }

    fn check(&self, text: &[u8]) -> Result<(), Refused> {
        if self.status == Status::Failed && !ends(text) && !text.is_empty() {
            return Err(("25P02", "current transaction is aborted".to_owned()));
        }
        Ok(())
    }

    fn run(&mut self, text: &[u8], how: Requested) -> Result<(), Refused> {
        self.check(text)?;
        match text {
            b"" => {
                self.say(b'I', b"");
                return Ok(());
            }
            b"bad" => return Err(("42601", "syntax error".to_owned())),
            b"fail" => return Err(("22012", "division by zero".to_owned())),
            b"begin" => self.status = Status::Transaction,
            b"rollback" | b"commit" => self.status = Status::Idle,
            b"deallocate all" => {
                self.named.clear();
                self.say(b'C', b"DEALLOCATE ALL\0");
                return Ok(());
            }
            b"copy" => {
                self.copying = Some(how);
                self.say(b'G', b"\0\0\0");
                return Ok(());
            }
            _ => self.say(b'D', text),
        }
        self.say(b'C', b"OK\0");
        Ok(())
    }
}
