//! pg:backups: what backups, restores and copies there are, one of them with its log, and breaking
//! them off or deleting them (E14, E18, E29, E30).

use howdah_model::size::Bytes;
use reqwest::Method;
use serde_json::json;

use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT,
    command,
};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Following;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::session::{Ignored, Session};
use crate::transfer::{self, Kind, Log, Status, Transfer};

/// `-v`: the log while one waits.
pub(super) const VERBOSE: Opt = Opt::flag("verbose", Some('v'), "show the log while it goes on");

/// The ID of a transfer.
pub(super) const ID: Argument = Argument {
    name: "ID",
    times: Times::Optional,
    means: "such as b001; the newest when none is said",
};
/// An ID that must be given.
pub(super) const THE_ID: Argument = Argument { times: Times::Once, means: "such as b001", ..ID };

/// Restores and copies that are listed.
const MOST_OTHERS: usize = 10;

pub(super) const COMMANDS: &[Command] = &[
    command("pg:backups", Group::Databases, "List backups, restores and copies", |s, g| {
        Box::pin(list(s, g))
    })
    .aliases(&["pg:backups:list"])
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:backups -a demo", "howdah pg:backups -a demo --json=id,status"]),
    command("pg:backups:info", Group::Databases, "Show a backup with its log", |s, g| {
        Box::pin(info(s, g))
    })
    .arguments(&[ID])
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:backups:info b001 -a demo"]),
    command("pg:backups:wait", Group::Databases, "Watch a backup, restore or copy", |s, g| {
        Box::pin(wait(s, g))
    })
    .arguments(&[ID])
    .options(&[APP, REMOTE, VERBOSE, WAIT_INTERVAL, WAIT_TIMEOUT])
    .examples(&["howdah pg:backups:wait b001 -a demo"]),
    command(
        "pg:backups:cancel",
        Group::Databases,
        "Break off a backup, restore or copy",
        |s, g| Box::pin(cancel(s, g)),
    )
    .arguments(&[ID])
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:backups:cancel -a demo"]),
    command("pg:backups:delete", Group::Databases, "Delete a backup", |s, g| {
        Box::pin(delete(s, g))
    })
    .arguments(&[THE_ID])
    .options(&[APP, REMOTE, CONFIRM])
    .examples(&["howdah pg:backups:delete b001 -a demo --confirm demo"]),
];

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let all = transfer::all(session, &app).await?;
    let shown: Vec<_> = all.iter().map(Transfer::shown).collect();
    session.answer("transfers", &shown, |page| {
        let of = |kind| all.iter().filter(move |one: &&Transfer| one.kind() == kind);
        page.heading("Backups");
        backups(page, &of(Kind::Backup).collect::<Vec<_>>(), &app);
        page.line("");
        page.heading("Restores");
        others(page, &of(Kind::Restore).take(MOST_OTHERS).collect::<Vec<_>>(), Kind::Restore);
        page.line("");
        page.heading("Copies");
        others(page, &of(Kind::Copy).take(MOST_OTHERS).collect::<Vec<_>>(), Kind::Copy);
    })
}

fn backups(page: &mut Page<'_>, backups: &[&Transfer], app: &str) {
    if backups.is_empty() {
        let advice = Hint::Capture.fill(&[("APP", app)]);
        return page.line(&format!("No backups. Capture one with `{}`", advice.command));
    }
    let rows: Vec<_> = backups.iter().map(|one| row(page, one, one.from_name.as_ref())).collect();
    page.table(["ID", "Created at", "Status", "Size", "Database"], &rows);
}

fn others(page: &mut Page<'_>, transfers: &[&Transfer], kind: Kind) {
    match (transfers, kind) {
        ([], Kind::Copy) => {
            page.line("No copies found. Use `howdah pg:copy` to copy a database to another");
        }
        ([], Kind::Backup | Kind::Restore) => {
            page.line("No restores found. Use `howdah pg:backups:restore` to restore a backup");
        }
        (all, Kind::Copy) => {
            let rows: Vec<_> = all
                .iter()
                .map(|one| {
                    let [id, at, status, size, from] = row(page, one, one.from_name.as_ref());
                    [id, at, status, size, from, known(one.to_name.as_ref())]
                })
                .collect();
            page.table(["ID", "Started at", "Status", "Size", "From", "To"], &rows);
        }
        (all, Kind::Backup | Kind::Restore) => {
            let rows: Vec<_> = all.iter().map(|one| row(page, one, one.to_name.as_ref())).collect();
            page.table(["ID", "Started at", "Status", "Size", "Database"], &rows);
        }
    }
}

fn row(page: &Page<'_>, one: &Transfer, database: Option<&String>) -> [String; 5] {
    let status = one.told(|at| page.time(at));
    let size = Bytes(one.processed_bytes).to_string();
    [one.id(), page.time(&one.created_at), status, size, known(database)]
}

fn known(name: Option<&String>) -> String {
    name.cloned().unwrap_or_else(|| "UNKNOWN".to_owned())
}

