//! addons:create: a new database (C1–C4), empty or with another's data.

use serde_json::{Map, Value, json};

use super::{addons_wait, copies};
use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT,
    command,
};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Addon, AddonState};
use crate::session::Session;
use crate::step::Step;

pub(super) const COMMANDS: &[Command] = &[command(
    "addons:create",
    Group::Databases,
    "Make a database",
    |s, g| Box::pin(create(s, g)),
)
.aliases(&["addons:add"])
.arguments(&[Argument {
    name: "SERVICE:PLAN",
    times: Times::Once,
    means: "such as heroku-postgresql:standard-0; without a plan, the smallest",
}])
.options(&[
    APP,
    REMOTE,
    Opt::value("as", None, "NAME", "name of the attachment [default: DATABASE or a colour]"),
    Opt::value("name", None, "NAME", "name of the add-on [default: one is invented]"),
    Opt::value("version", None, "N", "major version of PostgreSQL"),
    copies::FORK,
    copies::FAST,
    copies::FOLLOW,
    copies::ROLLBACK,
    copies::TO,
    copies::BY,
    Opt::flag("wait", None, "return when it can be used"),
    WAIT_INTERVAL,
    WAIT_TIMEOUT,
    CONFIRM,
])
.passing_unknown_options_on()
.note(
    "Options that are not listed go to the add-on's provider, with `--` before them or not. \
     DATABASE is an attachment, config var, colour, add-on, APP::NAME or URL; its plan is used \
     when none is said. A time without a zone is in UTC.",
)
.examples(&[
    "howdah addons:create heroku-postgresql:standard-0 -a demo",
    "howdah addons:create heroku-postgresql:hobby-dev --as REPORTS -a demo --wait",
    "howdah addons:create heroku-postgresql:standard-0 --fork DATABASE_URL -a demo",
    "howdah addons:create heroku-postgresql:standard-2 --follow RED -a demo",
    "howdah addons:create heroku-postgresql --rollback RED --by '1 hour' -a demo",
    "howdah addons:create heroku-postgresql:standard-0 -a demo -- --version 15",
])];

async fn create(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let plan = given.needed("SERVICE:PLAN")?;
    let config = config(given);
    copies::check(&config)?;
    if given.value("confirm").is_some() {
        confirm::app(session, given, &app)?;
    }
    let is_empty = copies::is_empty(&config);
    let body = body(given, plan, config);
    let step = session.step(&format!("Adding {plan} on {app}"));
    let made = post(session, &app, body.clone()).await;
    let (step, addon) = match made {
        Err(failure) if failure.exit == Exit::Unconfirmed => {
            confirmed(session, given, &app, plan, step, failure, body).await?
        }
        made => (step, made.map_err(on_plan)?),
    };
    told(session, given, &app, step, addon, is_empty).await
}

/// Ends the step that has made an add-on, after waiting for it if that is wanted, and tells what
/// there is to know of it.
pub(super) async fn told(
    session: &Session,
    given: &Given,
    app: &str,
    step: Step<'_>,
    addon: Addon,
    is_empty: bool,
) -> Result<(), Failure> {
    if addon.state == AddonState::Deprovisioned {
        let message = format!("{} could not be made", addon.name);
        let advice = Hint::ListOperations.fill(&[("APP", app)]);
        return Err(Failure::new(Exit::Failed, "not-made", message).advise(advice));
    }
    let addon = if given.has("wait") {
        addons_wait::until_settled(session, given, app, addon, &step)
            .await
            .inspect_err(|failure| step.given_up(failure))?
    } else {
        addon
    };
    let price = format!("({})", addon.price());
    if addon.state == AddonState::Provisioned {
        session.done_in_release(step, app, &price).await;
    } else {
        step.ended(&format!("done {price}"));
    }
    session.answer("addon", &addon, |page| {
        if !addon.config_vars.is_empty() {
            page.line(&format!("Attached as {}", addon.config_vars.join(", ")));
        }
    })?;
    tell(session, app, &addon, is_empty);
    Ok(())
}

async fn post(session: &Session, app: &str, body: Value) -> Result<Addon, Failure> {
    session.post(&["apps", app, "addons"], body).await
}

/// The platform wants the name of the app typed: an attachment of this name exists already.
async fn confirmed<'s>(
    session: &'s Session,
    given: &Given,
    app: &str,
    plan: &str,
    step: Step<'s>,
    why: Failure,
    mut body: Value,
) -> Result<(Step<'s>, Addon), Failure> {
    step.ended("not yet");
    session.say(why.text().trim_end());
    confirm::app(session, given, app)?;
    body["confirm"] = json!(app);
    let step = session.step(&format!("Adding {plan} on {app}"));
    let addon = post(session, app, body).await?;
    Ok((step, addon))
}

/// What the provider is told: `--version 15` is `{"version": "15"}`, a bare `--fast` is `true`.
fn config(given: &Given) -> Map<String, Value> {
    let mut config = Map::new();
    if let Some(version) = given.value("version") {
        config.insert("version".to_owned(), json!(version));
    }
    copies::tell(given, &mut config);
    for (name, value) in &given.for_provider {
        let value = match value.as_deref() {
            None | Some("true") => json!(true),
            Some(value) => json!(value),
        };
        config.insert(name.clone(), value);
    }
    config
}

fn body(given: &Given, plan: &str, config: Map<String, Value>) -> Value {
    let mut body = json!({ "plan": { "name": plan }, "attachment": {}, "config": config });
    if let Some(name) = given.value("as") {
        body["attachment"]["name"] = json!(name);
    }
    for field in ["name", "confirm"] {
        if let Some(value) = given.value(field) {
            body[field] = json!(value);
        }
    }
    body
}

fn on_plan(failure: Failure) -> Failure {
    if failure.message.starts_with("Couldn't find either the add-on") {
        return failure.advise(Hint::ListPlans.plain());
    }
    failure
}

fn tell(session: &Session, app: &str, addon: &Addon, is_empty: bool) {
    let message = addon.provision_message.as_deref().filter(|message| !message.is_empty());
    match (message, addon.state) {
        (Some(message), _) => session.say(message.trim_end()),
        (None, AddonState::Provisioned) => {
            session.say("Database has been created and is available");
        }
        (None, _) => {
            let advice = Hint::WaitForAddon.fill(&[("ADDON", &addon.name), ("APP", app)]);
            session.say(&format!("{} is being created in the background.", addon.name));
            session.say(&format!(
                "The app will restart when complete; {} `{}`",
                advice.lead, advice.command
            ));
            return;
        }
    }
    if addon.plan.service() != howdah_model::plan::SERVICE {
        return;
    }
    if is_empty && addon.state == AddonState::Provisioned {
        session.say(" ! This database is empty. If upgrading, you can transfer");
        session.say(" ! data from another database with pg:copy");
    }
    session.say("Use `howdah help pg` to see what can be done with it.");
}
