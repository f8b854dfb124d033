//! pg:info: how databases fare (D1–D7).

use futures_util::future::try_join_all;
use howdah_model::plan::SERVICE;
use reqwest::Url;
use serde::Serialize;

use crate::command::{APP, Command, DATABASE, Group, REMOTE, command};
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::resources::{ConfigVars, DatabaseInfo, InfoRow};
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("pg:info", Group::Databases, "Show how databases fare", |s, g| Box::pin(info(s, g)))
        .aliases(&["pg"])
        .arguments(&[DATABASE])
        .options(&[APP, REMOTE])
        .note("Without DATABASE, all databases of the app are shown.")
        .examples(&["howdah pg:info -a demo", "howdah pg:info gold -a demo"])];

/// A database as `pg:info` shows it.
#[derive(Serialize)]
struct Shown {
    /// The config var, with the mark of the primary.
    label: String,
    addon: String,
    config_var: String,
    /// The lines, in order.
    info: Vec<InfoRow>,
}

async fn info(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.value("DATABASE");
    let (app, _) = database::app_and_name(session, given, typed.unwrap_or_default())?;
    let vars = session.get::<ConfigVars>(&["apps", &app, "config-vars"]);
    let looks = async {
        let databases = match typed {
            Some(_) => vec![database::named(session, given).await?],
            None => database::all(session, &app).await?,
        };
        let infos = try_join_all(databases.iter().map(|database| look(session, database))).await?;
        Ok((databases, infos))
    };
    let (vars, (databases, infos)) = tokio::try_join!(vars, looks)?;
    if databases.is_empty() && !session.wants_json() {
        session.screen.out(&format!("{app} has no {SERVICE} databases.\n"));
        return Ok(());
    }
    let mut shown = Vec::new();
    for (database, info) in databases.iter().zip(infos) {
        match info {
            Some(info) => shown.push(describe(database, info, &vars)),
            None => not_yet(session, database),
        }
    }
    session.answer("databases", &shown, |page| shown.iter().for_each(|one| show(page, one)))
}

/// What the platform knows of a database; `None` while it is being made.
async fn look(session: &Session, database: &Database) -> Result<Option<DatabaseInfo>, Failure> {
    let path = ["client", "v11", "databases", &database.attachment.addon.id];
    match session.get(&path).await {
        Ok(info) => Ok(Some(info)),
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn not_yet(session: &Session, database: &Database) {
    let names = [("DATABASE", database.var()), ("APP", database.app.clone())];
    let advice =
        Hint::WaitForDatabase.fill(&[(names[0].0, &names[0].1), (names[1].0, &names[1].1)]);
    session.say(&format!(
        " !    {} is not yet provisioned; {} `{}`",
        database.label(),
        advice.lead,
        advice.command
    ));
}

fn describe(database: &Database, info: DatabaseInfo, vars: &ConfigVars) -> Shown {
    let addon = &database.attachment.addon;
    let mut rows: Vec<_> = info
        .info
        .into_iter()
        .filter(|row| !row.values.is_empty())
        .map(|row| named(row, vars))
        .collect();
    let row = |name: &str, value: &str| InfoRow {
        name: name.to_owned(),
        values: vec![value.to_owned()],
        resolve_db_name: false,
    };
    if addon.app.name != database.app {
        rows.push(row("Billing App", &addon.app.name));
    }
    rows.push(row("Add-on", &addon.name));
    Shown {
        label: database.label(),
        addon: addon.name.clone(),
        config_var: database.attachment.url_var(),
        info: rows,
    }
}

/// Puts names in the place of URLs: a row may hold the URLs of other databases, passwords included.
fn named(row: InfoRow, vars: &ConfigVars) -> InfoRow {
    if !row.resolve_db_name {
        return row;
    }
    let values = row.values.iter().map(|url| name_of(url, vars)).collect();
    InfoRow { values, resolve_db_name: false, ..row }
}

/// The config var (without `_URL`) with a database's URL, or where it is (D5).
pub(super) fn name_of(url: &str, vars: &ConfigVars) -> String {
    let Some(place) = place(url) else { return "another database".to_owned() };
    let same =
        vars.iter().filter(|(_, value)| self::place(value).is_some_and(|other| other == place));
    // The colour rather than DATABASE_URL.
    let mut names: Vec<_> = same.map(|(name, _)| name.trim_end_matches("_URL")).collect();
    names.sort_by_key(|name| *name == howdah_model::name::PRIMARY);
    names.first().map_or_else(|| format!("Database on {place}"), |name| (*name).to_owned())
}

/// `HOST:PORT/DATABASE` of a connection URL.
fn place(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "postgres")?;
    Some(format!("{}:{}{}", url.host_str()?, url.port().unwrap_or(5432), url.path()))
}

fn show(page: &mut Page<'_>, shown: &Shown) {
    page.line(&format!("=== {}", shown.label));
    page.fields(shown.info.iter().map(|row| (row.name.as_str(), row.values.join(", "))));
    page.line("");
}
