//! pg:credentials: how to connect to a database (D24).

use futures_util::future::try_join_all;
use howdah_model::attachment::{DEFAULT, Namespace};
use serde_json::{Value, json};

use super::{pg_credentials_change, pg_credentials_permissions};
use crate::app;
use crate::command::{APP, Command, DATABASE, Group, Opt, REMOTE, command};
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Attachment, Credential, Login};
use crate::session::Session;

const RESET: Opt =
    Opt::flag("reset", None, "make a new user name and password; the old ones end at once");

pub(super) const COMMANDS: &[Command] = &[
    command("pg:credentials", Group::Databases, "Show or list credentials", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, RESET])
    .note(
        "With DATABASE, the connection info string and URL are printed, password included. \
         Without, the credentials of all databases of the app are listed, without passwords.",
    )
    .examples(&["howdah pg:credentials DATABASE_URL -a demo", "howdah pg:credentials -a demo"]),
    command("pg:credentials:url", Group::Databases, "Show how to connect", |s, g| {
        Box::pin(url(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("name", Some('n'), "NAME", "the credential [default: default]"),
    ])
    .examples(&["howdah pg:credentials:url -a demo"]),
];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    if given.has("reset") {
        return reset(session, given).await;
    }
    if given.value("DATABASE").is_some() {
        return url(session, given).await;
    }
    let app = app::named(session, given)?;
    let databases = database::all(session, &app).await?;
    let of_all = try_join_all(databases.iter().map(|database| of(session, database)));
    let (of_all, attachments) = tokio::try_join!(of_all, database::attachments(session, &app))?;
    if databases.is_empty() {
        session.nothing(
            &format!("{app} has no databases."),
            &Hint::CreateDatabase.fill(&[("APP", &app)]),
        );
    }
    let mut rows = Vec::new();
    for (database, credentials) in databases.iter().zip(&of_all) {
        rows.extend(credentials.iter().map(|one| row(database, one, &attachments)));
    }
    let data: Vec<Value> = rows
        .iter()
        .map(|[database, name, user, state, permission, vars]| {
            json!({ "database": database, "name": name, "user": user, "state": state,
                    "permission": permission, "config_vars": vars })
        })
        .collect();
    session.answer("credentials", &data, |page| {
        if !rows.is_empty() {
            let head = ["Database", "Credential", "User", "State", "Permission", "Config vars"];
            page.table(head, &rows);
        }
    })
}

/// The book names a database; without one it is the app's primary.
async fn reset(session: &Session, given: &Given) -> Result<(), Failure> {
    let named = credential_of(&database::named(session, given).await?.attachment);
    pg_credentials_change::reset(session, given, &named).await
}

async fn of(session: &Session, database: &Database) -> Result<Vec<Credential>, Failure> {
    let addon = &database.attachment.addon.id;
    session.get(&["postgres", "v0", "databases", addon, "credentials"]).await
}

fn row(database: &Database, credential: &Credential, all: &[Attachment]) -> [String; 6] {
    let addon = &database.attachment.addon;
    let fitting =
        |one: &&Attachment| one.addon.id == addon.id && credential_of(one) == credential.name;
    let vars: Vec<_> = all.iter().filter(fitting).map(Attachment::url_var).collect();
    let users: Vec<_> = credential.logins.iter().map(|login| login.user.as_str()).collect();
    [
        addon.name.clone(),
        credential.name.clone(),
        users.join(", "),
        credential.state.clone(),
        pg_credentials_permissions::word(credential).to_owned(),
        vars.join(", "),
    ]
}

/// With which credential an attachment logs in.
fn credential_of(attachment: &Attachment) -> String {
    let namespace = Namespace::parse(attachment.namespace.as_deref());
    namespace.map_or_else(|_| DEFAULT.to_owned(), |namespace| namespace.credential)
}

async fn url(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let named = credential_of(&database.attachment);
    // `pg:credentials DATABASE` takes no name.
    let name = if given.command.name == "pg:credentials:url" { given.value("name") } else { None };
    let name = name.unwrap_or(&named);
    let addon = &database.attachment.addon.name;
    let path = ["postgres", "v0", "databases", addon, "credentials", name];
    let credential: Credential = session.get(&path).await?;
    let login =
        credential.logins.iter().find(|login| login.state == "active").ok_or_else(|| {
            let message = format!("The credential {name} of {addon} is {}", credential.state);
            Failure::new(Exit::Conflict, "not-active", message)
        })?;
    let (info, url) = (info_string(&credential, login), connection_url(&credential, login));
    session.answer("credential", &json!({ "info": info, "url": url }), |page| {
        page.line("Connection info string:");
        page.line(&format!("   \"{info}\""));
        page.line("Connection URL:");
        page.line(&format!("   {url}"));
    })
}

fn info_string(credential: &Credential, login: &Login) -> String {
    format!(
        "dbname={} host={} port={} user={} password={} sslmode=require",
        credential.database,
        credential.host,
        credential.port,
        login.user,
        password(login)
    )
}

fn password(login: &Login) -> &str {
    login.password.as_ref().map_or("", |password| password.reveal())
}

fn connection_url(credential: &Credential, login: &Login) -> String {
    format!(
        "postgres://{}:{}@{}:{}/{}",
        login.user,
        password(login),
        credential.host,
        credential.port,
        credential.database
    )
}
