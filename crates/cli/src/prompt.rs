//! Questions to the person at the terminal.

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use howdah_model::secret::Secret;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::CONTROL_C;
use crate::session::Session;

/// Asks for one line. Without a terminal nothing is printed, and the next line of standard input is
/// the answer.
pub(crate) fn line(session: &Session, question: &str) -> Result<String, Failure> {
    if session.no_input {
        return Err(nothing_given(question));
    }
    if session.screen.terminals.input {
        session.screen.err(question);
    }
    session.screen.line().ok_or_else(|| nothing_given(question))
}

/// Asks for one line that is not shown while it is typed.
pub(crate) fn hidden(session: &Session, question: &str) -> Result<Secret, Failure> {
    let quiet = session.may_ask.then(Quiet::begin).flatten();
    let typed = line(session, question);
    if quiet.is_some() {
        session.screen.err("\n");
    }
    drop(quiet);
    let typed = typed?;
    if typed.ends_with(char::from(CONTROL_C)) {
        return Err(Failure::new(Exit::Interrupted, "interrupted", "Nothing was changed"));
    }
    Ok(Secret::new(typed))
}

/// Asks a question whose answer is no unless it is yes.
pub(crate) fn yes(session: &Session, question: &str) -> Result<bool, Failure> {
    let answer = line(session, &format!("{question} [y/N] "))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn nothing_given(question: &str) -> Failure {
    let what = question.trim_end_matches([' ', ':']);
    Failure::usage(format!("There is nobody to ask for: {what}"))
}

/// A terminal that does not show what is typed, until this goes out of scope.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut quiet = before.clone();
        // Ctrl-C must not end the program while the terminal is quiet: it ends the line instead.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = CONTROL_C;
        tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet).ok()?;
        Some(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
