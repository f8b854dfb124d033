//! Releases: every change of an app, numbered (B9).

use serde_json::json;

use crate::app;
use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{ConfigVars, Release};
use crate::session::Session;
use crate::shell;

const RELEASE: Argument = Argument {
    name: "RELEASE",
    times: Times::Optional,
    means: "its number, such as v12 [default: the newest]",
};

pub(super) const COMMANDS: &[Command] = &[
    command("releases", Group::Apps, "List the releases of an app", |s, g| Box::pin(list(s, g)))
        .options(&[APP, REMOTE, Opt::value("num", Some('n'), "N", "how many [default: 15]")])
        .examples(&["howdah releases -a demo", "howdah releases -n 50 -a demo"]),
    command("releases:info", Group::Apps, "Show a release with its config vars", |s, g| {
        Box::pin(info(s, g))
    })
    .arguments(&[RELEASE])
    .options(&[
        APP,
        REMOTE,
        Opt::flag("shell", Some('s'), "print NAME=value lines that a shell reads"),
    ])
    .examples(&["howdah releases:info v12 -a demo"]),
    command("rollback", Group::Apps, "Go back to an earlier release", |s, g| {
        Box::pin(rollback(s, g))
    })
    .aliases(&["releases:rollback"])
    .arguments(&[Argument { means: "its number [default: the one before]", ..RELEASE }])
    .options(&[APP, REMOTE])
    .note("Config vars go back; databases and their contents stay as they are.")
    .examples(&["howdah rollback v12 -a demo"]),
];

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let releases = session.releases(&app, given.number("num", 15)?).await?;
    session.answer("releases", &releases, |page| {
        let current = releases.iter().find(|release| release.current);
        let current = current.map(|release| format!(" - Current: v{}", release.version));
        page.heading(&format!("{app} Releases{}", current.unwrap_or_default()));
        let row = |release: &Release| {
            [
                format!("v{}", release.version),
                release.description.clone(),
                by(release),
                page.time(&release.created_at),
            ]
        };
        let rows: Vec<_> = releases.iter().map(row).collect();
        page.table(["Release", "Change", "By", "When"], &rows);
    })
}

fn by(release: &Release) -> String {
    release.user.as_ref().map_or_else(|| "howdah".to_owned(), |user| user.email.clone())
}

async fn find(session: &Session, app: &str, given: &Given) -> Result<Option<Release>, Failure> {
    let Some(typed) = given.value("RELEASE") else { return Ok(None) };
    let number = typed.strip_prefix('v').unwrap_or(typed);
    session.get(&["apps", app, "releases", number]).await.map(Some)
}

async fn info(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let release = match find(session, &app, given).await? {
        Some(release) => Some(release),
        None => session.releases(&app, 1).await?.into_iter().next(),
    };
    let release = release.ok_or_else(|| Failure::not_found(format!("{app} has no releases.")))?;
    let number = release.version.to_string();
    let vars: ConfigVars = session.get(&["apps", &app, "releases", &number, "config-vars"]).await?;
    let mut data = serde_json::to_value(&release).unwrap_or_default();
    data["config_vars"] = json!(vars);
    session.answer("release", &data, |page| {
        if given.has("shell") {
            vars.iter()
                .for_each(|(name, value)| page.line(&format!("{name}={}", shell::word(value))));
            return;
        }
        page.heading(&format!("Release v{number}"));
        let when = page.time(&release.created_at);
        let fields = [
            ("Add-ons", release.addon_plan_names.join("\n")),
            ("By", by(&release)),
            ("Change", release.description.clone()),
            ("Status", release.status.clone()),
            ("When", when),
        ];
        page.fields(fields.into_iter().filter(|(_, value)| !value.is_empty()));
        page.line("");
        page.heading(&format!("v{number} Config Vars"));
        page.fields(vars.iter().map(|(name, value)| (name.as_str(), value.clone())));
    })
}

async fn rollback(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let (newest, asked) = tokio::try_join!(session.releases(&app, 10), find(session, &app, given))?;
    let before = || newest.iter().filter(|release| release.eligible_for_rollback).nth(1).cloned();
    let advice = Hint::ListReleases.fill(&[("APP", &app)]);
    let target = asked.or_else(before).ok_or_else(|| {
        let message = format!("{app} has no earlier release to go back to");
        Failure::new(Exit::Conflict, "no-release", message).advise(advice)
    })?;
    let step = session.step(&format!("Rolling back {app} to v{}", target.version));
    let made: Release =
        session.post(&["apps", &app, "releases"], json!({ "release": target.id })).await?;
    step.done_with(&format!("v{}", made.version));
    if let Some(last) = newest.first() {
        let names = [("RELEASE", format!("v{}", last.version))];
        let advice = Hint::RollBack.fill(&[(names[0].0, &names[0].1), ("APP", &app)]);
        session.say(&format!(
            "Config vars went back, add-ons did not; {} `{}`",
            advice.lead, advice.command
        ));
    }
    session.answer("release", &made, |_| {})
}
