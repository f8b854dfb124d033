//! What commands that have run mean for the record: what is known from now on, and what has to be
//! asked for.

use std::collections::HashMap;

use super::Record;
use super::carried::Carried;
use super::look::Looks;
use super::pending::Change;
use super::pins::Tie;
use super::tags::{self, Effect};

/// How much has to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dirt {
    None,
    /// The settings in `More::changed`.
    Settings,
    Everything,
}

/// What the tags of a batch have changed in the record before the end of it: an error that comes
/// later takes it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Presumed {
    #[default]
    Nothing,
    /// A setting is known to have changed, and no other.
    Set,
    /// Nearly everything is at its default.
    Discarded,
}

/// How often procedures and blocks have changed state, of which their tags say nothing. Those of
/// an application that calls them all the time mostly never do.
#[derive(Debug, Default)]
pub(super) struct Routines {
    /// Whether nothing else is why the server has to be asked.
    pub(super) alone: bool,
    /// How many times in a row asking was in vain, and how many are passed over for that.
    pub(super) in_vain: u8,
    pub(super) passed_over: u16,
}

/// The most times in a row, as a power of two, that procedures are not asked after.
pub(super) const LONGEST_PASS: u8 = 10;

impl Record {
    /// The server sends `CommandComplete`; `tag` is its body, with or without its zero.
    pub fn command_complete(&mut self, tag: &[u8]) {
        let Some(effect) = tags::effect(tag) else { return };
        match effect {
            Effect::Set => self.set(),
            Effect::Reset if self.carried.is_empty() && self.dirt == Dirt::None => {}
            Effect::Load => {
                self.mark();
                if let Some(Change::Load(library)) = self.pending.take(Change::is_load) {
                    self.loaded(library);
                }
            }
            Effect::Deallocate if self.named.is_empty() && !self.pins.has(Tie::Prepared) => {}
            Effect::DeallocateAll => self.forget_prepared(),
            Effect::DiscardAll => self.discard_all(),
            Effect::Unlisten => self.mark_if(Tie::Listens),
            Effect::CloseCursor => self.mark_if(Tie::HeldCursors),
            Effect::Drop => self.mark_if(Tie::Temporary),
            Effect::Routine => self.routine(),
            Effect::Reset | Effect::Deallocate | Effect::Other => self.mark(),
        }
    }

    fn set(&mut self) {
        let looks = self.pending.looks();
        if looks.has(Looks::SETS_LOCALLY) && !looks.has(Looks::SETS) {
            return;
        }
        // In a transaction it can be taken back.
        let alone = self.outside && self.dirt < Dirt::Everything && self.pending.sets() == 1;
        match self.pending.take(Change::is_set) {
            Some(Change::Set(name)) if alone => {
                self.presumed = Presumed::Set;
                self.dirt = Dirt::Settings;
                let changed = &mut self.more.get_or_insert_default().changed;
                if !changed.contains(&name) {
                    changed.push(name);
                }
            }
            _ => self.mark(),
        }
    }

    /// What `DISCARD ALL` leaves is known, unless something is that it does not touch.
    fn discard_all(&mut self) {
        self.forget_prepared();
        if self.dirt == Dirt::Everything || self.more.as_ref().is_some_and(|m| !m.names.is_empty())
        {
            self.mark();
            return;
        }
        self.presumed = Presumed::Discarded;
        if !self.carried.is_empty() {
            self.generation += 1;
            self.carried = Carried::none();
        }
        if let Some(more) = &mut self.more {
            more.changed.clear();
            more.listens.clear();
        }
        for tie in [Tie::Listens, Tie::HeldCursors, Tie::Temporary, Tie::AdvisoryLocks] {
            self.pins.set(tie, false);
        }
        self.dirt = Dirt::None;
    }

    fn routine(&mut self) {
        if self.dirt == Dirt::Everything {
            return;
        }
        if self.routines.passed_over > 0 {
            self.routines.passed_over -= 1;
            return;
        }
        self.mark();
        self.routines.alone = true;
    }

    /// Everything has to be asked for.
    pub(super) fn mark(&mut self) {
        self.dirt = Dirt::Everything;
        self.routines.alone = false;
    }

    fn mark_if(&mut self, tie: Tie) {
        if self.pins.has(tie) {
            self.mark();
        }
    }

    /// Whether a parameter was reported that nothing else has told of.
    pub(super) fn compare_reported(&mut self) {
        let changed = self.more.as_ref().map_or(&[][..], |more| &more.changed);
        let is_known = |name: &[u8]| changed.iter().any(|known| known.as_bytes() == name);
        let is_news = |(name, value): (&[u8], &[u8])| {
            self.settled.get(name) != Some(value) && !is_known(name)
        };
        if self.reported.iter().any(is_news) {
            self.mark();
        }
    }

    pub(super) fn ran(&mut self, looks: Looks) {
        let follows = self.more.as_ref().is_some_and(|more| more.follows_executes);
        if looks.has(Looks::CHANGES) || (looks.has(Looks::EXECUTES) && follows) {
            self.mark();
        }
        if looks.has(Looks::UNLOCKS) {
            self.mark_if(Tie::AdvisoryLocks);
        }
        if looks.has(Looks::CONNECTS) {
            self.pins.set(Tie::Connections, true);
        }
    }

    fn forget_prepared(&mut self) {
        let in_sql = self.more.as_mut().is_some_and(|more| {
            more.follows_executes = false;
            !std::mem::take(&mut more.prepared).is_empty()
        });
        self.generation += u64::from(in_sql || !self.named.is_empty());
        self.named = HashMap::new();
        self.count_named();
        self.look_at_prepared();
        for tie in [Tie::LargeStatements, Tie::Prepared, Tie::HiddenStatements] {
            self.pins.set(tie, false);
        }
    }
}