async fn info(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let found = match given.value("ID") {
        Some(id) => transfer::named(session, &app, id).await?,
        None => {
            let newest = newest(session, &app, |one| one.kind() == Kind::Backup).await?;
            transfer::one(session, &app, &newest.uuid, Log::With).await?
        }
    };
    session.answer("transfer", &found.shown(), |page| describe(page, &found))
}

fn describe(page: &mut Page<'_>, one: &Transfer) {
    let (noun, sized) = match one.kind() {
        Kind::Backup => ("Backup", "Backup Size"),
        Kind::Restore => ("Restore", "Size"),
        Kind::Copy => ("Copy", "Size"),
    };
    page.heading(&format!("{noun} {}", one.id()));
    let at = |moment: &Option<String>| moment.as_ref().map(|moment| page.time(moment));
    let mut fields = vec![("Database", known(one.from_name.as_ref()))];
    if one.kind() != Kind::Backup {
        fields = vec![("From", known(one.from_name.as_ref())), ("To", known(one.to_name.as_ref()))];
    }
    fields.extend(at(&one.started_at).map(|at| ("Started at", at)));
    fields.extend(at(&one.finished_at).map(|at| ("Finished at", at)));
    let status = match one.status() {
        Status::Completed => one.told(|_| String::new()).trim_end().to_owned(),
        status => format!("{status:?}"),
    };
    fields.push(("Status", status));
    if one.kind() == Kind::Backup {
        let scheduled = one.id().starts_with('a');
        fields.push(("Type", if scheduled { "Scheduled" } else { "Manual" }.to_owned()));
        fields.push(("Original DB Size", Bytes(one.source_bytes).to_string()));
    }
    fields.push((sized, format!("{}{}", Bytes(one.processed_bytes), compression(one))));
    page.fields(fields);
    page.line("");
    page.heading(&format!("{noun} Logs"));
    for line in one.logs.as_deref().unwrap_or_default() {
        page.line(&format!("{} {}", page.time(&line.created_at), line.message));
    }
}

fn compression(one: &Transfer) -> String {
    if one.kind() != Kind::Backup || one.finished_at.is_none() || one.source_bytes == 0 {
        return String::new();
    }
    let saved = one.source_bytes.saturating_sub(one.processed_bytes);
    let saved = if one.processed_bytes == 0 { 0 } else { saved };
    format!(" ({}% compression)", (saved * 100 + one.source_bytes / 2) / one.source_bytes)
}

/// The newest transfer of an app that fits; of these, what is not there is told as a backup.
pub(super) async fn newest(
    session: &Session,
    app: &str,
    fits: impl Fn(&Transfer) -> bool,
) -> Result<Transfer, Failure> {
    let all = transfer::all(session, app).await?;
    all.into_iter().find(|one| fits(one)).ok_or_else(|| {
        Failure::not_found(format!("No backups on {app}"))
            .advise(Hint::Capture.fill(&[("APP", app)]))
    })
}

async fn wait(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let found = match given.value("ID") {
        Some(id) => transfer::named(session, &app, id).await?,
        None => unfinished(session, &app).await?,
    };
    let noun = match found.kind() {
        Kind::Backup => "backup",
        Kind::Restore => "restore",
        Kind::Copy => "copy",
    };
    let following = Following { session, given, app: &app, noun };
    let ended = following.to_the_end(&found, &format!("Waiting for {noun} {}", found.id())).await?;
    session.answer("transfer", &ended.shown(), |_| {})
}

/// The newest transfer that goes on.
async fn unfinished(session: &Session, app: &str) -> Result<Transfer, Failure> {
    let all = transfer::all(session, app).await?;
    all.into_iter().find(|one| one.finished_at.is_none()).ok_or_else(|| {
        let advice = Hint::ListBackups.fill(&[("APP", app)]);
        Failure::not_found(format!("No active backups or transfers on {app}")).advise(advice)
    })
}

async fn cancel(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let found = match given.value("ID") {
        Some(id) => transfer::named(session, &app, id).await?,
        None => unfinished(session, &app).await?,
    };
    let id = found.id();
    if found.finished_at.is_some() {
        let message = format!("{id} has ended already: {}", found.told(str::to_owned));
        return Err(Failure::new(Exit::Conflict, "ended", message));
    }
    let step = session.step(&format!("Cancelling {id}"));
    let path = ["client", "v11", "apps", &app, "transfers", &found.uuid, "actions", "cancel"];
    session.post::<Ignored>(&path, json!({})).await?;
    step.done();
    session.answer("canceled", &json!({ "id": id }), |_| {})
}

async fn delete(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let id = given.needed("ID")?;
    let found = transfer::named(session, &app, id).await?;
    confirm::app(session, given, &app)?;
    let step = session.step(&format!("Deleting backup {id} on {app}"));
    remove(session, &app, &found).await?;
    step.done();
    session.answer("deleted", &json!({ "id": id }), |_| {})
}

/// Deletes a backup.
pub(super) async fn remove(
    session: &Session,
    app: &str,
    transfer: &Transfer,
) -> Result<(), Failure> {
    let number = transfer.num.to_string();
    let path = ["client", "v11", "apps", app, "transfers", &number];
    session.call::<Ignored>(Method::DELETE, &path, None, None).await.map(|_| ())
}
