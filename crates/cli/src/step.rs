//! Progress of something that takes a moment: `Doing thing... done, v12` on one line (A15).

use std::cell::Cell;

use crate::screen::Screen;

/// A step that has begun. When it goes out of scope without having been done it says `failed`.
pub(crate) struct Step<'s> {
    screen: &'s Screen,
    told: Cell<bool>,
}

impl<'s> Step<'s> {
    /// Begins a step: says what is being done.
    pub(crate) fn begin(screen: &'s Screen, doing: &str) -> Self {
        screen.err(&format!("{doing}... "));
        Self { screen, told: Cell::new(false) }
    }

    /// It is done.
    pub(crate) fn done(self) {
        self.tell("done");
    }

    /// It is done, with this to say of it.
    pub(crate) fn done_with(self, what: &str) {
        self.tell(&format!("done, {what}"));
    }

    /// It came to an end that is neither.
    pub(crate) fn ended(self, how: &str) {
        self.tell(how);
    }

    fn tell(&self, how: &str) {
        self.told.set(true);
        self.screen.err(&format!("{how}\n"));
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if !self.told.get() {
            self.tell("failed");
        }
    }
}
