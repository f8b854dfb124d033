//! What holds a place of a database: a server that is being opened, one that a client has, and one
//! that nobody has. Each gives the place up when it is dropped.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Resident;
use super::group::Group;
use crate::limits::Slot;
use crate::stats::clock::Moment;

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Open,
}

/// A place of a database, held for a server of one of its pools.
#[derive(Debug)]
pub(super) struct Ticket<T: Resident> {
    pub(super) group: Arc<Group<T>>,
    /// The pool, by its number in the group.
    pub(super) pool: u32,
    pub(super) generation: u64,
    /// When the server is too old.
    pub(super) until: Moment,
    pub(super) phase: Phase,
    /// One of the sessions of the database, as those of other modes are.
    pub(super) slot: Option<Slot>,
}

impl<T: Resident> Ticket<T> {
    pub(super) fn is_old(&self, now: Moment) -> bool {
        now >= self.until
    }
}

impl<T: Resident> Drop for Ticket<T> {
    fn drop(&mut self) {
        // First, as whoever gets the place takes a slot as well.
        drop(self.slot.take());
        self.group.release(self.pool, self.phase);
    }
}

/// A server that nobody has.
#[derive(Debug)]
pub(super) struct Entry<T: Resident> {
    pub(super) server: T,
    pub(super) ticket: Ticket<T>,
    /// When it was given back.
    pub(super) since: Moment,
}

impl<T: Resident> Entry<T> {
    pub(super) fn into_lease(self) -> Lease<T> {
        Lease { server: self.server, ticket: self.ticket }
    }

    pub(super) fn close(self) {
        self.server.close();
        drop(self.ticket);
    }
}

/// The right to open a server. Dropped without one, it gives its place to whoever waits.
#[derive(Debug)]
#[must_use = "a place is held until the permit is dropped"]
pub struct Permit<T: Resident> {
    pub(super) ticket: Ticket<T>,
}

impl<T: Resident> Permit<T> {
    /// The server was opened.
    pub fn opened(mut self, server: T) -> Lease<T> {
        self.ticket.phase = Phase::Open;
        self.ticket.group.clone().opened(self.ticket.pool);
        Lease { server, ticket: self.ticket }
    }
}

/// A server that a client has. Dropped without [`give_back`](super::Pool::give_back), the server is
/// closed as it is, and its place goes to whoever waits.
#[derive(Debug)]
#[must_use = "a server that is dropped is closed"]
pub struct Lease<T: Resident> {
    server: T,
    ticket: Ticket<T>,
}

impl<T: Resident> Lease<T> {
    /// Closes the server politely.
    pub fn close(self) {
        self.server.close();
        drop(self.ticket);
    }

    /// Nothing for a server of another database, which is closed.
    pub(super) fn into_entry(self, group: &Arc<Group<T>>) -> Option<Entry<T>> {
        if !Arc::ptr_eq(group, &self.ticket.group) {
            self.close();
            return None;
        }
        Some(Entry { since: group.now(), server: self.server, ticket: self.ticket })
    }
}

impl<T: Resident> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.server
    }
}

impl<T: Resident> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.server
    }
}
