//! Asking the server, and taking its answer for the truth.

use std::collections::HashSet;

use super::carried::{AUTHORIZATION, Carried, ROLE};
use super::changing::{Dirt, LONGEST_PASS};
use super::look::Looks;
use super::pins::Tie;
use super::script::Script;
use super::snapshot::{self, Answer, Snapshot, Unreadable};
use super::{Prepared, Record, Tenure};
use crate::message::Message;

impl Record {
    /// Whether the server has to be asked before the session can be given another one, or its
    /// server to another session. Counts when no transaction is open.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirt != Dirt::None
    }

    /// What asks the server of the session for all that it knows, for [`Record::learn`]. To be sent
    /// when no transaction is open; it leaves the unnamed statement alone.
    #[must_use]
    pub fn snapshot(&self) -> Script {
        snapshot::ask(self.more.as_ref().map_or(&[], |more| &more.names))
    }

    /// What asks for what has changed, as far as the protocol shows it: often much less than
    /// [`Record::snapshot`], and to be used in the same way.
    #[must_use]
    pub fn brief_snapshot(&self) -> Script {
        match &self.more {
            Some(more) if self.dirt == Dirt::Settings => snapshot::ask_briefly(&more.changed),
            _ => self.snapshot(),
        }
    }

    /// Takes all messages that answered [`Record::snapshot`] or [`Record::brief_snapshot`] for the
    /// truth.
    ///
    /// # Errors
    /// [`Unreadable`]: then nothing has changed, and the server has to be asked for everything.
    pub fn learn(&mut self, answers: &[Message]) -> Result<(), Unreadable> {
        match snapshot::read(answers) {
            Ok(Answer::Whole(snapshot)) => self.learn_all(*snapshot),
            Ok(Answer::Some(settings)) => self.learn_some(settings),
            Err(unreadable) => {
                self.mark();
                return Err(unreadable);
            }
        }
        Ok(())
    }

    fn learn_some(&mut self, settings: Vec<(String, Option<String>)>) {
        let carried = self.carried.with(settings);
        self.carry(carried);
        if self.dirt == Dirt::Settings {
            self.settle();
        }
    }

    fn learn_all(&mut self, mut snapshot: Snapshot) {
        let (generation, pins) = (self.generation, self.pins);
        let mut settings = snapshot.take_settings();
        if *snapshot.user != *self.user {
            settings.push((AUTHORIZATION.to_owned(), std::mem::take(&mut snapshot.user)));
        }
        // A role that was chosen for this login by `ALTER ROLE` comes back by itself, and must be
        // taken off again when the session did.
        if snapshot.role != "none" || snapshot.role_default {
            settings.push((ROLE.to_owned(), std::mem::take(&mut snapshot.role)));
        }
        self.carry(Carried::of(settings));
        let changed = self.learn_statements(snapshot.take_statements());
        self.generation += u64::from(changed);
        self.learn_rest(&mut snapshot);
        self.look_at_prepared();
        self.judge_routines(generation != self.generation || pins != self.pins);
        self.settle();
    }

    /// Whether any of the protocol's statements matters each time it runs.
    pub(super) fn look_at_prepared(&mut self) {
        self.follows_binds = self.pending.unnamed().is_some_and(Looks::matter)
            || self.unnamed.looks().matter()
            || self.named.values().any(|one| one.looks().matter())
            || self.pending.named().any(|(_, one)| one.looks().matter());
    }

    fn carry(&mut self, carried: Carried) {
        if carried != self.carried {
            self.carried = Carried { bytes: self.shelf.text(carried.bytes) };
            self.generation += 1;
        }
    }

    /// All that has changed is known.
    fn settle(&mut self) {
        if let Some(more) = &mut self.more {
            more.changed.clear();
        }
        self.settled = self.reported.clone();
        self.dirt = Dirt::None;
    }

    fn judge_routines(&mut self, changed: bool) {
        let routines = &mut self.routines;
        if changed {
            (routines.in_vain, routines.passed_over) = (0, 0);
        } else if routines.alone {
            routines.in_vain = (routines.in_vain + 1).min(LONGEST_PASS);
            routines.passed_over = (1 << routines.in_vain) - 1;
        }
        routines.alone = false;
    }

    /// Says whether anything is otherwise than before.
    fn learn_statements(&mut self, statements: Vec<(String, bool, String)>) -> bool {
        let (mut prepared, mut hidden, mut follows) = (Vec::new(), false, false);
        let mut protocol = Vec::new();
        for (name, from_sql, text) in statements {
            if !from_sql {
                protocol.push(name);
                continue;
            }
            follows |= Looks::at(text.as_bytes()).matter();
            match snapshot::prepare_in(&text, &name) {
                Some(command) => {
                    let command = command.into();
                    prepared.push(Prepared { name: name.into(), command });
                }
                None => hidden = true,
            }
        }
        prepared.sort_by(|one, other| one.name.cmp(&other.name));
        let changed = self.more.as_ref().map_or(&[][..], |more| &more.prepared) != prepared;
        self.pins.set(Tie::Prepared, !prepared.is_empty());
        self.pins.set(Tie::HiddenStatements, hidden);
        if changed || follows {
            let more = self.more.get_or_insert_default();
            (more.prepared, more.follows_executes) = (prepared, follows);
        }
        changed | (self.tenure == Tenure::Own && self.reconcile(&protocol))
    }

    /// Forgets what the server has no more. Says whether anything was.
    fn reconcile(&mut self, names: &[String]) -> bool {
        let known: HashSet<_> = names.iter().map(String::as_bytes).collect();
        let utf8 = self.reported.get(b"client_encoding") == Some(b"UTF8");
        let before = self.named.len();
        self.named.retain(|name, _| known.contains(&**name) || !(utf8 || name.is_ascii()));
        self.count_named();
        let unknown = known
            .iter()
            .any(|name| self.pending.statement(name).is_none() && !self.named.contains_key(*name));
        self.pins.set(Tie::LargeStatements, unknown && utf8);
        before != self.named.len()
    }

    fn learn_rest(&mut self, snapshot: &mut Snapshot) {
        let listens = snapshot.take_listens();
        self.pins.set(Tie::Listens, !listens.is_empty());
        self.pins.set(Tie::HeldCursors, snapshot.held);
        self.pins.set(Tie::Temporary, snapshot.temporary);
        self.pins.set(Tie::AdvisoryLocks, snapshot.locks);
        self.pins.set(Tie::TemporarySlots, snapshot.slots);
        if self.more.is_some() || !listens.is_empty() || snapshot.idle_limit {
            let more = self.more.get_or_insert_default();
            self.generation += u64::from(more.idle_limit != snapshot.idle_limit);
            (more.listens, more.idle_limit) = (listens, snapshot.idle_limit);
        }
    }
}
