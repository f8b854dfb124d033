//! The unnamed prepared statement. No server lists it, so its text is kept here.

use super::look::Looks;

/// The longest text with its types that is kept, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;
/// What an idle session may keep for the next text.
const SPARE: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Unnamed {
    state: State,
    looks: Looks,
    /// The last one that was prepared.
    held: Vec<u8>,
    /// Those that are not answered yet, one after the other.
    waiting: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    Held,
    /// There is one, and its text is not known.
    TooLong,
}

impl Unnamed {
    /// One was sent.
    pub(super) fn wait(&mut self, body: &[u8]) {
        self.waiting.extend_from_slice(body);
    }

    /// The first one that waits has been prepared.
    pub(super) fn arrive(&mut self, length: usize, looks: Looks) {
        (self.state, self.looks) = (State::Held, looks);
        if self.waiting.len() == length {
            std::mem::swap(&mut self.held, &mut self.waiting);
            self.waiting.clear();
            return;
        }
        self.held.clear();
        self.held.extend_from_slice(&self.waiting[..length.min(self.waiting.len())]);
        self.drop_waiting(length);
    }

    /// One that was too long has been prepared.
    pub(super) fn arrive_too_long(&mut self, looks: Looks) {
        self.forget();
        (self.state, self.looks) = (State::TooLong, looks);
    }

    /// The first one that waits will not come.
    pub(super) fn drop_waiting(&mut self, length: usize) {
        self.waiting.drain(..length.min(self.waiting.len()));
    }

    /// There is none any more.
    pub(super) fn forget(&mut self) {
        (self.state, self.looks) = (State::None, Looks::default());
        self.held.clear();
    }

    /// Nothing waits: memory that was needed for long texts is given back.
    pub(super) fn rest(&mut self) {
        if self.waiting.capacity() > SPARE {
            self.waiting = Vec::new();
        }
        if self.held.capacity() > SPARE.max(self.held.len() * 2) {
            self.held.shrink_to_fit();
        }
    }

    /// Text, zero, and types.
    pub(super) fn body(&self) -> Option<&[u8]> {
        (self.state == State::Held).then_some(&self.held)
    }

    pub(super) fn looks(&self) -> Looks {
        self.looks
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.held.capacity() + self.waiting.capacity()
    }
}
