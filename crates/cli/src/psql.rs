//! The local psql (A21, D10): TLS always, the password by environment only.

use std::process::{Command, Stdio};

use reqwest::Url;

use crate::database::Database;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::resources::ConfigVars;
use crate::session::Session;

/// Variables that would lead psql elsewhere than the URL says.
const MISLEADING: &[&str] = &[
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOSTADDR",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGSSLNEGOTIATION",
];

/// Where a database is and who may enter.
#[derive(Clone)]
pub(crate) struct Target {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
}

impl Target {
    /// The target of a connection URL.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = || {
            let message =
                "The database's URL is not of the form postgres://user:password@host:port/name";
            Failure::new(Exit::Failed, "bad-url", message)
        };
        let url = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong());
        }
        Ok(Self {
            host: url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(5432),
            user: url.username().to_owned(),
            password: url.password().unwrap_or_default().to_owned(),
            database: url.path().trim_start_matches('/').to_owned(),
        })
    }

    /// Host, port, user, password and database as literals of SQL.
    pub(crate) fn quoted(&self) -> [String; 5] {
        let Self { host, port, user, password, database } = self;
        let port = port.to_string();
        [host, &port, user, password, database]
            .map(|text| format!("'{}'", text.replace('\'', "''")))
    }

    /// The target of a database of an app, from the app's config vars.
    pub(crate) async fn of(session: &Session, database: &Database) -> Result<Self, Failure> {
        let vars: ConfigVars = session.get(&["apps", &database.app, "config-vars"]).await?;
        let var = database.attachment.url_var();
        let url = vars.get(&var).ok_or_else(|| {
            let message = format!("{var} is not set on {}: is it still being made?", database.app);
            let names = [("DATABASE", var.as_str()), ("APP", database.app.as_str())];
            let advice = crate::hint::Hint::WaitForDatabase.fill(&names);
            Failure::new(Exit::Conflict, "not-ready", message).advise(advice)
        })?;
        Self::parse(url)
    }
}

/// Whether a person types at psql, or a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Interactive,
    Program,
}

/// A call of psql, complete but for what it shall do.
pub(crate) fn command(
    environment: &Environment,
    target: &Target,
    r#use: Use,
) -> Result<Command, Failure> {
    let psql = environment.program("psql").ok_or_else(|| {
        let message = "The local psql command could not be located.\n\
                       Install it: `apt-get install postgresql-client`, `brew install libpq`, or \
                       https://www.postgresql.org/download";
        Failure::new(Exit::Failed, "psql-missing", message)
    })?;
    let mut command = Command::new(psql);
    command.env_clear().envs(environment.all());
    for name in MISLEADING {
        command.env_remove(name);
    }
    // What the person asks for may be stricter than ours, never laxer.
    let mode =
        environment.get("PGSSLMODE").filter(|mode| matches!(*mode, "verify-ca" | "verify-full"));
    let name = match r#use {
        Use::Interactive => format!("psql {} interactive", person(environment)),
        Use::Program => "psql non-interactive".to_owned(),
    };
    command
        .env("PGSSLMODE", mode.unwrap_or("require"))
        .env("PGAPPNAME", name)
        .env("PGHOST", &target.host)
        .env("PGPORT", target.port.to_string())
        .env("PGUSER", &target.user)
        .env("PGPASSWORD", &target.password)
        .env("PGDATABASE", &target.database);
    Ok(command)
}

/// The name of who is logged in to this machine.
fn person(environment: &Environment) -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| environment.get(name));
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    user.unwrap_or("somebody").chars().filter(plain).collect()
}

/// Runs a query and gives psql's own output. psql's errors go to standard error as they are.
pub(crate) async fn output(
    session: &Session,
    target: &Target,
    arguments: &[&str],
) -> Result<Vec<u8>, Failure> {
    let mut command = command(&session.environment, target, Use::Program)?;
    command.arg("-X").args(arguments).args(["--set", "ON_ERROR_STOP=1"]).stdin(Stdio::null());
    let output = tokio::process::Command::from(command).output().await.map_err(|error| {
        Failure::new(Exit::Failed, "psql-missing", format!("psql could not be run: {error}"))
    })?;
    session.screen.err(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(output.stdout);
    }
    if session.wants_json() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::new(Exit::Failed, "psql-failed", message));
    }
    Err(Failure::told(Exit::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn prepared(variables: &[(&str, &str)]) -> Command {
        let mut all = vec![("PATH", "/usr/bin:/bin")];
        all.extend_from_slice(variables);
        let environment = Environment::of(&all, PathBuf::from("/"));
        let target = Target::parse("postgres://u_1:p4ss@127.0.0.1:5433/d_1").expect("a URL");
        command(&environment, &target, Use::Interactive).expect("psql is there")
    }

    fn variable(command: &Command, name: &str) -> Option<String> {
        let found = command.get_envs().find(|(key, _)| *key == name)?.1?;
        Some(found.to_string_lossy().into_owned())
    }

    #[test]
    fn d10_the_session_is_tls_only_and_the_password_is_no_argument() {
        let command = prepared(&[("PGSSLMODE", "disable"), ("PGSERVICE", "other"), ("LANG", "C")]);
        assert_eq!(variable(&command, "PGSSLMODE").as_deref(), Some("require"));
        assert_eq!(variable(&command, "PGPASSWORD").as_deref(), Some("p4ss"));
        assert_eq!(variable(&command, "PGPORT").as_deref(), Some("5433"));
        assert_eq!(variable(&command, "PGSERVICE"), None);
        assert_eq!(variable(&command, "LANG").as_deref(), Some("C"));
        let name = variable(&command, "PGAPPNAME").expect("set");
        assert!(name.starts_with("psql ") && name.ends_with(" interactive"), "{name}");
        assert!(command.get_args().all(|word| !word.to_string_lossy().contains("p4ss")));
        let strict = prepared(&[("PGSSLMODE", "verify-full")]);
        assert_eq!(variable(&strict, "PGSSLMODE").as_deref(), Some("verify-full"));
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_showing_it() {
        for url in ["mysql://u:s3cret@h/d", "s3cret", "postgres:s3cret"] {
            let failure = Target::parse(url).err().expect("refused");
            assert!(!failure.message.contains("s3cret"));
        }
        let target = Target::parse("postgres://u:p@[::1]/d").expect("a URL");
        assert_eq!((target.host.as_str(), target.port), ("::1", 5432));
    }
}
