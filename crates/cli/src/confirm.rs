//! One confirmation protocol for every destructive command (A13, A14): the person types the name.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

/// Makes sure that what a command is about to do to the app is meant.
///
/// With `--confirm NAME` nothing is asked. Without, the name is read from standard input, which may
/// be a pipe; when there is nothing to read, the failure tells what to run.
pub(crate) fn app(session: &Session, given: &Given, name: &str) -> Result<(), Failure> {
    let told = [
        "WARNING: Destructive Action".to_owned(),
        format!("This command will affect the app: {name}"),
    ];
    named(session, given, name, &told)
}

/// The same for what has another name than the app; `told` are the lines that say what is about to
/// be done.
pub(crate) fn named(
    session: &Session,
    given: &Given,
    name: &str,
    told: &[String],
) -> Result<(), Failure> {
    if let Some(confirmed) = given.value("confirm") {
        return matches(confirmed, name);
    }
    let missing = || {
        let message = format!("This command is destructive, and was not confirmed for {name}");
        Failure::new(Exit::Unconfirmed, "confirmation-required", message)
            .advise(given.again_with("--confirm", name))
    };
    if session.no_input {
        return Err(missing());
    }
    for line in told {
        session.say(&format!(" !    {line}"));
    }
    session.say(&format!(
        " !    To proceed, type \"{name}\" or re-run this command with --confirm {name}\n"
    ));
    session.screen.err("> ");
    match session.screen.line() {
        Some(typed) => matches(typed.trim(), name),
        None => {
            session.screen.err("\n");
            Err(missing())
        }
    }
}

fn matches(typed: &str, name: &str) -> Result<(), Failure> {
    if typed == name {
        return Ok(());
    }
    let message = format!("Confirmation did not match {name}. Aborted.");
    Err(Failure::new(Exit::Unconfirmed, "confirmation-mismatch", message))
}
