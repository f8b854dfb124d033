//! Where a command's text goes: data to standard output, everything else to standard error. What
//! is nice on a terminal (colours, local time, cut columns) is left out everywhere else.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, IsTerminal as _, Write};
use std::os::fd::AsFd;

use jiff::tz::TimeZone;

use crate::environment::Environment;

/// What Ctrl-C sends where it does not interrupt.
pub(crate) const CONTROL_C: u8 = 3;

/// The three streams and what is known of them.
pub(crate) struct Screen {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    input: RefCell<Box<dyn BufRead>>,
    pub(crate) terminals: Terminals,
    /// Columns of the terminal; `None` where nothing is cut.
    pub(crate) columns: Option<usize>,
    /// Columns of the terminal that standard error is, if known.
    pub(crate) err_columns: Option<usize>,
    /// Whether lines on standard error may be drawn over.
    pub(crate) turns: bool,
    color: Cell<Color>,
    environment_color: Color,
    pub(crate) zone: TimeZone,
    /// The clock.
    pub(crate) now: fn() -> jiff::Timestamp,
    /// Standard output could not be written, other than by a reader that had enough.
    broken: Cell<bool>,
    /// The reader of standard output had enough.
    left: Cell<bool>,
}

/// Which of the streams are terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terminals {
    pub(crate) input: bool,
    pub(crate) out: bool,
    pub(crate) err: bool,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Screen {
    /// The streams of this process.
    pub(crate) fn of_process(environment: &Environment) -> Self {
        let terminals = Terminals {
            input: std::io::stdin().is_terminal(),
            out: std::io::stdout().is_terminal(),
            err: std::io::stderr().is_terminal(),
        };
        Self {
            columns: terminals.out.then(|| columns(environment, std::io::stdout())).flatten(),
            err_columns: terminals.err.then(|| columns(environment, std::io::stderr())).flatten(),
            zone: if terminals.out { TimeZone::system() } else { TimeZone::UTC },
            ..Self::new(
                Box::new(std::io::stdout()),
                Box::new(std::io::stderr()),
                Box::new(std::io::BufReader::new(std::io::stdin())),
                terminals,
                environment,
            )
        }
    }

    /// A screen of these streams.
    pub(crate) fn new(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        input: Box<dyn BufRead>,
        terminals: Terminals,
        environment: &Environment,
    ) -> Self {
        Self {
            out: RefCell::new(out),
            err: RefCell::new(err),
            input: RefCell::new(input),
            terminals,
            columns: None,
            err_columns: None,
            turns: terminals.err && environment.get("TERM") != Some("dumb"),
            color: Cell::new(Color::Auto),
            environment_color: wanted_color(environment),
            zone: TimeZone::UTC,
            now: wall_clock,
            broken: Cell::new(false),
            left: Cell::new(false),
        }
    }

    /// What `--color` says.
    pub(crate) fn set_color(&self, when: Option<&str>) {
        self.color.set(match when {
            Some("always") => Color::Always,
            Some("never") => Color::Never,
            _ => self.environment_color,
        });
    }

    /// Writes to standard output.
    pub(crate) fn out(&self, text: &str) {
        self.out_bytes(text.as_bytes());
    }

    /// Writes to standard output what need not be text. It is out at once, so that what is said on
    /// standard error afterwards comes after it.
    pub(crate) fn out_bytes(&self, bytes: &[u8]) {
        let mut out = self.out.borrow_mut();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        drop(out);
        self.note(written);
    }

    /// Writes to standard error, at once.
    pub(crate) fn err(&self, text: &str) {
        let mut err = self.err.borrow_mut();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Whether standard output took everything.
    pub(crate) fn is_whole(&self) -> bool {
        !self.broken.get()
    }

    /// Whether somebody still reads standard output.
    pub(crate) fn is_read(&self) -> bool {
        !self.left.get()
    }

    fn note(&self, written: std::io::Result<()>) {
        let Err(error) = written else { return };
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            self.left.set(true);
        } else {
            self.broken.set(true);
        }
    }

    /// The next line of standard input without its end; `None` at the end of the input.
    pub(crate) fn line(&self) -> Option<String> {
        let mut line = Vec::new();
        let mut input = self.input.borrow_mut();
        loop {
            let byte = input.fill_buf().ok().and_then(|buffer| buffer.first().copied());
            input.consume(usize::from(byte.is_some()));
            match byte {
                None if line.is_empty() => return None,
                None | Some(b'\n') => break,
                Some(byte) => line.push(byte),
            }
            // A terminal that hands Ctrl-C on sends nothing after it.
            if byte == Some(CONTROL_C) {
                break;
            }
        }
        Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
    }

    /// Everything that is left on standard input.
    pub(crate) fn rest(&self) -> std::io::Result<String> {
        let mut text = String::new();
        self.input.borrow_mut().read_to_string(&mut text)?;
        Ok(text)
    }

    /// Text that is less important, on standard output.
    pub(crate) fn dim(&self, text: &str) -> String {
        self.painted(self.terminals.out, "2", text)
    }

    /// Text that is about a problem, on standard error.
    pub(crate) fn red(&self, text: &str) -> String {
        self.painted(self.terminals.err, "31", text)
    }

    fn painted(&self, terminal: bool, code: &str, text: &str) -> String {
        let paint = match self.color.get() {
            Color::Auto => terminal,
            Color::Always => true,
            Color::Never => false,
        };
        if paint { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted_color(environment: &Environment) -> Color {
    let on = |name| environment.get(name).is_some_and(|value| value != "0");
    if on("NO_COLOR") || environment.get("TERM") == Some("dumb") {
        return Color::Never;
    }
    if on("CLICOLOR_FORCE") || on("FORCE_COLOR") { Color::Always } else { Color::Auto }
}

fn columns(environment: &Environment, terminal: impl AsFd) -> Option<usize> {
    if let Some(columns) = environment.get("COLUMNS").and_then(|text| text.parse().ok()) {
        return Some(columns);
    }
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[expect(clippy::disallowed_methods, reason = "the edge where the time comes in")]
fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
