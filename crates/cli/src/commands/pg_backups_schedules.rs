//! pg:backups:schedule: backups that are made every day (E13).

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app;
use crate::command::{APP, Command, DATABASE, Group, Opt, REMOTE, command};
use crate::database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::session::{Ignored, Session};

pub(super) const COMMANDS: &[Command] = &[
    command("pg:backups:schedule", Group::Databases, "Back a database up every day", |s, g| {
        Box::pin(schedule(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("at", None, "TIME", "a full hour and its zone: 'HH:00 America/Los_Angeles'"),
    ])
    .note(
        "A zone has the name of a city, or is one of UTC, GMT, BST, CET, CEST, EST, EDT, CST, CDT, \
         MST, MDT, PST and PDT, which stand for the city's time of the day, in summer and in \
         winter. Scheduled again, the same DATABASE has the new time.",
    )
    .examples(&[
        "howdah pg:backups:schedule -a demo --at '02:00 America/Los_Angeles'",
        "howdah pg:backups:schedule gold -a demo --at '23:00 CET'",
    ]),
    command("pg:backups:schedules", Group::Databases, "List what is backed up when", |s, g| {
        Box::pin(schedules(s, g))
    })
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:backups:schedules -a demo"]),
    command("pg:backups:unschedule", Group::Databases, "Stop daily backups", |s, g| {
        Box::pin(unschedule(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:backups:unschedule DATABASE_URL -a demo"]),
];

/// Abbreviations that people use, as Heroku's CLI reads them.
const ZONES: &[(&str, &str)] = &[
    ("BST", "Europe/London"),
    ("CDT", "America/Chicago"),
    ("CEST", "Europe/Paris"),
    ("CET", "Europe/Paris"),
    ("CST", "America/Chicago"),
    ("EDT", "America/New_York"),
    ("EST", "America/New_York"),
    ("GMT", "Europe/London"),
    ("MDT", "America/Boise"),
    ("MST", "America/Boise"),
    ("PDT", "America/Los_Angeles"),
    ("PST", "America/Los_Angeles"),
    ("Z", "UTC"),
];

/// A backup that is made every day.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Schedule {
    uuid: String,
    name: String,
    hour: u8,
    timezone: String,
}

async fn schedule(session: &Session, given: &Given) -> Result<(), Failure> {
    let at = given.value("at").ok_or_else(|| {
        Failure::usage("--at is missing: --at 'HH:00 TIMEZONE', such as --at '02:00 Europe/Paris'")
    })?;
    let (hour, zone) = time(at)?;
    let database = database::named(session, given).await?;
    let addon = &database.attachment.addon;
    let shown = format!("{hour}:00 {zone}");
    let doing = format!("Scheduling automatic daily backups of {} at {shown}", addon.name);
    let step = session.step(&doing);
    let body = json!({
        "hour": hour.to_string(),
        "timezone": zone,
        "schedule_name": database.attachment.url_var(),
    });
    let path = ["client", "v11", "databases", &addon.id, "transfer-schedules"];
    session.post::<Ignored>(&path, body).await?;
    step.done();
    let data = json!({ "name": database.attachment.url_var(), "hour": hour, "timezone": zone });
    session.answer("schedule", &data, |_| {})
}

/// The hour and the zone of `HH:00 ZONE`.
fn time(at: &str) -> Result<(u8, String), Failure> {
    let wrong = || Failure::usage("Invalid schedule format: expected --at '[HOUR]:00 [TIMEZONE]'");
    let (hour, rest) = at.trim().split_once(':').ok_or_else(wrong)?;
    let zone = rest.strip_prefix("00").ok_or_else(wrong)?;
    let zone = zone.strip_prefix(' ').unwrap_or(zone);
    let is_hour = matches!(hour.len(), 1 | 2) && hour.bytes().all(|byte| byte.is_ascii_digit());
    let hour: u8 = hour.parse().ok().filter(|hour| is_hour && *hour < 24).ok_or_else(wrong)?;
    if zone.contains(char::is_whitespace) || zone.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong());
    }
    let short = ZONES.iter().find(|(short, _)| short.eq_ignore_ascii_case(zone));
    let zone = match short {
        Some((_, zone)) => zone,
        None if zone.is_empty() => "UTC",
        None => zone,
    };
    Ok((hour, zone.to_owned()))
}

/// The schedules of all databases of an app.
async fn all(session: &Session, app: &str) -> Result<Vec<Schedule>, Failure> {
    match database::all(session, app).await?.first() {
        Some(any) => of(session, &any.attachment.addon.id).await,
        None => Ok(Vec::new()),
    }
}

async fn of(session: &Session, addon: &str) -> Result<Vec<Schedule>, Failure> {
    session.get(&["client", "v11", "databases", addon, "transfer-schedules"]).await
}

async fn schedules(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let all = all(session, &app).await?;
    if all.is_empty() {
        let advice = Hint::Schedule.fill(&[("APP", &app), ("TIME", "02:00 UTC")]);
        session.nothing(&format!("No backup schedules found on {app}"), &advice);
        if !session.wants_json() {
            return Ok(());
        }
    }
    session.answer("schedules", &all, |page| {
        page.heading("Backup Schedules");
        for one in &all {
            page.line(&format!("{}: daily at {}:00 {}", one.name, one.hour, one.timezone));
        }
    })
}

async fn unschedule(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let typed = match given.value("DATABASE") {
        Some(typed) => typed.to_owned(),
        None => only(session, &app).await?.name,
    };
    let database = database::by_name(session, given, &typed, None).await?;
    let addon = &database.attachment.addon;
    let all = of(session, &addon.id).await?;
    let names = [typed.clone(), database.attachment.url_var()];
    let exact = |one: &&Schedule| names.iter().any(|name| one.name.eq_ignore_ascii_case(name));
    let same = |one: &&Schedule| database.is_called(&one.name);
    let found = all.iter().find(exact).or_else(|| all.iter().find(same)).ok_or_else(|| {
        let advice = Hint::Schedule.fill(&[("APP", &app), ("TIME", "02:00 UTC")]);
        Failure::not_found(format!("No daily backups found for {}", database.label()))
            .advise(advice)
    })?;
    let step = session.step(&format!("Unscheduling {} daily backups", found.name));
    let path = ["client", "v11", "databases", &addon.id, "transfer-schedules", &found.uuid];
    session.call::<Ignored>(Method::DELETE, &path, None, None).await?;
    step.done();
    session.answer("unscheduled", &found, |_| {})
}

/// The one schedule of an app.
async fn only(session: &Session, app: &str) -> Result<Schedule, Failure> {
    let mut all = all(session, app).await?;
    match (all.pop(), all.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(Failure::not_found(format!("No schedules on {app}"))),
        (Some(last), rest) => {
            let names: Vec<_> = rest.iter().chain([&last]).map(|one| one.name.as_str()).collect();
            let message =
                format!("Specify schedule on {app}. Existing schedules: {}", names.join(", "));
            Err(Failure::new(Exit::Usage, "several-schedules", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e13_a_schedule_has_a_full_hour_and_a_zone() {
        for (at, hour, zone) in [
            ("02:00 America/Los_Angeles", 2, "America/Los_Angeles"),
            ("2:00 PST", 2, "America/Los_Angeles"),
            ("23:00 cet", 23, "Europe/Paris"),
            ("0:00", 0, "UTC"),
            ("00:00 Z", 0, "UTC"),
            ("7:00UTC", 7, "UTC"),
        ] {
            assert_eq!(time(at).ok(), Some((hour, zone.to_owned())), "{at}");
        }
        for at in ["02:30", "24:00", "2", "", "002:00", "+2:00", ":00", "2:000", "2:00 a b", "x:00"]
        {
            let failure = time(at).expect_err(at);
            assert!(failure.message.starts_with("Invalid schedule format"), "{at}");
        }
    }
}
