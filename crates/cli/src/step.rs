//! Progress of something that takes a moment: `Doing thing... done, v12` on one line (A15). On a
//! terminal the line turns while one waits, and shows how far it is (G9).

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::Screen;

/// What turns on a terminal.
const FRAMES: [char; 4] = ['|', '/', '-', '\\'];
/// How long each of them is shown.
const TURN: Duration = Duration::from_millis(100);

/// A step that has begun. When it goes out of scope without having been done it says `failed`.
pub(crate) struct Step<'s> {
    screen: &'s Screen,
    doing: String,
    told: Cell<bool>,
    /// How far it is, as was said last.
    progress: RefCell<String>,
    /// Whether the line holds more than its beginning.
    drawn: Cell<bool>,
    /// Whether lines of their own came after its beginning.
    noted: Cell<bool>,
}

impl<'s> Step<'s> {
    /// Begins a step: says what is being done.
    pub(crate) fn begin(screen: &'s Screen, doing: &str) -> Self {
        screen.err(&format!("{doing}... "));
        Self {
            screen,
            doing: doing.to_owned(),
            told: Cell::new(false),
            progress: RefCell::default(),
            drawn: Cell::new(false),
            noted: Cell::new(false),
        }
    }

    /// Says how far it is. What turns shows it; elsewhere it is a line of its own, once for each
    /// per cent.
    pub(crate) fn progress(&self, how_far: &str) {
        if how_far.is_empty() || self.told.get() {
            return;
        }
        let before = self.progress.replace(how_far.to_owned());
        let per_cent = |text: &str| text.split_once('%').map(|(before, _)| before.to_owned());
        let now = per_cent(how_far);
        if !self.screen.turns && !self.noted.get() && now.is_some() && now != per_cent(&before) {
            self.screen.err(&format!("{how_far}\n{}... ", self.doing));
        }
    }

    /// Says something on a line of its own, while the step goes on.
    pub(crate) fn note(&self, line: &str) {
        let before = match (self.drawn.replace(false), self.noted.replace(true)) {
            (true, _) => "\r\x1b[K",
            (false, true) => "",
            (false, false) => "\n",
        };
        self.screen.err(&format!("{before}{line}\n"));
    }

    /// Turns, on a terminal, until it is dropped.
    pub(crate) async fn turn(&self) -> Infallible {
        if !self.screen.turns {
            return std::future::pending().await;
        }
        loop {
            for frame in FRAMES {
                self.draw(frame);
                tokio::time::sleep(TURN).await;
            }
        }
    }

    fn draw(&self, frame: char) {
        let line = format!("{}... {frame} {}", self.doing, self.progress.borrow());
        let line = line.trim_end();
        // A line that wraps cannot be drawn over.
        let most = self.screen.err_columns.map_or(usize::MAX, |columns| columns.max(2) - 1);
        let line: String = line.chars().take(most).collect();
        self.screen.err(&format!("\r\x1b[K{line}"));
        self.drawn.set(true);
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
        let line = match (self.drawn.get(), self.noted.get()) {
            (true, _) => format!("\r\x1b[K{}... ", self.doing),
            (false, true) => format!("{}... ", self.doing),
            (false, false) => String::new(),
        };
        self.screen.err(&format!("{line}{how}\n"));
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if !self.told.get() {
            self.tell("failed");
        }
    }
}
