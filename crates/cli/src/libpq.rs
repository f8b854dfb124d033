//! Where a PostgreSQL database is and who may enter, as libpq's environment: passwords are in no
//! list of processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Url;

use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::prompt;
use crate::session::Session;

/// Variables that would lead elsewhere than a URL says.
const MISLEADING: &[&str] =
    &["PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGREQUIREAUTH", "PGSSLNEGOTIATION"];

/// What a URL's query may say, with its variable.
const PARAMETERS: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("gssencmode", "PGGSSENCMODE"),
    ("host", "PGHOST"),
    ("options", "PGOPTIONS"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("user", "PGUSER"),
];

/// How long to try to connect, in seconds, where nobody says another time.
const CONNECT_TIMEOUT: &str = "15";

/// A place where a database is, or will be.
#[derive(Clone)]
pub(crate) struct Place {
    /// What people call it; without a password.
    pub(crate) label: String,
    variables: BTreeMap<String, String>,
    /// Whether only its name was given.
    by_name: bool,
}

impl Place {
    /// The database of this name where libpq's variables lead, or where a URL does.
    pub(crate) fn of(environment: &Environment, typed: &str) -> Result<Self, Failure> {
        if typed.contains("://") {
            return Self::of_url(environment, typed);
        }
        let mut variables = own(environment);
        variables.insert("PGDATABASE".to_owned(), typed.to_owned());
        Ok(Self { label: typed.to_owned(), variables, by_name: true })
    }

