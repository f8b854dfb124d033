//! pg:psql: the local psql on a database (D8–D10).

use crate::app;
use crate::command::{APP, Command, DATABASE, Group, Opt, REMOTE, Takes, command};
use crate::database;
use crate::failure::Failure;
use crate::given::Given;
use crate::psql::{self, Target, Use};
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("pg:psql", Group::Databases, "Open psql on a database", |s, g| Box::pin(run(s, g)))
        .aliases(&["psql"])
        .arguments(&[DATABASE])
        .options(&[
            APP,
            REMOTE,
            Opt {
                long: "command",
                short: Some('c'),
                takes: Takes::Values("SQL"),
                means: "run this and return",
            },
            Opt {
                long: "file",
                short: Some('f'),
                takes: Takes::Values("FILE"),
                means: "run what is in this file and return",
            },
            Opt::value("credential", None, "NAME", "log in with this credential"),
        ])
        .note("SQL on standard input is run as well. The exit code is psql's.")
        .examples(&[
            "howdah pg:psql -a demo",
            "howdah pg:psql gold -a demo -c 'select version()'",
            "echo 'select 1' | howdah pg:psql -a demo",
        ])];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.value("DATABASE").unwrap_or("DATABASE_URL");
    let (target, label, prompt) = if typed.contains("://") {
        (Target::parse(typed)?, "the database of that URL".to_owned(), "%/".to_owned())
    } else {
        let database = database::by_name(session, given, typed, given.value("credential")).await?;
        let prompt = format!("{}::{}", database.app, database.color());
        (Target::of(session, &database).await?, database.label(), prompt)
    };
    let (commands, files) = (given.values("command"), given.values("file"));
    let interactive = commands.is_empty() && files.is_empty() && session.screen.terminals.input;
    let kind = if interactive { Use::Interactive } else { Use::Program };
    let mut program = psql::command(&session.environment, &target, kind)?;
    for sql in commands {
        program.args(["-c", sql]);
    }
    for file in files {
        program.args(["-f", file]);
    }
    program.args(["--set", &format!("PROMPT1={prompt}%R%# ")]);
    program.args(["--set", &format!("PROMPT2={prompt}%R%# ")]);
    session.say(&format!("---> Connecting to {label}"));
    session.becomes.set(Some(program));
    Ok(())
}

/// The target of a command that runs queries of its own: a URL, or a database of an app.
pub(super) async fn target(session: &Session, given: &Given) -> Result<Target, Failure> {
    match given.value("DATABASE") {
        Some(url) if url.contains("://") => Target::parse(url),
        Some(_) => Target::of(session, &database::named(session, given).await?).await,
        None => {
            app::named(session, given)?;
            Target::of(session, &database::named(session, given).await?).await
        }
    }
}
