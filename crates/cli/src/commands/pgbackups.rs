//! pgbackups: the same under the old names, in the words of that time (E5, E10, E14, E18, E19).

use howdah_model::size::Bytes;
use serde_json::json;

use super::pg_backups::{self, ID, THE_ID, VERBOSE};
use super::pg_backups_capture::{self, EXPIRE};
use super::pg_backups_restore::{self, EXTENSIONS, Found};
use super::{pg_backups_download, pg_copy};
use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, DATABASE, Group, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT,
    command,
};
use crate::confirm;
use crate::database::{self, Database};
use crate::failure::Failure;
use crate::follow::Following;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::session::Session;
use crate::transfer::{self, Kind, Transfer};

pub(super) const COMMANDS: &[Command] = &[
    command("pgbackups", Group::Databases, "List backups, in the old form", |s, g| {
        Box::pin(list(s, g))
    })
    .options(&[APP, REMOTE])
    .examples(&["howdah pgbackups -a demo"]),
    command("pgbackups:capture", Group::Databases, "Back a database up", |s, g| {
        Box::pin(capture(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, EXPIRE, VERBOSE, WAIT_INTERVAL, WAIT_TIMEOUT])
    .examples(&["howdah pgbackups:capture gold -a demo --expire"]),
    command(
        "pgbackups:url",
        Group::Databases,
        "Print an address to fetch a backup from",
        |s, g| Box::pin(pg_backups_download::url(s, g)),
    )
    .arguments(&[ID])
    .options(&[APP, REMOTE])
    .examples(&["howdah pgbackups:url b001 -a demo"]),
    command("pgbackups:destroy", Group::Databases, "Delete a backup, unasked", |s, g| {
        Box::pin(destroy(s, g))
    })
    .arguments(&[THE_ID])
    .options(&[APP, REMOTE])
    .examples(&["howdah pgbackups:destroy b001 -a demo"]),
    command(
        "pgbackups:restore",
        Group::Databases,
        "Replace what is in a database by a backup",
        |s, g| Box::pin(restore(s, g)),
    )
    .arguments(&[
        Argument { means: "the database to fill [default: DATABASE_URL]", ..DATABASE },
        Argument {
            name: "BACKUP",
            times: Times::Optional,
            means: "ID, APP::ID, http(s) URL or file; the newest backup when none is said",
        },
    ])
    .options(&[APP, REMOTE, EXTENSIONS, VERBOSE, WAIT_INTERVAL, WAIT_TIMEOUT, CONFIRM])
    .examples(&["howdah pgbackups:restore DATABASE_URL b001 -a demo --confirm demo"]),
    command(
        "pgbackups:transfer",
        Group::Databases,
        "Replace what is in a database by another's data",
        |s, g| Box::pin(pg_copy::copy(s, g)),
    )
    .arguments(pg_copy::ARGUMENTS)
    .options(pg_copy::OPTIONS)
    .examples(&["howdah pgbackups:transfer gold DATABASE_URL -a demo --confirm DATABASE"]),
];

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let mut all = transfer::all(session, &app).await?;
    all.retain(|one| one.kind() == Kind::Backup);
    all.reverse();
    if all.is_empty() {
        let advice = Hint::Capture.fill(&[("APP", &app)]);
        let command = advice.command.replace("pg:backups", "pgbackups");
        session.say(&format!("No backups. Capture one with `{command}`"));
        if !session.wants_json() {
            return Ok(());
        }
    }
    let databases = database::all(session, &app).await?;
    let shown: Vec<_> = all.iter().map(Transfer::shown).collect();
    session.answer("transfers", &shown, |page| {
        let row = |one: &Transfer| {
            [
                one.id(),
                page.time(&one.created_at),
                one.told(|at| format!("@ {}", page.time(at))),
                Bytes(one.processed_bytes).to_string(),
                var_of(&databases, one.from_name.as_deref()),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        dashed(page, ["ID", "Backup Time", "Status", "Size", "Database"], &rows);
    })
}

/// A table with dashes below its header.
fn dashed(page: &mut Page<'_>, header: [&str; 5], rows: &[[String; 5]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(header[column].len())
    };
    let dashes: [String; 5] = std::array::from_fn(|column| "-".repeat(width(column)));
    let mut all = vec![dashes];
    all.extend(rows.iter().cloned());
    page.table(header, &all);
}

/// The config var of the database that a backup was made of, as its app knows it now.
fn var_of(databases: &[Database], name: Option<&str>) -> String {
    let Some(name) = name else { return "UNKNOWN".to_owned() };
    let is_meant = |one: &&Database| one.is_called(name);
    databases.iter().find(is_meant).map_or_else(|| name.to_owned(), Database::var)
}

async fn capture(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let app = &database.attachment.addon.app.name;
    let backup = pg_backups_capture::begin(session, given, &database).await?;
    if !session.wants_json() {
        let line = format!("{}  ----backup---->  {}\n\n", database.label(), backup.id());
        session.screen.out(&line);
    }
    let following = Following { session, given, app, noun: "backup" };
    let storing = |now: &Transfer| now.step.as_deref() == Some("storing");
    let ended = following.in_two_steps(&backup, ["Capturing", "Storing"], storing).await?;
    session.answer("transfer", &ended.shown(), |_| {})
}

async fn destroy(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let id = given.needed("ID")?;
    let found = transfer::named(session, &app, id).await?;
    let step = session.step(&format!("Destroying {id}"));
    pg_backups::remove(session, &app, &found).await?;
    step.done();
    session.answer("deleted", &json!({ "id": id }), |_| {})
}

async fn restore(session: &Session, given: &Given) -> Result<(), Failure> {
    let words = [given.value("DATABASE"), given.value("BACKUP")];
    let (source, typed) = pg_backups_restore::sorted(words, &session.environment.directory)?;
    let typed = typed.unwrap_or("DATABASE_URL");
    let database = database::by_name(session, given, typed, None).await?;
    let found = pg_backups_restore::look_up(session, given, source).await?;
    head(session, &database, &found);
    confirm::app(session, given, &database.app)?;
    let url = pg_backups_restore::given_over(session, &database, &found).await?;
    let begun = pg_backups_restore::begin(session, given, &database, &url).await?;
    let app = &database.attachment.addon.app.name;
    let following = Following { session, given, app, noun: "restore" };
    let retrieved = |now: &Transfer| {
        let early = ["", "waiting", "pending", "fetching"];
        !early.contains(&now.step.as_deref().unwrap_or_default())
    };
    let ended = following.in_two_steps(&begun, ["Retrieving", "Restoring"], retrieved).await?;
    session.answer("transfer", &ended.shown(), |_| {})
}

/// What is about to be done: to what, and of which database, when, and how large the backup is.
fn head(session: &Session, database: &Database, found: &Found) {
    let arrow = format!("{}  <---restore---  ", database.label());
    let mut text = format!("{arrow}{}\n", found.name);
    if let Some(backup) = &found.backup {
        let page = Page::new(&session.screen);
        let from = backup.from_name.clone().unwrap_or_else(|| "UNKNOWN".to_owned());
        let size = Bytes(backup.processed_bytes).to_string();
        for line in [from, page.time(&backup.created_at), size] {
            text.push_str(&format!("{:1$}{line}\n", "", arrow.chars().count()));
        }
    }
    session.screen.err(&format!("{text}\n"));
}
