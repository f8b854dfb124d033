//! addons:upgrade, addons:downgrade: another plan for a database (G25).

use serde_json::json;

use super::addons::{ADDON, resolve};
use super::pg_operations;
use crate::app;
use crate::command::{
    APP, Argument, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::Addon;
use crate::session::Session;
use crate::step::Step;
use crate::wait::{self, Patience};

const PLAN: Argument = Argument {
    name: "PLAN",
    times: Times::Optional,
    means: "such as heroku-postgresql:standard-2; needed unless ADDON is SERVICE:PLAN",
};

const WAIT: Opt = Opt::flag("wait", None, "return when the database has its new plan");

const NOTE: &str = "The data is copied to a server of the new plan while clients go on; then they \
                    wait for some seconds and go on there. The URL stays the same.";

pub(super) const COMMANDS: &[Command] = &[
    command("addons:downgrade", Group::Databases, "Give a database a smaller plan", |s, g| {
        Box::pin(change(s, g))
    })
    .arguments(&[ADDON, PLAN])
    .options(&[APP, REMOTE, WAIT, WAIT_INTERVAL, WAIT_TIMEOUT])
    .note(NOTE)
    .examples(&["howdah addons:downgrade DATABASE heroku-postgresql:standard-0 -a demo"]),
    command("addons:upgrade", Group::Databases, "Give a database a larger plan", |s, g| {
        Box::pin(change(s, g))
    })
    .arguments(&[ADDON, PLAN])
    .options(&[APP, REMOTE, WAIT, WAIT_INTERVAL, WAIT_TIMEOUT])
    .note(NOTE)
    .examples(&["howdah addons:upgrade DATABASE heroku-postgresql:standard-2 -a demo --wait"]),
];

/// The add-on that is meant, and its new plan with the service's name.
fn meant(given: &Given) -> Result<(&str, String), Failure> {
    let typed = given.needed("ADDON")?;
    match (given.value("PLAN"), typed.split_once(':')) {
        (Some(plan), _) if plan.contains(':') => Ok((typed, plan.to_owned())),
        (Some(plan), _) => Ok((typed, format!("{}:{plan}", howdah_model::plan::SERVICE))),
        (None, Some((service, plan))) if !plan.starts_with(':') => Ok((service, typed.to_owned())),
        (None, _) => {
            Err(Failure::usage("Must specify the new PLAN").advise(Hint::ListPlans.plain()))
        }
    }
}

async fn change(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::maybe(session, given)?;
    let (typed, plan) = meant(given)?;
    let old = resolve(session, app.as_deref(), typed).await?;
    let app = old.app.name.as_str();
    let step =
        session.step(&format!("Changing {} on {app} from {} to {plan}", old.name, old.plan.name));
    let body = json!({ "plan": { "name": plan } });
    let changed: Addon =
        session.patch(&["apps", app, "addons", &old.name], body).await.map_err(on_plan)?;
    let message = changed.provision_message.clone().filter(|message| !message.is_empty());
    let addon = match (&message, given.has("wait")) {
        (Some(_), true) => until_changed(session, given, app, &old, &step)
            .await
            .inspect_err(|failure| step.given_up(failure))?,
        (Some(_), false) | (None, _) => changed,
    };
    match message {
        None => step.ended(&format!("it has that plan already ({})", addon.price())),
        Some(message) if addon.plan.name == old.plan.name => {
            step.ended("begun");
            session.say(&message);
            let advice = Hint::WatchOperations.fill(&[("APP", app)]);
            session.say(&format!("To {} `{}`", advice.lead, advice.command));
        }
        Some(_) => session.done_in_release(step, app, &format!("({})", addon.price())).await,
    }
    session.answer("addon", &addon, |_| {})
}

fn on_plan(failure: Failure) -> Failure {
    if failure.message.starts_with("Couldn't find either the add-on") {
        return failure.advise(Hint::ListPlans.plain());
    }
    failure
}

/// Waits until the add-on has another plan than before. A change that was undone is a failure.
async fn until_changed(
    session: &Session,
    given: &Given,
    app: &str,
    old: &Addon,
    step: &Step<'_>,
) -> Result<Addon, Failure> {
    let advice = Hint::ListOperations.fill(&[("APP", app)]);
    let patience = Patience::of(given, advice.clone())?;
    let given_up = |why: String| {
        let message = format!("The plan of {} could not be changed: {why}", old.name);
        Failure::new(Exit::Failed, "not-changed", message).advise(advice.clone())
    };
    wait::until(session, &patience, step, &old.name, || async {
        let now: Addon = session.get(&["apps", app, "addons", &old.name]).await?;
        let change = pg_operations::newest(session, app, &old.id).await?;
        match change {
            Some(change) if change.is("done") && now.plan.name != old.plan.name => Ok(Some(now)),
            Some(change) if change.is("undone") || change.is("needs_operator") => {
                Err(given_up(change.story()))
            }
            Some(_) | None => Ok(None),
        }
    })
    .await
}
