//! Apps, looked at: apps, apps:info.

use serde_json::json;

use crate::app;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::resources::{Addon, App, Collaborator, Person};
use crate::session::Session;

/// The app, which may also be given as a word.
pub(super) const APP_WORD: Argument =
    Argument { name: "APP", times: Times::Optional, means: "the app, as with -a" };

pub(super) const COMMANDS: &[Command] = &[
    command("apps", Group::Apps, "List your apps", |s, g| Box::pin(list(s, g)))
        .aliases(&["apps:list", "list"])
        .options(&[Opt::flag(
            "all",
            Some('A'),
            "also those of others that you may use, in one list",
        )])
        .examples(&["howdah apps", "howdah apps --json=name"]),
    command("apps:info", Group::Apps, "Show an app", |s, g| Box::pin(info(s, g)))
        .aliases(&["info"])
        .arguments(&[APP_WORD])
        .options(&[APP, REMOTE])
        .examples(&["howdah apps:info -a demo"]),
];

/// The app named by a word or by `-a`.
pub(super) fn of_word(session: &Session, given: &Given) -> Result<String, Failure> {
    match given.value("APP") {
        Some(app) => Ok(app.to_owned()),
        None => app::named(session, given),
    }
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let (apps, account) =
        tokio::try_join!(session.get::<Vec<App>>(&["apps"]), session.get::<Person>(&["account"]))?;
    if apps.is_empty() {
        session.nothing("You have no apps.", &Hint::CreateApp.plain());
    }
    let (own, others): (Vec<_>, Vec<_>) =
        apps.iter().partition(|app| given.has("all") || app.owner == account);
    session.answer("apps", &apps, |page| {
        if !own.is_empty() {
            page.heading(&format!("{} Apps", account.email));
            own.iter().for_each(|app| page.line(&named_with_region(app)));
        }
        if !own.is_empty() && !others.is_empty() {
            page.line("");
        }
        if !others.is_empty() {
            page.heading("Collaborated Apps");
            let row = |app: &&App| [named_with_region(app), app.owner.email.clone()];
            let rows: Vec<_> = others.iter().map(row).collect();
            page.table(["App", "Owner"], &rows);
        }
    })
}

fn named_with_region(app: &App) -> String {
    match app.region.name.as_str() {
        "us" => app.name.clone(),
        region => format!("{} ({region})", app.name),
    }
}

async fn info(session: &Session, given: &Given) -> Result<(), Failure> {
    let name = of_word(session, given)?;
    let (app, addons, people) = tokio::try_join!(
        session.get::<App>(&["apps", &name]),
        session.get::<Vec<Addon>>(&["apps", &name, "addons"]),
        session.get::<Vec<Collaborator>>(&["apps", &name, "collaborators"]),
    )?;
    let others: Vec<_> = people
        .iter()
        .map(|one| one.user.email.clone())
        .filter(|one| *one != app.owner.email)
        .collect();
    let mut data = serde_json::to_value(&app).unwrap_or_default();
    data["addons"] = json!(addons);
    data["collaborators"] = json!(others);
    session.answer("app", &data, |page| show(page, &app, &addons, &others))
}

fn show(page: &mut Page<'_>, app: &App, addons: &[Addon], others: &[String]) {
    page.heading(&app.name);
    let plans: Vec<_> = addons.iter().map(|addon| addon.plan.name.as_str()).collect();
    let created = page.time(&app.created_at);
    let maintenance = if app.maintenance { "on" } else { "off" };
    let fields = [
        ("Addons", plans.join("\n")),
        ("Collaborators", others.join("\n")),
        ("Created", created),
        ("Git URL", app.git_url.clone()),
        ("Maintenance", maintenance.to_owned()),
        ("Owner", app.owner.email.clone()),
        ("Region", app.region.name.clone()),
        ("Stack", app.stack.name.clone()),
        ("Web URL", app.web_url.clone()),
    ];
    page.fields(fields.into_iter().filter(|(_, value)| !value.is_empty()));
}
