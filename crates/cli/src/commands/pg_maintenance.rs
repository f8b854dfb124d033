//! pg:maintenance, and data:maintenances as it is called today: when servers may be restarted, and
//! what is due for them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::{
    APP, Argument, CONFIRM, Command, DATABASE, Group, Opt, REMOTE, Times, WAIT_INTERVAL,
    WAIT_TIMEOUT, command,
};
use crate::database::{self, Database};
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::resources::App;
use crate::session::Session;
use crate::wait::{self, Patience};
use crate::{app, confirm};

pub(super) const COMMANDS: &[Command] = &[
    command(
        "pg:maintenance",
        Group::Databases,
        "Show what is due for databases' servers",
        |s, g| Box::pin(show(s, g)),
    )
    .aliases(&["pg:maintenance:info", "data:maintenances", "data:maintenances:info"])
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .note(
        "Without a DATABASE all of the app's. A server is restarted when a newer version is there.",
    )
    .examples(&["howdah pg:maintenance -a demo", "howdah pg:maintenance DATABASE -a demo"]),
    command("pg:maintenance:run", Group::Databases, "Do what is due now", |s, g| {
        Box::pin(run(s, g))
    })
    .aliases(&["data:maintenances:run"])
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        CONFIRM,
        Opt::flag("force", Some('f'), "also when the app is not in maintenance mode"),
        Opt::flag("wait", Some('w'), "wait until it is done"),
        WAIT_INTERVAL,
        WAIT_TIMEOUT,
    ])
    .note("Clients are held for as long as the restart takes, mostly a second or two.")
    .examples(&["howdah pg:maintenance:run DATABASE -a demo --force --wait"]),
    command("pg:maintenance:wait", Group::Databases, "Wait until it is done", |s, g| {
        Box::pin(wait(s, g))
    })
    .aliases(&["data:maintenances:wait"])
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, WAIT_INTERVAL, WAIT_TIMEOUT])
    .examples(&["howdah pg:maintenance:wait -a demo"]),
    command("pg:maintenance:window", Group::Databases, "Show or choose when it may be", |s, g| {
        Box::pin(window(s, g))
    })
    .aliases(&["data:maintenances:window", "data:maintenances:window:update"])
    .arguments(&[
        DATABASE,
        Argument { name: "DAY", times: Times::Optional, means: "the day, or `DAY TIME` in quotes" },
        Argument { name: "TIME", times: Times::Optional, means: "in UTC: 13:30, 1:30PM" },
    ])
    .options(&[APP, REMOTE])
    .note("The window is four hours long.")
    .examples(&["howdah pg:maintenance:window DATABASE sunday 13:30 -a demo"]),
    command("pg:maintenance:schedule", Group::Databases, "Put what is due off", |s, g| {
        Box::pin(schedule(s, g))
    })
    .aliases(&["data:maintenances:schedule"])
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("weeks", None, "NUMBER", "by so many weeks; fewer than 0: sooner [default: 2]"),
    ])
    .examples(&["howdah pg:maintenance:schedule DATABASE --weeks 3 -a demo"]),
    command("pg:maintenance:history", Group::Databases, "Show what was done", |s, g| {
        Box::pin(history(s, g))
    })
    .aliases(&["data:maintenances:history"])
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, Opt::value("num", Some('n'), "NUMBER", "how many [default: 5]")])
    .examples(&["howdah pg:maintenance:history -n 10 -a demo"]),
];

/// What is due for the server of a database, or was done last.
#[derive(Debug, Deserialize, Serialize)]
struct Maintenance {
    addon: Addon,
    status: String,
    reason: Option<String>,
    required_by: Option<String>,
    scheduled_for: Option<String>,
    previously_scheduled_for: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    duration_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Addon {
    name: String,
    attachments: Vec<String>,
    window: String,
}

#[derive(Debug, Deserialize)]
struct All {
    maintenances: Vec<Maintenance>,
}

impl Maintenance {
    fn show(&self, page: &mut Page<'_>) {
        let some = |label, value: &Option<String>| value.clone().map(|value| (label, value));
        let status = if self.status == "none" { "nothing is due" } else { &self.status };
        let duration = self.duration_seconds.map(|seconds| ("Took", format!("{seconds} s")));
        page.heading(&self.addon.name);
        let known = [
            some("Reason", &self.reason),
            some("Scheduled for", &self.scheduled_for),
            some("Previously", &self.previously_scheduled_for),
            some("Required by", &self.required_by),
            some("Started", &self.started_at),
            some("Completed", &self.completed_at),
            duration,
        ];
        let first = [("Status", status.to_owned()), ("Window", self.addon.window.clone())];
        page.fields(first.into_iter().chain(known.into_iter().flatten()));
        page.line("");
    }
}

fn of<'a>(database: &'a Database, what: &'a [&'a str]) -> Vec<&'a str> {
    let addon = database.attachment.addon.id.as_str();
    [&["data", "maintenances", "v1", addon], what].concat()
}