    /// The database that a URL names. What the URL leaves out is as libpq's variables say.
    pub(crate) fn of_url(environment: &Environment, text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let form = "postgres://user:password@host:port/name";
            Failure::usage(format!("The URL of a database is not of the form {form}: {why}"))
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("it begins with another word"));
        }
        let mut variables = own(environment);
        for name in MISLEADING {
            variables.remove(*name);
        }
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                variables.insert(name.to_owned(), value);
            }
        };
        set("PGHOST", host.map(|host| decoded(&host)));
        set("PGPORT", url.port().map(|port| port.to_string()));
        set("PGUSER", Some(decoded(url.username())));
        set("PGPASSWORD", url.password().map(decoded));
        set("PGDATABASE", Some(decoded(url.path().trim_start_matches('/'))));
        for (name, value) in url.query_pairs() {
            let known = PARAMETERS.iter().find(|(parameter, _)| *parameter == name);
            let (_, variable) =
                known.ok_or_else(|| wrong(&format!("`{name}` is not understood")))?;
            set(variable, Some(value.into_owned()));
        }
        let mut place = Self { label: String::new(), variables, by_name: false };
        place.label = format!("database {} on {}", place.database(), place.server());
        Ok(place)
    }

    /// A database of the platform: TLS always; what the person asks for may be stricter.
    pub(crate) fn ours(
        environment: &Environment,
        url: &str,
        label: String,
    ) -> Result<Self, Failure> {
        let mut place = Self { label, ..Self::of_url(environment, url)? };
        let strict = environment.get("PGSSLMODE").filter(|mode| mode.starts_with("verify-"));
        place.variables.insert("PGSSLMODE".to_owned(), strict.unwrap_or("require").to_owned());
        place.variables.remove("PGPASSFILE");
        Ok(place)
    }

    /// The URL of it, with its password, for the platform.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        let value = |name: &str| self.variables.get(name).map_or("", String::as_str);
        let wrong = |why: &str| Failure::usage(format!("{} has no URL: {why}", self.label));
        let host = value("PGHOST");
        if host.is_empty() || host.starts_with('/') {
            return Err(wrong("a host is needed that the platform reaches too"));
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut url =
            Url::parse(&format!("postgres://{host}")).map_err(|error| wrong(&error.to_string()))?;
        let set = url
            .set_port(Some(value("PGPORT").parse().unwrap_or(5432)))
            .and_then(|()| url.set_username(value("PGUSER")))
            .and_then(|()| url.set_password(Some(value("PGPASSWORD"))));
        set.map_err(|()| wrong("its host has no user or port"))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push(self.database());
        }
        if !value("PGSSLMODE").is_empty() {
            url.query_pairs_mut().append_pair("sslmode", value("PGSSLMODE"));
        }
        Ok(url.to_string())
    }

    /// The same server, another database.
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let mut place = self.clone();
        place.variables.insert("PGDATABASE".to_owned(), name.to_owned());
        place
    }

    /// The same, under another name for people.
    pub(crate) fn called(self, label: &str) -> Self {
        Self { label: label.to_owned(), ..self }
    }

    /// The same; what commits there does not wait for the disk. Many small commits are faster so,
    /// and whoever makes them has to flush in the end.
    pub(crate) fn without_waiting_for_the_disk(mut self) -> Self {
        let options = self.variables.entry("PGOPTIONS".to_owned()).or_default();
        options.push_str(" -c synchronous_commit=off");
        self
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> &str {
        let name = self.variables.get("PGDATABASE").or_else(|| self.variables.get("PGUSER"));
        name.map_or("", String::as_str)
    }

    /// The server, as `host:port`.
    pub(crate) fn server(&self) -> String {
        let host = self.variables.get("PGHOST").map_or("localhost", String::as_str);
        let port = self.variables.get("PGPORT").map_or("5432", String::as_str);
        format!("{host}:{port}")
    }

    /// Whether it is on the person's own server, where a database that is missing can be made.
    pub(crate) fn is_local(&self) -> bool {
        let host = self.variables.get("PGHOST").map(String::as_str);
        self.by_name || host.is_none_or(|host| host == "localhost" || host.starts_with('/'))
    }

    /// Enters with this password from now on.
    fn enter_with(&mut self, password: &str) {
        self.variables.insert("PGPASSWORD".to_owned(), password.to_owned());
    }

    /// A program with the environment that leads it here.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.variables).stdin(Stdio::null());
        for (name, value) in [("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT), ("PGAPPNAME", "howdah")] {
            if !self.variables.contains_key(name) {
                command.env(name, value);
            }
        }
        // Numbers and messages are read by us.
        command.env("LC_MESSAGES", "C").env("PGCLIENTENCODING", "UTF8");
        command
    }

    /// The connection string that names only the database.
    pub(crate) fn only_database(&self) -> String {
        let name = self.database().replace('\\', r"\\").replace('\'', r"\'");
        format!("dbname='{name}'")
    }

    /// Runs SQL in psql, one row in a line, columns divided by tabs.
    pub(crate) async fn ask(&self, session: &Session, sql: &str) -> Result<String, Failure> {
        self.try_ask(session, sql).await.map_err(|said| {
            let message = format!("{}: {}", self.label, said.trim());
            Failure::new(Exit::Failed, "psql-failed", message)
        })
    }

    /// The same; what psql says of what went wrong is the error.
    async fn try_ask(&self, session: &Session, sql: &str) -> Result<String, String> {
        let Some(psql) = session.environment.program("psql") else {
            return Err("The local psql command could not be located.".to_owned());
        };
        let mut command = self.command(&psql);
        command.args(["-X", "-w", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]);
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let started = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = started.map_err(|error| format!("psql could not be run: {error}"))?;
        let mut stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin.take() {
                // psql may end before it has read everything; what it says then tells why.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, sql.as_bytes()).await;
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(|error| format!("psql could not be run: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).replace("psql:<stdin>:", "line "))
    }

    /// Makes sure that we can enter, asking for a password where one is needed and somebody is
    /// there (D13).
    pub(crate) async fn entered(mut self, session: &Session) -> Result<Self, Failure> {
        let Err(said) = self.try_ask(session, "select 1").await else { return Ok(self) };
        if !said.contains("no password supplied") {
            let message = format!("{}: {}", self.label, said.trim());
            return Err(Failure::new(Exit::Failed, "psql-failed", message));
        }
        if !session.may_ask {
            let message = format!(
                "{} wants a password, and there is nobody to ask: set PGPASSWORD",
                self.label
            );
            return Err(Failure::new(Exit::Forbidden, "password-wanted", message));
        }
        let password = prompt::hidden(session, &format!("Password for {}: ", self.label))?;
        self.enter_with(password.reveal());
        self.ask(session, "select 1").await?;
        Ok(self)
    }

    /// The major version of the server.
    pub(crate) async fn major(&self, session: &Session) -> Result<u32, Failure> {
        let said = self.ask(session, "select current_setting('server_version_num')").await?;
        let number: u32 = said.trim().parse().map_err(|_| {
            let message = format!("{} does not say its version", self.label);
            Failure::new(Exit::Failed, "psql-failed", message)
        })?;
        Ok(number / 10_000)
    }
}

fn own(environment: &Environment) -> BTreeMap<String, String> {
    environment.all().clone()
}

/// Text of a URL without its per cent signs.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(byte) = bytes.get(place) {
        let hex = text.get(place + 1..place + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                place += 3;
            }
            (byte, _) => {
                out.push(*byte);
                place += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables, PathBuf::from("/"))
    }

    fn variable(place: &Place, name: &str) -> Option<String> {
        let command = place.command(Path::new("psql"));
        let found = command.get_envs().find(|(key, _)| *key == name)?.1?;
        Some(found.to_string_lossy().into_owned())
    }

    #[test]
    fn d13_what_a_url_says_wins_over_the_environment_and_the_rest_comes_from_there() {
        let around = environment(&[
            ("PGUSER", "me"),
            ("PGPASSWORD", "mine"),
            ("PGPORT", "5555"),
            ("PGHOSTADDR", "10.0.0.1"),
        ]);
        let url = "postgresql://us%40er:p%2Fw%20d@[::1]:6000/my%20db?sslmode=verify-full";
        let place = Place::of_url(&around, url).expect("a URL");
        let all = ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"];
        let all = all.map(|name| variable(&place, name).unwrap_or_default());
        assert_eq!(all, ["::1", "6000", "us@er", "p/w d", "my db", "verify-full"]);
        assert_eq!(variable(&place, "PGHOSTADDR"), None);
        assert_eq!(place.label, "database my db on ::1:6000");
        let place = Place::of_url(&around, "postgres:///x?host=/run/postgresql").expect("a URL");
        assert_eq!(variable(&place, "PGUSER").as_deref(), Some("me"));
        assert!(place.is_local() && place.server() == "/run/postgresql:5555");
        let place = Place::of(&around, "mydb").expect("a name");
        assert_eq!(variable(&place, "PGPASSWORD").as_deref(), Some("mine"));
        assert!(place.is_local() && place.only_database() == "dbname='mydb'");
        assert_eq!(place.with_database(r"a'b\c").only_database(), r"dbname='a\'b\\c'");
    }

    #[test]
    fn d10_a_database_of_ours_is_entered_with_tls_always() {
        let mode = |asked| {
            let around = environment(&[("PGSSLMODE", asked)]);
            let place = Place::ours(&around, "postgres://u:p@h:1/d?sslmode=disable", "X".into());
            variable(&place.expect("a URL"), "PGSSLMODE").unwrap_or_default()
        };
        assert_eq!(["disable", "verify-ca"].map(mode), ["require", "verify-ca"]);
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_showing_it() {
        for url in ["mysql://u:s3cret@h/d", "postgres://u:s3cret@h/d?nonsense=1", "://s3cret"] {
            let failure = Place::of_url(&environment(&[]), url).err().expect("refused");
            assert!(!failure.message.contains("s3cret"), "{}", failure.message);
        }
    }
}
