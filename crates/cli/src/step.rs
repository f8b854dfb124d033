//! Progress of something that takes a moment: `Doing thing... done, v12` on one line (A15).

use std::cell::Cell;

use crate::exit::Exit;
use crate::failure::Failure;
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

    /// It was waited for in vain: it goes on, unless it is this failure that ended it.
    pub(crate) fn given_up(&self, why: &Failure) {
        match why.exit {
            Exit::Interrupted | Exit::TimedOut => self.tell("not done yet"),
            _ => self.tell("failed"),
        }
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