async fn look(session: &Session, database: &Database) -> Result<Maintenance, Failure> {
    session.get(&of(database, &[])).await
}

async fn show(session: &Session, given: &Given) -> Result<(), Failure> {
    let all = match given.value("DATABASE") {
        Some(_) => vec![look(session, &database::named(session, given).await?).await?],
        None => {
            let app: App = session.get(&["apps", &app::named(session, given)?]).await?;
            let path = ["data", "maintenances", "v1", "apps", &app.name];
            session.get::<All>(&path).await?.maintenances
        }
    };
    if all.is_empty() {
        session.nothing("The app has no databases of its own.", &Hint::CreateDatabase.plain());
    }
    session.answer("maintenances", &all, |page| all.iter().for_each(|one| one.show(page)))
}

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let owner = &database.attachment.addon.app.name;
    if !given.has("force") {
        let app: App = session.get(&["apps", owner]).await?;
        if !app.maintenance {
            confirm::app(session, given, owner)?;
        }
    }
    let step = session.step(&format!("Restarting the server of {}", database.var()));
    let _: Value = session.post(&of(&database, &["run"]), json!({})).await?;
    if !given.has("wait") {
        step.ended("begun");
        return session.answer("maintenance", &json!({ "begun": true }), |_| {});
    }
    let done = until_done(session, given, &database, &step).await;
    let done = done.inspect_err(|failure| step.given_up(failure))?;
    step.done();
    session.answer("maintenance", &done, |_| {})
}

async fn wait(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let step = session.step(&format!("Waiting for the maintenance of {}", database.var()));
    let done = until_done(session, given, &database, &step).await;
    let done = done.inspect_err(|failure| step.given_up(failure))?;
    step.done();
    session.answer("maintenance", &done, |_| {})
}

async fn until_done(
    session: &Session,
    given: &Given,
    database: &Database,
    step: &crate::step::Step<'_>,
) -> Result<Maintenance, Failure> {
    let var = database.var();
    let advice = Hint::WaitForDatabase.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    let patience = Patience::of(given, advice)?;
    wait::until(session, &patience, step, &format!("The maintenance of {var}"), || async {
        let now = look(session, database).await?;
        Ok((now.status != "running").then_some(now))
    })
    .await
}

async fn window(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let path = of(&database, &["window"]);
    let chosen = match (given.value("DAY"), given.value("TIME")) {
        (None, _) => None,
        (Some(day), Some(time)) => Some((day, time)),
        (Some(both), None) => Some(both.split_once(' ').ok_or_else(|| {
            Failure::usage(format!("`{both}` is not a day and a time, such as `sunday 13:30`"))
        })?),
    };
    let said: Value = match chosen {
        Some((day, time)) => {
            let body = json!({ "day_of_week": day, "time_of_day": time });
            session.post(&path, body).await?
        }
        None => session.get(&path).await?,
    };
    let text = |key: &str| said[key].as_str().map(str::to_owned);
    session.answer("window", &said, |page| {
        let rows = [
            ("Window", text("window")),
            ("Previous window", text("previous_window")),
            ("Scheduled at", text("scheduled_at")),
            ("Previously", text("previously_scheduled_at")),
        ];
        page.fields(rows.into_iter().filter_map(|(label, value)| Some((label, value?))));
    })
}

async fn schedule(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.value("weeks").unwrap_or("2");
    let weeks: i64 = typed
        .parse()
        .map_err(|_| Failure::usage(format!("--weeks takes a number, not `{typed}`")))?;
    let database = database::named(session, given).await?;
    let body = json!({ "delay_weeks": weeks.to_string() });
    let said: Value = session.post(&of(&database, &["schedule"]), body).await?;
    session.answer("schedule", &said, |page| {
        let time = |key: &str| said[key].as_str().unwrap_or("an unknown time").to_owned();
        page.line(&format!(
            "The maintenance of {} was moved from {} to {}.",
            database.attachment.addon.name,
            time("previously_scheduled_for"),
            time("scheduled_for")
        ));
    })
}

async fn history(session: &Session, given: &Given) -> Result<(), Failure> {
    let limit = given.number("num", 5)?.to_string();
    let database = database::named(session, given).await?;
    let path = of(&database, &["history", ""]);
    let All { maintenances: all } = session.get_where(&path, &[("limit", &limit)]).await?;
    if all.is_empty() {
        session.say(&format!("Nothing was ever due for {}.", database.var()));
    }
    session.answer("maintenances", &all, |page| all.iter().for_each(|one| one.show(page)))
}
