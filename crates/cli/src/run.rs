//! From a line to its end: find the command, check the line, run it, tell how it went.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::{Given, Instead};
use crate::grammar::{self, Found, OwnWords};
use crate::help;
use crate::hint::Hint;
use crate::screen::Screen;
use crate::session::{Connection, Session};

/// How a call ends.
#[derive(Debug)]
pub(crate) enum End {
    /// With this exit code.
    Code(u8),
    /// By becoming another program, whose exit code is the call's.
    Become(std::process::Command),
}

/// Runs one call: `arguments` without the program's name. `own` are the words (name, what it does)
/// of commands that the executable carries out itself; they are shown in help and suggestions.
#[must_use]
pub fn main(arguments: Vec<OsString>, own: &[(&'static str, &'static str)]) -> ExitCode {
    let environment = Environment::of_process();
    let screen = Screen::of_process(&environment);
    match run(arguments, own, environment, screen) {
        End::Code(code) => ExitCode::from(code),
        End::Become(mut program) => {
            let error = program.exec();
            let name = program.get_program().to_string_lossy().into_owned();
            eprint!("{}", Failure::new(Exit::Failed, "not-run", format!("{name}: {error}")).text());
            ExitCode::from(Exit::Failed.code())
        }
    }
}

/// Runs one call on a screen.
pub(crate) fn run(
    arguments: Vec<OsString>,
    own: OwnWords<'_>,
    environment: Environment,
    screen: Screen,
) -> End {
    let words: Result<Vec<String>, OsString> =
        arguments.into_iter().map(OsString::into_string).collect();
    let words = match words {
        Ok(words) => words,
        Err(word) => {
            let message = format!("`{}` is not UTF-8 text", word.to_string_lossy());
            return told(&screen, false, &Failure::usage(message));
        }
    };
    let json = words.iter().take_while(|word| *word != "--");
    let json = json.into_iter().any(|word| word == "--json" || word.starts_with("--json="));
    screen.set_color(None);
    match prepare(&words, own) {
        Ok(given) => carry_out(&given, environment, screen),
        Err(Instead::Help(text)) => {
            screen.out(&text);
            finished(&screen, Exit::Success)
        }
        Err(Instead::Wrong(failure)) => told(&screen, json, &failure),
    }
}

fn prepare(words: &[String], own: OwnWords<'_>) -> Result<Given, Instead> {
    let first = words.first().map(String::as_str);
    if let Some("-V" | "--version" | "version") = first {
        return Err(Instead::Help(format!("howdah {}\n", env!("CARGO_PKG_VERSION"))));
    }
    if first == Some("help") {
        return Err(asked_for_help(&words[1..], own));
    }
    let Some(line) = grammar::split(words, own) else {
        let asked = words.iter().all(|word| matches!(word.as_str(), "-h" | "--help"));
        let overview = help::overview(own);
        if asked {
            return Err(Instead::Help(overview));
        }
        let failure = Failure::usage("there is no command").advise(Hint::Help.plain());
        return Err(Instead::Wrong(failure));
    };
    match line.found {
        Ok(Found::Command(command)) => Given::parse(command, line.rest),
        Ok(Found::Later(name)) if line.rest.iter().any(|word| word == "--help" || word == "-h") => {
            Err(Instead::Help(format!("{name} is not offered yet\n")))
        }
        Ok(Found::Later(name)) => {
            let message = format!("{name} is not offered yet");
            let failure = Failure::new(Exit::Failed, "not-offered", message);
            Err(Instead::Wrong(failure.advise(Hint::HelpPg.plain())))
        }
        Ok(Found::Own(name)) => Err(Instead::Wrong(Failure::usage(format!(
            "`{name}` is the first word of its line: howdah {name}"
        )))),
        Err(typed) => Err(Instead::Wrong(unknown(&typed, own))),
    }
}

fn asked_for_help(words: &[String], own: OwnWords<'_>) -> Instead {
    if let [topic] = words
        && let Some(page) = help::page(topic, own)
    {
        return Instead::Help(page);
    }
    let Some(line) = grammar::split(words, own) else {
        return Instead::Help(help::overview(own));
    };
    match line.found {
        Ok(Found::Command(command)) => Instead::Help(help::command(command)),
        Ok(Found::Later(name)) => Instead::Help(format!("{name} is not offered yet\n")),
        Ok(Found::Own(name)) => {
            let does = own.iter().find(|(own, _)| *own == name).map_or("", |(_, does)| does);
            Instead::Help(format!("{does}\n\nUsage: howdah {name} [options]\n"))
        }
        Err(typed) => Instead::Wrong(unknown(&typed, own)),
    }
}

fn unknown(typed: &str, own: OwnWords<'_>) -> Failure {
    let mut message = format!("`{typed}` is not a howdah command");
    let near: Vec<_> = grammar::suggestions(typed, own);
    if !near.is_empty() {
        let near: Vec<_> = near.iter().map(|name| format!("`{name}`")).collect();
        message.push_str(&format!("\nPerhaps you meant {}", near.join(" or ")));
    }
    Failure::new(Exit::Usage, "unknown-command", message).advise(Hint::Help.plain())
}

fn carry_out(given: &Given, environment: Environment, screen: Screen) -> End {
    screen.set_color(given.value("color"));
    let json = given.value("json").is_some();
    let connection = match Connection::of(&environment) {
        Ok(connection) => connection,
        Err(failure) => return told(&screen, json, &failure),
    };
    let session = Session::new(screen, environment, connection, given);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Failed, "no-runtime", error.to_string());
            return told(&session.screen, json, &failure);
        }
    };
    let outcome = runtime.block_on((given.command.run)(&session, given));
    // What may still be under way (a name being resolved) is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => match session.becomes.take() {
            Some(program) => End::Become(program),
            None => match session.ends_with.get() {
                0 => finished(&session.screen, Exit::Success),
                code => End::Code(code),
            },
        },
        Err(failure) => told(&session.screen, json, &failure),
    }
}

fn told(screen: &Screen, json: bool, failure: &Failure) -> End {
    if json && !failure.message.is_empty() {
        screen.out(&format!("{:#}\n", failure.json()));
    } else {
        screen.err(&screen.red(&failure.text()));
    }
    finished(screen, failure.exit)
}

fn finished(screen: &Screen, exit: Exit) -> End {
    if screen.is_whole() {
        return End::Code(exit.code());
    }
    screen.err(" !    standard output could not be written\n");
    End::Code(Exit::Failed.code())
}
