//! pg:links: databases that read and write each other's tables.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, DATABASE, Group, Opt, REMOTE, THE_DATABASE, Times, command,
};
use crate::confirm;
use crate::database::{self, Database};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::session::{Ignored, Session};

pub(super) const COMMANDS: &[Command] = &[
    command("pg:links", Group::Databases, "List the links of databases", |s, g| {
        Box::pin(list(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .note("Without DATABASE, those of all databases of the app.")
    .examples(&["howdah pg:links -a demo"]),
    command("pg:links:create", Group::Databases, "Link a database to another", |s, g| {
        Box::pin(create(s, g))
    })
    .arguments(&[
        Argument { name: "REMOTE", means: "the database whose tables are to be there", ..ONCE },
        THE_DATABASE,
    ])
    .options(&[
        APP,
        REMOTE,
        Opt::value("as", None, "NAME", "name of the schema [default: after the other database]"),
    ])
    .note(
        "The other's tables of schema `public` come into a schema of the link's name and can be \
         read and written there; columns and tables that are made later do not come by themselves.",
    )
    .examples(&["howdah pg:links:create GOLD DATABASE --as gold -a demo"]),
    command("pg:links:destroy", Group::Databases, "Remove a link", |s, g| Box::pin(destroy(s, g)))
        .arguments(&[THE_DATABASE, Argument { name: "LINK", means: "the link's name", ..ONCE }])
        .options(&[APP, REMOTE, CONFIRM])
        .note("Views and other things that were made of its tables go with it.")
        .examples(&["howdah pg:links:destroy DATABASE gold -a demo --confirm demo"]),
];

const ONCE: Argument = Argument { times: Times::Once, ..DATABASE };

/// A link, as the API has it.
#[derive(Debug, Deserialize, Serialize)]
struct Link {
    name: String,
    created_at: String,
    remote: Other,
}

/// The database that a link leads to.
#[derive(Debug, Deserialize, Serialize)]
struct Other {
    name: String,
    attachment_name: String,
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let databases = match given.value("DATABASE") {
        Some(_) => vec![database::named(session, given).await?],
        None => database::all(session, &app::named(session, given)?).await?,
    };
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for database in &databases {
        for link in links(session, database).await? {
            let label = database.label();
            let remote = format!("{} ({})", link.remote.attachment_name, link.remote.name);
            data.push(json!({ "database": label, "link": link }));
            rows.push([label, link.name, remote, link.created_at]);
        }
    }
    if rows.is_empty() {
        let app = app::named(session, given)?;
        session.nothing("There are no links", &Hint::Link.fill(&[("APP", &app)]));
    }
    session.answer("links", &data, |page| {
        if !rows.is_empty() {
            page.table(["Database", "Link", "Remote", "Created"], &rows);
        }
    })
}

async fn links(session: &Session, database: &Database) -> Result<Vec<Link>, Failure> {
    let addon = &database.attachment.addon.id;
    session.get(&["client", "v11", "databases", addon, "links"]).await
}

async fn create(session: &Session, given: &Given) -> Result<(), Failure> {
    let remote = given.value("REMOTE").unwrap_or_default();
    let database = database::named(session, given).await?;
    let remote = database::by_name(session, given, remote, None).await?;
    let (addon, target) = (&database.attachment.addon, &remote.attachment.addon.name);
    let mut body = json!({ "target": target });
    if let Some(name) = given.value("as") {
        body["as"] = json!(name);
    }
    let step = session.step(&format!("Adding link from {target} to {}", addon.name));
    let made: Link =
        session.post(&["client", "v11", "databases", &addon.id, "links"], body).await?;
    step.done();
    let name = &made.name;
    session.answer("link", &made, |page| page.line(&format!("Schema: {name}")))
}

async fn destroy(session: &Session, given: &Given) -> Result<(), Failure> {
    let link = given.value("LINK").unwrap_or_default();
    let database = database::named(session, given).await?;
    confirm::app(session, given, &database.app)?;
    let addon = &database.attachment.addon;
    let step = session.step(&format!("Removing link {link} from {}", addon.name));
    let path = ["client", "v11", "databases", &addon.id, "links", link];
    session.call::<Ignored>(Method::DELETE, &path, None, None).await?;
    step.done();
    session.answer("removed", &json!({ "database": addon.name, "link": link }), |_| {})
}
